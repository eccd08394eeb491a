"""A ledger copied from an SQLite file into PostgreSQL, or the other way, row by row.

Tables and columns are the same, so what reads PostgreSQL can be held against what reads the file,
and what reads files can be asked about PostgreSQL.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from tests.tidy.project import PACKAGE

TABLES = (
    *("organizations", "teamspaces", "api_keys", "key_directory", "accounts", "grants", "holds"),
    *("budgets", "entries", "usage_events", "event_dimensions", "milestones", "periods"),
    *("period_usage", "usage_rollups", "usage_days", "refused_requests", "prices", "price_ends"),
)
FLAGS = {"imported", "overdraw"}
_SCHEMA = PACKAGE / "storage" / "sql" / "sqlite" / "schema.sql"


async def copy_ledger(source: Path, url: str) -> None:
    """Replaces whatever the database has, with nobody looking in between."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            # Triggers refuse to change entries, and number prices.
            await connection.execute("SET LOCAL session_replication_role = replica")
            for table in (*TABLES, "external_ids"):
                await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of this file
            with closing(apsw.Connection(str(source))) as file:
                for table in TABLES:
                    await _copy(file, connection, table)
            await _derive(connection)
    finally:
        await connection.close()


async def copy_to_file(url: str, path: Path) -> None:
    """Writes one moment of the database to a new file, whose tables check each row once more."""
    connection = await asyncpg.connect(url)
    try:
        with closing(apsw.Connection(str(path))) as file:
            file.execute(_SCHEMA.read_text())
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                with file:
                    for table in TABLES:
                        await _fetch(connection, file, table)
    finally:
        await connection.close()


async def _fetch(
    connection: asyncpg.Connection[asyncpg.Record], file: apsw.Connection, table: str
) -> None:
    names = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
    columns, places = ", ".join(names), ", ".join("?" * len(names))
    rows = await connection.fetch(f"SELECT {columns} FROM {table}")  # noqa: S608 - names of tables
    insert = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608 - names of tables
    file.executemany(insert, (tuple(row) for row in rows))


async def _copy(
    file: apsw.Connection, connection: asyncpg.Connection[asyncpg.Record], table: str
) -> None:
    found = file.execute(f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 - a name of this file
    rows: list[Any] = found.fetchall()
    names = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
    flags = [at for at, name in enumerate(names) if name in FLAGS]
    rows = [[bool(v) if at in flags else v for at, v in enumerate(row)] for row in rows]
    await connection.copy_records_to_table(table, records=rows, columns=names)


async def _derive(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """What PostgreSQL has and SQLite has not."""
    await connection.execute(
        "INSERT INTO external_ids SELECT external_id, organization_id FROM organizations"
        " WHERE external_id IS NOT NULL"
    )
    await connection.execute(
        "UPDATE price_book SET last_price = (SELECT coalesce(max(number), 0) FROM prices),"
        " last_end = (SELECT coalesce(max(number), 0) FROM price_ends)"
    )
