"""A few connections for reading: made when needed, given up when anything goes wrong with them.

Theory of operation. What a reader does may be done again, so nothing is mended: a connection on
which something was broken off, by its deadline or because its caller left, is closed at once (the
server notices, see READING), and whoever needs the next one connects anew. There are no timers, and
one thing is done twice: a connection that lay idle may have been lost meanwhile, as when the server
was restarted, and who finds that out has not begun yet.

A deadline counts from the moment of asking. It covers waiting for a connection, making one, and
what is done with it, so nobody waits for longer, whatever hangs.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import asyncpg

from tallystick.ledger.ports import StoreUnavailable
from tallystick.storage.postgres.errors import DRIVER_ERRORS, translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    Row = Sequence[Any]
    Connect = Callable[[], Awaitable[Any]]

T = TypeVar("T")

READING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "default_transaction_read_only": "on",
        "default_transaction_isolation": "read committed",
        # A plan is made once and is the same for everybody: what tests say of it stays true.
        "plan_cache_mode": "force_generic_plan",
        # By index whatever the statistics say: they are old where a table has just begun to grow.
        "enable_seqscan": "off",
        "jit": "off",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "10s",
        # A statement that nobody waits for any more ends.
        "client_connection_check_interval": "1s",
    }
)
"""The settings of a session that reads."""

_LOST: Final = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InterfaceError,
    # The driver's word for a farewell that it reads while it sends.
    asyncpg.InternalClientError,
)
"""What says that a connection was no longer one."""
_HARMLESS: Final = (asyncpg.PostgresError, LookupError, ValueError)
"""What leaves a connection fit for use, if it is still one: the last ones have not reached it."""


class Connection(Protocol):
    """What readers use of an `asyncpg.Connection`. Its rows are sequences, which the driver's types
    do not say."""

    async def fetch(self, query: str, *args: object) -> list[Row]: ...

    async def fetchrow(self, query: str, *args: object) -> Row | None: ...

    async def fetchval(self, query: str, *args: object) -> Any: ...  # noqa: ANN401 - any column

    async def execute(self, query: str, *args: object) -> object: ...

    def is_in_transaction(self) -> bool: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...


class Connections:
    """At most `most` connections, each for one at a time, who gets an answer within `seconds`."""

    def __init__(self, connect: Connect, *, most: int, seconds: float) -> None:
        self._connect = connect
        self._seconds = seconds
        self._places = asyncio.Semaphore(most)
        self._idle: list[Connection] = []
        self._closed = False

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` makes of a connection that has no transaction open; it may be called twice.

        Raises what `work` does, the driver's errors in the ledger's words.
        """
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline, self._places:
                return await self._run(work)
        except DRIVER_ERRORS as error:
            if deadline.expired():
                why = f"the database did not answer within {self._seconds} seconds"
                raise StoreUnavailable(why) from error
            raise translate(error) from error

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        idle = self._take_idle()
        if idle is not None:
            try:
                return await self._lend(idle, work)
            except _LOST as error:
                # The driver's errors of values are among its errors of connections.
                if isinstance(error, ValueError):
                    raise
        return await self._lend(await self._connect(), work)

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _lend(self, connection: Connection, work: Callable[[Connection], Awaitable[T]]) -> T:
        fit = False
        try:
            result = await work(connection)
            fit = True
        except _HARMLESS:
            fit = True
            raise
        finally:
            unfit = connection.is_closed() or connection.is_in_transaction()
            if fit and not unfit and not self._closed:
                self._idle.append(connection)
            else:
                connection.terminate()
        return result

    def close(self) -> None:
        """Lets go of all connections; what is under way on one is broken off when it ends."""
        self._closed = True
        while self._idle:
            self._idle.pop().terminate()
