"""Brings a PostgreSQL database to the newest version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallystick.storage.migrate import Applied, Migration, load_migrations, pending
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Connection, Record

_SQL: Final = load_statements("postgres", "migrate")


async def migrate(
    connection: Connection[Record],
    now: int,
    *,
    partitions: int = 0,
    known: Sequence[Migration] | None = None,
) -> list[Migration]:
    known = load_migrations("postgres") if known is None else known
    done: list[Migration] = []
    while migration := await _apply_next(connection, known, now, partitions):
        done.append(migration)
    return done


async def _apply_next(
    connection: Connection[Record], known: Sequence[Migration], now: int, partitions: int
) -> Migration | None:
    async with connection.transaction():
        await connection.execute(_SQL["lock_migrations"])
        await connection.execute(_SQL["create_history"])
        rows = await connection.fetch(_SQL["history"])
        todo = pending(known, [Applied(*row) for row in rows])
        if not todo:
            return None
        await connection.execute(_SQL["set_partitions"], str(partitions))
        await connection.execute(todo[0].script)
        await connection.execute(_SQL["note_applied"], *todo[0][:3], now)
        return todo[0]
