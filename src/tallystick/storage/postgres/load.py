"""What a batch wants, as the arguments of one statement, and its answer as a snapshot.

See `load.sql`: that statement locks, and reads under the locks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.commands import Earlier
from tallystick.ledger.ports import PeriodUsage, Snapshot
from tallystick.storage import rows
from tallystick.storage.hold_rows import budget_from, hold_from
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold
    from tallystick.ledger.ports import Wanted

SQL: Final = load_statements("postgres", "load")
_PAIRS: Final = (
    "events",
    "references",
    "grants",
    "holds",
    "hold_references",
    "reversals",
    "spent_by",
    "teamspaces",
    "keys",
    "secrets_of",
)
"""Sets of names that begin with an organization, in the order of the statement's parameters."""
_HOLD_COLUMNS: Final = 16
_GRANT_COLUMNS: Final = 13
_ENTRY_COLUMNS: Final = 19

Item = tuple[Any, ...]


def arguments(wanted: Wanted, left_behind: Collection[str], patience: str) -> Iterator[object]:
    """What `load` takes: accounts in one order for everybody, and `patience` for those left."""
    yield sorted(wanted.organizations)
    yield sorted(left_behind)
    yield patience
    yield list(wanted.external_ids)
    yield wanted.book
    yield bool(wanted.prices)
    for part in _PAIRS:
        names = getattr(wanted, part)
        owners, which = zip(*names, strict=True) if names else ((), ())
        yield [rows.scope_of(owner) for owner in owners]
        yield which
    yield list(wanted.secrets)
    yield from columns(wanted.replays, 4)


def columns(values: Iterable[Sequence[Any]], width: int) -> Sequence[Sequence[Any]]:
    """Rows as columns, of which there are `width` even where there is no row."""
    return tuple(zip(*values, strict=True)) or ((),) * width


def snapshot_of(found: Iterable[tuple[str, Item]]) -> tuple[Snapshot, Item | None]:
    """What the statement answered, and the state of the price book where that was asked for."""
    snapshot = Snapshot(now=0)
    book: Item | None = None
    for part, item in found:
        if part == "book":
            book = item
        else:
            _TAKERS[part](snapshot, item)
    return snapshot, book


def _take_now(snapshot: Snapshot, item: Item) -> None:
    (snapshot.now,) = item


def _take_elsewhere(snapshot: Snapshot, item: Item) -> None:
    snapshot.elsewhere.add(item[0])


def _take_external_id(snapshot: Snapshot, item: Item) -> None:
    external_id, organization_id = item
    snapshot.by_external_id[external_id] = organization_id


def _take_account(snapshot: Snapshot, item: Item) -> None:
    snapshot.accounts[item[0]] = rows.account_from(item)


def _take_live_grant(snapshot: Snapshot, item: Item) -> None:
    snapshot.accounts[item[0]].add_loaded(rows.grant_from(item))


def _take_budget(snapshot: Snapshot, item: Item) -> None:
    snapshot.accounts[item[0]].budgets[item[1]] = budget_from(item)


def _take_open_hold(snapshot: Snapshot, item: Item) -> None:
    snapshot.accounts[item[0]].add_hold(hold_from(item))


def _take_organization(snapshot: Snapshot, item: Item) -> None:
    snapshot.organizations[item[0]] = rows.organization_from(item)


def _take_event(snapshot: Snapshot, item: Item) -> None:
    name = (item[0], item[6])
    snapshot.events[name] = rows.entry_from(item)
    kept = rows.dimensions_from(item[_ENTRY_COLUMNS:])
    if kept is not None:
        snapshot.dimensions[name] = kept


def _take_reference(snapshot: Snapshot, item: Item) -> None:
    grant = _known_grant(snapshot, item[:_GRANT_COLUMNS])
    snapshot.references[item[0], item[11]] = Earlier(_entry(item[_GRANT_COLUMNS:]), grant)


def _take_hold_reference(snapshot: Snapshot, item: Item) -> None:
    hold = _known_hold(snapshot, item[:_HOLD_COLUMNS])
    earlier = Earlier(_entry(item[_HOLD_COLUMNS:]), hold=hold)
    snapshot.hold_references[item[0], item[8]] = earlier


def _entry(item: Item) -> Entry | None:
    return None if item[0] is None else rows.entry_from(item)


def _take_grant(snapshot: Snapshot, item: Item) -> None:
    snapshot.grants[item[0], item[1]] = _known_grant(snapshot, item)


def _take_hold(snapshot: Snapshot, item: Item) -> None:
    snapshot.holds[item[0], item[1]] = _known_hold(snapshot, item)


def _known_grant(snapshot: Snapshot, item: Item) -> Grant:
    """One object for one grant, the account's own where it has it: two would drift apart."""
    account = snapshot.accounts.get(item[0])
    known = None if account is None else account.grants.get(item[1])
    known = known or snapshot.grants.get((item[0], item[1]))
    return rows.grant_from(item) if known is None else known


def _known_hold(snapshot: Snapshot, item: Item) -> Hold:
    """One object for one hold, the account's own where it has it."""
    account = snapshot.accounts.get(item[0])
    known = None if account is None else account.holds.get(item[1])
    known = known or snapshot.holds.get((item[0], item[1]))
    return hold_from(item) if known is None else known


def _take_reversal(snapshot: Snapshot, item: Item) -> None:
    snapshot.reversals.setdefault((item[0], item[6]), []).append(rows.entry_from(item))


def _take_spent_by(snapshot: Snapshot, item: Item) -> None:
    organization_id, subject_id, *usage = item
    snapshot.spent_by[organization_id, subject_id] = PeriodUsage(*usage)


def _take_teamspace(snapshot: Snapshot, item: Item) -> None:
    snapshot.teamspaces[item[0], item[1]] = rows.teamspace_from(item)


def _take_key(snapshot: Snapshot, item: Item) -> None:
    key = rows.key_from(item)
    snapshot.keys[key.organization_id, key.id] = key


def _take_secret_of(snapshot: Snapshot, item: Item) -> None:
    secret = rows.secret_from(item)
    name = (secret.organization_id, secret.key_id)
    snapshot.secrets_of[name] = (*snapshot.secrets_of.get(name, ()), secret)


def _take_secret(snapshot: Snapshot, item: Item) -> None:
    snapshot.secrets[item[0]] = rows.secret_from(item)


def _take_replay(snapshot: Snapshot, item: Item) -> None:
    replay = rows.replay_from(item)
    snapshot.replays[replay.key] = replay


_TAKERS: Final[dict[str, Callable[[Snapshot, Item], None]]] = {
    "now": _take_now,
    "elsewhere": _take_elsewhere,
    "external_id": _take_external_id,
    "account": _take_account,
    "live_grant": _take_live_grant,
    "budget": _take_budget,
    "open_hold": _take_open_hold,
    "organization": _take_organization,
    "event": _take_event,
    "reference": _take_reference,
    "grant": _take_grant,
    "hold": _take_hold,
    "hold_reference": _take_hold_reference,
    "reversal": _take_reversal,
    "spent_by": _take_spent_by,
    "teamspace": _take_teamspace,
    "key": _take_key,
    "secret_of": _take_secret_of,
    "secret": _take_secret,
    "replay": _take_replay,
}
