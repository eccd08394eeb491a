"""What the suite asks of a store beyond the ports: to be opened, looked into and locked out of.

A backend joins the suite with one line in `BACKENDS`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw
import asyncpg

from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import Changes, Lane, Snapshot, Store, Wanted
from tallystick.ledger.reading import BalanceRow, Credential, Reader
from tallystick.ledger.work import Unit, Work
from tallystick.storage.postgres.lane import Patience
from tallystick.storage.postgres.store import PostgresStore
from tallystick.storage.sqlite import SqliteStore
from tests.servers.postgres import Connection, Postgres

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
    `locked_out` has such a person hold the lock that every writer of an account needs.
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

    def balance(self, organization_id: str) -> BalanceRow | None:
        async def ask() -> BalanceRow | None:
            return await settled(self.reader.balance(organization_id))

        return self.run(ask())

    def credential(self, digest: bytes) -> Credential | None:
        async def ask() -> Credential | None:
            return await settled(self.reader.credential(digest))

        return self.run(ask())

    async def submit(self, organization_id: str, unit: Unit) -> object:
        """What the ledger makes of a unit, with all its patience."""
        return await Ledger(self.store).submit(organization_id, unit)

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


async def settled(value: T | Awaitable[T]) -> T:
    """What is at hand in one store and asked for in another."""
    return await value if inspect.isawaitable(value) else value


@contextmanager
def sqlite_backend(
    folder: Path, _: Callable[[], Postgres], *, owned: bool = False
) -> Iterator[Backend]:
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


class Bystander:
    """Somebody with a connection of their own, in a loop of their own beside the service's."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def rows(self, statement: str) -> Sequence[Sequence[Any]]:
        return self._do(self._rows(statement))

    @contextmanager
    def holding_accounts(self) -> Iterator[None]:
        connection = self._do(self._lock())
        try:
            yield
        finally:
            self._do(connection.close())

    def leave(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _rows(self, statement: str) -> Sequence[Sequence[Any]]:
        connection = await asyncpg.connect(self._url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    async def _lock(self) -> Connection:
        connection = await asyncpg.connect(self._url)
        await connection.execute("BEGIN")
        await connection.execute("SELECT FROM accounts ORDER BY organization_id FOR UPDATE")
        return connection


@contextmanager
def visited(url: str) -> Iterator[Bystander]:
    bystander = Bystander(url)
    try:
        yield bystander
    finally:
        bystander.leave()


@contextmanager
def postgres_backend(
    _: Path, cluster: Callable[[], Postgres], *, partitions: int = 0
) -> Iterator[Backend]:
    with cluster().lent(partitions=partitions) as url, visited(url) as bystander:
        clock = Clock()
        patience = Patience(accounts_seconds=BUSY_TIMEOUT_MS / 1000)
        with asyncio.Runner() as runner:
            opening = PostgresStore.open(
                url, clock=clock, requires_durability=False, patience=patience
            )
            store = runner.run(opening)
            try:
                yield Backend(
                    store=store,
                    clock=clock,
                    runner=runner,
                    rows=bystander.rows,
                    locked_out=bystander.holding_accounts,
                )
            finally:
                runner.run(store.close())


BACKENDS: dict[str, Callable[[Path, Callable[[], Postgres]], AbstractContextManager[Backend]]] = {
    "sqlite": sqlite_backend,
    "owned sqlite": partial(sqlite_backend, owned=True),
    "postgres": postgres_backend,
    "postgres partitioned": partial(postgres_backend, partitions=3),
}
