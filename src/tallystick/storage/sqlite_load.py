"""Reads what a batch wants: one prepared statement for each kind of thing, run for each thing.

Running a prepared statement once more costs less than the JSON array that a single, larger
statement would have to take apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import apsw

from tallystick.domain.commands import Earlier
from tallystick.ledger.ports import PeriodUsage, Snapshot
from tallystick.storage import rows
from tallystick.storage.hold_rows import budget_from, hold_from
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from tallystick.domain.account import Account
    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold
    from tallystick.ledger.ports import ReplayKey, Wanted
    from tallystick.storage.sqlite_accounts import AccountCache

SQL: Final = load_statements("sqlite", "lane", "prices", "usage")


def load(connection: apsw.Connection, wanted: Wanted, now: int, accounts: AccountCache) -> Snapshot:
    """What there is of what is wanted, in the transaction that is open on `connection`."""
    snapshot = Snapshot(now=now)
    organizations = wanted.organizations
    if wanted.external_ids:
        _load_external_ids(connection, wanted.external_ids, snapshot)
        organizations = organizations.union(snapshot.by_external_id.values())
    if organizations:
        missing = accounts.hand_out(organizations, snapshot)
        if missing:
            _load_organizations(connection, missing, snapshot)
    for part, read in _PARTS:
        names = getattr(wanted, part)
        if names:
            read(connection, names, snapshot)
    return snapshot


def load_accounts(
    connection: apsw.Connection, organizations: Collection[str]
) -> dict[str, Account]:
    """Accounts with the grants that still matter, by organization."""
    names = [(name,) for name in organizations]
    accounts = {row[0]: rows.account_from(row) for row in _fetch(connection, "load_account", names)}
    for row in _fetch(connection, "load_live_grants", names):
        accounts[row[0]].add_loaded(rows.grant_from(row))
    for row in _fetch(connection, "load_budgets", names):
        accounts[row[0]].budgets[row[1]] = budget_from(row)
    for row in _fetch(connection, "load_open_holds", names):
        accounts[row[0]].add_hold(hold_from(row))
    return accounts


def _fetch(
    connection: apsw.Connection, name: str, keys: Iterable[tuple[Any, ...]]
) -> Iterable[tuple[Any, ...]]:
    return connection.executemany(SQL[name], keys)


def _load_external_ids(
    connection: apsw.Connection, external_ids: set[str], snapshot: Snapshot
) -> None:
    names = [(name,) for name in external_ids]
    for external_id, organization_id in _fetch(connection, "load_external_id", names):
        snapshot.by_external_id[external_id] = organization_id


def _load_organizations(
    connection: apsw.Connection, organizations: Collection[str], snapshot: Snapshot
) -> None:
    snapshot.accounts.update(load_accounts(connection, organizations))
    names = [(name,) for name in organizations]
    for row in _fetch(connection, "load_organization", names):
        snapshot.organizations[row[0]] = rows.organization_from(row)


def _load_events(
    connection: apsw.Connection, events: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    ids: dict[str, list[str]] = {}
    for organization_id, event_id in events:
        ids.setdefault(organization_id, []).append(event_id)
    names = ((name, apsw.carray(tuple(one))) for name, one in ids.items())
    for row in _fetch(connection, "load_events", names):
        _take_event(snapshot, row)


def _take_event(snapshot: Snapshot, row: tuple[Any, ...]) -> None:
    name = (row[0], row[6])
    snapshot.events[name] = rows.entry_from(row)
    kept = rows.dimensions_from(row[19:])
    if kept is not None:
        snapshot.dimensions[name] = kept


def _load_references(
    connection: apsw.Connection, references: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    for row in list(_fetch(connection, "load_grant_by_reference", references)):
        grant = _known_grant(snapshot, row)
        entry = _entry(connection, row[0], grant.issued)
        snapshot.references[row[0], row[11]] = Earlier(entry, grant)


def _load_grants(
    connection: apsw.Connection, grants: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    for row in _fetch(connection, "load_grant", grants):
        snapshot.grants[row[0], row[1]] = _known_grant(snapshot, row)


def _known_grant(snapshot: Snapshot, row: tuple[Any, ...]) -> Grant:
    """The account's own object where it has the grant: two of one grant would drift apart."""
    account = snapshot.accounts.get(row[0])
    known = None if account is None else account.grants.get(row[1])
    return rows.grant_from(row) if known is None else known


def _load_holds(
    connection: apsw.Connection, holds: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    for row in _fetch(connection, "load_hold", holds):
        snapshot.holds[row[0], row[1]] = _known_hold(snapshot, row)


def _load_hold_references(
    connection: apsw.Connection, references: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    for row in list(_fetch(connection, "load_hold_by_reference", references)):
        hold = _known_hold(snapshot, row)
        entry = _entry(connection, row[0], hold.placed)
        snapshot.hold_references[row[0], row[8]] = Earlier(entry, hold=hold)


def _known_hold(snapshot: Snapshot, row: tuple[Any, ...]) -> Hold:
    """The account's own object where it has the hold."""
    account = snapshot.accounts.get(row[0])
    known = None if account is None else account.holds.get(row[1])
    return hold_from(row) if known is None else known


def _load_reversals(
    connection: apsw.Connection, events: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    """Reversals of events that are loaded already, and the grants that those drew from."""
    for row in _fetch(connection, "load_reversals", events):
        snapshot.reversals.setdefault((row[0], row[6]), []).append(rows.entry_from(row))
    drawn_from = {
        (organization_id, grant_id)
        for organization_id, event_id in events
        if (entry := snapshot.events.get((organization_id, event_id))) is not None
        for grant_id, _ in entry.drawn
    }
    _load_grants(connection, drawn_from - snapshot.grants.keys(), snapshot)


def _load_spent_by(
    connection: apsw.Connection, subjects: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    for organization_id, subject_id, *usage in _fetch(connection, "load_spent_by", subjects):
        snapshot.spent_by[organization_id, subject_id] = PeriodUsage(*usage)


def _entry(connection: apsw.Connection, organization_id: str, sequence: int) -> Entry | None:
    found = list(_fetch(connection, "load_entry", [(organization_id, sequence)]))
    return rows.entry_from(found[0]) if found else None


def _load_teamspaces(
    connection: apsw.Connection, teamspaces: set[tuple[str, str]], snapshot: Snapshot
) -> None:
    for row in _fetch(connection, "load_teamspace", teamspaces):
        snapshot.teamspaces[row[0], row[1]] = rows.teamspace_from(row)


def _load_keys(
    connection: apsw.Connection, keys: set[tuple[str | None, str]], snapshot: Snapshot
) -> None:
    for row in _fetch(connection, "load_key", _scoped(keys)):
        key = rows.key_from(row)
        snapshot.keys[key.organization_id, key.id] = key


def _load_secrets_of(
    connection: apsw.Connection, keys: set[tuple[str | None, str]], snapshot: Snapshot
) -> None:
    for row in _fetch(connection, "load_secrets_of", _scoped(keys)):
        secret = rows.secret_from(row)
        name = (secret.organization_id, secret.key_id)
        snapshot.secrets_of[name] = (*snapshot.secrets_of.get(name, ()), secret)


def _scoped(keys: set[tuple[str | None, str]]) -> list[tuple[str, str]]:
    return [(rows.scope_of(organization_id), key_id) for organization_id, key_id in keys]


def _load_secrets(connection: apsw.Connection, secrets: set[bytes], snapshot: Snapshot) -> None:
    for row in _fetch(connection, "load_secret", [(digest,) for digest in secrets]):
        snapshot.secrets[row[0]] = rows.secret_from(row)


def _load_replays(connection: apsw.Connection, replays: set[ReplayKey], snapshot: Snapshot) -> None:
    for row in _fetch(connection, "load_replay", replays):
        replay = rows.replay_from(row)
        snapshot.replays[replay.key] = replay


_PARTS: Final[tuple[tuple[str, Callable[[apsw.Connection, Any, Snapshot], None]], ...]] = (
    ("events", _load_events),
    ("references", _load_references),
    ("grants", _load_grants),
    ("holds", _load_holds),
    ("hold_references", _load_hold_references),
    ("reversals", _load_reversals),
    ("spent_by", _load_spent_by),
    ("teamspaces", _load_teamspaces),
    ("keys", _load_keys),
    ("secrets_of", _load_secrets_of),
    ("secrets", _load_secrets),
    ("replays", _load_replays),
)
