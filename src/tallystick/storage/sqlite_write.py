"""Writes what a batch decided: one prepared statement for each kind of change, run for each row.

Accounts and grants that were there already are updated and only new ones inserted, which is known
from what was loaded: an INSERT that turns into an update costs SQLite several times as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tallystick.ledger.ports import StatementRejected
from tallystick.storage import rows
from tallystick.storage.sqlite_load import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import apsw

    from tallystick.domain.account import Account
    from tallystick.domain.grants import Grant
    from tallystick.ledger.ports import Changes

    Run = Callable[[str, Iterable[Sequence[Any]]], None]


def write(connection: apsw.Connection, changes: Changes, loaded: Mapping[str, int]) -> None:
    """Writes `changes` in the transaction that is open; what others refer to comes first.

    `loaded` says which accounts were loaded in this transaction, and their sequences then. Raises
    StatementRejected where a row that must be there is not; otherwise SQLite's own errors.
    """

    def run(statement: str, values: Iterable[Sequence[Any]]) -> None:
        connection.executemany(SQL[statement], values)

    for statement, values in _directory(changes):
        run(statement, values)
    if changes.accounts:
        _write_accounts(connection, run, changes.accounts, loaded)
    if changes.grants:
        _write_grants(connection, run, changes.grants, loaded)
    if changes.entries:
        run("add_entry", map(rows.sealed_row, changes.entries))
    if changes.usage:
        run("add_usage_event", changes.usage)
    if changes.periods:
        run("put_period", map(rows.period_row, changes.periods))
    if changes.rollups:
        run("add_to_rollup", [(*key, *added) for key, added in changes.rollups.items()])


def _write_accounts(
    connection: apsw.Connection, run: Run, accounts: list[Account], loaded: Mapping[str, int]
) -> None:
    known = [account for account in accounts if account.organization_id in loaded]
    if len(known) < len(accounts):
        new = [account for account in accounts if account.organization_id not in loaded]
        run("add_account", map(rows.account_row, new))
    _change(connection, "change_account", [rows.account_row(account)[:-1] for account in known])
    run("set_next_due", [(account.organization_id, account.next_due_at) for account in known])


def _write_grants(
    connection: apsw.Connection,
    run: Run,
    grants: list[tuple[str, Grant]],
    loaded: Mapping[str, int],
) -> None:
    new, known = [], []
    for owner, grant in grants:
        if grant.issued > loaded.get(owner, 0):
            new.append(rows.grant_row(owner, grant))
        else:
            known.append((owner, grant))
    run("add_grant", new)
    _change(
        connection,
        "change_grant",
        [(owner, one.id, one.amount, one.remaining, one.held) for owner, one in known],
    )
    run("set_grant_status", [(owner, one.id, one.status) for owner, one in known])


def _change(connection: apsw.Connection, statement: str, values: Sequence[Sequence[Any]]) -> None:
    before = connection.total_changes()
    connection.executemany(SQL[statement], values)
    if connection.total_changes() - before != len(values):
        raise StatementRejected(f"{statement}: a row that was to be changed is not there")


def _directory(changes: Changes) -> Iterator[tuple[str, Iterable[Sequence[Any]]]]:
    if changes.organizations:
        yield "put_organization", map(rows.organization_row, changes.organizations.values())
    if changes.teamspaces:
        yield "put_teamspace", map(rows.teamspace_row, changes.teamspaces.values())
    if changes.keys:
        yield "put_key", map(rows.key_row, changes.keys.values())
    if changes.secrets:
        yield "put_secret", map(rows.secret_row, changes.secrets.values())
    if changes.dropped_secrets:
        yield "drop_secret", [(digest,) for digest in changes.dropped_secrets]
    if changes.keys_used:
        used = changes.keys_used.items()
        yield "note_key_used", [(rows.scope_of(name[0]), name[1], at) for name, at in used]
    if changes.forget_replays_before is not None:
        yield "forget_replays", [(changes.forget_replays_before,)]
    if changes.replays:
        yield "put_replay", map(rows.replay_row, changes.replays.values())
