"""PostgreSQL's tables are SQLite's, the organization leads, and partitions lack nothing."""

from __future__ import annotations

import apsw
import pytest

from tallystick.storage.postgres.migrate import dump_schema
from tallystick.storage.queries import sql_folder
from tests.servers.postgres import Connection, Postgres, connected, in_loop

# Whose keys do not begin with the organization, and why. This is the whole list.
BEGINS_OTHERWISE = {
    "external_ids_pkey": "finds the organization of a caller's name for it",
    "key_directory_pkey": "finds the organization of a secret",
    "price_book_pkey": "the price book belongs to no organization",
    "price_ends_pkey": "the same",
    "price_ends_price_id_ends_at_key": "the same",
    "prices_pkey": "the same",
    "prices_price_id_key": "the same",
    "schema_migrations_pkey": "belongs to the database",
}
# Indexes that keep nothing unique: for what is asked of all organizations, off the hot path.
ASKED_OF_ALL = {
    "accounts_by_due",
    "organizations_by_age",
    "prices_by_age",
    "prices_by_meter",
    "refused_requests_by_age",
    "replays_by_age",
}
OF_NO_ORGANIZATION = {"prices", "price_ends", "price_book", "schema_migrations"}
DIRECTORIES = {"external_ids", "key_directory"}
PARTITIONS = 3


@pytest.fixture(params=[0, PARTITIONS], ids=["whole", "partitioned"])
def url(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    return postgres.database(partitions=request.param)


async def names(connection: Connection, query: str) -> set[str]:
    return {row[0] for row in await connection.fetch(query)}


FIRST_COLUMNS = """
    SELECT x.relname, a.attname = 'organization_id', i.indisunique
    FROM pg_index AS i
    JOIN pg_class AS x ON x.oid = i.indexrelid
    JOIN pg_class AS c ON c.oid = i.indrelid
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
"""


@in_loop
async def test_the_organization_leads_every_key_but_for_these(url: str) -> None:
    async with connected(url) as connection:
        rows = await connection.fetch(FIRST_COLUMNS)
    assert {name for name, leads, unique in rows if unique and not leads} == set(BEGINS_OTHERWISE)
    assert {name for name, leads, unique in rows if not unique and not leads} == ASKED_OF_ALL


@in_loop
async def test_the_tables_and_columns_are_those_of_sqlite(url: str) -> None:
    sqlite = sql_folder("sqlite").joinpath("schema.sql").read_text("utf-8")
    async with connected(url) as connection:
        columns = await names(
            connection,
            "SELECT table_name || '.' || column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name !~ '_[0-9]+$'",
        )
    assert columns - sqlite_columns(sqlite) == {
        "external_ids.external_id",
        "external_ids.organization_id",
        "price_book.is_the_row",
        "price_book.last_end",
        "price_book.last_price",
    }
    assert sqlite_columns(sqlite) <= columns


def sqlite_columns(schema: str) -> set[str]:
    connection = apsw.Connection(":memory:")
    connection.execute(schema)
    return {
        f"{table}.{column}"
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    }


@in_loop
async def test_nothing_counts_by_a_sequence(url: str) -> None:
    async with connected(url) as connection:
        assert await names(connection, "SELECT relname FROM pg_class WHERE relkind = 'S'") == set()


@in_loop
async def test_all_text_is_compared_by_its_bytes(url: str) -> None:
    async with connected(url) as connection:
        assert (
            await names(
                connection,
                "SELECT format('%s.%s %s', table_name, column_name, collation_name)"
                " FROM information_schema.columns WHERE table_schema = 'public'"
                " AND data_type NOT IN ('bigint', 'bytea', 'boolean') AND"
                " (data_type <> 'text' OR collation_name IS DISTINCT FROM 'C')",
            )
            == set()
        )
        # The cluster of the tests sorts by a language, in which this would be otherwise.
        assert await connection.fetchval("SELECT 'a' < 'B'")
        assert await connection.fetchval("SELECT 'a' COLLATE \"C\" > 'B'")


@in_loop
async def test_every_table_of_organizations_is_partitioned(postgres: Postgres) -> None:
    async with connected(postgres.database(partitions=PARTITIONS)) as connection:
        rows = await connection.fetch(
            "SELECT relname, relkind = 'p' FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'public'::regnamespace AND NOT relispartition"
        )
        counts = await connection.fetch("SELECT count(*) FROM pg_inherits GROUP BY inhparent")
    assert {name for name, is_cut in rows if not is_cut} == OF_NO_ORGANIZATION | DIRECTORIES
    assert {count for (count,) in counts} == {PARTITIONS}


@in_loop
async def test_partitioned_tables_have_all_that_whole_ones_have(postgres: Postgres) -> None:
    """Columns, defaults, keys, checks, foreign keys, indexes, triggers, storage parameters."""
    async with connected(postgres.database(partitions=PARTITIONS)) as connection:
        dumped = await dump_schema(connection)
    cut = ") PARTITION BY HASH (organization_id);"
    assert dumped.count(cut) == 17
    committed = sql_folder("postgres").joinpath("schema.sql").read_text("utf-8")
    assert dumped.replace(cut, ");") == committed


@in_loop
async def test_each_partition_has_what_its_table_has(postgres: Postgres) -> None:
    """Where an index or a check was made on the table alone, a partition would lack it."""
    counts = """
        SELECT
            c.oid::regclass::text,
            (SELECT count(*) FROM pg_index WHERE indrelid = c.oid AND indisvalid),
            (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal),
            (SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid AND contype IN ('c', 'p'))
        FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    """
    async with connected(postgres.database(partitions=PARTITIONS)) as connection:
        found = {name: tuple(rest) for name, *rest in await connection.fetch(counts)}
        pairs = await connection.fetch(
            "SELECT i.inhrelid::regclass::text, i.inhparent::regclass::text FROM pg_inherits AS i"
            " JOIN pg_class AS c ON c.oid = i.inhparent WHERE c.relkind = 'p'"
        )
    assert len(pairs) == 17 * PARTITIONS
    assert [(part, whole) for part, whole in pairs if found[part] != found[whole]] == []
