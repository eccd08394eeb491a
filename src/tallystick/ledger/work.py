"""One batch at work: what was loaded, what has been decided on top of it, what is to be written.

Units of a batch are decided one after the other on the same `Work`, so each sees what those before
it did, as if they had been sent singly. Nothing is written until all are decided.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from tallystick.domain.account import advance
from tallystick.domain.commands import Earlier
from tallystick.domain.decide import ledger_time
from tallystick.domain.dimensions import KeptDimensions, dimensions_digest
from tallystick.domain.entries import EntryKind, seal
from tallystick.domain.replay import Standing
from tallystick.domain.reversals import reversal_facts
from tallystick.domain.usage import PeriodUsageKey, RollupKey, dimension_keys, rollup_key
from tallystick.ledger.ports import Changes, PeriodRow, UsageRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.domain.account import Account
    from tallystick.domain.entries import Entry
    from tallystick.domain.holds import Hold
    from tallystick.ledger.ports import Snapshot, Wanted

# A NamedTuple's own constructor costs twice as much.
_new: Final = tuple.__new__

K = TypeVar("K", RollupKey, PeriodUsageKey)
MILESTONE_DISTANCE: Final = 1024
"""Entries between two places from which an earlier balance is replayed."""


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
    _budgets: set[tuple[str, str]] = field(default_factory=set)
    _by_dimensions: list[tuple[RollupKey, tuple[int, int]]] = field(default_factory=list)

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

    def note_usage(
        self,
        entry: Entry,
        dimensions: Mapping[str, str] | None,
        *,
        overdraw: bool,
        salt: bytes = b"",
    ) -> None:
        """Lets later units of the batch see a usage event that was booked."""
        key = (entry.organization_id, entry.event_id or "")
        self.snapshot.events[key] = entry
        self.changes.usage.append(_new(UsageRow, (*key, entry.sequence, overdraw)))
        if dimensions:
            self._note_dimensions(key, entry, dimensions, salt)

    def _note_dimensions(
        self, key: tuple[str, str], entry: Entry, dimensions: Mapping[str, str], salt: bytes
    ) -> None:
        organization = self.snapshot.organizations[entry.organization_id]
        kept = KeptDimensions(
            dimensions,
            salt,
            dimensions_digest(dimensions, salt),
            tuple(name for name in organization.usage_dimensions if name in dimensions),
        )
        self.snapshot.dimensions[key] = kept
        self.changes.dimensions[entry.organization_id, entry.sequence] = kept
        self._count_by_dimensions(entry, kept, entry.credits, 1)

    def note_reversal(self, entry: Entry) -> None:
        """Lets later units of the batch see what was given back."""
        key = (entry.organization_id, entry.event_id or "")
        self.snapshot.reversals.setdefault(key, []).append(entry)
        kept = self.snapshot.dimensions.get(key)
        if kept is not None:
            self._count_by_dimensions(entry, kept, -entry.credits, 0)

    def erase_dimensions(self, entry: Entry, kept: KeptDimensions) -> None:
        """Takes the names and values of a usage event's dimensions out of all there is, and with
        them those of the hold that it came out of."""
        key = (entry.organization_id, entry.event_id or "")
        returned = sum(each.credits for each in self.snapshot.reversals.get(key, ()))
        self._count_by_dimensions(entry, kept, returned - entry.credits, -1)
        now = self.snapshot.now
        self.changes.erasures[entry.organization_id, entry.sequence] = now
        self.snapshot.dimensions[key] = kept._replace(dimensions=None, salt=None, erased_at=now)
        if entry.hold_id is not None:
            self._forget_of_hold(entry.organization_id, entry.hold_id)

    def _forget_of_hold(self, organization_id: str, hold_id: str) -> None:
        self.changes.hold_erasures.add((organization_id, hold_id))
        account = self.snapshot.accounts.get(organization_id)
        hold = None if account is None else account.holds.get(hold_id)
        if hold is not None:
            hold.dimensions = hold.salt = None

    def _count_by_dimensions(
        self, entry: Entry, kept: KeptDimensions, credits_moved: int, events: int
    ) -> None:
        moved = (credits_moved, events)
        self._by_dimensions += ((name, moved) for name in dimension_keys(entry, kept))

    def note_hold(self, reference: str, entry: Entry, hold: Hold) -> None:
        """Lets later units of the batch see a hold that was placed."""
        self.snapshot.hold_references[entry.organization_id, reference] = Earlier(entry, hold=hold)

    def note_budget(self, account: Account, subject_id: str) -> None:
        """Marks a budget that was set or removed."""
        self._budgets.add((account.organization_id, subject_id))

    def spent_by(self, account: Account, subject_id: str) -> int:
        """The net usage of a teamspace or key in the present period, this batch's included."""
        before = self.snapshot.spent_by.get((account.organization_id, subject_id))
        spent = 0
        for entry in self._drafts.get(account.organization_id, ()):
            if entry.kind is EntryKind.PERIOD_STARTED:
                before, spent = None, 0
            elif subject_id in {entry.teamspace_id, entry.api_key_id}:
                spent += _net_usage(entry)
        return spent if before is None else spent + before.credits

    def note_reference(self, reference: str, entry: Entry, account: Account) -> None:
        """Lets later units of the batch see a grant that was issued."""
        grant = account.grants[entry.grant_id or ""]
        key = (entry.organization_id, reference)
        self.snapshot.references[key] = Earlier(entry, grant)

    def mark(self, account: Account) -> Mark:
        """Where to return to when an atomic unit is refused half way."""
        drafts = self._drafts.get(account.organization_id, ())
        return Mark(account.copy(), len(drafts), len(self.changes.usage), len(self._by_dimensions))

    def return_to(self, mark: Mark) -> None:
        organization_id = mark.account.organization_id
        self.snapshot.accounts[organization_id] = mark.account
        if organization_id in self._drafts:
            del self._drafts[organization_id][mark.drafts :]
        for row in self.changes.usage[mark.usage :]:
            del self.snapshot.events[row.organization_id, row.event_id]
            self.snapshot.dimensions.pop((row.organization_id, row.event_id), None)
            self.changes.dimensions.pop((row.organization_id, row.sequence), None)
        del self.changes.usage[mark.usage :]
        del self._by_dimensions[mark.by_dimensions :]

    def finish(self) -> Changes:
        """All that is to be written, the entries sealed into their chains."""
        for organization_id, drafts in self._drafts.items():
            if not drafts:
                continue
            account = self.snapshot.accounts[organization_id]
            sealed = seal(drafts, account.head)
            account.head = sealed[-1].hash
            if passes_milestone(account, len(drafts)):
                self.changes.milestones.append((organization_id, Standing.of(account)))
            self.changes.entries.extend(sealed)
            self._collect(account, drafts)
            self._written.add(organization_id)
        for name in self._budgets:
            # Looked up only now: a unit that was undone leaves another account behind.
            self.changes.budgets[name] = self.snapshot.accounts[name[0]].budgets.get(name[1])
        for key, moved in self._by_dimensions:
            _add(self.changes.rollups, key, *moved)
        self.changes.accounts.extend(self.snapshot.accounts[name] for name in self._written)
        return self.changes

    def _collect(self, account: Account, entries: list[Entry]) -> None:
        """The rows that entries touch: grants, periods and roll-ups."""
        organization_id, changes = account.organization_id, self.changes
        grants: dict[str, None] = {}
        holds: dict[str, None] = {}
        started = sum(entry.kind is EntryKind.PERIOD_STARTED for entry in entries)
        period_index = account.period_index - started
        for entry in entries:
            if entry.grant_id is not None:
                grants[entry.grant_id] = None
            for grant_id, _ in entry.drawn:
                grants[grant_id] = None
            if entry.hold_id is not None and entry.hold_id in account.holds:
                holds[entry.hold_id] = None
            if entry.kind is EntryKind.USAGE_BOOKED or entry.kind is EntryKind.USAGE_REVERSED:
                self._count(entry, period_index)
            elif entry.kind is EntryKind.PERIOD_STARTED:
                period_index += 1
                changes.periods.append(period_row(entry))
        changes.grants.extend((organization_id, account.grants[name]) for name in grants)
        changes.holds.extend((organization_id, account.holds[name]) for name in holds)
        if account.budgets:
            self._collect_budgets(account, entries, all_of_them=started > 0)

    def _count(self, entry: Entry, period_index: int) -> None:
        """Statistics: at the usage's own time, and in the period that it was booked in."""
        is_new = entry.kind is EntryKind.USAGE_BOOKED
        moved = entry.credits if is_new else -entry.credits
        key = rollup_key(entry)
        _add(self.changes.rollups, key, moved, is_new)
        in_period = _net_usage(entry)
        if is_new or in_period:
            period_key = PeriodUsageKey(key[0], period_index, *key[2:5])
            _add(self.changes.period_usage, period_key, in_period, is_new)

    def _collect_budgets(
        self, account: Account, entries: list[Entry], *, all_of_them: bool
    ) -> None:
        subjects = (
            account.budgets.keys()
            if all_of_them
            else {name for entry in entries for name in (entry.teamspace_id, entry.api_key_id)}
        )
        for subject_id in subjects:
            if subject_id is not None and subject_id in account.budgets:
                self.note_budget(account, subject_id)


def _add(totals: dict[K, tuple[int, int]], key: K, credits_moved: int, events: int) -> None:
    credits_before, events_before = totals.get(key, (0, 0))
    totals[key] = (credits_before + credits_moved, events_before + events)


def _net_usage(entry: Entry) -> int:
    """By how much an entry changes what its period consumed."""
    if entry.kind is EntryKind.USAGE_BOOKED:
        return entry.credits
    if entry.kind is EntryKind.USAGE_REVERSED and reversal_facts(entry).in_period:
        return -entry.credits
    return 0


def passes_milestone(account: Account, entries: int) -> bool:
    """Whether the last `entries` of the account call for a place to replay from.

    The more an account has to say of itself, the rarer: so what is written stays a fraction.
    """
    weight = len(account.grants) + len(account.open_holds)
    distance = MILESTONE_DISTANCE << (weight // 64).bit_length()
    return account.sequence // distance != (account.sequence - entries) // distance


@dataclass(frozen=True, slots=True)
class Mark:
    account: Account
    drafts: int
    usage: int
    by_dimensions: int


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
