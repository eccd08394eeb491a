"""How fast a ledger is proved and exported, and its past read: `python -m bench.proof`.

Verifying and exporting are done by `tallystick` in a process of its own: CPU time, less what merely
starting takes, and memory are that process's. The rest is CPU time of this one. Beside it stands a
plain SHA-256 of as many bytes as an entry has, so that figures of two machines can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from bench.ledgers import Case, clock, fill, names
from tallystick.ledger.reads import Balance, Reads
from tallystick.ledger.statements import read_statement
from tallystick.storage.sqlite import SqliteStore

ENTRY_BYTES: Final = 380
_HASHES: Final = 100_000
_READS: Final = 50
_COMMAND: Final = (sys.executable, "-c", "from tallystick.cli import main; main()")


class Used(NamedTuple):
    """What a process took: seconds of CPU time, and MiB at most."""

    seconds: float
    memory: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--ids", choices=("ordered", "random"), default="ordered")
    parser.add_argument(
        "--organizations", type=int, default=1, help="among how many the entries are spread"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of which the quickest counts")
    parser.add_argument("--database", type=Path, help="made where there is none, and kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path: Path = given.database or Path(folder) / "ledger.db"
        if not path.exists():
            _fill(path, Case(events=1, ids=given.ids, entries=given.entries), given.organizations)
        _report(path, given.entries, given.organizations, given.rounds)


def _fill(path: Path, case: Case, organizations: int) -> None:
    """In a process of its own: those that are started later are said to have needed as much memory
    as this one had by then."""
    options = {"fillers": organizations}
    filling = get_context("spawn").Process(target=fill, args=(path, case), kwargs=options)
    filling.start()
    filling.join()
    if filling.exitcode:
        raise SystemExit(filling.exitcode)


def _report(path: Path, entries: int, organizations: int, rounds: int) -> None:
    [name] = names(1, "org_of_others")
    asked = ("--database", str(path))
    export = ("entries", "export", name, *asked, "--format")
    starting = _best(rounds, "--version").seconds
    hashing = min(_hash() for _ in range(rounds))
    print(f"SHA-256       {hashing * 1e6:.2f} µs for {ENTRY_BYTES} bytes")
    of_one = entries // organizations
    for what, count, command in (
        ("verify", entries, ("verify", *asked)),
        ("export csv", of_one, (*export, "csv")),
        ("export ndjson", of_one, (*export, "ndjson")),
    ):
        used = _best(rounds, *command)
        each = (used.seconds - starting) / count
        pace = f"{1 / each:,.0f} entries/s, {each * 1e6:.2f} µs each"
        print(f"{what:13} {pace}, {each / hashing:.1f} x SHA-256, {used.memory} MiB")
    print(f"balance?at=   {min(asyncio.run(_past(path, name)) for _ in range(rounds)):.2f} ms")
    print(f"statement     {min(asyncio.run(_statement(path, name)) for _ in range(rounds)):.2f} ms")


def _best(rounds: int, *arguments: str) -> Used:
    return min(_run(*arguments) for _ in range(rounds))


def _run(*arguments: str) -> Used:
    child = subprocess.Popen([*_COMMAND, *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"tallystick {arguments[0]} ended with {child.returncode}")
    return Used(used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)


def _hash() -> float:
    start = time.process_time()
    for _ in range(_HASHES):
        hashlib.sha256(bytes(ENTRY_BYTES)).digest()
    return (time.process_time() - start) / _HASHES


async def _past(path: Path, name: str) -> float:
    """Milliseconds for a balance, of instants spread over the ledger's life."""
    async with _opened(path) as store:
        reads = Reads(store.reader, clock)
        organization = await store.reader.organization(name)
        assert organization is not None
        lived = clock() - organization.created_at
        since = organization.created_at

        async def read(number: int) -> None:
            found = await reads.balance_at(name, since + lived * number // _READS)
            assert isinstance(found, Balance)

        return await _each(read)


async def _statement(path: Path, name: str) -> float:
    """Milliseconds for the statement of the period that has all of the entries."""
    async with _opened(path) as store:

        async def read(_: int) -> None:
            assert await read_statement(store.reader, clock, name, 0) is not None

        return await _each(read)


async def _each(read: Callable[[int], Awaitable[None]]) -> float:
    start = time.process_time()
    for number in range(_READS):
        await read(number)
    return (time.process_time() - start) / _READS * 1e3


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(path, clock=clock)
    try:
        yield store
    finally:
        await store.close()


if __name__ == "__main__":
    main()
