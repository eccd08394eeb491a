"""Brings a PostgreSQL database to the newest version, and grants a service what it needs there.

The scripts and the record are as in `storage.migrate`. Whoever migrates holds an advisory lock for
each script, so any number may start at once: one applies it, the others then find it applied. Nodes
at work are not stopped. A script that has to wait for a table gives up after seconds, since all
others would wait behind it; nothing has changed then, and it can be run again.

Two roles are meant: the owner of the tables migrates; the service works as another one, which may
do no more than `runtime_privileges` says. A role that was granted that once is granted what each
later script needs in the script's own transaction.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import asyncpg

from tallystick.storage.errors import SchemaMismatch, StoreNotUsable
from tallystick.storage.migrate import Applied, Migration, load_migrations, pending
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Connection, Record

MAX_PARTITIONS: Final = 1024
_SQL: Final = load_statements("postgres", "migrate", "schema_dump")


async def migrate(
    connection: Connection[Record],
    *,
    partitions: int | None = None,
    known: Sequence[Migration] | None = None,
) -> list[Migration]:
    """Applies what is missing; returns what that was. `connection` is of the role that is to own
    the tables, or owns them.

    `partitions` cuts each organization's tables into so many when they are first made (0: not at
    all) and cannot be changed afterwards; None is 0 at first, and later whatever there is. Raises
    SchemaMismatch where database, version or partitions do not fit, and the driver's errors.
    """
    known = load_migrations("postgres") if known is None else known
    done: list[Migration] = []
    while migration := await _apply_next(connection, known, partitions):
        done.append(migration)
    return done


async def migrate_as_owner(
    connection: Connection[Record], *, partitions: int | None = None
) -> None:
    """Applies what is missing where that is this role's to do; else changes nothing, and what is
    missing stays so: nobody but the owner writes the record. Raises what `migrate` does."""
    with suppress(asyncpg.InsufficientPrivilegeError):
        await migrate(connection, partitions=partitions)


async def grant_runtime(connection: Connection[Record], role: str) -> None:
    """Gives an existing role what a service needs, and takes from it what else it had here.

    `connection` is of the owner. Raises StoreNotUsable where there is no such role.
    """
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_SQL["lock_migrations"])
        if not await connection.fetchval(_SQL["role_exists"], role):
            raise StoreNotUsable(
                f"there is no role {role!r} on this server: make it with CREATE ROLE … LOGIN "
                "PASSWORD …, or as your provider has it, and grant again"
            )
        await _grant(connection, role)


async def applied_migrations(connection: Connection[Record]) -> list[Applied]:
    """The record, which is empty where nothing has been applied yet; changes nothing. Raises
    SchemaMismatch where the database is somebody else's."""
    schema, has_record, others = await connection.fetchrow(_SQL["count_tables"]) or (None, 0, 0)
    if schema is None:
        raise SchemaMismatch(
            "the search path of this role names no schema that exists: create one, or set "
            "search_path with ALTER ROLE … SET search_path"
        )
    rows = await connection.fetch(_SQL["history"]) if has_record else []
    if others and not rows:
        raise SchemaMismatch(
            f"the schema {schema} of this database holds {others} tables, but none of "
            "Tallystick's: name a new database"
        )
    return [Applied(*row) for row in rows]


async def dump_schema(connection: Connection[Record]) -> str:
    """The schema as text, for comparison with the committed snapshot."""
    rows = await connection.fetch(_SQL["dump_schema"])
    return "\n\n".join(f"{statement};" for (statement,) in rows) + "\n"


async def missing_privileges(connection: Connection[Record], role: str) -> list[str]:
    """What a service needs and `role` has not, in words like `INSERT on entries`."""
    rows = await connection.fetch(_SQL["runtime_privileges"], role)
    return sorted(privilege for privilege, is_held, _ in rows if not is_held)


async def _apply_next(
    connection: Connection[Record], known: Sequence[Migration], partitions: int | None
) -> Migration | None:
    # A statement must see what was committed while it waited for the lock, whatever the server's
    # default is.
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_SQL["lock_migrations"])
        applied = await applied_migrations(connection)
        todo = pending(known, applied)
        count = await _count_partitions(connection, partitions, is_new=not applied)
        if todo:
            await connection.execute(_SQL["set_limits"])
            await connection.execute(_SQL["create_history"])
            await connection.execute(_SQL["set_partitions"], str(count))
            await connection.execute(todo[0].script)
            await connection.execute(_SQL["note_applied"], *todo[0][:3])
            for (role,) in await connection.fetch(_SQL["runtime_roles"]):
                await _grant(connection, role)
    return todo[0] if todo else None


async def _count_partitions(
    connection: Connection[Record], wanted: int | None, *, is_new: bool
) -> int:
    if wanted is not None and not 0 <= wanted <= MAX_PARTITIONS:
        raise ValueError(f"a table has 0 to {MAX_PARTITIONS} partitions, not {wanted}")
    if is_new:
        return wanted or 0
    there: int = await connection.fetchval(_SQL["count_partitions"])
    if wanted not in {None, there}:
        raise SchemaMismatch(
            f"the tables of this database were made with {there} partitions and cannot be cut "
            f"anew into {wanted}: leave the setting at {there}, or begin with a new database"
        )
    return there


async def _grant(connection: Connection[Record], role: str) -> None:
    for (statement,) in await connection.fetch(_SQL["revoke_all"], role):
        await connection.execute(statement)
    for _, is_held, statement in await connection.fetch(_SQL["runtime_privileges"], role):
        if not is_held:
            await connection.execute(statement)
