"""What was written of one billing period, for its statement.

Usage is not walked: it is added up by period as it is booked. The entries that are no usage have an
index of their own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.entries import Entry, EntryKind
from tallystick.domain.statements import UsageLine
from tallystick.ledger.statements import PeriodRecord
from tallystick.storage import rows
from tallystick.storage.queries import load_statements
from tallystick.storage.sqlite_load import load_accounts

if TYPE_CHECKING:
    import apsw

    from tallystick.domain.grants import Grant

_SQL: Final = load_statements("sqlite", "lane", "reader")
_MOVING: Final = (
    EntryKind.GRANT_ISSUED,
    EntryKind.GRANT_ACTIVATED,
    EntryKind.GRANT_EXPIRED,
    EntryKind.GRANT_VOIDED,
    EntryKind.USAGE_REVERSED,
    EntryKind.HOLD_RELEASED,
    EntryKind.HOLD_EXPIRED,
)


def read_period(
    connection: apsw.Connection, organization_id: str, index: int
) -> PeriodRecord | None:
    """All of it in one transaction, on a connection that has none open."""
    connection.execute(_SQL["begin_reading"])
    try:
        return _PeriodReader(connection, organization_id).read(index)
    finally:
        connection.execute(_SQL["end_reading"])


class _PeriodReader:
    def __init__(self, connection: apsw.Connection, organization_id: str) -> None:
        self._connection = connection
        self._organization_id = organization_id

    def read(self, index: int) -> PeriodRecord | None:
        account = load_accounts(self._connection, [self._organization_id]).get(
            self._organization_id
        )
        if account is None:
            return None
        found = self._rows("read_period", index)
        if not found:
            return PeriodRecord(account, None, None, None, (), {}, {}, ())
        *period, following = found[0]
        first = period[-1]
        stop = account.sequence + 1 if following is None else following
        entries = [
            rows.entry_from(row)
            for kind in _MOVING
            for row in self._rows("entries_that_move", kind, first, stop)
        ]
        grants = self._grants_named(entries)
        return PeriodRecord(
            account,
            rows.period_from(period),
            self._entry(first),
            self._entry(stop - 1),
            entries,
            grants,
            self._voided_at(grants),
            [UsageLine(*row) for row in self._rows("usage_of_period", index)],
        )

    def _grants_named(self, entries: list[Entry]) -> dict[str, Grant]:
        names = {entry.grant_id for entry in entries if entry.grant_id is not None}
        for entry in entries:
            names.update(name for name, _ in json.loads(entry.detail or "{}").get("lapsed", ()))
        found = (row for name in names for row in self._rows("load_grant", name))
        return {row[1]: rows.grant_from(row) for row in found}

    def _voided_at(self, grants: dict[str, Grant]) -> dict[str, int]:
        found = {name: self._rows("grant_voided_at", name)[0][0] for name in grants}
        return {name: sequence for name, sequence in found.items() if sequence is not None}

    def _entry(self, sequence: int) -> Entry:
        [row] = self._rows("load_entry", sequence)
        return rows.entry_from(row)

    def _rows(self, statement: str, *key: object) -> list[Any]:
        values = (self._organization_id, *key)
        return self._connection.execute(_SQL[statement], values).fetchall()
