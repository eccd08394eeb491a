"""Writes what a batch decided: what nearly every batch has in one statement, the rest by kinds.

Arrays cost the driver about half a microsecond for each value, whatever it is, and twenty columns
of entries are most of a batch. So where there are many they are copied in, which costs a third of
that and the server less as well, but a round trip more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg

from tallystick.domain.commands import DAY
from tallystick.ledger.ports import Outrun, StatementRejected
from tallystick.ledger.units import REPLAYS_KEPT
from tallystick.storage import rows
from tallystick.storage.hold_rows import budget_row, changed_hold_row, hold_row
from tallystick.storage.postgres.errors import described
from tallystick.storage.postgres.load import columns
from tallystick.storage.price_rows import price_row
from tallystick.storage.queries import load_statements
from tallystick.storage.refused_rows import refused_row

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tallystick.ledger.ports import Changes
    from tallystick.storage.loaded import Loaded
    from tallystick.storage.postgres.connect import Connection
    from tallystick.storage.rows import Row

SQL: Final = load_statements("postgres", "lane", "directory")
COPIED_FROM: Final = 48
"""So many entries are copied in; fewer go with the rest, to save the round trip."""
AT_ONCE: Final = 512
"""How many refused requests that are too old a batch forgets."""
REPLAYS_AT_ONCE: Final = 10_000
"""The same of answers to requests with an `Idempotency-Key`, once a minute in each process."""
_ENTRIES, _EVENTS, _ACCOUNTS, _GRANTS, _PERIODS, _ROLLUPS = 20, 4, 10, 6, 7, 9
"""Columns of the parts of `write_usual`."""


class Rows(NamedTuple):
    """Rows for one statement, in the order of its parameters.

    `counts` says that each must be written, and `guarded` that a lock keeps others from writing the
    same meanwhile.
    """

    statement: str
    values: Sequence[Sequence[Any]]
    counts: bool = False
    guarded: bool = True
    also: tuple[object, ...] = ()


class Split(NamedTuple):
    """Accounts, grants and holds apart by what has to be said of them."""

    moved: list[Row]
    changed: list[Row]
    new: list[Row]
    known_grants: list[Row]
    new_grants: list[Row]


async def write(
    connection: Connection, changes: Changes, loaded: Mapping[str, Loaded], now: int
) -> None:
    """Writes `changes` in the transaction that is open; what others refer to comes first.

    `loaded` says which accounts were loaded in this transaction, and how they were then. Raises
    StatementRejected where a row that must be there is not, Outrun where another lane was faster;
    otherwise the driver's errors.
    """
    split = _split(changes, loaded)
    for each in (*_directory(changes), *_ledger(changes, loaded, split)):
        if each.values:
            await _write_rows(connection, each)
    await _write_usual(connection, changes, split)
    for each in (*_after(changes), *_beside(changes, now)):
        if each.values:
            await _write_rows(connection, each)
    await _forget(connection, changes)


async def _write_rows(connection: Connection, each: Rows) -> None:
    try:
        status = await connection.execute(SQL[each.statement], *columns(each.values, 0), *each.also)
    except asyncpg.UniqueViolationError as error:
        if each.guarded:
            raise
        raise Outrun(described(error)) from error
    if each.counts and int(status.rpartition(" ")[2]) != len(each.values):
        if each.guarded:
            raise StatementRejected(f"{each.statement}: a row that was to be changed is not there")
        raise Outrun(f"{each.statement}: a row is another's")


async def _write_usual(connection: Connection, changes: Changes, split: Split) -> None:
    entries = [rows.sealed_row(one) for one in changes.entries]
    if len(entries) >= COPIED_FROM:
        await connection.copy_records_to_table("entries", records=entries)
        entries = []
    parts = (
        (entries, _ENTRIES),
        (changes.usage, _EVENTS),
        (split.moved, _ACCOUNTS),
        (split.known_grants, _GRANTS),
        ([(*key, *added) for key, added in changes.period_usage.items()], _PERIODS),
        ([(*key, *added) for key, added in changes.rollups.items()], _ROLLUPS),
    )
    if not any(values for values, _ in parts):
        return
    arrays = [column for values, width in parts for column in columns(values, width)]
    ((accounts, grants),) = await connection.fetch(SQL["write_usual"], *arrays)
    if (accounts, grants) != (len(split.moved), len(split.known_grants)):
        raise StatementRejected("write_usual: a row that was to be changed is not there")


def _split(changes: Changes, loaded: Mapping[str, Loaded]) -> Split:
    split = Split([], [], [], [], [])
    for account in changes.accounts:
        before = loaded.get(account.organization_id)
        if before is None:
            split.new.append(rows.account_row(account))
        elif before.has_terms_of(account):
            split.moved.append((*rows.moved_account_row(account), account.next_due_at))
        else:
            split.changed.append(rows.account_row(account))
    for owner, grant in changes.grants:
        before = loaded.get(owner)
        if before is None or grant.issued > before.sequence:
            split.new_grants.append(rows.grant_row(owner, grant))
        else:
            known = (owner, grant.id, grant.amount, grant.remaining, grant.held, grant.status)
            split.known_grants.append(known)
    return split


def _directory(changes: Changes) -> Iterator[Rows]:
    """Who is who, and the price book. What two lanes may write at once is sorted by its key."""
    organizations = changes.organizations.values()
    yield Rows("put_organization", [rows.organization_row(one) for one in organizations])
    named = sorted((one.external_id, one.id) for one in organizations if one.external_id)
    yield Rows("put_external_id", named, guarded=False)
    yield Rows("put_teamspace", [rows.teamspace_row(one) for one in changes.teamspaces.values()])
    yield Rows("put_key", [rows.key_row(one) for one in changes.keys.values()])
    secrets = sorted(rows.secret_row(one) for one in changes.secrets.values())
    yield Rows("put_secret", secrets, counts=True, guarded=False)
    yield Rows("drop_secret", [(digest,) for digest in sorted(changes.dropped_secrets)])
    yield Rows("add_price", [price_row(one) for one in changes.prices])
    yield Rows("add_price_end", changes.price_ends)


def _ledger(changes: Changes, loaded: Mapping[str, Loaded], split: Split) -> Iterator[Rows]:
    """Accounts, grants and holds, where there is more to say of them than `write_usual` does."""
    yield Rows("add_account", split.new)
    yield Rows("change_account", split.changed, counts=True)
    yield Rows("add_grant", split.new_grants)
    new, known = [], []
    for owner, hold in changes.holds:
        before = loaded.get(owner)
        if before is None or hold.placed > before.sequence:
            new.append(hold_row(owner, hold))
        else:
            known.append(changed_hold_row(owner, hold))
    yield Rows("add_hold", new)
    yield Rows("change_hold", known, counts=True)
    budgets = changes.budgets.items()
    yield Rows("drop_budget", [name for name, budget in budgets if budget is None])
    yield Rows("put_budget", [budget_row(name[0], one) for name, one in budgets if one is not None])


def _after(changes: Changes) -> Iterator[Rows]:
    """What stands beside some entries."""
    yield Rows("put_period", [rows.period_row(one) for one in changes.periods])
    yield Rows("add_milestone", [rows.milestone_row(*one) for one in changes.milestones])
    dimensions = changes.dimensions.items()
    yield Rows("add_dimensions", [rows.dimensions_row(*name, one) for name, one in dimensions])
    if changes.erasures:
        yield from _erased(changes)


def _erased(changes: Changes) -> Iterator[Rows]:
    yield Rows("erase_dimensions", [(*name, at) for name, at in changes.erasures.items()])
    yield Rows("erase_hold", list(changes.hold_erasures))
    emptied = [key for key in changes.rollups if key.dimension]
    yield Rows("drop_empty_rollup", emptied)
    yield Rows(
        "drop_empty_day", [(key[0], key.bucket - key.bucket % DAY, *key[2:]) for key in emptied]
    )


def _beside(changes: Changes, now: int) -> Iterator[Rows]:
    """What is kept for a while and is no part of the ledger."""
    replays = sorted(rows.replay_row(one) for one in changes.replays.values())
    counting = (now - REPLAYS_KEPT,)
    yield Rows("put_replay", replays, counts=True, guarded=False, also=counting)
    used = changes.keys_used.items()
    yield Rows("note_key_used", [(rows.scope_of(name[0]), name[1], at) for name, at in used])
    yield Rows("note_refused", [refused_row(one) for one in changes.refused], guarded=False)


async def _forget(connection: Connection, changes: Changes) -> None:
    if changes.forget_replays_before is not None:
        before = changes.forget_replays_before
        await connection.execute(SQL["forget_replays"], before, REPLAYS_AT_ONCE)
    kept = changes.refused_kept
    if kept is not None:
        names = _owners(changes)
        if names:
            await connection.execute(SQL["forget_refused_beyond"], names, kept.latest)
        await connection.execute(SQL["forget_refused_before"], kept.since, AT_ONCE)


def _owners(changes: Changes) -> Collection[str]:
    return sorted({request.organization_id for request in changes.refused})
