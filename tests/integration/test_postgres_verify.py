"""The recount of a ledger in PostgreSQL: what agrees passes, what was forged is found and named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tallystick.ledger import work
from tallystick.ledger.audit import Difference
from tallystick.ledger.budgets import BudgetUnit
from tallystick.ledger.ports import StoreUnavailable
from tallystick.ledger.verify import Report, verify_all
from tallystick.storage.errors import SchemaMismatch
from tallystick.storage.postgres import audit
from tallystick.storage.postgres.audit import AUDITING, PostgresAudit
from tests.histories import TEAMSPACES, history
from tests.postgres_copies import copy_ledger
from tests.servers.postgres import Postgres
from tests.verified import verified

FIRST = f"org_{0:026d}"
STEPS = 320
NOBODY = "org_zzz"

FORGERIES: Mapping[str, tuple[str, str]] = {
    "accounts": ("UPDATE accounts SET pending = pending + 1", "pending"),
    "entries": ("UPDATE entries SET meter = 'x' WHERE sequence = 9", "hash"),
    "grants": ("UPDATE grants SET priority = priority + 1 WHERE issued = 3", "priority"),
    "holds": ("UPDATE holds SET captured = captured + 1", "captured"),
    "periods": ("UPDATE periods SET allowance = 7 WHERE period_index = 0", "allowance"),
    "budgets": ("UPDATE budgets SET used = used + 1", "used"),
    "milestones": ("UPDATE milestones SET state = state || ' '", "state"),
    "usage_events": ("UPDATE usage_events SET event_id = event_id || 'x'", "event_id"),
    "usage_rollups": ("UPDATE usage_rollups SET credits = credits + 1", "credits"),
    "usage_days": ("UPDATE usage_days SET events_24 = events_24 + 1", "events_24"),
    "period_usage": ("UPDATE period_usage SET events = events + 1", "events"),
}
"""By the table that is changed: how, and the column that the verifier names."""


@pytest.fixture(scope="module", autouse=True)
def _everything_is_long() -> Iterator[None]:
    """Many milestones, and so few rows in a batch that all comes through cursors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "MILESTONE_DISTANCE", 16)
        patch.setattr(audit, "BATCH", 5)
        yield


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An organization with everything in it, and one that rests."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"

    async def scenario() -> None:
        async with history(5, path, also=1) as life:
            await life.go(STEPS)
            await life.ledger.submit(FIRST, BudgetUnit(FIRST, TEAMSPACES[0], 7))

    asyncio.run(scenario())
    return path


@pytest.fixture(params=[0, 3], ids=["plain", "partitioned"])
def database(request: pytest.FixtureRequest, postgres: Postgres, ledger: Path) -> str:
    """The URL of a copy of the ledger."""
    url = postgres.database(partitions=request.param)
    asyncio.run(copy_ledger(ledger, url))
    return url


def connecting(url: str) -> Callable[[], Awaitable[Any]]:
    return partial(asyncpg.connect, url, server_settings=dict(AUDITING))


def recounted(url: str) -> Report:
    with PostgresAudit(connecting(url)) as source:
        return verify_all(source)


def forge(url: str, *statements: str) -> None:
    """As somebody whom no trigger and no privilege holds back."""

    async def change() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("SET session_replication_role = replica")
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(change())


def first_difference(url: str) -> Difference:
    report = recounted(url)
    assert FIRST in report.differences
    return report.differences[FIRST]


def test_a_copy_agrees_and_has_the_same_heads(database: str, ledger: Path) -> None:
    found, expected = recounted(database), verified(ledger)
    assert found.differences == {}
    assert (found.organizations, found.entries, found.heads) == (
        expected.organizations,
        expected.entries,
        expected.heads,
    )
    assert found.entries > STEPS / 2


@pytest.mark.parametrize("table", sorted(FORGERIES))
def test_a_forgery_is_found_and_named(database: str, table: str) -> None:
    statement, column = FORGERIES[table]
    forge(database, statement)
    found = first_difference(database)
    assert (found.table, found.column) == (table, column)


@pytest.mark.parametrize("table", sorted(set(FORGERIES) - {"budgets", "milestones"}))
def test_a_row_that_was_taken_away_is_missed(database: str, table: str) -> None:
    forge(database, f"DELETE FROM {table} WHERE ctid IN (SELECT min(ctid) FROM {table})")  # noqa: S608 - a name of this file
    assert recounted(database).disagreeing


@pytest.mark.parametrize("table", sorted(set(FORGERIES) - {"accounts", "budgets", "milestones"}))
def test_rows_of_nobody_are_found(database: str, table: str) -> None:
    """Whichever table an organization stands in, it is asked about."""
    forge(
        database,
        f"CREATE TEMPORARY TABLE stray AS SELECT * FROM {table} LIMIT 1",  # noqa: S608 - a name of this file
        f"UPDATE stray SET organization_id = '{NOBODY}'",  # noqa: S608 - the same
        f"INSERT INTO {table} SELECT * FROM stray",  # noqa: S608 - the same
    )
    assert list(recounted(database).differences) == [NOBODY]


def test_one_organization_by_either_of_its_names(database: str) -> None:
    forge(
        database,
        f"INSERT INTO external_ids VALUES ('acme', '{FIRST}')",  # noqa: S608 - a name of this file
        "UPDATE accounts SET pending = pending + 1",
    )
    for name in (FIRST, "acme"):
        with PostgresAudit(connecting(database)) as source:
            assert source.only(name) == FIRST
            assert source.total() > STEPS / 2
            assert list(verify_all(source).differences) == [FIRST]
    with PostgresAudit(connecting(database)) as source:
        assert source.only("nobody") is None


def test_all_is_of_the_moment_at_which_it_began(database: str) -> None:
    with PostgresAudit(connecting(database)) as source:
        forge(database, "UPDATE accounts SET pending = pending + 1")
        assert verify_all(source).differences == {}
    assert recounted(database).disagreeing == 2


def test_another_schema_is_refused(postgres: Postgres, database: str) -> None:
    forge(database, "INSERT INTO schema_migrations VALUES (99, 'later', '', 0)")
    with pytest.raises(SchemaMismatch):
        recounted(database)
    with pytest.raises(StoreUnavailable):
        recounted(postgres.url("nowhere"))
