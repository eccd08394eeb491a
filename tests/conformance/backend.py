"""What the suite asks of a store beyond the ports: to be opened, looked into and locked out of.

A backend joins the suite with one line in `BACKENDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from tallystick.ledger.ports import Changes, Lane, Snapshot, Store, Wanted
from tallystick.ledger.reading import Reader
from tallystick.ledger.work import Unit, Work
from tallystick.storage.sqlite import SqliteStore

T = TypeVar("T")

START = 1_800_000_000_000_000
"""An instant in January 2027."""
BUSY_TIMEOUT_MS = 150


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@dataclass(kw_only=True)
class Backend:
    """An open store of one kind, and the event loop it lives in.

    `rows` runs a statement as someone would who opened the database beside the service;
    `locked_out` has such a person hold the lock that every writer needs.
    """

    store: Store
    clock: Clock
    runner: asyncio.Runner
    rows: Callable[[str], Sequence[Sequence[Any]]]
    locked_out: Callable[[], AbstractContextManager[None]]

    @property
    def lane(self) -> Lane:
        return self.store.lanes[0]

    @property
    def reader(self) -> Reader:
        return self.store.reader

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def load(self, wanted: Wanted) -> Snapshot:
        """What is there, in a transaction that is given up again."""

        async def look() -> Snapshot:
            snapshot = await self.lane.load(wanted)
            await self.lane.abandon()
            return snapshot

        return self.run(look())

    def write(self, changes: Changes, *organizations: str) -> None:
        """Writes `changes` over what was loaded of the organizations."""

        async def change() -> None:
            await self.lane.load(Wanted(organizations=set(organizations)))
            await self.lane.append(changes)

        self.run(change())

    def decide(self, *units: Unit) -> list[Any]:
        """One batch of the ledger's own making."""

        async def batch() -> list[Any]:
            wanted = Wanted()
            for unit in units:
                unit.wants(wanted)
            work = Work(await self.lane.load(wanted))
            outcomes = [unit.decide(work) for unit in units]
            await self.lane.append(work.finish())
            return outcomes

        return self.run(batch())


@contextmanager
def sqlite_backend(folder: Path, *, owned: bool = False) -> Iterator[Backend]:
    path = folder / "ledger.db"
    clock = Clock()

    def rows(statement: str) -> Sequence[Sequence[Any]]:
        connection = apsw.Connection(str(path))
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    @contextmanager
    def locked_out() -> Iterator[None]:
        connection = apsw.Connection(str(path))
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.close(force=True)

    with asyncio.Runner() as runner:
        store = SqliteStore.open(path, clock=clock, owned=owned, busy_timeout_ms=BUSY_TIMEOUT_MS)
        try:
            yield Backend(store=store, clock=clock, runner=runner, rows=rows, locked_out=locked_out)
        finally:
            runner.run(store.close())


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Backend]]] = {
    "sqlite": sqlite_backend,
    "owned sqlite": partial(sqlite_backend, owned=True),
}
