"""What one hot organization costs on PostgreSQL, without HTTP: `python -m bench.hot`.

A cluster of its own, which syncs as PostgreSQL's defaults have it; one lane, and batches of plain
events of one organization, one after the other. Printed are the wall time of a batch by its steps
(medians) and events a second: in storage, which is loading, writing and COMMIT, and in all.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import uvloop

from bench.ledgers import clock, founding, names, since, usage
from bench.postgres import SUPERUSER, running_postgres
from tallystick.ledger.ledger import LaneBatch
from tallystick.ledger.ports import Lane, Wanted
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Work
from tallystick.storage.postgres.store import PostgresStore

_SETTINGS: Final = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
_WARM_UP: Final = 20


async def timed_batch(lane: Lane, units: Sequence[AccountUnit]) -> tuple[float, float, float]:
    """Milliseconds of loading, deciding, and writing with its COMMIT."""
    wanted = Wanted()
    for unit in units:
        unit.wants(wanted)
    times = [time.perf_counter()]
    work = Work(await lane.load(wanted))
    times.append(time.perf_counter())
    for unit in units:
        unit.decide(work)
    changes = work.finish()
    times.append(time.perf_counter())
    await lane.append(changes)
    times.append(time.perf_counter())
    load, decide, append = ((b - a) * 1000 for a, b in itertools.pairwise(times))
    return load, decide, append


async def found(lane: Lane) -> str:
    """Makes the organization, and returns its id."""
    (name,) = names(1)
    await LaneBatch(lane, lambda _: None)([founding(name, "ts_bench", since(clock()))])
    return name


async def timed_batches(
    lane: Lane, name: str, events: int, batches: int
) -> tuple[float, float, float]:
    """The medians of so many batches."""
    ids = _ids()
    taken = [
        await timed_batch(lane, [AccountUnit(name, [usage(next(ids))]) for _ in range(events)])
        for _ in range(_WARM_UP + batches)
    ]
    load, decide, append = map(statistics.median, zip(*taken[_WARM_UP:], strict=True))
    return load, decide, append


async def measure(url: str, events: int, batches: int, partitions: int) -> None:
    store = await PostgresStore.open(url, lanes=1, migrates=True, partitions=partitions)
    (lane,) = store.lanes
    load, decide, append = await timed_batches(lane, await found(lane), events, batches)
    await store.close()
    print(
        f"{events} events a batch, {partitions} partitions:"
        f" load {load:.2f}  decide {decide:.2f}  write and COMMIT {append:.2f} ms;"
        f" storage {events / (load + append):.1f} k/s,"
        f" with deciding {events / (load + decide + append):.1f} k/s"
    )


def _ids() -> Iterator[str]:
    return (f"evt_{number:020d}" for number in itertools.count(time.time_ns()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="*", default=[256, 1])
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--partitions", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder:
        Path(folder).chmod(0o711)
        for events in given.events:
            with running_postgres(Path(folder) / f"of-{events}", _SETTINGS) as daemon:
                url = f"postgresql://{SUPERUSER}@127.0.0.1:{daemon.port}/postgres"
                uvloop.run(measure(url, events, given.batches, given.partitions))


if __name__ == "__main__":
    main()
