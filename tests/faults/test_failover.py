"""The primary is killed while 64 clients book usage, and its synchronous standby is promoted.

This is the short form, in which the test itself decides. `test_patroni.py` leaves that to Patroni.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.sites import Site, running_site
from tests.faults.spenders import (
    check_acknowledged,
    check_all_booked,
    check_balances,
    endure,
    insist,
    make_spenders,
)
from tests.servers.postgres import Postgres, running, standby_of

CLIENTS = 64
_DURABLE = {"fsync": "on", "full_page_writes": "on"}


@pytest.fixture
def primary() -> Iterator[Postgres]:
    """One that can be lost with all that it has."""
    with running(fsync=True) as cluster:
        yield cluster


@pytest.fixture
def standby(primary: Postgres) -> Iterator[Postgres]:
    """Which has what the primary acknowledges."""
    with standby_of(primary, _DURABLE) as follower:
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        yield follower


def test_the_service_follows_the_database_to_the_standby(
    tmp_path: Path, primary: Postgres, standby: Postgres
) -> None:
    name = primary.database().rpartition("/")[2]
    hosts = f"127.0.0.1:{primary.daemon.port},127.0.0.1:{standby.daemon.port}"
    with running_site(tmp_path, 2, database=f"postgresql://bench@{hosts}/{name}") as site:
        check_failover(site, primary, standby)


def check_failover(site: Site, primary: Postgres, standby: Postgres) -> None:
    spenders = make_spenders(site.operator, CLIENTS)

    def fail_over() -> None:
        primary.daemon.kill()
        standby.promote()

    asyncio.run(endure(site.nodes, spenders, 600, fail_over))
    assert any(spender.setbacks for spender in spenders), "nobody was interrupted"
    check_acknowledged(spenders, site.facts())
    asyncio.run(insist(site.operator, spenders))
    ledger = site.facts()
    check_all_booked(spenders, ledger)
    for node in site.nodes:
        asyncio.run(check_balances(node.url, spenders, ledger))
