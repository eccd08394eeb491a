"""One hot organization on PostgreSQL, without HTTP: what is promised, and several nodes on it.

A node is a process (`python -m bench.hot_nodes URL SECONDS`) with one lane, whose many clients book
an event of the same organization each, over and over. All nodes want the same account's lock.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import asyncpg
import uvloop

from bench import clocks
from bench.databases import Backing, postgres
from bench.hot import found, timed_batches
from bench.ledgers import names, usage
from bench.load import LoadFailed
from tallystick.ledger.ledger import MAX_EVENTS, Ledger
from tallystick.ledger.units import AccountUnit
from tallystick.storage.postgres.store import PostgresStore

PROJECT: Final = Path(__file__).resolve().parents[1]
_BATCHES: Final = 200
_CLIENTS: Final = 2 * MAX_EVENTS
"""One batch flies, one waits."""
_SEEN: Final = """
SELECT
    (SELECT count(*) FROM entries WHERE organization_id = $1 AND kind = 'usage.booked'),
    (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()),
    current_setting('fsync') || ', ' || current_setting('synchronous_commit')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hot:
    """Events a second: of one lane's storage (loading, writing and COMMIT), of the same with
    deciding, and acknowledged by so many nodes together."""

    storage: float
    with_deciding: float
    by_nodes: dict[int, float]
    deadlocks: int
    durability: str
    disturbed_by: str | None


def hot_organization(folder: Path, cores: set[int], seconds: int, nodes: Sequence[int]) -> Hot:
    """Raises LoadFailed where an event was lost or booked twice."""
    with postgres(folder / "hot") as backing:
        before, own = clocks.read(), clocks.cpu_ns(os.getpid())
        load, decide, append = uvloop.run(_one_lane(backing.postgres))
        disturbed_by = clocks.disturbance(
            before, clocks.read(), cores=cores, ours=_ours(backing, own)
        )
        booked = uvloop.run(_seen(backing.postgres))[0]
        by_nodes = {}
        for count in nodes:
            acknowledged = _work(backing.postgres, count, seconds)
            by_nodes[count] = acknowledged / seconds
            booked, expected = uvloop.run(_seen(backing.postgres))[0], booked + acknowledged
            if booked != expected:
                raise LoadFailed(f"{expected} events were acknowledged, but {booked} were booked")
        _, deadlocks, durability = uvloop.run(_seen(backing.postgres))
    return Hot(
        storage=MAX_EVENTS / (load + append) * 1000,
        with_deciding=MAX_EVENTS / (load + decide + append) * 1000,
        by_nodes=by_nodes,
        deadlocks=deadlocks,
        durability=durability,
        disturbed_by=disturbed_by,
    )


def _ours(backing: Backing, own_before: int) -> dict[int, int]:
    family = [pid for root in backing.pids for pid in clocks.family(root)]
    return {
        os.getpid(): clocks.cpu_ns(os.getpid()) - own_before,
        **{pid: clocks.cpu_ns(pid) for pid in family},
    }


async def _one_lane(url: str) -> tuple[float, float, float]:
    """Milliseconds of the steps of a batch."""
    store = await PostgresStore.open(url, lanes=1, migrates=True)
    (lane,) = store.lanes
    name = await found(lane)
    taken = await timed_batches(lane, name, MAX_EVENTS, _BATCHES)
    await store.close()
    return taken


async def _seen(url: str) -> Any:  # noqa: ANN401 (a row)
    connection = await asyncpg.connect(url)
    row = await connection.fetchrow(_SEEN, names(1)[0])
    await connection.close()
    return row


def _work(url: str, count: int, seconds: int) -> int:
    """How many events so many nodes were acknowledged together."""
    with ExitStack() as ending:
        nodes = [ending.enter_context(_node(url, seconds)) for _ in range(count)]
        for node in nodes:
            _hear(node)
        for node in nodes:
            node.stdin.write("go\n")
            node.stdin.flush()
        return sum(int(_hear(node)) for node in nodes)


class _Node(NamedTuple):
    process: subprocess.Popen[str]
    stdin: IO[str]
    stdout: IO[str]


@contextmanager
def _node(url: str, seconds: int) -> Iterator[_Node]:
    command = [sys.executable, "-m", "bench.hot_nodes", url, str(seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("it was given pipes")
        yield _Node(process, process.stdin, process.stdout)


def _hear(node: _Node) -> str:
    """The next line that it says; raises LoadFailed where it ends instead."""
    line = node.stdout.readline()
    if not line:
        raise LoadFailed(f"a node ended with {node.process.wait()}")
    return line


# ── a node ──


async def node(url: str, seconds: float) -> None:
    store = await PostgresStore.open(url, lanes=1)
    ledger, ids = Ledger(store), _ids()
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    until = time.monotonic() + seconds
    booked = await asyncio.gather(*(_client(ledger, ids, until) for _ in range(_CLIENTS)))
    await ledger.close()
    say(str(sum(booked)))


async def _client(ledger: Ledger, ids: Iterator[str], until: float) -> int:
    """Books until then; how often."""
    (name,), booked = names(1), 0
    while time.monotonic() < until:
        await ledger.submit(name, AccountUnit(name, [usage(next(ids))]))
        booked += 1
    return booked


def _ids() -> Iterator[str]:
    """In the order of time, and no other node's."""
    return (f"evt_{time.time_ns():020d}_{os.getpid()}_{n}" for n in itertools.count())


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    uvloop.run(node(sys.argv[1], float(sys.argv[2])))
