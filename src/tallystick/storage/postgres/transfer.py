"""A ledger's rows on their way into a PostgreSQL database, organization by organization.

Theory of operation. What belongs to no organization is one transaction, and then each organization
is one of its own: it is there as a whole, or not at all. So a transfer that was broken off is begun
again and goes on. What it finds is compared with the source, row by row, instead of being copied:
not everything that may have changed meanwhile shows in the head of a chain.

Rows flow through COPY while they are read, at the pace of the slower end; memory holds a buffer of
them. One transfer at a time writes to a database, and none while services are at work there.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from tallystick.ledger.audit import Head
from tallystick.ledger.ports import StatementRejected
from tallystick.storage.errors import StoreNotUsable
from tallystick.storage.migrate import load_migrations, pending
from tallystick.storage.postgres.checks import check_server, explaining
from tallystick.storage.postgres.errors import DRIVER_ERRORS, translating
from tallystick.storage.postgres.migrate import applied_migrations, migrate
from tallystick.storage.queries import load_statements
from tallystick.storage.transferred import BOOK, TABLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tallystick.storage.postgres.connect import Connection, Database
    from tallystick.storage.transferred import Rows, Source

    Tick = Callable[[int], None]

_SQL: Final = load_statements("postgres", "transfer")
TRANSFERRING: Final[Mapping[str, str]] = {
    # Not that of services, who are looked for.
    "application_name": "tallystick-transfer",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "10s",
}
"""The settings of a session that copies, which may take hours."""
_BATCH: Final = 1000
"""Rows after which others have their turn: a signal, the bar of progress."""
_PREFETCH: Final = 1000


class Different(Exception):
    """The destination has something else than the source; in which table."""

    def __init__(self, table: str) -> None:
        super().__init__(f"the table {table} says something else")
        self.table = table


class PostgresDestination:
    """A database into which nobody else transfers, and that has the tables of this version."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def heads(self) -> dict[str, Head]:
        """How far the chain of each organization is that is there."""
        with translating():
            rows = await self._connection.fetch(_SQL["heads"])
        return {name: Head(sequence, head) for name, sequence, head in rows}

    async def has_directory(self) -> bool:
        """Whether there is anything that belongs to no organization."""
        with translating():
            return bool(await self._connection.fetchval(_SQL["has_directory"]))

    async def copy_directory(self, source: Source) -> None:
        """Writes what belongs to no organization: the price book, and what is operators'."""
        async with self._transaction():
            for table in BOOK:
                await self._copy(table, source.book(table), _nobody_looks)
            for table in TABLES:
                await self._copy(table, source.rows(table, ""), _nobody_looks)

    async def compare_directory(self, source: Source) -> None:
        """Raises Different unless the source has the very same."""
        async with self._transaction(readonly=True):
            for table in BOOK:
                await self._compare(table, source.book(table), _nobody_looks)
            for table in TABLES:
                await self._compare(table, source.rows(table, ""), _nobody_looks, "")

    async def copy(self, source: Source, organization_id: str, tick: Tick) -> None:
        """Writes an organization. `tick` is told how many entries were read since the last time."""
        async with self._transaction():
            for table in TABLES:
                looks = tick if table == "entries" else _nobody_looks
                await self._copy(table, source.rows(table, organization_id), looks)

    async def compare(self, source: Source, organization_id: str, tick: Tick) -> None:
        """Raises Different unless the source has the very same of the organization."""
        async with self._transaction(readonly=True):
            for table in TABLES:
                looks = tick if table == "entries" else _nobody_looks
                rows = source.rows(table, organization_id)
                await self._compare(table, rows, looks, organization_id)

    @asynccontextmanager
    async def _transaction(self, *, readonly: bool = False) -> AsyncIterator[None]:
        """The driver's own would say of a lost connection only that it cannot be rolled back."""
        with translating():
            transaction = self._connection.transaction(
                isolation="repeatable_read" if readonly else "read_committed", readonly=readonly
            )
            await transaction.start()
            try:
                yield
            except BaseException:
                with suppress(*DRIVER_ERRORS):
                    await transaction.rollback()
                raise
            await transaction.commit()

    async def _copy(self, table: str, found: Rows, tick: Tick) -> None:
        if not found.columns:
            return
        try:
            with translating():
                await self._connection.copy_records_to_table(
                    table, records=_flowing(found, tick), columns=found.columns
                )
        except StatementRejected as error:
            raise StoreNotUsable(
                f"the destination does not take a row of {table}: {error}: mend it in the source"
            ) from error

    async def _compare(self, table: str, found: Rows, tick: Tick, *key: str) -> None:
        cursor = self._connection.cursor(_SQL[f"copy_{table}"], *key, prefetch=_PREFETCH)
        there = aiter(cursor)
        async for row in _flowing(found, tick):
            other = await anext(there, None)
            if other is None or tuple(other) != row:
                raise Different(table)
        if await anext(there, None) is not None:
            raise Different(table)


@asynccontextmanager
async def destination(
    database: Database, partitions: int | None
) -> AsyncIterator[PostgresDestination]:
    """Raises StoreNotUsable where the database is not fit for it, before anything is changed."""
    with explaining(database.url):
        connection = await database.connect(TRANSFERRING)
    try:
        with explaining(database.url):
            await check_server(connection)
            pending(load_migrations("postgres"), await applied_migrations(connection))
            await _refuse_others(connection)
            await migrate(connection, partitions=partitions)
        yield PostgresDestination(connection)
    finally:
        connection.terminate()


async def _refuse_others(connection: Connection) -> None:
    if not await connection.fetchval(_SQL["lock_transfer"]):
        raise StoreNotUsable("another transfer into this database is under way: wait for its end")
    services = await connection.fetchval(_SQL["count_services"])
    if services:
        raise StoreNotUsable(
            f"services are at work on the destination ({services} connections): stop them until "
            "the transfer is done"
        )


async def _flowing(found: Rows, tick: Tick) -> AsyncIterator[Any]:
    while batch := list(islice(found.rows, _BATCH)):
        for row in batch:
            yield row
        tick(len(batch))
        await asyncio.sleep(0)


def _nobody_looks(_: int) -> None:
    """Where no progress is shown."""
