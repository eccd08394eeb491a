"""Writes what a batch decided: one prepared statement for each kind of change, run for each row.

Accounts and grants that were there already are updated and only new ones inserted, which is known
from what was loaded: an INSERT that turns into an update costs SQLite several times as much.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from tallystick.ledger.ports import StatementRejected
from tallystick.storage import rows
from tallystick.storage.hold_rows import budget_row, changed_hold_row, hold_row
from tallystick.storage.price_rows import price_row
from tallystick.storage.sqlite_load import SQL
from tallystick.storage.sqlite_requests import write_refused
from tallystick.storage.sqlite_usage import write_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import apsw

    from tallystick.domain.account import Account
    from tallystick.domain.grants import Grant
    from tallystick.ledger.ports import Changes
    from tallystick.storage.loaded import Loaded

    Run = Callable[[str, Iterable[Sequence[Any]]], None]


def write(connection: apsw.Connection, changes: Changes, loaded: Mapping[str, Loaded]) -> None:
    """Writes `changes` in the transaction that is open; what others refer to comes first.

    `loaded` says which accounts were loaded in this transaction, and how they were then. Raises
    StatementRejected where a row that must be there is not; otherwise SQLite's own errors.
    """

    def run(statement: str, values: Iterable[Sequence[Any]]) -> None:
        connection.executemany(SQL[statement], values)

    for statement, values in chain(_directory(changes), _price_book(changes)):
        run(statement, values)
    if changes.accounts:
        _write_accounts(connection, run, changes.accounts, loaded)
    if changes.grants:
        _write_grants(connection, run, changes.grants, loaded)
    _write_entries(run, changes)
    if changes.periods:
        run("put_period", map(rows.period_row, changes.periods))
    write_usage(connection, changes)
    if changes.period_usage:
        used = changes.period_usage.items()
        run("add_to_period_usage", [(*key, *added) for key, added in used])
    if changes.holds or changes.budgets:
        _write_promises(connection, run, changes, loaded)
    if changes.refused_kept is not None:
        write_refused(connection, changes.refused, changes.refused_kept)


def _write_entries(run: Run, changes: Changes) -> None:
    """The ledger's lines, and what stands beside some of them."""
    if changes.entries:
        run("add_entry", map(rows.sealed_row, changes.entries))
    if changes.usage:
        run("add_usage_event", changes.usage)
    if changes.milestones:
        run("add_milestone", [rows.milestone_row(*one) for one in changes.milestones])


def _write_accounts(
    connection: apsw.Connection, run: Run, accounts: list[Account], loaded: Mapping[str, Loaded]
) -> None:
    new, moved, changed, due = [], [], [], []
    for account in accounts:
        before = loaded.get(account.organization_id)
        if before is None:
            new.append(rows.account_row(account))
            continue
        if before.has_terms_of(account):
            moved.append(rows.moved_account_row(account))
        else:
            changed.append(rows.account_row(account)[:-1])
        if account.next_due_at != before.next_due_at:
            due.append((account.organization_id, account.next_due_at))
    if new:
        run("add_account", new)
    _change(connection, "move_account", moved)
    _change(connection, "change_account", changed)
    if due:
        run("set_next_due", due)


def _write_grants(
    connection: apsw.Connection,
    run: Run,
    grants: list[tuple[str, Grant]],
    loaded: Mapping[str, Loaded],
) -> None:
    new, known, statuses = [], [], []
    for owner, grant in grants:
        before = loaded.get(owner)
        if before is None or grant.issued > before.sequence:
            new.append(rows.grant_row(owner, grant))
            continue
        known.append((owner, grant.id, grant.amount, grant.remaining, grant.held))
        if before.grants.get(grant.id) is not grant.status:
            statuses.append((owner, grant.id, grant.status))
    if new:
        run("add_grant", new)
    _change(connection, "change_grant", known)
    if statuses:
        run("set_grant_status", statuses)


def _write_promises(
    connection: apsw.Connection, run: Run, changes: Changes, loaded: Mapping[str, Loaded]
) -> None:
    """Holds and budgets: what may be spent, and by whom."""
    new, known = [], []
    for owner, hold in changes.holds:
        before = loaded.get(owner)
        if before is None or hold.placed > before.sequence:
            new.append(hold_row(owner, hold))
        else:
            known.append(changed_hold_row(owner, hold))
    if new:
        run("add_hold", new)
    _change(connection, "change_hold", known)
    budgets = changes.budgets.items()
    run("drop_budget", [name for name, budget in budgets if budget is None])
    run("put_budget", [budget_row(name[0], one) for name, one in budgets if one is not None])


def _change(connection: apsw.Connection, statement: str, values: Sequence[Sequence[Any]]) -> None:
    if not values:
        return
    before = connection.total_changes()
    connection.executemany(SQL[statement], values)
    if connection.total_changes() - before != len(values):
        raise StatementRejected(f"{statement}: a row that was to be changed is not there")


def _price_book(changes: Changes) -> Iterator[tuple[str, Iterable[Sequence[Any]]]]:
    if changes.prices:
        yield "add_price", map(price_row, changes.prices)
    if changes.price_ends:
        yield "add_price_end", changes.price_ends


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
