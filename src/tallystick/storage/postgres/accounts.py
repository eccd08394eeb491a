"""An account as a reader finds it, with what belongs to it, as of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallystick.storage import rows
from tallystick.storage.hold_rows import budget_from, hold_from
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from tallystick.domain.account import Account
    from tallystick.storage.postgres.connections import Connection

_ACCOUNT: Final = load_statements("postgres", "reader")["read_account"]
_COLUMNS: Final = 17


async def read_account(connection: Connection, organization_id: str) -> Account | None:
    row = await connection.fetchrow(_ACCOUNT, organization_id)
    if row is None:
        return None
    account = rows.account_from(row)
    grants, budgets, holds = row[_COLUMNS:]
    for grant in grants:
        account.add_loaded(rows.grant_from(grant))
    for budget in budgets:
        account.budgets[budget[1]] = budget_from(budget)
    for hold in holds:
        account.add_hold(hold_from(hold))
    return account
