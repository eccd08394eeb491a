"""A connection with one transaction at a time, and what becomes of it when anything goes wrong.

Theory of operation. A step is carried through, or its connection is given up. A statement whose
deadline passes, or for which nobody waits any more, is not cancelled on the server: a COMMIT that
is told to hurry would not wait for its standby. The connection is closed instead, and the server
undoes what is open on it. So a session is idle or in a transaction of its present user.

Who needs a connection next makes one, after a pause that grows as long as that fails. Until it has
passed, asking fails at once: nobody waits for a database that is not there.

COMMIT is believed only when it says that it committed. Where the connection breaks meanwhile, or
the server warns (it has not waited for its standby), what came of it is unknown.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from tallystick.ledger.ports import (
    OutcomeUnknown,
    Outrun,
    StatementRejected,
    StoreError,
    StoreUnavailable,
)
from tallystick.storage.postgres.errors import (
    DRIVER_ERRORS,
    described,
    state_of,
    translate_commit,
    translating,
)
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tallystick.storage.postgres.connect import Connection

T = TypeVar("T")

_SQL: Final = load_statements("postgres", "load")
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_BREAKS_OFF: Final = (*DRIVER_ERRORS, StoreUnavailable)
_COMMITTED: Final = "COMMIT"
_LOST: Final = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    # The driver's word for a farewell that it reads while it sends.
    asyncpg.InternalClientError,
)
"""What says that a connection had been lost before it was used."""
_IN_EACH_OTHERS_WAY: Final = frozenset({"40001", "40P01"})
"""A failure to serialize, a deadlock: neither should be, and trying again mends both."""


class Session:
    """Makes its connection when it is needed, and again when it was lost."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], step_seconds: float) -> None:
        self._connect = connect
        self._step_seconds = step_seconds
        self._connection: Connection | None = None
        self._is_open = False
        self._is_closed = False
        self._warnings: list[str] = []
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._not_before = 0.0
        self._why = ""
        self._random = random.SystemRandom()

    async def begin(self) -> Connection:
        """Begins a transaction, where necessary on a new connection."""
        if self._is_closed:
            raise StoreUnavailable("the lane is closed")
        idle = self._connection
        if idle is not None and not idle.is_closed():
            try:
                return await self._begin_on(idle)
            except StoreUnavailable as error:
                self._give_up()
                if not isinstance(error.__cause__, _LOST):
                    raise
        # Also where an idle connection had been lost: nothing has begun.
        return await self._begin_on(await self._new_connection())

    async def _begin_on(self, connection: Connection) -> Connection:
        await self.step(connection.execute(_SQL["begin"]))
        self._is_open = True
        return connection

    def transaction(self) -> Connection:
        """The connection, in the transaction that was begun."""
        if self._connection is None or not self._is_open:
            raise RuntimeError("append comes after load, once")
        return self._connection

    async def step(self, doing: Coroutine[None, None, T]) -> T:
        """Carries `doing` through, or gives the connection up; errors in the ledger's words."""
        with translating():
            try:
                return await self._carry_through(doing)
            except DRIVER_ERRORS as error:
                if state_of(error) in _IN_EACH_OTHERS_WAY:
                    raise Outrun(described(error)) from error
                raise

    async def commit(self) -> None:
        """Returns when what was written is durable. Raises OutcomeUnknown where nobody knows, and
        other errors where it is not."""
        connection = self.transaction()
        self._warnings.clear()
        try:
            status = await self._carry_through(connection.execute(_SQL["commit"]))
        except _BREAKS_OFF as error:
            self._give_up()
            raise translate_commit(error) from error
        self._is_open = False
        if status != _COMMITTED:
            raise StatementRejected(f"COMMIT was answered with {status}")
        if self._warnings:
            raise OutcomeUnknown("; ".join(self._warnings))

    async def roll_back(self) -> None:
        """Leaves no transaction open; a connection that cannot even do that is given up."""
        if self._connection is None or not self._is_open:
            return
        with suppress(StoreError):
            await self.step(self._connection.execute(_SQL["rollback"]))
            self._is_open = False
            return
        self._give_up()

    async def close(self) -> None:
        self._is_closed = True
        await self.roll_back()
        connection, self._connection = self._connection, None
        if connection is not None:
            # Nothing is open on it: if it cannot even take its leave, it is gone all the same.
            with suppress(StoreError), translating():
                await connection.close(timeout=self._step_seconds)

    async def _carry_through(self, doing: Coroutine[None, None, T]) -> T:
        step = asyncio.get_running_loop().create_task(doing)
        try:
            done, _ = await asyncio.wait({step}, timeout=self._step_seconds)
        except BaseException:
            self._abandon_step(step)
            raise
        if not done:
            self._abandon_step(step)
            raise StoreUnavailable(f"the database did not answer within {self._step_seconds} s")
        return step.result()

    def _abandon_step(self, step: asyncio.Task[T]) -> None:
        """What the step ends with when its connection is gone concerns nobody."""
        step.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._give_up()

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        self._is_open = False
        if connection is not None:
            connection.terminate()

    async def _new_connection(self) -> Connection:
        self._connection, self._is_open = None, False
        if time.monotonic() < self._not_before:
            raise StoreUnavailable(self._why)
        try:
            with translating():
                connection = await self._connect()
                connection.add_log_listener(self._listen)
                self._connection = connection
        except StoreError as error:
            self._give_up()
            # Not all lanes of all nodes at one moment.
            pause = self._pause_seconds * self._random.uniform(0.5, 1.0)
            self._not_before = time.monotonic() + pause
            self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
            self._why = str(error)
            raise StoreUnavailable(self._why) from error
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        return connection

    def _listen(self, _: object, message: object) -> None:
        """Hears what the server says beside its answers, before the answer is handed over."""
        if getattr(message, "severity_en", None) == "WARNING":
            self._warnings.append(str(message))
