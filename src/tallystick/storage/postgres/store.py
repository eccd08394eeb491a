"""The PostgreSQL store: lanes that write and one reader, for any number of processes.

Decisions that this rests on are in docs/adr: batches on PostgreSQL (0023).
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from tallystick.storage.postgres.checks import check, check_server, explaining
from tallystick.storage.postgres.clock import DatabaseClock
from tallystick.storage.postgres.connect import Database
from tallystick.storage.postgres.connections import READING
from tallystick.storage.postgres.lane import Patience, PostgresLane, session_settings
from tallystick.storage.postgres.migrate import migrate_as_owner
from tallystick.storage.postgres.reader import PostgresReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from tallystick.ledger.reading import Reader

LANES: Final = 4
"""Lanes of a process: while one waits for its COMMIT, others decide."""


class PostgresStore:
    """A ledger's storage in a PostgreSQL database."""

    def __init__(
        self,
        database: Database,
        lanes: int,
        clock: Callable[[], int] | None,
        patience: Patience,
    ) -> None:
        self._seen = DatabaseClock()
        self.clock: Callable[[], int] = self._seen if clock is None else clock
        self.advice: Sequence[str] = ()
        """What could be better with the database, for the log."""
        connect = partial(database.connect, session_settings(patience))
        self._lanes = tuple(
            PostgresLane(connect, self._seen, clock, patience) for _ in range(lanes)
        )
        self._reader = PostgresReader(partial(database.connect, READING), self._seen)
        self.reader: Reader = self._reader

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        lanes: int = LANES,
        migrates: bool = False,
        partitions: int | None = None,
        requires_durability: bool = True,
        clock: Callable[[], int] | None = None,
        patience: Patience | None = None,
    ) -> Self:
        """Opens the database at `url`, which has to be fit for a service.

        Where it `migrates`, the role that owns the tables brings the database up to date first; new
        tables are cut into `partitions`. Any other role finds it up to date, or is told who may do
        that. Without `requires_durability` a server will do that loses commits in a crash. `clock`
        (microseconds since 1970) takes the place of the database's, for tests. Raises
        StoreNotUsable, which says what to do, where all is not well: NotReachable, where waiting
        may mend it.
        """
        database, patience = Database(url=url), patience or Patience()
        with explaining(url):
            connection = await database.connect(session_settings(patience))
            try:
                if migrates:
                    await check_server(connection)
                    await migrate_as_owner(connection, partitions=partitions)
                advice = await check(connection, requires_durability=requires_durability)
            finally:
                connection.terminate()
        store = cls(database, lanes, clock, patience)
        store.advice = advice
        async with AsyncExitStack() as unless_opened:
            unless_opened.push_async_callback(store.close)
            await store.check()
            unless_opened.pop_all()
        return store

    @property
    def lanes(self) -> Sequence[PostgresLane]:
        return self._lanes

    async def check(self) -> None:
        """Raises StoreUnavailable where the database does not answer right now."""
        await self._reader.read_clock()

    async def close(self) -> None:
        """Undoes what is open and lets go of all connections."""
        async with AsyncExitStack() as letting_go:
            letting_go.push_async_callback(self._reader.close)
            for lane in self._lanes:
                letting_go.push_async_callback(lane.close)
