"""How a PostgreSQL reader finds the entries of a list.

Theory of operation. Entries never change, their sequences have no gaps and the search knows its
last one, so its statements need no common moment: whatever they find belongs together, however much
is booked meanwhile. Within an organization `booked_at` never falls, so a bound in time is a bound
in sequence, which the server finds by bisection.

Which entries drew from a grant no index says: it would cost each usage event half as much again as
its rows do, for a question that is seldom asked. Entries are looked through instead, a stretch at a
time, each with a connection of its own: a search of millions holds none back from others, and no
statement runs into its timeout.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tallystick.domain.entries import EntryKind
from tallystick.domain.ids import sequence_of
from tallystick.ledger.lists import cursor_of, goes_newer
from tallystick.ledger.reading import UnknownCursor
from tallystick.storage import rows
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tallystick.domain.entries import Sealed
    from tallystick.ledger.reading import EntryFilter, Page
    from tallystick.storage.postgres.connections import Connection, Connections

_SQL: Final = load_statements("postgres", "entries", "lists")
_ABOUT_A_GRANT: Final = {kind for kind in EntryKind if kind.startswith("grant.")}
"""Kinds that have a grant of their own, by which they are indexed, and draw from none."""

STRETCH: Final = 65_536
"""Entries that are looked through in one statement: some ten milliseconds."""


async def search_entries(
    connections: Connections,
    organization_id: str,
    page: Page,
    where: EntryFilter,
    up_to: int | None,
) -> list[Sealed]:
    """One page of entries and one more, in the order travelled; raises UnknownCursor."""
    search = _EntrySearch(organization_id, page, where, up_to)
    within = await connections.run(search.bounds)
    found: list[Sealed] = []
    for stretch in search.stretches(within):
        missing = page.limit + 1 - len(found)
        found += await connections.run(partial(search.look_through, stretch, missing))
        if len(found) > page.limit:
            break
    return found


class _EntrySearch:
    """What is asked, and how to find it."""

    def __init__(
        self, organization_id: str, page: Page, where: EntryFilter, up_to: int | None
    ) -> None:
        self._organization_id = organization_id
        self._page = page
        self._where = where
        self._up_to = up_to
        self._towards_newer = goes_newer(page)

    async def bounds(self, connection: Connection) -> range:
        """What the cursor, the times and the grant leave of all sequences."""
        where = self._where
        last = await self._number(connection, "last_sequence") or 0
        last = last if self._up_to is None else min(last, self._up_to)
        start, stop = self._beyond_cursor(last)
        if where.grant_id is not None:
            issued = await self._number(connection, "position_of_grant", where.grant_id)
            start = stop if issued is None else max(start, issued)
        if where.start is not None:
            first = await self._number(connection, "first_booked_since", last, where.start)
            start = max(start, first or 0)
        if where.end is not None:
            first = await self._number(connection, "first_booked_since", last, where.end)
            stop = min(stop, first or 0)
        return range(start, stop)

    def _beyond_cursor(self, last: int) -> tuple[int, int]:
        cursor = cursor_of(self._page)
        if cursor is None:
            return 1, last + 1
        sequence = sequence_of(self._organization_id, cursor)
        if sequence is None or not 1 <= sequence <= last:
            raise UnknownCursor(cursor)
        return (sequence + 1, last + 1) if self._towards_newer else (1, sequence)

    async def _number(self, connection: Connection, statement: str, *key: object) -> int | None:
        found: int | None = await connection.fetchval(_SQL[statement], self._organization_id, *key)
        return found

    def stretches(self, within: range) -> Iterator[range]:
        """The sequences to look at, in the order travelled."""
        length = STRETCH if self._looks_for_draws() else max(len(within), 1)
        starts = range(within.start, within.stop, length)
        for start in starts if self._towards_newer else reversed(starts):
            yield range(start, min(start + length, within.stop))

    def _looks_for_draws(self) -> bool:
        """Whether no index leads to the entries that are asked for."""
        where = self._where
        return (
            where.event_id is None
            and where.grant_id is not None
            and where.kind not in _ABOUT_A_GRANT
        )

    async def look_through(
        self, stretch: range, limit: int, connection: Connection
    ) -> list[Sealed]:
        """The first entries of the stretch, as far as they are asked for."""
        sequences = await self._sequences(stretch, limit, connection)
        if not sequences:
            return []
        found = await connection.fetch(_SQL["read_sealed"], self._organization_id, sequences)
        return [rows.sealed_from(row) for row in (found if self._towards_newer else found[::-1])]

    async def _sequences(self, stretch: range, limit: int, connection: Connection) -> Sequence[int]:
        key = (self._organization_id, stretch.start, stretch.stop, self._where.kind)
        if self._where.event_id is not None:
            more = (self._where.grant_id, self._where.event_id)
            found = await connection.fetch(_SQL["entries_of_event"], *key, *more)
            travelled = found if self._towards_newer else found[::-1]
            return [row[0] for row in travelled[:limit]]
        name, *more_asked = self._statement()
        statement = _SQL[f"{name}_{'newer' if self._towards_newer else 'older'}"]
        return [row[0] for row in await connection.fetch(statement, *key, limit, *more_asked)]

    def _statement(self) -> tuple[str, ...]:
        """Which statements find them, and what those ask beside."""
        where = self._where
        if where.grant_id is not None:
            which = "naming_grant" if self._looks_for_draws() else "of_grant"
            return f"entries_{which}", where.grant_id
        if where.kind is not None and where.kind is not EntryKind.USAGE_BOOKED:
            return ("entries_of_kind",)
        return ("entries",)
