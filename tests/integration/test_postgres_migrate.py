"""PostgreSQL's schema is the sum of its migrations, and a record that does not fit is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tallystick.storage.errors import SchemaMismatch
from tallystick.storage.migrate import load_migrations, make_migration
from tallystick.storage.postgres.migrate import dump_schema, migrate
from tallystick.storage.queries import sql_folder
from tests.servers.postgres import Connection, Postgres, connected, in_loop

FIRST = make_migration("0001_first.sql", "CREATE TABLE first (id TEXT);")
SECOND = make_migration("0002_second.sql", "CREATE TABLE second (id TEXT);")
BROKEN = make_migration(
    "0002_broken.sql", "CREATE TABLE second (id TEXT); INSERT INTO nowhere VALUES (1);"
)


async def record(connection: Connection) -> list[tuple[object, ...]]:
    rows = await connection.fetch("SELECT version, name FROM schema_migrations ORDER BY version")
    return [tuple(row) for row in rows]


@in_loop
async def test_migrations_give_the_committed_schema(postgres: Postgres, tmp_path: Path) -> None:
    async with connected(postgres.database()) as connection:
        found = await dump_schema(connection)
    (tmp_path / "schema.sql").write_text(found)
    committed = sql_folder("postgres").joinpath("schema.sql").read_text("utf-8")
    assert found == committed, f"if this is meant, {tmp_path}/schema.sql is the new snapshot"


@in_loop
async def test_the_committed_schema_makes_the_same_database(postgres: Postgres) -> None:
    committed = sql_folder("postgres").joinpath("schema.sql").read_text("utf-8")
    async with connected(postgres.empty_database()) as connection:
        await connection.execute(committed)
        assert await dump_schema(connection) == committed


@in_loop
async def test_running_again_changes_nothing(postgres: Postgres) -> None:
    async with connected(postgres.empty_database()) as connection:
        assert await migrate(connection) == list(load_migrations("postgres"))
        before = await dump_schema(connection), await record(connection)
        assert await migrate(connection) == []
        assert (await dump_schema(connection), await record(connection)) == before


@in_loop
async def test_each_migration_is_recorded_with_the_servers_time(postgres: Postgres) -> None:
    async with connected(postgres.empty_database()) as connection:
        await migrate(connection, known=[FIRST, SECOND])
        assert await record(connection) == [(1, "first"), (2, "second")]
        assert await connection.fetchval(
            "SELECT bool_and(to_timestamp(applied_at / 1000000.0)"
            " BETWEEN now() - interval '1 hour' AND clock_timestamp()) FROM schema_migrations"
        )


@in_loop
async def test_an_interrupted_migration_leaves_the_version_before(postgres: Postgres) -> None:
    async with connected(postgres.empty_database()) as connection:
        await migrate(connection, known=[FIRST])
        before = await dump_schema(connection)
        with pytest.raises(asyncpg.UndefinedTableError, match="nowhere"):
            await migrate(connection, known=[FIRST, BROKEN])
        assert await dump_schema(connection) == before
        assert await record(connection) == [(1, "first")]
        assert await migrate(connection, known=[FIRST, SECOND]) == [SECOND]


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
@in_loop
async def test_many_that_start_at_once_apply_each_script_once(
    postgres: Postgres, isolation: str
) -> None:
    url = postgres.empty_database()

    async def open_and_migrate() -> int:
        async with connected(url) as connection:
            await connection.execute(f"SET default_transaction_isolation = '{isolation}'")
            return len(await migrate(connection, known=[FIRST, SECOND]))

    assert sum(await asyncio.gather(*(open_and_migrate() for _ in range(8)))) == 2


@in_loop
async def test_a_script_that_would_hold_up_the_nodes_gives_up_and_changes_nothing(
    postgres: Postgres,
) -> None:
    url = postgres.empty_database()
    alters = make_migration("0002_alters.sql", "ALTER TABLE first ADD COLUMN name TEXT;")
    async with connected(url) as node, connected(url) as connection:
        await migrate(connection, known=[FIRST])
        async with node.transaction():
            await node.execute("INSERT INTO first VALUES ('a')")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await migrate(connection, known=[FIRST, alters])
        assert await migrate(connection, known=[FIRST, alters]) == [alters]


@in_loop
async def test_a_script_that_changed_after_it_was_applied_is_refused(postgres: Postgres) -> None:
    changed = make_migration("0001_first.sql", FIRST.script + " -- later")
    async with connected(postgres.empty_database()) as connection:
        await migrate(connection, known=[FIRST])
        with pytest.raises(SchemaMismatch, match=r"migration 1 \(first\) was applied in another"):
            await migrate(connection, known=[changed, SECOND])
        assert await record(connection) == [(1, "first")]


@in_loop
async def test_a_schema_from_the_future_is_refused(postgres: Postgres) -> None:
    async with connected(postgres.empty_database()) as connection:
        await migrate(connection, known=[FIRST, SECOND])
        with pytest.raises(SchemaMismatch, match=r"schema version 2, this version .* knows 1"):
            await migrate(connection, known=[FIRST])


@pytest.mark.parametrize("table", ["recipes (title TEXT)", "schema_migrations (version BIGINT)"])
@in_loop
async def test_a_database_of_something_else_is_left_alone(postgres: Postgres, table: str) -> None:
    async with connected(postgres.empty_database()) as connection:
        await connection.execute(f"CREATE TABLE {table}")
        before = await dump_schema(connection)
        with pytest.raises(SchemaMismatch, match=r"holds 1 table.* none of Tallystick's"):
            await migrate(connection)
        assert await dump_schema(connection) == before


@in_loop
async def test_a_search_path_that_leads_nowhere_is_named(postgres: Postgres) -> None:
    async with connected(postgres.empty_database()) as connection:
        await connection.execute("SET search_path = nowhere")
        with pytest.raises(SchemaMismatch, match="search path of this role names no schema"):
            await migrate(connection)


@in_loop
async def test_the_tables_may_be_in_a_schema_of_their_own(postgres: Postgres) -> None:
    async with connected(postgres.empty_database()) as connection:
        await connection.execute("CREATE SCHEMA ledger; SET search_path = ledger")
        await migrate(connection, partitions=2)
        dumped = await dump_schema(connection)
    committed = sql_folder("postgres").joinpath("schema.sql").read_text("utf-8")
    assert dumped.replace(") PARTITION BY HASH (organization_id);", ");") == committed


@in_loop
async def test_partitions_are_made_once_and_cannot_be_changed(postgres: Postgres) -> None:
    async with connected(postgres.empty_database()) as connection:
        with pytest.raises(ValueError, match="0 to 1024 partitions, not -1"):
            await migrate(connection, partitions=-1)
        await migrate(connection, partitions=3)
        for same in (3, None):
            assert await migrate(connection, partitions=same) == []
        with pytest.raises(SchemaMismatch, match=r"made with 3 partitions .* leave the setting at"):
            await migrate(connection, partitions=0)


@in_loop
async def test_later_migrations_cut_their_tables_into_as_many(postgres: Postgres) -> None:
    script = (
        "CREATE TABLE later (organization_id TEXT PRIMARY KEY);"
        "SELECT tallystick_partition('later');"
    )
    known = [*load_migrations("postgres")]
    known.append(make_migration(f"{len(known) + 1:04}_later.sql", script))
    async with connected(postgres.database(partitions=3)) as connection:
        await migrate(connection, known=known)
        assert (
            await connection.fetchval(
                "SELECT count(*) FROM pg_inherits WHERE inhparent = 'later'::regclass"
            )
            == 3
        )
