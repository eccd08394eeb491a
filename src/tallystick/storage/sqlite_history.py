"""What leads to an earlier instant: the milestone before it, and the entries in between.

Within an organization `booked_at` never falls, so the last entry until an instant is found by
bisection; from the milestone to there it is a thousand entries or so.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from tallystick.ledger.reading import History
from tallystick.storage import rows
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    import apsw

    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Grant

_SQL: Final = load_statements("sqlite", "lane", "reader")


def read_history(
    connection: apsw.Connection, organization_id: str, instant: int, up_to: int
) -> History:
    """What was booked until `instant` and until entry `up_to`, in one transaction's view."""

    def booked_at(sequence: int) -> int:
        found: list[Any] = connection.execute(
            _SQL["booked_at"], (organization_id, sequence)
        ).fetchall()
        return int(found[0][0])

    last = bisect_right(range(1, up_to + 1), instant, key=booked_at)
    found = connection.execute(_SQL["latest_milestone"], (organization_id, last)).fetchall()
    milestone = rows.milestone_from(found[0]) if found else None
    since = 0 if milestone is None else milestone.sequence
    entries = [
        rows.entry_from(row)
        for row in connection.execute(_SQL["entries_between"], (organization_id, since, last))
    ]
    return History(milestone, entries, _grants_named(connection, organization_id, entries))


def _grants_named(
    connection: apsw.Connection, organization_id: str, entries: list[Entry]
) -> dict[str, Grant]:
    names = {entry.grant_id for entry in entries if entry.grant_id is not None}
    names.update(grant_id for entry in entries for grant_id, _ in entry.drawn)
    keys: list[tuple[Any, ...]] = [(organization_id, name) for name in names]
    found = connection.executemany(_SQL["load_grant"], keys)
    return {row[1]: rows.grant_from(row) for row in found}
