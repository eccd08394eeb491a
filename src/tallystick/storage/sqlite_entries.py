"""How an SQLite reader finds the entries of a list.

Theory of operation. Entries are found by sequence alone where possible: within an organization
`booked_at` never falls, so a bound in time is a bound in sequence, found by bisection.

Which entries drew from a grant no index says: it would cost each usage event half as much again as
its rows do, for a question that is seldom asked. Entries are looked through instead (a million in a
third of a second), a stretch at a time, so that the lists of others get their turn in between. They
never change and the search knows its last sequence, so its stretches fit together.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.entries import EntryKind
from tallystick.domain.ids import sequence_of
from tallystick.ledger.lists import cursor_of, goes_newer
from tallystick.ledger.reading import UnknownCursor
from tallystick.storage import rows
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

    from tallystick.domain.entries import Sealed
    from tallystick.ledger.reading import EntryFilter, Page

_SQL: Final = load_statements("sqlite", "reader")
_ABOUT_A_GRANT: Final = {kind for kind in EntryKind if kind.startswith("grant.")}
"""Kinds that have a grant of their own, by which they are indexed, and draw from none."""

STRETCH: Final = 16_384
"""Entries that are looked through in one step: a few milliseconds."""


class EntrySearch:
    """One page of entries, searched step by step; `found` is complete when a step says so."""

    def __init__(
        self,
        connection: apsw.Connection,
        organization_id: str,
        page: Page,
        where: EntryFilter,
        up_to: int | None,
    ) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._page = page
        self._where = where
        self._up_to = up_to
        self._stretches: Iterator[range] | None = None
        self.found: list[Sealed] = []

    def step(self) -> bool:
        """Looks through the next stretch; whether the search is over."""
        if self._stretches is None:
            self._stretches = self._plan()
        stretch = next(self._stretches, None)
        if stretch is None:
            return True
        missing = self._page.limit + 1 - len(self.found)
        self.found += self._look_through(stretch, missing)
        return len(self.found) > self._page.limit

    def _plan(self) -> Iterator[range]:
        """The sequences to look at, in stretches and in the order travelled."""
        within = self._sequences()
        if self._where.event_id is not None:
            yield from self._of_event(self._where.event_id, within)
            return
        length = STRETCH if self._looks_for_draws() else max(len(within), 1)
        starts = range(within.start, within.stop, length)
        for start in starts if goes_newer(self._page) else reversed(starts):
            yield range(start, min(start + length, within.stop))

    def _of_event(self, event_id: str, within: range) -> Iterator[range]:
        """The entry that booked a usage event, and those that reversed parts of it."""
        booked = self._number("sequence_of_event", self._organization_id, event_id)
        if booked is None:
            return
        key = (self._organization_id, event_id)
        later = self._connection.execute(_SQL["sequences_of_reversals"], key).fetchall()
        found: list[Any] = [booked, *(sequence for (sequence,) in later)]
        for sequence in found if goes_newer(self._page) else reversed(found):
            if sequence in within:
                yield range(sequence, sequence + 1)

    def _looks_for_draws(self) -> bool:
        return self._where.grant_id is not None and self._where.kind not in _ABOUT_A_GRANT

    def _look_through(self, within: range, limit: int) -> list[Sealed]:
        kind, grant_id = self._where.kind, self._where.grant_id
        key: tuple[object, ...]
        key = (self._organization_id, within.start, within.stop, kind, limit)
        if grant_id is not None:
            which = "naming_grant" if self._looks_for_draws() else "of_grant"
            statement, key = f"entries_{which}", (*key, grant_id)
        elif kind is not None and kind is not EntryKind.USAGE_BOOKED:
            statement = "entries_of_kind"
        else:
            statement = "entries"
        direction = "newer" if goes_newer(self._page) else "older"
        found = self._connection.execute(_SQL[f"{statement}_{direction}"], key).fetchall()
        names = [(self._organization_id, sequence) for (sequence,) in found]
        return [
            rows.sealed_from(row)
            for row in self._connection.executemany(_SQL["read_sealed"], names)
        ]

    def _sequences(self) -> range:
        """What the cursor, the times and the grant leave of all sequences."""
        where = self._where
        last = self._number("last_sequence", self._organization_id) or 0
        last = last if self._up_to is None else min(last, self._up_to)
        start, stop = self._beyond_cursor(last)
        if where.grant_id is not None:
            issued = self._number("position_of_grant", self._organization_id, where.grant_id)
            start = stop if issued is None else max(start, issued)
        every = range(1, last + 1)
        if where.start is not None:
            start = max(start, 1 + bisect_left(every, where.start, key=self._booked_at))
        if where.end is not None:
            stop = min(stop, 1 + bisect_left(every, where.end, key=self._booked_at))
        return range(start, stop)

    def _beyond_cursor(self, last: int) -> tuple[int, int]:
        cursor = cursor_of(self._page)
        if cursor is None:
            return 1, last + 1
        sequence = sequence_of(self._organization_id, cursor)
        if sequence is None or not 1 <= sequence <= last:
            raise UnknownCursor(cursor)
        return (sequence + 1, last + 1) if goes_newer(self._page) else (1, sequence)

    def _booked_at(self, sequence: int) -> int:
        return self._number("booked_at", self._organization_id, sequence) or 0

    def _number(self, statement: str, *key: object) -> int | None:
        found: list[Any] = self._connection.execute(_SQL[statement], key).fetchall()
        return found[0][0] if found else None
