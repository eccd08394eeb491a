"""The lane of an SQLite store: one connection, one transaction at a time.

Theory of operation. `load` and the writes of `append` run in the event loop: they touch pages in
memory, a few microseconds each, and handing them to a thread would cost more than they do. What
waits for the disk runs in the store's one worker thread: COMMIT, which writes the log and syncs it,
now and then the end of moving the log into the database (`sqlite_log`), and BEGIN where another
process holds the lock.

A job in the worker outlives the task that waits for it: a task that is cancelled leaves the job to
end by itself, and whoever uses the lane next waits for that and rolls back what is then still open.
So the lane is either idle or in one transaction of its present user, whatever became of the last.

The job itself puts things right when COMMIT fails, for the same reason: nobody may be waiting.

What is remembered from one batch to the next is settled here: accounts (`sqlite_accounts`) leave
with the batch and come back when its COMMIT has returned; balances (`balances`) likewise. Prices
(`sqlite_prices`) stay until the book has changed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import apsw

from tallystick.domain.prices import NO_PRICES
from tallystick.ledger.ports import Snapshot, StoreError, StoreUnavailable
from tallystick.storage.loaded import note_loaded
from tallystick.storage.sqlite_accounts import AccountCache
from tallystick.storage.sqlite_errors import translate_commit, translating
from tallystick.storage.sqlite_load import SQL, load
from tallystick.storage.sqlite_prices import PriceCache
from tallystick.storage.sqlite_write import write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tallystick.domain.prices import PriceBook
    from tallystick.ledger.ports import Changes, Wanted
    from tallystick.storage.balances import Balances
    from tallystick.storage.loaded import Loaded
    from tallystick.storage.sqlite_log import LogMover
    from tallystick.storage.worker import Worker


class SqliteLane:
    """The only writer of its database file."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        worker: Worker,
        clock: Callable[[], int],
        busy_timeout_ms: int,
        balances: Balances | None,
        log: LogMover,
    ) -> None:
        self._connect = connect
        self._worker = worker
        self._clock = clock
        self._busy_timeout_ms = busy_timeout_ms
        self._connection: apsw.Connection | None = None
        self._log = log
        self._connection = self._open()
        self._may_have_job = False
        self._is_closed = False
        self._balances = balances
        self._accounts = AccountCache()
        self._data_version: object = None
        self._snapshot = Snapshot(now=0)
        self._loaded: dict[str, Loaded] = {}
        self._prices = PriceCache()

    async def load(self, wanted: Wanted) -> Snapshot:
        if self._is_closed:
            # A connection that was given up is opened again; this file may be another's by now.
            raise StoreUnavailable("the lane is closed")
        await self.abandon()
        connection = await self._begin()
        prices = await self._price_book(connection, wanted.prices) if wanted.prices else NO_PRICES
        try:
            with translating():
                self._notice_other_writers(connection)
                snapshot = load(connection, wanted, self._clock(), self._accounts)
        except BaseException:
            self._roll_back()
            raise
        self._snapshot, self._loaded = snapshot, note_loaded(snapshot)
        snapshot.prices = prices
        return snapshot

    async def append(self, changes: Changes) -> None:
        connection = self._connection
        if connection is None or not connection.in_transaction:
            raise RuntimeError("append comes after load, once")
        try:
            with translating():
                write(connection, changes, self._loaded)
        except BaseException:
            self._roll_back()
            raise
        self._accounts.forget(changes)
        if self._balances is not None:
            self._balances.begin(changes.accounts)
        try:
            await self._in_worker(self._commit)
        except StoreError:
            self._forget_under_way()
            raise
        if self._balances is not None:
            self._balances.committed()
        self._accounts.take_back(changes, self._snapshot)

    async def confirm(self) -> None:
        """One lane reads only what it has synced."""
        await self.abandon()

    async def abandon(self) -> None:
        if self._may_have_job:
            # Jobs end in their order, and this one does nothing.
            await self._worker.run(_nothing)
            self._may_have_job = False
            self._forget_under_way()
        self._roll_back()

    async def close(self) -> None:
        """Undoes what is open, moves the log into the database and closes it."""
        self._is_closed = True
        await self.abandon()
        await self._in_worker(self._close)

    def _close(self) -> None:
        try:
            self._log.close()
        finally:
            self._drop_connection()

    def _open(self) -> apsw.Connection:
        connection = self._connect()
        self._log.watch(connection)
        return connection

    async def _begin(self) -> apsw.Connection:
        with translating():
            if self._connection is None:
                self._connection = self._open()
            if self._log.wants_to_finish():
                await self._in_worker(partial(self._log.finish, self._connection))
            try:
                self._connection.execute(SQL["begin"])
            except apsw.BusyError:
                await self._in_worker(self._begin_patiently)
        return self._connection

    def _notice_other_writers(self, connection: apsw.Connection) -> None:
        """Forgets everything where somebody else wrote the file, or the connection is a new one."""
        ((version,),) = connection.execute(SQL["data_version"]).fetchall()
        if version != self._data_version:
            self._data_version = version
            self._accounts.clear()
            if self._balances is not None:
                self._balances.clear()

    async def _price_book(self, connection: apsw.Connection, meters: Collection[str]) -> PriceBook:
        """What is remembered is at hand; to load what is not may take long enough for a thread."""
        try:
            with translating():
                book = self._prices.kept(connection, meters)
        except StoreError:
            self._roll_back()
            raise
        if book is not None:
            return book
        loaded: list[PriceBook] = []
        with translating():
            await self._in_worker(partial(self._load_prices, meters, loaded))
        return loaded[0]

    def _load_prices(self, meters: Collection[str], loaded: list[PriceBook]) -> None:
        if self._connection is None:
            raise StoreUnavailable("the lane is closed")
        try:
            loaded.append(self._prices.book(self._connection, meters))
        except BaseException:
            self._roll_back()
            raise

    def _forget_under_way(self) -> None:
        if self._balances is not None:
            self._balances.given_up()

    def _begin_patiently(self) -> None:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable("the lane is closed")
        connection.set_busy_timeout(self._busy_timeout_ms)
        try:
            connection.execute(SQL["begin"])
        finally:
            connection.set_busy_timeout(0)

    def _commit(self) -> None:
        if self._connection is None:
            raise StoreUnavailable("the lane is closed")
        try:
            self._connection.execute(SQL["commit"])
        except apsw.Error as error:
            self._roll_back()
            raise translate_commit(error) from error

    async def _in_worker(self, job: Callable[[], None]) -> None:
        self._may_have_job = True
        await self._worker.run(job)
        self._may_have_job = False

    def _roll_back(self) -> None:
        """Leaves no transaction open; a connection that cannot even do that is given up."""
        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.execute(SQL["rollback"])
            except apsw.Error:
                self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._data_version = None
        if connection is not None:
            connection.close(force=True)


def _nothing() -> None: ...
