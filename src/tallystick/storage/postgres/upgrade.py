"""What an operator does to a database before services start on it, or while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallystick.storage.postgres.checks import check_server, explaining
from tallystick.storage.postgres.migrate import grant_runtime, migrate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.storage.postgres.connect import Database

_UPGRADING: Final[Mapping[str, str]] = {"application_name": "tallystick-migrate"}


async def upgrade(database: Database, *, partitions: int | None, role: str | None) -> list[str]:
    """Applies what is missing, and then gives `role` what a service needs; the names of what was
    applied. The role that the URL names is to own the tables.

    Raises StoreNotUsable, which says what to do, where the database is not fit for a ledger.
    """
    with explaining(database.url):
        connection = await database.connect(_UPGRADING)
        try:
            await check_server(connection)
            applied = await migrate(connection, partitions=partitions)
            if role is not None:
                await grant_runtime(connection, role)
        finally:
            connection.terminate()
    return [f"{each.version:04} {each.name}" for each in applied]
