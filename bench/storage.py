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

The ledger before is one of other organizations; see `bench.ledgers`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import uvloop

from bench.ledgers import Case, IdSource, clock, copy_of_filled, names, usage
from bench.peers.bare import Bare
from tallystick.ledger.ports import Wanted
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Unit, Work
from tallystick.storage.sqlite import SqliteStore

_PROJECT: Final = Path(__file__).resolve().parents[1]


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
        AccountUnit(name, [usage(event_id) for event_id in found[number :: len(spread)]])
        for number, name in enumerate(spread[: case.events])
    ]


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


# ── both, in turns ──


def measure_case(
    case: Case, folder: Path, *, slices: int = 7, events: int = 20_000, bare: bool = True
) -> Figures:
    """Medians over `slices` of `events` events each; the first slice of either side warms up."""
    copies = [folder / name for name in ("subject.db", "bare.db")]
    for copy in copies:
        _discard(copy)
        copy_of_filled(case, folder / "filled", copy)
    service = Service(copies[0], case, 7_001)
    yardstick = Bare(copies[1], case, 7_002) if bare else None
    per_slice = max(events // case.events, 1) * case.events
    subject, beside = [], []
    for _ in range(slices + 1):
        subject.append(service.slice(per_slice))
        if yardstick is not None:
            beside.append(_bare_slice(yardstick, per_slice, case))
    gc.unfreeze()
    service.close()
    if yardstick is not None:
        yardstick.close()
    for copy in copies:
        _discard(copy)
    return _figures(subject[1:], beside[1:], service.batches[per_slice // case.events :])


def _bare_slice(bare: Bare, events: int, case: Case) -> Spent:
    spent = Spent(events=events)
    for _ in range(events // case.events):
        taken = bare.batch()
        spent.wall += taken.wall
        spent.ledger += taken.cpu
    return spent


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
    chosen = [case for case in CASES if options.only in str(case)]
    if options.entries is not None:
        chosen = list(dict.fromkeys(replace(case, entries=options.entries) for case in chosen))
    for case in chosen:
        events = min(options.events, 2000) if case.events == 1 else options.events
        found = measure_case(
            case, options.scratch, slices=options.slices, events=events, bare=not options.no_bare
        )
        print(case, "|", found, flush=True)


if __name__ == "__main__":
    main()
