"""The PostgreSQL that tests start can be killed and started again, and keeps its word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from bench.daemons import children_of
from tests.servers.postgres import Postgres, connected, name_of, running


def test_what_was_committed_outlives_the_end_of_every_process() -> None:
    with running(fsync=True) as postgres:
        url = postgres.empty_database()
        postgres.execute("CREATE TABLE kept (id TEXT); INSERT INTO kept VALUES ('a')", name_of(url))
        before = postgres.daemon.pid
        children = children_of(before)
        postgres.daemon.kill()
        assert [pid for pid in children if is_running(pid)] == []
        with pytest.raises(ConnectionRefusedError):
            asyncio.run(count(url))
        postgres.daemon.start()
        assert postgres.daemon.pid != before
        assert asyncio.run(count(url)) == 1


def is_running(pid: int) -> bool:
    """A process that was killed and that nobody has taken notice of is not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def count(url: str) -> int:
    async with connected(url) as connection:
        rows: int = await connection.fetchval("SELECT count(*) FROM kept")
        return rows


def test_each_database_is_new(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.execute("INSERT INTO budgets VALUES ('org_1', 'ts_1', 5, 0)", name_of(url))
    assert asyncio.run(budgets(url)) == 1
    assert asyncio.run(budgets(postgres.database())) == 0


async def budgets(url: str) -> int:
    async with connected(url) as connection:
        rows: int = await connection.fetchval("SELECT count(*) FROM budgets")
        return rows


def test_its_superuser_needs_no_password_and_nobody_else_is_there(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        asyncio.run(budgets(postgres.url(user="nobody")))
