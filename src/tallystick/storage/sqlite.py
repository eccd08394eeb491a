"""The SQLite store: one file in write-ahead mode, one lane that writes it, one reader.

Decisions that this rests on are in docs/adr: write-ahead log with `synchronous=FULL` (0011), COMMIT
in a thread (0012).
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import apsw

from tallystick.ledger.ports import StoreUnavailable
from tallystick.storage.balances import Balances
from tallystick.storage.errors import StoreNotUsable
from tallystick.storage.migrate import migrate, refuse_foreign
from tallystick.storage.owner import prepare_database_file
from tallystick.storage.queries import load_statements
from tallystick.storage.sqlite_errors import translating
from tallystick.storage.sqlite_lane import SqliteLane
from tallystick.storage.sqlite_log import LogMover
from tallystick.storage.sqlite_reader import SqliteReader
from tallystick.storage.worker import Threads

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from typing import Self

    from tallystick.ledger.reading import Reader

_SQL: Final = load_statements("sqlite", "connection")
_READER_BUSY_MS: Final = 100
_STATEMENTS: Final = 256
"""Slots for prepared statements. Each execution takes the next slot, in a circle, so there must be
about as many as a batch has executions, or each batch would prepare everything anew."""
IN_MEMORY: Final = ":memory:"

Synchronous = Literal["FULL", "OFF"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database file and how connections to it are made."""

    path: Path
    vfs: str | None
    synchronous: Synchronous

    def writer(self) -> apsw.Connection:
        """A connection that writes; it never waits for a lock unless told to."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = self._connect(flags)
        _run(connection, "use_wal")
        _run(connection, "sync_every_commit" if self.synchronous == "FULL" else "sync_never")
        _run(connection, "writer_settings")
        return connection

    def untouched(self) -> apsw.Connection:
        """A connection that changes nothing by itself: even going over to a log would stay."""
        return self._connect(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)

    def reader(self) -> apsw.Connection:
        """A connection that cannot write."""
        flags = apsw.SQLITE_OPEN_READONLY
        connection = self._connect(flags)
        connection.set_busy_timeout(_READER_BUSY_MS)
        _run(connection, "reader_settings")
        return connection

    def _connect(self, flags: int) -> apsw.Connection:
        connection = apsw.Connection(
            str(self.path), flags=flags, vfs=self.vfs, statementcachesize=_STATEMENTS
        )
        # Without this, SQLite plans a statement anew whenever a value is bound that might have to
        # do with a partial index: fifteen microseconds each time instead of half of one.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        return connection


def _run(connection: apsw.Connection, name: str) -> None:
    connection.execute(_SQL[name]).fetchall()


class SqliteStore:
    """A ledger's storage in one file."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], int],
        busy_timeout_ms: int,
        threads: Threads,
        *,
        owned: bool,
    ) -> None:
        self._database = database
        self._file = database.path.stat()
        self._reads = threads.executor("tallystick-read")
        balances = Balances() if owned else None
        with ExitStack() as unless_opened:
            self._commits = threads.worker("tallystick-commit")
            unless_opened.callback(self._commits.close)
            self._lane = SqliteLane(
                database.writer,
                self._commits,
                clock,
                busy_timeout_ms,
                balances,
                LogMover(database.writer, threads.executor("tallystick-checkpoint")),
            )
            self._reader = SqliteReader(database.reader, self._reads, balances)
            unless_opened.pop_all()
        self.reader: Reader = self._reader
        self._discard: Callable[[], object] | None = None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], int],
        owned: bool = False,
        busy_timeout_ms: int = 2000,
        vfs: str | None = None,
        synchronous: Synchronous = "FULL",
        threads: Threads | None = None,
    ) -> Self:
        """Opens the database at `path`, made or migrated where necessary.

        `clock` gives microseconds since 1970. `owned` says that no other process writes the file as
        long as the store is open (see `owner`), so that balances may be served from memory.
        `:memory:` means a file of its own that vanishes with the store and is never synced. `vfs`
        and `synchronous` are there for tests of what happens without power, and `threads` for those
        of what happens in which order. Raises StoreNotUsable where an operator has to do something
        first, and StoreUnavailable where it may work later.
        """
        if path == IN_MEMORY:
            return cls._open_temporary(clock, busy_timeout_ms)
        file = Path(path).absolute()
        prepare_database_file(file)
        database = Database(path=file, vfs=vfs, synchronous=synchronous)
        _bring_up_to_date(database, clock(), busy_timeout_ms)
        with translating():
            return cls(database, clock, busy_timeout_ms, threads or Threads(), owned=owned)

    @classmethod
    def _open_temporary(cls, clock: Callable[[], int], busy_timeout_ms: int) -> Self:
        # Two connections share a database in memory only under rules of locking that are not those
        # of the log, so even this one is a file: what is tested is what runs.
        folder = tempfile.mkdtemp(prefix="tallystick-")
        store = cls.open(
            Path(folder, "ledger.db"),
            clock=clock,
            owned=True,
            busy_timeout_ms=busy_timeout_ms,
            synchronous="OFF",
        )
        store._discard = weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
        return store

    @property
    def lanes(self) -> Sequence[SqliteLane]:
        return (self._lane,)

    async def check(self) -> None:
        """Raises StoreUnavailable where the database cannot be read, or its file is gone."""
        try:
            found = self._database.path.stat()
        except OSError as error:
            raise StoreUnavailable(f"{self._database.path}: {error.strerror}") from error
        if (found.st_dev, found.st_ino) != (self._file.st_dev, self._file.st_ino):
            raise StoreUnavailable(f"{self._database.path} is another file than the one opened")
        await self._reader.check()

    async def close(self) -> None:
        """Waits for a commit under way, moves the log into the database and lets go of both.

        Raises StoreUnavailable where the disk refuses that. What was committed stands in the log
        then, where the next start finds it, and everything is let go of all the same.
        """
        with ExitStack() as letting_go:
            if self._discard is not None:
                letting_go.callback(self._discard)
            letting_go.callback(self._commits.close)
            letting_go.callback(self._reads.shutdown)
            try:
                with translating():
                    await self._reader.close()
            finally:
                with translating():
                    await self._lane.close()


def _bring_up_to_date(database: Database, now: int, busy_timeout_ms: int) -> None:
    try:
        with translating():
            with closing(database.untouched()) as connection:
                connection.set_busy_timeout(busy_timeout_ms)
                refuse_foreign(connection)
            with closing(database.writer()) as connection:
                connection.set_busy_timeout(busy_timeout_ms)
                migrate(connection, now)
    except StoreUnavailable as error:
        if isinstance(error.__cause__, apsw.NotADBError | apsw.CorruptError):
            raise StoreNotUsable(
                f"{database.path} is no SQLite database, or a damaged one: restore a backup, or "
                "name another file"
            ) from error
        raise
