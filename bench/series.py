"""How long a year of usage over time takes to read, end to end and in process.

    python -m bench.series [--teamspaces 20] [--meters 5] [--models 3] [--rounds 200] [--keep FILE]

An organization whose teamspaces have used each meter in every quarter of an hour of a year, with
one of a few models in turn, is asked for that year by days and by months, in zones that lie
differently across the days of UTC. Each question is asked so many times, one after the other:

- *end to end*: `GET /v1/organization/credits/usage` of a server on a core of its own, on one
  connection, until the body is there;
- *in process*: from the bounds of the buckets to the points. How long the event loop was held at
  most meanwhile is what everybody else feels.

Both in milliseconds, of the processor and by the clock, at the 50th and the 99th percentile. The
clock also counts what a busy machine did for others meanwhile. A hello-world on uvicorn, asked on
the same core before, says how fast the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import httpx
import uvloop

from bench.clocks import on_core
from bench.ledgers import KEYS, found_many
from bench.load import drive
from bench.rows import GET_CREDITS
from bench.servers import SERVERS, Running, Server, our_tallystick, running
from bench.storage import Heartbeat
from bench.tenant import ADMIN_KEY
from tallystick.domain.commands import DAY
from tallystick.domain.periods import format_instant, parse_instant
from tallystick.domain.series import HOUR, BucketSize, Grouping, cut, to_points
from tallystick.domain.usage import BUCKET
from tallystick.storage.sqlite import SqliteStore
from tallystick.storage.sqlite_load import SQL

START: Final = parse_instant("2025-01-01T00:00:00Z")
END: Final = parse_instant("2026-01-01T00:00:00Z")
ORGANIZATION: Final = "org_00000000000000000000000000"
KEY: Final = "key_01jdzzzzzzzzzzzzzzzzzz0000"
MODEL: Final = "model"
GROUPINGS: Final = {
    "-": Grouping(),
    "teamspace": Grouping(by_teamspace=True),
    "meter": Grouping(by_meter=True),
    "key": Grouping(by_key=True),
    f"dimension:{MODEL}": Grouping(dimension=MODEL),
}
CASES: Final = tuple(
    itertools.product(
        (BucketSize.DAY, BucketSize.MONTH),
        ("UTC", "Asia/Tokyo", "Asia/Kolkata"),
        GROUPINGS,
    )
)
_USED: Final = 1_250_000
_YARDSTICK_SECONDS: Final = 3
_HEADING: Final = "bucket  zone          group             points CPU p50 CPU p99     p50     p99"


class Taken(NamedTuple):
    """Milliseconds that each request took: of the processor, and by the clock."""

    cpu: list[float]
    clock: list[float]

    def __str__(self) -> str:
        return " ".join(f"{at:>7.1f}" for each in self for at in (_p50(each), _p99(each)))


def _p50(each: Sequence[float]) -> float:
    return statistics.median(each)


def _p99(each: Sequence[float]) -> float:
    return statistics.quantiles(each, n=100)[98]


# ── a year of roll-ups, as booking would have left them ──


def fill(path: Path, teamspaces: int, meters: int, models: int) -> None:
    found_many(path, 1)
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "OFF")
    for day in range(START, END, DAY):
        with connection:
            for statement, step in (("add_to_rollup", BUCKET), ("add_to_day", HOUR)):
                rows = _rows(day, step, teamspaces, meters, models)
                connection.executemany(SQL[statement], rows)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


def _rows(
    day: int, step: int, teamspaces: int, meters: int, models: int
) -> Iterator[tuple[object, ...]]:
    quarters = step // BUCKET
    for at in range(day, day + DAY, step):
        hour = (at - day) // HOUR
        when, more = (at, ()) if step == BUCKET else (day, (hour,))
        for teamspace, meter in itertools.product(range(teamspaces), range(meters)):
            names = f"ts_01jdzzzzzzzzzzzzzzzzzz{teamspace:04}", f"llm.tokens.{meter}", KEY
            for counted in (("", ""), (MODEL, f"m-{(teamspace + hour) % models}")):
                yield ORGANIZATION, when, *names, *counted, quarters * _USED, quarters, *more


# ── in process ──


async def in_process(path: Path, rounds: int) -> None:
    store = SqliteStore.open(path, clock=lambda: END)
    print(f"\nin process\n{_HEADING}   loop held ms")
    for size, zone, group in CASES:
        points = await _points(store, size, zone, GROUPINGS[group])
        heart, taken = Heartbeat(), Taken([], [])
        beat = asyncio.create_task(heart.beat())
        for _ in range(rounds):
            with _noted(taken, time.process_time_ns):
                await _points(store, size, zone, GROUPINGS[group])
        beat.cancel()
        held = heart.longest / 1e6
        print(f"{size:<7} {zone:<13} {group:<16} {points:>7} {taken} {held:>12.1f}", flush=True)
    await store.close()


async def _points(store: SqliteStore, size: BucketSize, zone: str, by: Grouping) -> int:
    bounds = await asyncio.to_thread(cut, START, END, size, zone)
    sums = await store.reader.usage_between(ORGANIZATION, bounds, by)
    return len(await asyncio.to_thread(to_points, bounds, sums, by))


# ── end to end ──


def end_to_end(path: Path, rounds: int, folder: Path) -> None:
    core, *others = sorted(os.sched_getaffinity(0), reverse=True)
    load_core = others[0] if others else core
    with running(SERVERS["hello"], core=core, folder=folder / "hello") as hello:
        print(f"\nhello-world on uvicorn: {_hello_us(hello, load_core):.0f} µs of CPU a request")
    secret = path.with_name(KEYS).read_text().split()[0]
    with (
        running(_service(path), core=core, folder=folder / "service") as service,
        on_core(load_core),
        httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client,
    ):
        _declare(client)
        client.headers["authorization"] = f"Bearer {secret}"
        print(f"\nend to end\n{_HEADING}       KB")
        for size, zone, group in CASES:
            _report(client, service, rounds, (size, zone, group))


def _hello_us(hello: Running, load_core: int) -> float:
    before = hello.cpu_ns()
    counts = drive(
        hello.url,
        GET_CREDITS,
        connections=64,
        seconds=_YARDSTICK_SECONDS,
        headers={},
        core=load_core,
    )
    return (hello.cpu_ns() - before) / 1e3 / counts.answers


def _service(path: Path) -> Server:
    return Server(
        name="tallystick",
        about="a year of usage",
        command=lambda port, _: [
            *(our_tallystick(), "serve", "--host", "127.0.0.1", "--port", str(port)),
            *("--database", str(path), "--rate-limit", "1000000"),
        ],
        environment={"TALLYSTICK_ADMIN_KEY": ADMIN_KEY},
    )


def _declare(client: httpx.Client) -> None:
    client.patch(
        f"/v1/admin/organizations/{ORGANIZATION}",
        json={"usage_dimensions": [MODEL]},
        headers={"authorization": f"Bearer {ADMIN_KEY}"},
    ).raise_for_status()


def _report(
    client: httpx.Client, service: Running, rounds: int, case: tuple[BucketSize, str, str]
) -> None:
    size, zone, group = case
    query = {
        "from": format_instant(START),
        "to": format_instant(END),
        "bucket": str(size),
        "timezone": zone,
        **({} if group == "-" else {"group_by": group}),
    }

    def ask() -> httpx.Response:
        return client.get("/v1/organization/credits/usage", params=query).raise_for_status()

    points, body = len(ask().json()["data"]), len(ask().content)
    taken = Taken([], [])
    for _ in range(rounds):
        with _noted(taken, service.cpu_ns):
            ask()
    print(f"{size:<7} {zone:<13} {group:<16} {points:>7} {taken} {body // 1000:>8}", flush=True)


@contextmanager
def _noted(taken: Taken, cpu_ns: Callable[[], int]) -> Iterator[None]:
    started, cpu = time.perf_counter_ns(), cpu_ns()
    yield
    taken.clock.append((time.perf_counter_ns() - started) / 1e6)
    taken.cpu.append((cpu_ns() - cpu) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teamspaces", type=int, default=20)
    parser.add_argument("--meters", type=int, default=5)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="a database to make, or one made before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path: Path = given.keep or folder / "series.db"
        if not path.exists():
            fill(path, given.teamspaces, given.meters, given.models)
        end_to_end(path.absolute(), given.rounds, folder)
        uvloop.run(in_process(path, given.rounds))


if __name__ == "__main__":
    main()
