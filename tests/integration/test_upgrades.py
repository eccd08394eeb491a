"""Nodes serve on while the schema goes on to a later version, and while others take their places.

A migration has to leave what the version before it needs: what it may not do stands in `FORBIDDEN`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tallystick.storage.migrate import load_migrations, make_migration
from tallystick.storage.postgres.migrate import migrate
from tests.commands import Commands
from tests.harness import bearer
from tests.server import Server, running_server
from tests.servers.postgres import Postgres, connected
from tests.servers.redis import RedisServer, redis_server

KNOWN = load_migrations("postgres")
LATER = make_migration(
    f"{len(KNOWN) + 1:04}_later.sql",
    """
    CREATE TABLE later (organization_id TEXT COLLATE "C" NOT NULL PRIMARY KEY);
    ALTER TABLE accounts ADD COLUMN later BIGINT;
    ALTER TABLE entries ADD COLUMN later TEXT NOT NULL DEFAULT '';
    ALTER TABLE usage_events ADD COLUMN later BOOLEAN NOT NULL DEFAULT false;
    ALTER TABLE api_keys ADD COLUMN later BIGINT;
    ALTER TABLE grants ADD COLUMN later BIGINT;
    CREATE INDEX grants_later ON grants (organization_id, later);
    """,
)
"""What a later version may bring: it adds."""
FORBIDDEN = re.compile(
    r"\bDROP\s+(?:TABLE|COLUMN|FUNCTION|VIEW)|\bRENAME\b|\bALTER\s+COLUMN\s+\S+\s+(?:SET\s+)?"
    r"(?:DATA\s+)?(?:TYPE|NOT\s+NULL)|\bADD\s+COLUMN\b(?:(?!DEFAULT)[^;,])*\bNOT\s+NULL"
    r"(?:(?!DEFAULT)[^;,])*[;,]|\bTRUNCATE\s+TABLE\b",
    re.IGNORECASE,
)
USAGE = "/v1/organization/credits/usage"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


async def upgrade(url: str) -> None:
    """What the first node of a later version does."""
    async with connected(url) as connection:
        assert await migrate(connection, known=[*KNOWN, LATER]) == [LATER]


class Load:
    """Clients who spend, each request on a connection of its own, and what they were told."""

    def __init__(self, server: Server, secret: str) -> None:
        self.failed: list[str] = []
        self.booked = 0
        self._server, self._key = server, bearer(secret)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._ends = threading.Event()

    def spend(self) -> None:
        while not self._ends.is_set():
            with self._lock:
                event = {"id": f"evt-{next(self._numbers)}", "credits": 1}
            answer = httpx.post(
                f"{self._server.url}{USAGE}", json=event, headers=self._key, timeout=30
            )
            with self._more:
                if answer.is_success:
                    self.booked += 1
                else:
                    self.failed.append(answer.text)
                self._more.notify_all()

    def goes_on(self, count: int = 50) -> None:
        """Returns when so many more have been booked."""
        with self._more:
            enough = self.booked + count
            assert self._more.wait_for(lambda: self.failed or self.booked >= enough, 60)

    def end(self) -> None:
        self._ends.set()


@contextmanager
def spending(server: Server) -> Iterator[Load]:
    acme = server.organization(allowance=1_000_000)
    load = Load(server, server.key(acme))
    clients = [threading.Thread(target=load.spend) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        load.goes_on()
        yield load
    finally:
        load.end()
        for client in clients:
            client.join()
    path = "/v1/organization/credits"
    balance = httpx.get(f"{server.url}{path}", headers=load._key).json()
    assert (load.failed, balance["consumed"]) == ([], load.booked)


def test_a_node_serves_on_while_the_schema_goes_on(durable: Postgres, tmp_path: Path) -> None:
    url = durable.empty_database()
    with running_server(tmp_path, database=url) as server:
        with spending(server) as load:
            asyncio.run(upgrade(url))
            load.goes_on(200)
        # Whatever it has not asked for yet, too.
        acme = server.organization(external_id="acme", allowance=10)
        server.grant(acme, 5)
        key = bearer(server.key(acme))
        for path in ("", "/balance", "/grants", "/entries", "/usage"):
            answer = httpx.get(f"{server.url}/v1/organization/credits{path}", headers=key)
            assert answer.status_code == 200, answer.text
        second = Commands(database=url)("serve", "--port", 0, "--database-wait", 0)
        assert second.code == 4
        assert "use a newer Tallystick" in second.err
        assert server.admin.get("/readyz").status_code == 200


def test_workers_are_replaced_and_nobody_notices(
    durable: Postgres, redis: RedisServer, tmp_path: Path
) -> None:
    url = durable.empty_database()
    with running_server(tmp_path, database=url, limits=redis.url, workers=2) as server:
        before = set(server.workers)
        with spending(server) as load:
            os.kill(server.pid, signal.SIGHUP)
            until_said(server, "all workers were replaced", load)
            load.goes_on()
        assert len(set(server.workers)) == 2
        assert not before & set(server.workers)


def test_workers_stay_where_their_successors_cannot_start(
    durable: Postgres, redis: RedisServer, tmp_path: Path
) -> None:
    url = durable.empty_database()
    with running_server(tmp_path, database=url, limits=redis.url, workers=2) as server:
        before = set(server.workers)
        with spending(server) as load:
            asyncio.run(upgrade(url))
            os.kill(server.pid, signal.SIGHUP)
            until_said(server, "the old ones go on", load)
            load.goes_on()
        assert set(server.workers) == before


def until_said(server: Server, words: str, load: Load) -> None:
    """Goes on with the load until the log has these words."""
    while not any(words in line for line in server.said):
        assert not load.failed
        load.goes_on(1)


def test_migrations_leave_what_the_version_before_needs() -> None:
    assert [each.name for each in KNOWN[1:] if FORBIDDEN.search(each.script)] == []


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE budgets;",
        "ALTER TABLE grants DROP COLUMN status;",
        "DROP FUNCTION tallystick_load_1;",
        "ALTER TABLE grants RENAME COLUMN status TO state;",
        "ALTER TABLE grants ALTER COLUMN amount TYPE NUMERIC;",
        "ALTER TABLE grants ALTER COLUMN reference SET NOT NULL;",
        "ALTER TABLE grants ADD COLUMN tax BIGINT NOT NULL;",
    ],
)
def test_a_migration_that_takes_away_is_found(script: str) -> None:
    assert FORBIDDEN.search(script)


def test_a_migration_that_adds_passes() -> None:
    assert not FORBIDDEN.search(LATER.script)
