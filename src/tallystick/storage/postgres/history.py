"""What leads to an earlier instant: the milestone before it, and the entries in between.

Within an organization `booked_at` never falls, so the last entry until an instant is found by
bisection; from the milestone to there it is a thousand entries or so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallystick.ledger.reading import History
from tallystick.storage import rows
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Grant
    from tallystick.storage.postgres.connections import Connection

_SQL: Final = load_statements("postgres", "reader", "entries")


async def read_history(
    connection: Connection, organization_id: str, instant: int, up_to: int
) -> History:
    """What was booked until `instant` and until entry `up_to`, in the open transaction."""
    later = await connection.fetchval(
        _SQL["first_booked_since"], organization_id, up_to, instant + 1
    )
    last = later - 1
    state = await connection.fetchrow(_SQL["latest_milestone"], organization_id, last)
    milestone = None if state is None else rows.milestone_from(state)
    since = 0 if milestone is None else milestone.sequence
    found = await connection.fetch(_SQL["entries_between"], organization_id, since, last)
    entries = [rows.entry_from(row) for row in found]
    names = {entry.grant_id for entry in entries if entry.grant_id is not None}
    names.update(grant_id for entry in entries for grant_id, _ in entry.drawn)
    return History(milestone, entries, await read_grants(connection, organization_id, names))


async def read_grants(
    connection: Connection, organization_id: str, names: Iterable[str]
) -> dict[str, Grant]:
    """The grants with these ids, by id."""
    found = await connection.fetch(_SQL["read_grants"], organization_id, sorted(names))
    return {row[1]: rows.grant_from(row) for row in found}


async def read_entries(
    connection: Connection, organization_id: str, *sequences: int
) -> dict[int, Entry]:
    """The entries of these sequences, by sequence."""
    found = await connection.fetch(_SQL["read_entries"], organization_id, sequences)
    return {row[1]: rows.entry_from(row) for row in found}
