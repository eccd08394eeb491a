"""Nodes, workers and PostgreSQL are killed while 64 clients book usage, again and again.

KILL_ROUNDS says how often. Whoever is left serves meanwhile, and nobody is started again but what
was killed: a service that has lost its database comes back by itself when the database does.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.sites import Site, running_site
from tests.faults.spenders import (
    Spender,
    check_acknowledged,
    check_all_booked,
    check_balances,
    endure,
    insist,
    make_spenders,
)
from tests.server import Server
from tests.servers.postgres import Postgres, running
from tests.servers.redis import redis_server

ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))
CLIENTS = 64
SAMPLE = 4
"""How many receipts of each client are asked for again after a round."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    """Nobody else's, since it is killed."""
    with running(fsync=True) as postgres:
        yield postgres


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory, cluster: Postgres) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nodes")
    with running_site(folder, count=2, database=cluster.database()) as site:
        yield site


@pytest.fixture
def two_workers(tmp_path: Path, cluster: Postgres) -> Iterator[Site]:
    url = cluster.database()
    with (
        redis_server(tmp_path) as redis,
        running_site(tmp_path, database=url, limits=redis.url, workers=2) as site,
    ):
        yield site


def test_a_node_is_killed(two_nodes: Site) -> None:
    def kill(number: int) -> None:
        node = two_nodes.nodes[number % 2]
        node.kill()
        node.start()

    keep_striking(two_nodes, kill)


def test_a_worker_is_killed(two_workers: Site) -> None:
    [server] = two_workers.nodes
    dead: set[int] = set()

    def kill(number: int) -> None:
        if number % 4 == 3:
            # Who dies again and again is replaced after pauses that grow.
            server.stop()
            server.start()
        # The one that has been there for longest, so that it has its share of the connections.
        worker = server.workers[0]
        os.kill(worker, signal.SIGKILL)
        dead.add(worker)

    keep_striking(two_workers, kill)
    assert not dead & set(server.workers)


def test_postgres_is_killed(two_nodes: Site, cluster: Postgres) -> None:
    def kill(_: int) -> None:
        cluster.daemon.kill()
        cluster.daemon.start()

    pids = [node.pid for node in two_nodes.nodes]
    keep_striking(two_nodes, kill)
    assert [node.pid for node in two_nodes.nodes] == pids


def test_postgres_is_restarted(two_nodes: Site, cluster: Postgres) -> None:
    def restart(_: int) -> None:
        cluster.daemon.stop()
        cluster.daemon.start()

    keep_striking(two_nodes, restart)


def keep_striking(site: Site, strike: Callable[[int], None]) -> None:
    """Every round's fault leaves all that was acknowledged, once, and a service that goes on.

    The ledger is recounted in the end: what a round had lost or doubled would still be so.
    """
    spenders = make_spenders(site.operator, CLIENTS)
    for number in range(ROUNDS):
        known = [len(spender.acknowledged) for spender in spenders]
        setbacks = sum(spender.setbacks for spender in spenders)
        answers = 100 + 171 * number % 500
        asyncio.run(endure(site.nodes, spenders, answers, lambda: strike(number)))  # noqa: B023 - it is done before the next
        assert sum(spender.setbacks for spender in spenders) > setbacks, "nobody was interrupted"
        asyncio.run(check_round(site.nodes[number % len(site.nodes)], spenders, known))
    check_acknowledged(spenders, site.facts())
    asyncio.run(insist(site.operator, spenders))
    ledger = site.facts()
    check_all_booked(spenders, ledger)
    for node in site.nodes:
        asyncio.run(check_balances(node.url, spenders, ledger))


async def check_round(server: Server, spenders: list[Spender], known: list[int]) -> None:
    """Some receipts of this round are what they were."""
    for spender, before in zip(spenders, known, strict=True):
        latest = list(spender.acknowledged)[before:]
        await spender.ask_again(server.url, latest[-SAMPLE:])
