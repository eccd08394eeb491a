"""What was written of one billing period, for its statement.

Usage is not walked: it is added up by period as it is booked. The entries that are no usage have an
index of their own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tallystick.domain.entries import Entry, EntryKind
from tallystick.domain.statements import UsageLine
from tallystick.ledger.statements import PeriodRecord
from tallystick.storage import rows
from tallystick.storage.postgres.accounts import read_account
from tallystick.storage.postgres.history import read_entries, read_grants
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.storage.postgres.connections import Connection

_SQL: Final = load_statements("postgres", "reader")
_MOVING: Final = (
    EntryKind.GRANT_ISSUED,
    EntryKind.GRANT_ACTIVATED,
    EntryKind.GRANT_EXPIRED,
    EntryKind.GRANT_VOIDED,
    EntryKind.USAGE_REVERSED,
    EntryKind.HOLD_RELEASED,
    EntryKind.HOLD_EXPIRED,
)


async def read_period(
    connection: Connection, organization_id: str, index: int
) -> PeriodRecord | None:
    """All of it, in the open transaction."""
    account = await read_account(connection, organization_id)
    if account is None:
        return None
    row = await connection.fetchrow(_SQL["read_period"], organization_id, index)
    if row is None:
        return PeriodRecord(account, None, None, None, (), {}, {}, ())
    *period, following = row
    first = period[-1]
    stop = account.sequence + 1 if following is None else following
    found = await connection.fetch(_SQL["entries_that_move"], organization_id, _MOVING, first, stop)
    entries = [rows.entry_from(entry) for entry in found]
    grants = await read_grants(connection, organization_id, _grants_named(entries))
    voided = await connection.fetch(_SQL["grants_voided_at"], organization_id, list(grants))
    at = await read_entries(connection, organization_id, first, stop - 1)
    usage = await connection.fetch(_SQL["usage_of_period"], organization_id, index)
    return PeriodRecord(
        account=account,
        period=rows.period_from(period),
        opening=at[first],
        last=at[stop - 1],
        entries=entries,
        grants=grants,
        voided_at={row[0]: row[1] for row in voided},
        usage=[UsageLine(*line) for line in usage],
    )


def _grants_named(entries: Iterable[Entry]) -> set[str]:
    names = {entry.grant_id for entry in entries if entry.grant_id is not None}
    for entry in entries:
        names.update(name for name, _ in json.loads(entry.detail or "{}").get("lapsed", ()))
    return names
