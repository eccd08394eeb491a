"""Databases that are filled before anything is measured: with many entries, or many organizations.

A ledger of so many entries is what the service would have come to if 256 events a minute had been
booked until now, by its organizations in turn. However many those are, all of it lies in one period
then: ten million events are 27 days. Founding goes through the ledger, and the core decides and
seals every event. Only the batches are left out, which more than halves the time: what they would
have written again and again (ids, roll-ups, balances, grants) is written once, in the end. A test
books the same events through the ledger and compares the databases. An entry takes some 25 µs and
500 bytes, so ten million take four or five minutes and 5 GB.

One thing differs from a file that grew by itself: ids are put into their tree in order, so its
pages are full. New random ids tear them in two, which is dearer at first and not cheaper.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Final, Literal

import apsw

from tallystick.domain.account import Account
from tallystick.domain.commands import BookUsage, CreateGrant, usage_content
from tallystick.domain.decide import decide
from tallystick.domain.directory import DEFAULT_SCOPES, ApiKey
from tallystick.domain.entries import seal
from tallystick.domain.grants import GrantKind
from tallystick.domain.keys import ENTROPY_BYTES, make_secret, secret_digest
from tallystick.domain.periods import Interval, Schedule
from tallystick.domain.plans import Plan
from tallystick.domain.replay import Standing
from tallystick.domain.usage import RollupKey, rollup_key
from tallystick.ledger.directory import CreateKey, CreateOrganization
from tallystick.ledger.ports import Changes, Wanted
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Unit, Work, passes_milestone
from tallystick.storage import rows
from tallystick.storage.sqlite import Database, SqliteStore
from tallystick.storage.sqlite_load import SQL, load_accounts
from tallystick.storage.sqlite_usage import day_row

Ids = Literal["ordered", "random"]

KEYS: Final = "keys.txt"
"""Beside the database: a line with the secret of each organization's key."""
TEAMSPACE: Final = "ts_01jdzzzzzzzzzzzzzzzzzz0000"
KEY: Final = "key_01jdzzzzzzzzzzzzzzzzzz0000"
METER: Final = "llm.tokens"
_FILLERS: Final = 256
_APART_US: Final = 60_000_000 // 256
_LONGEST_US: Final = 364 * 24 * 3600 * 1_000_000
"""Less than any year: nobody advances the accounts that are filled."""
_ALLOWANCE: Final = 10**14
_A_BATCH: Final = 250
_A_TRANSACTION: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Batches of so many `events` of so many `organizations`, on a ledger that has `entries`."""

    events: int
    organizations: int = 1
    ids: Ids = "ordered"
    entries: int = 10_000

    def __str__(self) -> str:
        return f"{self.events:4} x {self.organizations:3} org, {self.ids:7}, {self.entries:>9,}"


class IdSource:
    """New event ids from a seed: random ones are UUIDv4s, ordered ones sort as UUIDv7s do, from a
    millisecond on."""

    def __init__(self, ids: Ids, seed: int, *, since_ms: int | None = None) -> None:
        self._chance = random.Random(seed)
        self._ids = ids
        self._number = time.time_ns() // 1_000_000 if since_ms is None else since_ms

    def take(self, count: int) -> list[str]:
        return [self._next() for _ in range(count)]

    def _next(self) -> str:
        value = self._chance.getrandbits(128)
        if self._ids == "ordered":
            self._number += 1
            value = self._number << 80 | value & (1 << 80) - 1
        found = f"{value:032x}"
        return f"{found[:8]}-{found[8:12]}-{found[12:16]}-{found[16:20]}-{found[20:]}"


def names(count: int, prefix: str = "org") -> list[str]:
    return [f"{prefix}_01jdzzzzzzzzzzzzzzzzzz{number:04d}" for number in range(count)]


def clock() -> int:
    return time.time_ns() // 1000


def connect(path: Path) -> apsw.Connection:
    """For loops that write rows: with the service's settings of statements, cache and durability.
    The log is moved by SQLite's own checkpoints; the service has a thread for that."""
    connection = Database(path=path, vfs=None, synchronous="FULL").writer()
    connection.wal_autocheckpoint(1000)
    return connection


# ── through the ledger ──


async def run_batch(store: SqliteStore, units: Sequence[Unit]) -> Changes:
    """Decides units and writes what comes of them, as the ledger does it."""
    [lane] = store.lanes
    wanted = Wanted()
    for unit in units:
        unit.wants(wanted)
    work = Work(await lane.load(wanted))
    for unit in units:
        unit.decide(work)
    changes = work.finish()
    await lane.append(changes)
    return changes


def founding(organization_id: str, teamspace_id: str, schedule: Schedule) -> CreateOrganization:
    return CreateOrganization(
        organization_id=organization_id,
        teamspace_id=teamspace_id,
        name=f"Organization {organization_id}",
        external_id=None,
        plan=Plan(allowance=_ALLOWANCE, schedule=schedule),
        rate_limits={},
        content=bytes(32),
    )


def since(founded_at: int, interval: Interval = Interval.YEAR) -> Schedule:
    """Periods that begin at an instant."""
    anchor = datetime.fromtimestamp(founded_at // 1_000_000, UTC).replace(tzinfo=None)
    return Schedule(interval=interval, count=1, anchor=anchor, timezone="UTC")


def usage(event_id: str) -> BookUsage:
    """An event like any other."""
    return BookUsage(
        event_id=event_id,
        credits=1000,
        meter=METER,
        occurred_at=None,
        dimensions=None,
        overdraw=False,
        teamspace_id=TEAMSPACE,
        api_key_id=KEY,
        content=_CONTENT,
    )


_CONTENT: Final = usage_content(
    credits_used=1000,
    meter=METER,
    occurred_at=None,
    dimensions=None,
    overdraw=False,
    teamspace_id=TEAMSPACE,
)


# ── many entries ──


class History:
    """What `case.entries` events were, in the order of time: `(organization, instant, id)`.

    Raises ValueError where they would outlast the year that is the organizations' first period.
    """

    def __init__(self, case: Case, until: int, fillers: int = _FILLERS) -> None:
        self.case = case
        self.organizations = names(fillers, "org_of_others")
        lasting = (case.entries + 1) * _APART_US
        if lasting > _LONGEST_US:
            raise ValueError(f"{case.entries:,} entries take more than a year to be booked")
        self.founded_at = until - lasting

    def __iter__(self) -> Iterator[tuple[str, int, str]]:
        ids = IdSource(self.case.ids, 1, since_ms=self.founded_at // 1000)
        in_turn = islice(cycle(self.organizations), self.case.entries)
        for number, name in enumerate(in_turn, 1):
            [event_id] = ids.take(1)
            yield name, self.founded_at + number * _APART_US, event_id


def copy_of_filled(case: Case, templates: Path, path: Path) -> None:
    """The database of a case, which is filled once in a folder of templates."""
    template = templates / f"{case.organizations}-{case.ids}-{case.entries}.db"
    if not template.exists():
        templates.mkdir(exist_ok=True)
        part = template.with_suffix(".part")
        fill(part, case)
        part.rename(template)
    shutil.copyfile(template, path)
    path.chmod(0o600)


def fill(path: Path, case: Case, *, until: int | None = None, fillers: int = _FILLERS) -> None:
    """Makes the database: the case's organizations, and a ledger of others up to `until`."""
    history = History(case, clock() if until is None else until, fillers)
    everybody = [*names(case.organizations), *history.organizations]
    asyncio.run(found(path, everybody, history.founded_at))
    with closing(Database(path=path, vfs=None, synchronous="OFF").writer()) as connection:
        connection.pragma("cache_size", -1_000_000)
        accounts = load_accounts(connection, history.organizations)
        rollups: Counter[RollupKey] = Counter()
        milestones: list[rows.Row] = []
        events = iter(history)
        for _ in range(0, case.entries, _A_TRANSACTION):
            some = islice(events, _A_TRANSACTION)
            with connection:
                entries = _entries(accounts, some, rollups, milestones)
                connection.executemany(SQL["add_entry"], entries)
        with connection:
            _write_the_rest(connection, accounts.values(), rollups)
            connection.executemany(SQL["add_milestone"], milestones)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


async def found(path: Path, organizations: Sequence[str], founded_at: int) -> None:
    """Makes a database with organizations that have an allowance and a top-up."""
    store = SqliteStore.open(path, clock=lambda: founded_at, synchronous="OFF")
    top_up = CreateGrant(amount=10**9, kind=GrantKind.TOP_UP)
    for units in (
        [founding(name, TEAMSPACE, since(founded_at)) for name in organizations],
        [AccountUnit(name, [top_up]) for name in organizations],
    ):
        await run_batch(store, units)
    await store.close()


def _entries(
    accounts: dict[str, Account],
    events: Iterable[tuple[str, int, str]],
    rollups: Counter[RollupKey],
    milestones: list[rows.Row],
) -> Iterator[rows.Row]:
    for name, at, event_id in events:
        account = accounts[name]
        _, entries = decide(account, usage(event_id), at)
        [sealed] = seal(entries, account.head)
        account.head = sealed.hash
        rollups[rollup_key(sealed.entry)] += 1
        if passes_milestone(account, 1):
            milestones.append(rows.milestone_row(name, Standing.of(account)))
        yield rows.sealed_row(sealed)


def _write_the_rest(
    connection: apsw.Connection, accounts: Iterable[Account], rollups: Counter[RollupKey]
) -> None:
    """What follows from the entries."""
    connection.execute(
        "INSERT INTO usage_events"
        " (organization_id, event_id, sequence, overdraw)"
        " SELECT organization_id, event_id, sequence, 0 FROM entries"
        " WHERE kind = 'usage.booked' ORDER BY event_id, organization_id"
    )
    counted = [(key, (events * 1000, events)) for key, events in sorted(rollups.items())]
    connection.executemany(SQL["add_to_rollup"], [(*key, *amounts) for key, amounts in counted])
    connection.executemany(SQL["add_to_day"], [day_row(*each) for each in counted])
    # All of it lies in one period.
    by_period: Counter[RollupKey] = Counter()
    for key, events in rollups.items():
        by_period[key._replace(bucket=0)] += events
    counted = [(key, (events * 1000, events)) for key, events in by_period.items()]
    connection.executemany(
        SQL["add_to_period_usage"], [(*key[:5], *amounts) for key, amounts in counted]
    )
    for account in accounts:
        connection.execute(SQL["move_account"], rows.moved_account_row(account))
        grants = account.grants.values()
        connection.executemany(
            SQL["change_grant"],
            [(account.organization_id, g.id, g.amount, g.remaining, g.held) for g in grants],
        )


# ── many organizations ──


def found_many(
    database: Path,
    count: int,
    *,
    founded_at: int | None = None,
    interval: Interval = Interval.YEAR,
) -> None:
    """Makes a database of so many organizations, and the file of their keys."""
    chance = random.Random(count)
    secrets = [make_secret(chance.randbytes(ENTROPY_BYTES)) for _ in range(count)]
    at = clock() if founded_at is None else founded_at
    asyncio.run(_found_with_keys(database, secrets, at, since(at, interval)))
    (database.parent / KEYS).write_text("\n".join(secrets) + "\n")


async def _found_with_keys(
    database: Path, secrets: Sequence[str], at: int, schedule: Schedule
) -> None:
    store = SqliteStore.open(database, clock=lambda: at, synchronous="OFF")
    for start in range(0, len(secrets), _A_BATCH):
        numbered = list(enumerate(secrets[start : start + _A_BATCH], start))
        organizations: list[Unit] = [
            founding(f"org_{number:026d}", f"ts_{number:026d}", schedule) for number, _ in numbered
        ]
        # A key needs its organization to be there.
        await run_batch(store, organizations)
        await run_batch(store, [_key(number, secret, at) for number, secret in numbered])
    await store.close()


def _key(number: int, secret: str, at: int) -> Unit:
    key = ApiKey(
        id=f"key_{number:026d}",
        organization_id=f"org_{number:026d}",
        teamspace_id=f"ts_{number:026d}",
        name="Benchmark",
        scopes=DEFAULT_SCOPES,
        created_at=at,
    )
    return CreateKey(key=key, digest=secret_digest(secret.encode()))
