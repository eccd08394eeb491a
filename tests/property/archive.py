"""What a database would keep of an organization, and what it would find again for a command."""

from __future__ import annotations

from dataclasses import replace

from tallystick.domain.account import Account
from tallystick.domain.commands import NOTHING_EARLIER, Earlier
from tallystick.domain.entries import Entry, EntryKind
from tallystick.domain.grants import Grant, GrantStatus
from tallystick.domain.holds import Hold, HoldStatus

_LIVE = {GrantStatus.PENDING, GrantStatus.ACTIVE}


class Archive:
    """Every entry, and the latest row of every grant and hold there ever was.

    `grant_ids` and `hold_ids` give the id of each by the sequence of the entry that made it, in
    that order; `numbers` is the way back, for both.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.grants: dict[str, Grant] = {}
        self.holds: dict[str, Hold] = {}
        self.grant_ids: dict[int, str] = {}
        self.hold_ids: dict[int, str] = {}
        self.numbers: dict[str, int] = {}
        self.events: dict[str, Entry] = {}
        self.reversals: dict[str, list[Entry]] = {}
        self._grant_references: dict[str, Entry] = {}
        self._hold_references: dict[str, Entry] = {}

    def take(self, entry: Entry, account: Account) -> None:
        """Files the next entry; `account` has what it made."""
        self.entries.append(entry)
        event_id = entry.event_id or ""
        if entry.kind is EntryKind.USAGE_BOOKED:
            self.events[event_id] = entry
        elif entry.kind is EntryKind.USAGE_REVERSED:
            self.reversals.setdefault(event_id, []).append(entry)
        elif entry.kind is EntryKind.HOLD_PLACED:
            self._take_new_hold(entry, account.holds[entry.hold_id or ""])
        elif entry.grant_id is not None and entry.grant_id not in self.grants:
            self._take_new_grant(entry, account.grants[entry.grant_id])

    def _take_new_grant(self, entry: Entry, grant: Grant) -> None:
        assert grant.issued == entry.sequence
        self.grant_ids[grant.issued] = grant.id
        self.numbers[grant.id] = grant.issued
        self.grants[grant.id] = replace(grant)
        if grant.reference is not None:
            self._grant_references[grant.reference] = entry

    def _take_new_hold(self, entry: Entry, hold: Hold) -> None:
        assert hold.placed == entry.sequence
        self.hold_ids[hold.placed] = hold.id
        self.numbers[hold.id] = hold.placed
        self.holds[hold.id] = replace(hold)
        if hold.reference is not None:
            self._hold_references[hold.reference] = entry

    def keep(self, account: Account) -> None:
        """Writes the rows that the account touched."""
        for grant in account.grants.values():
            self.grants[grant.id] = replace(grant)
        for hold in account.holds.values():
            self.holds[hold.id] = replace(hold)

    # ── what would be found again ──

    def hold_numbered(self, number: int) -> Hold | None:
        return self.holds.get(self.hold_ids.get(number, ""))

    def reloaded(self, account: Account) -> Account:
        """The account with what still matters read back, and nothing else.

        Budgets come first, without what is held: the holds bring that along.
        """
        again = replace(account, grants={}, burning=[], waiting=[], holds={}, open_holds=[])
        again.budgets = {name: replace(row, held=0) for name, row in account.budgets.items()}
        for grant in reversed(self.grants.values()):
            if grant.status in _LIVE or grant.held or grant.id == account.allowance_grant_id:
                again.add_loaded(replace(grant))
        for hold in reversed(self.holds.values()):
            if hold.status is HoldStatus.OPEN:
                again.add_hold(replace(hold))
        return again

    def about_event(self, event_id: str) -> Earlier:
        return Earlier(entry=self.events.get(event_id))

    def about_grant(self, grant_id: str) -> Earlier:
        return Earlier(grant=self._grant(grant_id))

    def about_hold(self, hold_id: str) -> Earlier:
        return Earlier(hold=self._hold(hold_id))

    def about_capture(self, event_id: str, hold_id: str) -> Earlier:
        return Earlier(entry=self.events.get(event_id), hold=self._hold(hold_id))

    def about_grant_reference(self, reference: str | None) -> Earlier:
        entry = self._grant_references.get(reference or "")
        if entry is None:
            return NOTHING_EARLIER
        return Earlier(entry=entry, grant=self._grant(entry.grant_id or ""))

    def about_hold_reference(self, reference: str | None) -> Earlier:
        entry = self._hold_references.get(reference or "")
        if entry is None:
            return NOTHING_EARLIER
        return Earlier(entry=entry, hold=self._hold(entry.hold_id or ""))

    def about_reversal(self, event_id: str) -> Earlier:
        entry = self.events.get(event_id)
        drawn = () if entry is None else entry.drawn
        return Earlier(
            entry=entry,
            reversals=tuple(self.reversals.get(event_id, ())),
            drawn_from={grant_id: replace(self.grants[grant_id]) for grant_id, _ in drawn},
        )

    def _grant(self, grant_id: str) -> Grant | None:
        row = self.grants.get(grant_id)
        return None if row is None else replace(row)

    def _hold(self, hold_id: str) -> Hold | None:
        row = self.holds.get(hold_id)
        return None if row is None else replace(row)
