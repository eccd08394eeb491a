"""How long a year of usage takes to read: in milliseconds at the 50th and the 99th percentile, and
of the processor, which says more on a machine that is busy.

    python -m bench.series [--teamspaces 20] [--meters 5] [--rounds 100] [--keep FILE]

An organization whose teamspaces have used each meter in every quarter of an hour of a year is asked
for that year by days, weeks and months, in zones that lie differently across the days of UTC. How
long the event loop was held at most meanwhile is what everybody else feels.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw
import uvloop

from bench.storage import Heartbeat
from tallystick.domain.commands import DAY
from tallystick.domain.periods import parse_instant
from tallystick.domain.series import HOUR, BucketSize, Grouping, cut, to_points
from tallystick.domain.usage import BUCKET
from tallystick.storage.sqlite import SqliteStore
from tallystick.storage.sqlite_load import SQL

START: Final = parse_instant("2025-01-01T00:00:00Z")
END: Final = parse_instant("2026-01-01T00:00:00Z")
ORGANIZATION: Final = "org_01jdzzzzzzzzzzzzzzzzzz0000"
KEY: Final = "key_01jdzzzzzzzzzzzzzzzzzz0000"
CASES: Final = tuple(
    itertools.product(
        (BucketSize.DAY, BucketSize.WEEK, BucketSize.MONTH),
        ("UTC", "Europe/Paris", "Asia/Tokyo", "Asia/Kolkata"),
        (Grouping(), Grouping(by_teamspace=True), Grouping(by_meter=True)),
    )
)
_USED: Final = 1_250_000


def fill(path: Path, teamspaces: int, meters: int) -> None:
    """A year of roll-ups, as booking would have left them."""
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "OFF")
    for day in range(START, END, DAY):
        with connection:
            for start, statement, step in (
                (day, "add_to_rollup", BUCKET),
                (day, "add_to_day", HOUR),
            ):
                connection.executemany(SQL[statement], _rows(start, step, teamspaces, meters))
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


def _rows(day: int, step: int, teamspaces: int, meters: int) -> Iterator[tuple[object, ...]]:
    for at in range(day, day + DAY, step):
        for teamspace, meter in itertools.product(range(teamspaces), range(meters)):
            names = (f"ts_01jdzzzzzzzzzzzzzzzzzz{teamspace:04}", f"llm.tokens.{meter}", KEY, "", "")
            if step == BUCKET:
                yield ORGANIZATION, at, *names, _USED, 1
            else:
                quarters = HOUR // BUCKET
                hour = (at - day) // HOUR
                yield ORGANIZATION, day, *names, quarters * _USED, quarters, hour


async def ask(store: SqliteStore, size: BucketSize, zone: str, by: Grouping) -> int:
    bounds = await asyncio.to_thread(cut, START, END, size, zone)
    sums = await store.reader.usage_between(ORGANIZATION, bounds, by)
    return len(await asyncio.to_thread(to_points, bounds, sums, by))


async def measure(path: Path, rounds: int) -> None:
    store = SqliteStore.open(path, clock=lambda: END)
    print("bucket  zone          group      points   CPU ms   p50 ms   p99 ms   loop held ms")
    for size, zone, by in CASES:
        took: list[float] = []
        points = 0
        heart = Heartbeat()
        cpu = time.process_time_ns()
        beat = asyncio.create_task(heart.beat())
        for _ in range(rounds):
            started = time.perf_counter_ns()
            points = await ask(store, size, zone, by)
            took.append((time.perf_counter_ns() - started) / 1e6)
        beat.cancel()
        spent = (time.process_time_ns() - cpu) / 1e6 / rounds
        group = "teamspace" if by.by_teamspace else "meter" if by.by_meter else "-"
        p99 = statistics.quantiles(took, n=100)[98]
        print(
            f"{size:<7} {zone:<13} {group:<10} {points:>6} {spent:>8.1f}"
            f" {statistics.median(took):>8.1f} {p99:>8.1f} {heart.longest / 1e6:>12.1f}"
        )
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teamspaces", type=int, default=20)
    parser.add_argument("--meters", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="a database to make, or one made before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path: Path = given.keep or Path(folder, "series.db")
        if not path.exists():
            asyncio.run(SqliteStore.open(path, clock=lambda: END).close())
            fill(path, given.teamspaces, given.meters)
        uvloop.run(measure(path, given.rounds))


if __name__ == "__main__":
    main()
