"""What a usage event costs in the SQLite store, without HTTP: `python -m bench.storage`.

A *case* says how many events a batch has, how many organizations they are spread over, what their
ids are like and how many entries the ledger has before. `measure_case` runs it on a file of its own
and gives medians over slices:

    storage   CPU time of `load` and `append` per event, the commit's thread included
    ledger    CPU time of everything from commands to the commit, deciding and sealing included
    events/s  by the wall clock, for all of that
    p99, max  of one batch's wall time, in milliseconds; `turn`: the longest that the loop was held
    log       the longest the write-ahead log grew, in MB

`bare` is the yardstick: `executemany` of the rows that such a batch comes to, the entry, the id and
the account among them, into the same schema in a file filled alike, one transaction a batch, no
service around it. Slices of both sides take turns, so that what drifts meets both.

Sizes of ledgers are filled with rows of other organizations, written plainly and fast: their hashes
are no chain, since nobody asks. Ids of the `ordered` kind sort by time as a UUIDv7 does; `random`
ones are UUIDv4s.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import shutil
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import apsw
import uvloop

from tallystick.domain.commands import BookUsage, CreateGrant, usage_content
from tallystick.domain.grants import GrantKind
from tallystick.domain.periods import Interval, Schedule
from tallystick.domain.plans import Plan
from tallystick.ledger.directory import CreateOrganization
from tallystick.ledger.ports import Changes, Wanted
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Unit, Work
from tallystick.storage import rows
from tallystick.storage.sqlite import SqliteStore
from tallystick.storage.sqlite_load import SQL

Ids = Literal["ordered", "random"]

_PROJECT: Final = Path(__file__).resolve().parents[1]
_FILLERS: Final = 256
_YEARLY: Final = Schedule(
    interval=Interval.YEAR, count=1, anchor=datetime.fromisoformat("2026-01-01"), timezone="UTC"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    events: int
    organizations: int = 1
    ids: Ids = "ordered"
    entries: int = 10_000

    def __str__(self) -> str:
        return f"{self.events:4} x {self.organizations:3} org, {self.ids:7}, {self.entries:>9,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Microseconds of CPU per event, events a second, milliseconds, megabytes."""

    storage_us: float
    ledger_us: float
    events_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    turn_ms: float
    log_mb: float
    bare_us: float
    bare_per_second: float

    @property
    def ratio(self) -> float:
        return self.events_per_second / self.bare_per_second if self.bare_per_second else 0.0

    def __str__(self) -> str:
        return (
            f"storage {self.storage_us:5.1f}  ledger {self.ledger_us:5.1f} us"
            f" {self.events_per_second / 1000:6.1f} k/s"
            f"  p50 {self.p50_ms:6.2f} p99 {self.p99_ms:6.2f} max {self.max_ms:6.1f} ms"
            f"  turn {self.turn_ms:4.1f}  log {self.log_mb:5.1f} MB"
            f"  | bare {self.bare_us:5.1f} us {self.bare_per_second / 1000:6.1f} k/s"
            f"  ratio {self.ratio:4.2f}"
        )


class IdSource:
    """New event ids, ordered or random, from a seed."""

    def __init__(self, ids: Ids, seed: int) -> None:
        self._chance = random.Random(seed)
        self._ids = ids
        self._number = 0x0190_0000_0000 + seed * 10**9

    def take(self, count: int) -> list[str]:
        return [self._next() for _ in range(count)]

    def _next(self) -> str:
        value = self._chance.getrandbits(128)
        if self._ids == "ordered":
            self._number += 1
            value = self._number << 80 | value & (1 << 80) - 1
        return str(uuid.UUID(int=value))


def names(count: int, prefix: str = "org") -> list[str]:
    return [f"{prefix}_01jdzzzzzzzzzzzzzzzzzz{number:04d}" for number in range(count)]


def clock() -> int:
    return time.time_ns() // 1000


# ── a ledger of some size ──


def fill(path: Path, case: Case) -> None:
    """Makes the database: the case's organizations, and `entries` rows of others."""
    asyncio.run(_found(path, case))
    connection = apsw.Connection(str(path), vfs=None)
    connection.pragma("synchronous", "OFF")
    connection.pragma("cache_size", -1_000_000)
    sequences = case.entries // _FILLERS
    fillers = names(_FILLERS, "org_of_others")
    for start in range(0, sequences, 400):
        block = range(start, min(start + 400, sequences))
        source = IdSource(case.ids, start + 1)
        found = [(name, n, source.take(1)[0]) for n in block for name in fillers]
        with connection:
            connection.executemany(SQL["add_entry"], (_filler_entry(*each) for each in found))
    with connection:
        connection.execute(
            "INSERT INTO merged_usage_events"
            " (organization_id, event_id, sequence, dimensions, overdraw)"
            " SELECT organization_id, event_id, sequence, NULL, 0 FROM entries"
            " WHERE kind = 'usage.booked' ORDER BY event_id, organization_id"
        )
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


def _filler_entry(name: str, number: int, event_id: str) -> tuple[object, ...]:
    at = 1_700_000_000_000_000 + number
    balances = (10**12, 10**6, 0, 0)
    drawn = '[["grant_01jdzzzzzzzzzzzzzzzzzz0000",1000000]]'
    head = (name, number + 1, "usage.booked", 1_000_000, drawn, None, event_id, None)
    who = ("ts_01jdzzzzzzzzzzzzzzzzzz0000", "key_01jdzzzzzzzzzzzzzzzzzz0000", "llm.tokens")
    return (*head, *who, at, at, *balances, None, bytes(32), bytes(32))


async def _found(path: Path, case: Case) -> None:
    store = SqliteStore.open(path, clock=clock, synchronous="OFF")
    for name in names(case.organizations):
        founded = CreateOrganization(
            organization_id=name,
            teamspace_id="ts_01jdzzzzzzzzzzzzzzzzzz0000",
            name="Bench",
            external_id=None,
            plan=Plan(allowance=10**14, schedule=_YEARLY),
            rate_limits={},
            content=bytes(32),
        )
        top_up = AccountUnit(name, [CreateGrant(amount=10**9, kind=GrantKind.TOP_UP)])
        for unit in (founded, top_up):
            await _batch(store, [unit])
    await store.close()


# ── the service's side ──


@dataclass(slots=True)
class Spent:
    """Nanoseconds of one slice: CPU in storage and in all, the wall, each batch's wall."""

    events: int = 0
    storage: int = 0
    ledger: int = 0
    wall: int = 0
    turn: int = 0
    log: int = 0

    def per_event(self, nanoseconds: int) -> float:
        return nanoseconds / self.events / 1000


async def _batch(store: SqliteStore, units: Sequence[Unit]) -> Changes:
    wanted = Wanted()
    for unit in units:
        unit.wants(wanted)
    work = Work(await store.lanes[0].load(wanted))
    for unit in units:
        unit.decide(work)
    changes = work.finish()
    await store.lanes[0].append(changes)
    return changes


async def _timed_batch(store: SqliteStore, units: Sequence[Unit], spent: Spent) -> float:
    (lane,) = store.lanes
    started, cpu = time.perf_counter_ns(), time.process_time_ns()
    wanted = Wanted()
    for unit in units:
        unit.wants(wanted)
    before_load = time.process_time_ns()
    work = Work(await lane.load(wanted))
    loaded = time.process_time_ns()
    for unit in units:
        unit.decide(work)
    changes = work.finish()
    decided = time.process_time_ns()
    await lane.append(changes)
    done = time.process_time_ns()
    wall = time.perf_counter_ns() - started
    spent.storage += done - decided + loaded - before_load
    spent.ledger += done - cpu
    spent.wall += wall
    return wall / 1e6


def commands(case: Case, ids: IdSource) -> list[Unit]:
    """A batch: its events in turns over the organizations, one unit for each organization."""
    found = ids.take(case.events)
    spread = names(case.organizations)
    return [
        AccountUnit(name, [_usage(event_id) for event_id in found[number :: len(spread)]])
        for number, name in enumerate(spread[: case.events])
    ]


def _usage(event_id: str) -> BookUsage:
    meter, teamspace_id = "llm.tokens", "ts_01jdzzzzzzzzzzzzzzzzzz0000"
    content = usage_content(
        credits_used=1000,
        meter=meter,
        occurred_at=None,
        dimensions=None,
        overdraw=False,
        teamspace_id=teamspace_id,
    )
    key = "key_01jdzzzzzzzzzzzzzzzzzz0000"
    return BookUsage(
        event_id=event_id,
        credits=1000,
        meter=meter,
        occurred_at=None,
        dimensions=None,
        overdraw=False,
        teamspace_id=teamspace_id,
        api_key_id=key,
        content=content,
    )


class Heartbeat:
    """How long the loop was held at most, in nanoseconds, while the block lasted."""

    def __init__(self) -> None:
        self.longest = 0

    async def beat(self) -> None:
        last = time.perf_counter_ns()
        while True:
            await asyncio.sleep(0.002)
            now = time.perf_counter_ns()
            self.longest = max(self.longest, now - last - 2_000_000)
            last = now


def _size(path: Path) -> int:
    return path.stat().st_size


class Service:
    """A store in a loop of its own, fed slice by slice."""

    def __init__(self, path: Path, case: Case, seed: int) -> None:
        self._path, self._case = path, case
        self._ids = IdSource(case.ids, seed)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._store = SqliteStore.open(path, clock=clock, owned=True)
        self.batches: list[float] = []

    def slice(self, events: int) -> Spent:
        batches = [commands(self._case, self._ids) for _ in range(events // self._case.events)]
        # What the benchmark itself has in memory is not to be looked through meanwhile.
        gc.collect()
        gc.freeze()
        return self._runner.run(self._slice(batches))

    async def _slice(self, batches: Sequence[Sequence[Unit]]) -> Spent:
        spent = Spent(events=len(batches) * self._case.events)
        log = Path(f"{self._path}-wal")
        heart = Heartbeat()
        beating = asyncio.ensure_future(heart.beat())
        for units in batches:
            self.batches.append(await _timed_batch(self._store, units, spent))
            spent.log = max(spent.log, _size(log))
        beating.cancel()
        spent.turn = heart.longest
        return spent

    def close(self) -> None:
        self._runner.run(self._store.close())
        self._runner.close()


# ── the yardstick ──


class Bare:
    """The same rows by `executemany`, one transaction a batch, in this thread."""

    def __init__(self, path: Path, case: Case, seed: int) -> None:
        self._case = case
        self._ids = IdSource(case.ids, seed)
        self._connection = apsw.Connection(str(path), statementcachesize=256)
        self._connection.pragma("synchronous", "FULL")
        self._connection.pragma("cache_size", -65536)
        self._number = 0

    def slice(self, events: int) -> Spent:
        spent = Spent(events=events)
        for _ in range(events // self._case.events):
            entries, usage, rollups = self._rows()
            started, cpu = time.perf_counter_ns(), time.process_time_ns()
            self._write(entries, usage, rollups)
            spent.ledger += time.process_time_ns() - cpu
            spent.wall += time.perf_counter_ns() - started
        return spent

    def _rows(self) -> tuple[list[rows.Row], list[rows.Row], list[rows.Row]]:
        found = self._ids.take(self._case.events)
        spread = names(self._case.organizations, "org_bare")
        self._number += len(found)
        sequences = range(self._number, self._number + len(found))
        entries = [
            _filler_entry(spread[n % len(spread)], sequence, event_id)
            for n, (sequence, event_id) in enumerate(zip(sequences, found, strict=True))
        ]
        usage = [(entry[0], entry[6], entry[1], None, 0) for entry in entries]
        bucket = clock() // 900_000_000 * 900_000_000
        key = "key_01jdzzzzzzzzzzzzzzzzzz0000"
        teamspace = "ts_01jdzzzzzzzzzzzzzzzzzz0000"
        rollups = [
            (name, bucket, teamspace, "llm.tokens", key, 1000, 1)
            for name in spread[: self._case.events]
        ]
        return entries, usage, rollups

    def _write(
        self, entries: list[rows.Row], usage: list[rows.Row], rollups: list[rows.Row]
    ) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(SQL["add_entry"], entries)
        connection.executemany(
            "INSERT INTO merged_usage_events"
            " (organization_id, event_id, sequence, dimensions, overdraw)"
            " VALUES (?1, ?2, ?3, ?4, ?5)",
            usage,
        )
        connection.executemany(SQL["add_to_rollup"], rollups)
        spread = names(self._case.organizations)[: self._case.events]
        connection.executemany(
            "UPDATE accounts SET remaining = remaining - 1000, consumed = consumed + 1000"
            " WHERE organization_id = ?1",
            [(name,) for name in spread],
        )
        connection.executemany(
            "UPDATE grants SET remaining = remaining - 1000"
            " WHERE organization_id = ?1 AND kind = 'allowance'",
            [(name,) for name in spread],
        )
        connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


# ── both, in turns ──


def template(case: Case, folder: Path) -> Path:
    """A database filled for such a case; made once in a folder."""
    path = folder / f"filled-{case.organizations}-{case.ids}-{case.entries}.db"
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        fill(part, case)
        part.rename(path)
    return path


def measure_case(
    case: Case, folder: Path, *, slices: int = 7, events: int = 20_000, bare: bool = True
) -> Figures:
    """Medians over `slices` of `events` events each; the first slice of either side warms up."""
    filled = template(case, folder)
    copies = [folder / name for name in ("subject.db", "bare.db")]
    for copy in copies:
        _discard(copy)
        shutil.copyfile(filled, copy)
        copy.chmod(0o600)
    service = Service(copies[0], case, 7_001)
    yardstick = Bare(copies[1], case, 7_002) if bare else None
    per_slice = max(events // case.events, 1) * case.events
    subject, beside = [], []
    for _ in range(slices + 1):
        subject.append(service.slice(per_slice))
        if yardstick is not None:
            beside.append(yardstick.slice(per_slice))
    gc.unfreeze()
    service.close()
    if yardstick is not None:
        yardstick.close()
    for copy in copies:
        _discard(copy)
    return _figures(subject[1:], beside[1:], service.batches[per_slice // case.events :])


def _figures(subject: list[Spent], beside: list[Spent], batches: list[float]) -> Figures:
    def median(values: Iterator[float]) -> float:
        return statistics.median(list(values) or [0.0])

    batches.sort()
    return Figures(
        storage_us=median(one.per_event(one.storage) for one in subject),
        ledger_us=median(one.per_event(one.ledger) for one in subject),
        events_per_second=median(one.events / one.wall * 1e9 for one in subject),
        p50_ms=batches[len(batches) // 2],
        p99_ms=batches[len(batches) * 99 // 100],
        max_ms=batches[-1],
        turn_ms=max(one.turn for one in subject) / 1e6,
        log_mb=max(one.log for one in subject) / 1e6,
        bare_us=median(one.per_event(one.ledger) for one in beside),
        bare_per_second=median(one.events / one.wall * 1e9 for one in beside),
    )


def _discard(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


CASES: Final = (
    Case(events=1),
    Case(events=64),
    Case(events=100),
    Case(events=256),
    Case(events=256, organizations=256),
    Case(events=100, ids="random"),
    Case(events=256, ids="random"),
    Case(events=100, entries=1_000_000),
    Case(events=100, ids="random", entries=1_000_000),
    Case(events=256, organizations=256, ids="random", entries=1_000_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.storage")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose line has this")
    parser.add_argument("--slices", type=int, default=7)
    parser.add_argument("--events", type=int, default=20_000, help="in a slice")
    parser.add_argument("--entries", type=int, help="in the ledger, instead of the cases' own")
    parser.add_argument("--no-bare", action="store_true")
    parser.add_argument("--scratch", type=Path, default=_PROJECT / "var")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    chosen = (case for case in CASES if options.only in str(case))
    for case in islice(chosen, len(CASES)):
        events = min(options.events, 2000) if case.events == 1 else options.events
        found = measure_case(
            case, options.scratch, slices=options.slices, events=events, bare=not options.no_bare
        )
        print(case, "|", found, flush=True)


if __name__ == "__main__":
    main()
