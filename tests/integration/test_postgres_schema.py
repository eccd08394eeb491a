"""The tables hold what makes a ledger, whether they are whole or cut into partitions."""

from __future__ import annotations

import asyncpg
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
    import apsw

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


ACCOUNT = {
    "organization_id": "org_1",
    "status": "active",
    "plan": "{}",
    "period_index": 0,
    "period_start": 10,
    "period_end": 20,
    "remaining": 100,
    "consumed": 50,
    "overage": 5,
    "held": 10,
    "pending": 0,
    "sequence": 1,
    "head": bytes(32),
    "advanced_to": 10,
    "next_due_at": 20,
}
GRANT = {
    "organization_id": "org_1",
    "grant_id": "grant_1",
    "kind": "top_up",
    "amount": 100,
    "remaining": 50,
    "held": 10,
    "priority": 0,
    "effective_at": 10,
    "status": "active",
    "issued": 1,
    "created_at": 10,
}
ENTRY = {
    "organization_id": "org_1",
    "sequence": 1,
    "kind": "usage.booked",
    "credits": 1,
    "drawn": "[]",
    "booked_at": 10,
    "remaining_after": 100,
    "consumed_after": 50,
    "overage_after": 5,
    "held_after": 10,
    "hash": bytes(32),
}
HOLD = {
    "organization_id": "org_1",
    "hold_id": "hold_1",
    "credits": 10,
    "parts": "[1]",
    "captured": 0,
    "status": "open",
    "expires_at": 20,
    "placed": 1,
    "teamspace_id": "ts_1",
    "created_at": 10,
}
ROWS: dict[str, dict[str, object]] = {
    "accounts": ACCOUNT,
    "grants": GRANT,
    "entries": ENTRY,
    "holds": HOLD,
}
MOST = 8_000_000_000_000_000

WRONG: list[tuple[str, dict[str, object], str]] = [
    ("accounts", {"held": 101}, "accounts_held_is_there"),
    ("accounts", {"held": -1}, "accounts_held_is_there"),
    ("accounts", {"remaining": -1, "held": 0}, "accounts_held_is_there"),
    ("accounts", {"overage": 51}, "accounts_overage_was_consumed"),
    ("accounts", {"consumed": -1, "overage": 0}, "accounts_overage_was_consumed"),
    ("accounts", {"consumed": MOST + 1, "remaining": 0, "held": 0}, "accounts_consumed_check"),
    ("accounts", {"remaining": MOST}, "accounts_sums_are_exact"),
    ("accounts", {"pending": MOST}, "accounts_sums_are_exact"),
    ("accounts", {"period_end": 10}, "accounts_period_has_a_length"),
    ("accounts", {"head": b"short"}, "accounts_head_check"),
    ("accounts", {"status": "asleep"}, "accounts_status_check"),
    ("grants", {"remaining": 101}, "grants_remaining_was_granted"),
    ("grants", {"remaining": -1, "held": 0}, "grants_"),
    ("grants", {"held": 51}, "grants_held_is_there"),
    ("grants", {"kind": "gift"}, "grants_kind_check"),
    ("entries", {"credits": -1}, "entries_credits_check"),
    ("entries", {"held_after": 101}, "entries_held_is_there"),
    ("entries", {"overage_after": 51}, "entries_overage_was_consumed"),
    ("entries", {"sequence": 0}, "entries_sequence_check"),
    ("entries", {"hash": b""}, "entries_hash_check"),
    ("holds", {"credits": 0}, "holds_credits_check"),
    ("holds", {"parts": "[]"}, "holds_have_parts_while_open"),
    ("holds", {"status": "captured"}, "holds_have_parts_while_open"),
    ("holds", {"expires_at": 10}, "holds_have_a_length"),
    ("holds", {"dimensions": "{}"}, "holds_dimensions_are_salted"),
]


async def insert(connection: Connection, table: str, row: dict[str, object]) -> None:
    await connection.copy_records_to_table(table, records=[tuple(row.values())], columns=list(row))


@in_loop
async def test_the_database_itself_refuses_what_cannot_be(url: str) -> None:
    async with connected(url) as connection:
        for table, change, constraint in WRONG:
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await insert(connection, table, {**ROWS[table], **change})
            assert constraint in str(refused.value)
        for table, row in ROWS.items():
            await insert(connection, table, row)


NEVER = [
    "UPDATE entries SET credits = 2",
    "DELETE FROM entries",
    "UPDATE usage_events SET sequence = 2",
    "DELETE FROM usage_events",
    "UPDATE prices SET credits = 2",
    "DELETE FROM prices",
    "UPDATE price_ends SET ends_at = 2",
    "DELETE FROM price_ends",
    'UPDATE event_dimensions SET dimensions = \'{"a":"b"}\'',
    "UPDATE event_dimensions SET counted = '[1]', dimensions = NULL, salt = NULL, erased_at = 1",
    "DELETE FROM event_dimensions",
    "UPDATE key_directory SET key_id = 'key_2'",
    "UPDATE external_ids SET organization_id = 'org_2'",
    "TRUNCATE entries",
    "TRUNCATE usage_events",
    "TRUNCATE prices CASCADE",
    "TRUNCATE price_ends",
]
FACTS = """
    INSERT INTO usage_events VALUES ('org_1', 'event_1', 1, false);
    INSERT INTO event_dimensions
    VALUES ('org_1', 1, '{}', 'salt', decode(repeat('00', 32), 'hex'), '[]', NULL);
    INSERT INTO external_ids VALUES ('acme', 'org_1');
    INSERT INTO key_directory VALUES ('hash', 'org_1', 'key_1', NULL);
    INSERT INTO prices
        (price_id, meter, dimensions, credits, per, rounding, effective_at, created_at)
    VALUES ('price_1', 'tokens', '{}', 1, '1', 'up', 1, 1);
    INSERT INTO price_ends (price_id, ends_at, created_at) VALUES ('price_1', 2, 1);
"""


@in_loop
async def test_even_the_owner_changes_no_fact_by_mistake(url: str) -> None:
    async with connected(url) as connection:
        await insert(connection, "entries", ENTRY)
        await connection.execute(FACTS)
        for statement in NEVER:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=r"never|not|stays"):
                await connection.execute(statement)


@in_loop
async def test_a_partition_named_itself_refuses_too(postgres: Postgres) -> None:
    async with connected(postgres.database(partitions=1)) as connection:
        await insert(connection, "entries", ENTRY)
        for statement in (
            "UPDATE entries_0 SET credits = 2",
            "DELETE FROM entries_0",
            "TRUNCATE entries_0",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never"):
                await connection.execute(statement)


@in_loop
async def test_dimensions_can_be_erased(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute(FACTS)
        await connection.execute(
            "UPDATE event_dimensions SET dimensions = NULL, salt = NULL, erased_at = 5"
        )


@in_loop
async def test_prices_and_their_ends_are_numbered_by_the_book(url: str) -> None:
    add = (
        "INSERT INTO prices (price_id, meter, dimensions, credits, per, rounding, effective_at,"
        " created_at) SELECT id, 'tokens', '{}', 1, '1', 'up', 1, 1 FROM unnest($1::text[]) AS id"
    )
    async with connected(url) as connection:
        await connection.execute(FACTS)
        await connection.execute(add, ["b", "a", "c"])
        rows = await connection.fetch("SELECT price_id FROM prices ORDER BY number")
        assert [name for (name,) in rows] == ["price_1", "b", "a", "c"]
        book = await connection.fetchrow("SELECT last_price, last_end FROM price_book")
        assert tuple(book or ()) == (4, 1)
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("INSERT INTO price_book VALUES (false, 0, 0)")


@in_loop
async def test_changes_of_the_book_wait_for_each_other(url: str) -> None:
    """So that its state never names a row that is not there yet, or skips one that still comes."""
    async with connected(url) as first, connected(url) as second, first.transaction():
        await first.execute(FACTS)
        await second.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await second.execute("SELECT last_price FROM price_book FOR UPDATE")
        assert await second.fetchval("SELECT last_price FROM price_book") == 0


# One row in ten.
CHANGES = """
    UPDATE accounts SET remaining = remaining - 1, sequence = 2 WHERE organization_id ~ '0$';
    UPDATE grants SET remaining = remaining - 1 WHERE organization_id ~ '0$';
    UPDATE usage_rollups SET credits = credits + 1, events = 2 WHERE organization_id ~ '0$';
    UPDATE period_usage SET credits = credits + 1, events = 2 WHERE organization_id ~ '0$';
    UPDATE budgets SET used = used + 1 WHERE organization_id ~ '0$';
"""
CHANGED = ("accounts", "grants", "usage_rollups", "period_usage", "budgets")
FIND_MOVED = """
    SELECT
        sum(pg_stat_get_xact_tuples_updated(oid)),
        sum(pg_stat_get_xact_tuples_updated(oid) - pg_stat_get_xact_tuples_hot_updated(oid))
    FROM pg_class WHERE relkind = 'r' AND relname ~ ('^(' || $1 || ')(_[0-9]+)?$')
"""


@in_loop
async def test_what_an_event_changes_stays_in_its_page(url: str) -> None:
    """With room in each page a change writes no index: its row does not move."""
    ids = [f"org_{number:03}" for number in range(500)]
    usage = {"teamspace_id": "ts", "meter": "", "api_key_id": "", "credits": 1, "events": 1}
    rows: dict[str, dict[str, object]] = {
        "accounts": ACCOUNT,
        "grants": GRANT,
        "usage_rollups": {"dimension": "", "bucket": 0, "value": "", **usage},
        "period_usage": {"period_index": 0, **usage},
        "budgets": {"subject_id": "ts", "budget": 5, "used": 0},
    }
    async with connected(url) as connection:
        for table, row in rows.items():
            records = [tuple({**row, "organization_id": each}.values()) for each in ids]
            columns = list({**row, "organization_id": ""})
            await connection.copy_records_to_table(table, records=records, columns=columns)
        async with connection.transaction():
            await connection.execute(CHANGES)
            for table in CHANGED:
                found = await connection.fetchrow(FIND_MOVED, table)
                assert (table, *(found or ())) == (table, 50, 0)
