"""An organization of a simulated world, as it ought to be: the oracle's, and what names mean in it.

What a read may say is found by looking at the oracle while the read is under way: at its beginning,
and whenever the clock or the organization changes until it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from tallystick.domain.entries import Entry, EntryKind, Sealed
from tests.oracle import Oracle
from tests.oracle_words import Hold
from tests.property import languages as say

See = Callable[[Oracle, int], object]
"""What a read of this organization says when the clock shows that."""


@dataclass
class Watch:
    """A read under way: all that it may say, given what has happened since it began."""

    see: See
    possible: list[object] = field(default_factory=list)
    bases: list[Oracle] = field(default_factory=list)
    """How the organization stood when the read began, and later before each change."""

    def note(self, oracle: Oracle, clock: int) -> None:
        for base in (*self.bases, oracle):
            seen = self.see(base, clock)
            if seen not in self.possible:
                self.possible.append(seen)


@dataclass
class Tenant:
    """`entries` are those that were settled."""

    name: str
    id: str
    teamspaces: list[str]
    keys: list[str]
    oracle: Oracle
    numbers: dict[str, int] = field(default_factory=dict)
    """The sequence of the entry that made a grant or a hold, by its id."""
    holds: dict[str, str] = field(default_factory=dict)
    """Ids by the names that the script gave; so below."""
    grants: dict[str, str] = field(default_factory=dict)
    entries: list[Sealed] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        return [*self.teamspaces, *self.keys]

    def now(self, clock: int) -> datetime:
        """The organization's present: the clock, but never before its last entry."""
        return max(say.to_datetime(clock), self.oracle.facts[-1].at)

    def hold_id(self, name: str) -> str:
        """The id of the hold that a script names; `open-0` is the last that is open, and so on."""
        which, _, place = name.partition("-")
        holds = self.oracle.open_holds()
        if which != "open" or not holds:
            return self.holds.get(name, "hold_nobody")
        number = holds[-1 - int(place) % len(holds)].number
        return next(name for name, place in self.numbers.items() if place == number)

    def hold(self, hold_id: str) -> Hold | None:
        number = self.numbers.get(hold_id)
        return next((hold for hold in self.oracle.holds if hold.number == number), None)

    def event_told(self, name: str) -> str:
        """The oracle's name of the event that a script names; `booked-0` is the last, and so on."""
        which, _, place = name.partition("-")
        usages = self.oracle.usages
        if which != "booked" or not usages:
            return say.event_told(self.holds.get(name, name), self.numbers)
        return usages[-1 - int(place) % len(usages)].event_id

    def event_id(self, told: str) -> str:
        """The ledger's id of an event of the oracle's: one that bears a hold's id is called after
        the hold's number there."""
        names = {f"hold-{number}": name for name, number in self.numbers.items()}
        return names.get(told, told)

    def file(self, written: Iterable[Sealed]) -> None:
        """Takes in the entries of this organization among those that were written."""
        for sealed in written:
            if sealed.entry.organization_id == self.id:
                self.entries.append(sealed)
                self._number(sealed.entry)

    def _number(self, entry: Entry) -> None:
        if entry.kind is EntryKind.HOLD_PLACED and entry.hold_id is not None:
            self.numbers[entry.hold_id] = entry.sequence
        elif entry.kind is EntryKind.GRANT_ISSUED and entry.grant_id is not None:
            self.numbers.setdefault(entry.grant_id, entry.sequence)

    def compare_stories(self, before: int) -> None:
        """The entries from `before` on say what the oracle noted."""
        told = [self.told(sealed.entry) for sealed in self.entries[before:]]
        noted = self.oracle.facts[before:]
        for ours, theirs in zip(told, noted, strict=False):
            assert ours == theirs, f"{self.name}: the ledger wrote {ours}, the oracle {theirs}"
        assert len(told) == len(noted), (
            f"{self.name}: the ledger wrote {told[len(noted) :]}, "
            f"and the oracle besides {noted[len(told) :]}"
        )

    def told(self, entry: Entry) -> object:
        return say.fact_told(entry, self.numbers)

    def is_about_to_change(self) -> None:
        for watch in self.watches:
            watch.bases.append(copy_of(self.oracle))

    def note(self, clock: int) -> None:
        for watch in self.watches:
            watch.note(self.oracle, clock)


def settled(oracle: Oracle, clock: int) -> Oracle:
    """The oracle with all that is due done; a copy where something is."""
    now = max(say.to_datetime(clock), oracle.facts[-1].at)
    if oracle._next_moment() > now:
        return oracle
    ahead = copy_of(oracle)
    ahead.settle(now)
    return ahead


def copy_of(oracle: Oracle) -> Oracle:
    """An oracle that goes on by itself."""
    copy = object.__new__(Oracle)
    copy.__dict__.update(oracle.__dict__)
    lots = {lot.number: replace(lot, moves=list(lot.moves)) for lot in oracle.lots}
    allowance = oracle.period.allowance
    copy.lots = list(lots.values())
    copy.period = replace(
        oracle.period, allowance=None if allowance is None else lots[allowance.number]
    )
    copy.usages = [replace(usage, undone=list(usage.undone)) for usage in oracle.usages]
    copy.holds = [
        replace(hold, taken=list(hold.taken), booked=list(hold.booked)) for hold in oracle.holds
    ]
    copy.facts = list(oracle.facts)
    copy.caps = dict(oracle.caps)
    copy._seen = dict(oracle._seen)
    return copy
