"""One batch at work: what was loaded, what has been decided on top of it, what is to be written.

Units of a batch are decided one after the other on the same `Work`, so each sees what those before
it did, as if they had been sent singly. Nothing is written until all are decided.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tallystick.domain.account import advance
from tallystick.domain.commands import BookUsage, Earlier
from tallystick.domain.decide import ledger_time
from tallystick.domain.entries import EntryKind, canonical_json, seal
from tallystick.domain.usage import RollupKey, rollup_key
from tallystick.ledger.ports import Changes, PeriodRow, UsageRow

if TYPE_CHECKING:
    from tallystick.domain.account import Account
    from tallystick.domain.entries import Entry
    from tallystick.ledger.ports import Snapshot, Wanted


class Unit(Protocol):
    """Something to be decided as a whole: says what it wants loaded, then decides on that."""

    @property
    def weight(self) -> int:
        """How many events it may book."""
        ...

    def wants(self, wanted: Wanted) -> None: ...

    def decide(self, work: Work) -> object: ...


@dataclass(slots=True)
class Work:
    """Decisions of one batch over `snapshot`."""

    snapshot: Snapshot
    changes: Changes = field(default_factory=Changes)
    _opened: set[str] = field(default_factory=set)
    _drafts: dict[str, list[Entry]] = field(default_factory=dict)
    _written: set[str] = field(default_factory=set)

    def account(self, organization_id: str) -> Account | None:
        """The account, brought to the batch's present; None where there is no such organization."""
        account = self.snapshot.accounts.get(organization_id)
        if account is not None and organization_id not in self._opened:
            self._opened.add(organization_id)
            due_at = account.next_due_at
            self.post(account, advance(account, self.now(account)))
            if account.next_due_at != due_at:
                # Also where nothing came of it, as when a spent grant expires: it would stay due.
                self.write_account(account)
        return account

    def now(self, account: Account) -> int:
        return ledger_time(account, self.snapshot.now)

    def open(self, account: Account, entries: list[Entry]) -> None:
        """Takes in an account that has just been made."""
        self.snapshot.accounts[account.organization_id] = account
        self._opened.add(account.organization_id)
        self.post(account, entries)

    def post(self, account: Account, entries: list[Entry]) -> None:
        if entries:
            self._drafts.setdefault(account.organization_id, []).extend(entries)

    def write_account(self, account: Account) -> None:
        """Marks an account that changed without an entry."""
        self._written.add(account.organization_id)

    def note_usage(self, command: BookUsage, entry: Entry) -> None:
        """Lets later units of the batch see a usage event that was booked."""
        key = (entry.organization_id, command.event_id)
        self.snapshot.events[key] = entry
        dimensions = canonical_json(command.dimensions) if command.dimensions else None
        self.changes.usage.append(UsageRow(*key, entry.sequence, dimensions, command.overdraw))

    def note_reference(self, reference: str, entry: Entry, account: Account) -> None:
        """Lets later units of the batch see a grant that was issued."""
        grant = account.grants[entry.grant_id or ""]
        key = (entry.organization_id, reference)
        self.snapshot.references[key] = Earlier(entry, grant)

    def mark(self, account: Account) -> Mark:
        """Where to return to when an atomic unit is refused half way."""
        drafts = self._drafts.get(account.organization_id, ())
        return Mark(account.copy(), len(drafts), len(self.changes.usage))

    def return_to(self, mark: Mark) -> None:
        organization_id = mark.account.organization_id
        self.snapshot.accounts[organization_id] = mark.account
        if organization_id in self._drafts:
            del self._drafts[organization_id][mark.drafts :]
        for row in self.changes.usage[mark.usage :]:
            del self.snapshot.events[row.organization_id, row.event_id]
        del self.changes.usage[mark.usage :]

    def finish(self) -> Changes:
        """All that is to be written, the entries sealed into their chains."""
        for organization_id, drafts in self._drafts.items():
            if not drafts:
                continue
            account = self.snapshot.accounts[organization_id]
            sealed = seal(drafts, account.head)
            account.head = sealed[-1].hash
            self.changes.entries.extend(sealed)
            self._collect(account, drafts)
            self._written.add(organization_id)
        self.changes.accounts.extend(self.snapshot.accounts[name] for name in self._written)
        return self.changes

    def _collect(self, account: Account, entries: list[Entry]) -> None:
        """The rows that entries touch: grants, periods and roll-ups."""
        touched: dict[str, None] = {}
        for entry in entries:
            if entry.grant_id is not None:
                touched[entry.grant_id] = None
            for grant_id, _ in entry.drawn:
                touched[grant_id] = None
            if entry.kind is EntryKind.USAGE_BOOKED:
                self._count(entry)
            elif entry.kind is EntryKind.PERIOD_STARTED:
                self.changes.periods.append(period_row(entry))
        organization_id = account.organization_id
        self.changes.grants.extend((organization_id, account.grants[name]) for name in touched)

    def _count(self, entry: Entry) -> None:
        rollups: dict[RollupKey, tuple[int, int]] = self.changes.rollups
        key = rollup_key(entry)
        credits_used, events = rollups.get(key, (0, 0))
        rollups[key] = (credits_used + entry.credits, events + 1)


@dataclass(frozen=True, slots=True)
class Mark:
    account: Account
    drafts: int
    usage: int


def period_row(entry: Entry) -> PeriodRow:
    """The period that a `period.started` entry opens."""
    facts = json.loads(entry.detail or "{}")
    return PeriodRow(
        entry.organization_id,
        facts["index"],
        facts["start"],
        facts["end"],
        facts["timezone"],
        facts["allowance"],
        entry.sequence,
    )
