"""PostgreSQL itself refuses rows that cannot be and changes of what was, whole or in partitions."""

from __future__ import annotations

import asyncpg
import pytest

from tests.servers.postgres import Connection, Postgres, connected, in_loop


@pytest.fixture(params=[0, 3], ids=["whole", "partitioned"])
def url(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    return postgres.database(partitions=request.param)


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
