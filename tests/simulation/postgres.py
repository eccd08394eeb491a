"""Processes of the ledger on a real PostgreSQL, in a world of virtual time.

What the store does on its connection runs in an event loop of its own, in a thread, and to its end
at one moment of the world's time: the world waits for it. Between two such moments (a batch's load,
its writing, a read) everybody else may come. A crash cuts the connection between two statements, or
after one that was carried out, COMMIT among them, and whose answer nobody heard; the next life
begins when the server has undone what was open.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import asyncpg

from tallystick.ledger.ports import Changes, Lane, Snapshot, StoreError, Wanted
from tallystick.ledger.reads import Reads
from tallystick.storage.postgres.connect import Database
from tallystick.storage.postgres.lane import Patience
from tallystick.storage.postgres.store import PostgresStore
from tests.postgres_copies import copy_to_file
from tests.simulation.process import Doom
from tests.simulation.threads import Pace, Pool
from tests.simulation.witness import Life, Witness, WitnessedLedger, WitnessedStore, WitnessedUnit

T = TypeVar("T")

_READ_MARK = (
    "SELECT max(convert_from(body, 'UTF8')::int) FROM replays WHERE operation = 'simulation'"
)


class RealLoop:
    """An event loop in a thread, which works while somebody waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass(slots=True)
class Trouble:
    """Lets `after` statements pass (or COMMITs), and the next `times` fail."""

    what: str
    at_commit: bool
    after: int
    times: int

    def is_met(self, *, at_commit: bool) -> bool:
        if at_commit is not self.at_commit or not self.times:
            return False
        self.after -= 1
        if self.after >= 0:
            return False
        self.times -= 1
        return True


class Wire:
    """A lane's connection, on which statements fail by order of the script."""

    def __init__(self, connection: Any, process: PostgresProcess) -> None:  # noqa: ANN401 - the driver's
        self._connection = connection
        self._process = process

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the driver's
        return getattr(self._connection, name)

    async def execute(self, statement: str, *arguments: object) -> object:
        is_commit = statement.startswith("COMMIT")
        return await self._step(self._connection.execute(statement, *arguments), is_commit)

    async def fetch(self, *arguments: object) -> object:
        return await self._step(self._connection.fetch(*arguments))

    async def copy_records_to_table(self, *arguments: object, **options: object) -> object:
        return await self._step(self._connection.copy_records_to_table(*arguments, **options))

    async def _step(self, statement: Coroutine[Any, Any, T], is_commit: bool = False) -> T:
        process = self._process
        fails = process.meets(at_commit=is_commit)
        if not fails:
            return await statement
        if fails == "after":
            await statement
        else:
            statement.close()
        if fails == "full":
            raise asyncpg.DiskFullError("by order of the script")
        await self.cut()
        raise ConnectionResetError("by order of the script")

    async def cut(self) -> None:
        """Returns when the server has undone what was open."""
        if not self._connection.is_closed():
            pid = self._connection.get_server_pid()
            self._connection.terminate()
            await self._process.spy.execute("SELECT pg_terminate_backend($1, 10000)", pid)


class TroubledDatabase(Database):
    """Puts a wire before each connection that writes."""

    process: PostgresProcess

    async def connect(self, settings: Mapping[str, str]) -> Any:  # noqa: ANN401 - the driver's
        if self.process.is_over:
            raise ConnectionRefusedError("this life is over")
        connection = await super().connect(settings)
        if settings.get("default_transaction_read_only") == "on":
            return connection
        wire = Wire(connection, self.process)
        self.process.wires.append(wire)
        return wire


class RemoteLane:
    """A lane of the other loop, as one of the world's."""

    def __init__(self, lane: Lane, process: PostgresProcess) -> None:
        self._lane = lane
        self._process = process

    async def load(self, wanted: Wanted) -> Snapshot:
        return await self._process.writing(lambda: self._lane.load(wanted))

    async def append(self, changes: Changes) -> None:
        await self._process.writing(lambda: self._lane.append(changes))

    async def confirm(self) -> None:
        await self._process.writing(self._lane.confirm)

    async def abandon(self) -> None:
        await self._process.writing(self._lane.abandon)


class RemoteReader:
    """A reader of the other loop, of which each question is answered later."""

    def __init__(self, reader: object, process: PostgresProcess) -> None:
        self._reader = reader
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., asyncio.Future[Any]]:
        ask = getattr(self._reader, name)
        return lambda *arguments: self._process.reading(lambda: ask(*arguments))


class RemoteStore:
    def __init__(self, store: PostgresStore, process: PostgresProcess) -> None:
        self._store = store
        self._process = process
        self.reader: Any = RemoteReader(store.reader, process)
        self.lanes = [RemoteLane(lane, process) for lane in store.lanes]

    async def check(self) -> None:
        await self._process.reading(self._store.check)

    async def close(self) -> None:
        self._process.loop.run(self._store.close())


class PostgresProcess(Life):
    """One life, on the database as it is found."""

    def __init__(
        self,
        loop: RealLoop,
        url: str,
        spy: asyncpg.Connection[asyncpg.Record],
        clock: Callable[[], int],
        witness: Witness,
        pace: Pace,
        attempt: Callable[[Callable[[], None]], None],
    ) -> None:
        super().__init__(witness, self._read_mark)
        self.loop, self.spy, self._url = loop, spy, url
        self.wires: list[Wire] = []
        self.trouble: Trouble | None = None
        self.doom: Doom | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing = Pool(pace, lambda: attempt(self.look))
        self._reading = Pool(pace, lambda: None)
        database = TroubledDatabase(url=url)
        object.__setattr__(database, "process", self)
        store = loop.run(self._open(database, clock))
        self.store = WitnessedStore(RemoteStore(store, self), self)
        self.reads = Reads(self.store.reader, clock)
        self.ledger: WitnessedLedger

    async def _open(self, database: Database, clock: Callable[[], int]) -> PostgresStore:
        return PostgresStore(database, 1, clock, Patience())

    def run(self, witnessed: Callable[[object], WitnessedUnit]) -> None:
        self.ledger = WitnessedLedger(self.store, witnessed)

    def writing(self, work: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        return self._on(self._writing, work)

    def reading(self, work: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        return self._on(self._reading, work)

    def _on(self, pool: Pool, work: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        return asyncio.wrap_future(pool.submit(lambda: self.loop.run(_carried_out(work))))

    def _read_mark(self) -> int:
        return int(self.loop.run(self.spy.fetchval(_READ_MARK)) or 0)

    # ── trouble ──

    def disturb(self, what: str, *, at: str, file: str, after: int, times: int) -> None:
        """A disk that is full refuses a statement; one that fails breaks the connection."""
        self.trouble = Trouble(what, at == "sync", after, times)

    def calm(self) -> None:
        self.trouble = self.doom = None

    def meets(self, *, at_commit: bool) -> str:
        """What becomes of the next statement: nothing bad, `full`, or the connection breaks
        `before` it or `after`."""
        if self.is_over:
            return "before"
        if self.doom is not None:
            self.doom.after -= 1
            if self.doom.after < 0:
                chance = self.doom.chance
                self._end()
                return chance.choice(("before", "after"))
        if self.trouble is not None and self.trouble.is_met(at_commit=at_commit):
            if self.trouble.what == "full":
                return "full"
            return ("before", "after")[self.trouble.times % 2]
        return ""

    def crash(self, how: str, chance: Random) -> None:
        """Cuts all connections at this moment."""
        self._end()
        self.loop.run(self._cut())

    def _end(self) -> None:
        self.calm()
        self.is_over = True
        if not self.ended.done():
            self.ended.set_result(None)

    async def _cut(self) -> None:
        for wire in self.wires:
            await wire.cut()

    async def bury(self) -> None:
        self.calm()
        self.is_over = True
        self.loop.run(self._cut())
        self._writing.leave_alone()
        self._reading.leave_alone()
        with suppress(StoreError):
            await self.ledger.close()

    @contextmanager
    def ledger_file(self) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            path = Path(folder, "ledger.db")
            self.loop.run(copy_to_file(self._url, path))
            yield path


async def _carried_out(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


class PostgresMachine:
    """Processes one after the other, on the empty database at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = RealLoop()
        self._spy = self._loop.run(_connected(url))

    def start(
        self,
        clock: Callable[[], int],
        witness: Witness,
        pace: Pace,
        attempt: Callable[[Callable[[], None]], None],
    ) -> PostgresProcess:
        return PostgresProcess(self._loop, self._url, self._spy, clock, witness, pace, attempt)

    def close(self) -> None:
        self._loop.run(self._spy.close())
        self._loop.close()


async def _connected(url: str) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(url)
