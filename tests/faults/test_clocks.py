"""Three nodes whose clocks differ by an hour each: what they do follows the database's clock.

libfaketime tells each process another time; the database has the machine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.sites import Site
from tests.server import Server, running_server
from tests.servers.postgres import Postgres
from tests.sockets import CREDITS, USAGE, Answer, connected
from tests.verified import check_by_command

HOURS: Final = (-1, 0, 1)
CLOSE: Final = timedelta(minutes=10)
"""To the true time: however slow the machine, and far from an hour."""
TIMELESS: Final = ("remaining", "consumed", "total", "period", "grants", "sequence")
"""What of a balance stays as it is while nothing happens."""
HOLDS: Final = "/v1/organization/credits/holds"
BALANCE: Final = "/v1/organization/credits/balance"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, durable: Postgres) -> Iterator[Site]:
    folder, url = tmp_path_factory.mktemp("clocks"), durable.database()
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(running_server(folder, database=url, environ=an_environment(hours)))
            for hours in HOURS
        ]
        yield Site(nodes)
    check_by_command(url)


def an_environment(hours: int) -> dict[str, str]:
    """In which a process takes the time to be so many hours later."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert libraries, "libfaketime is not installed: `scripts/setup servers` does it"
    return {
        "LD_PRELOAD": str(libraries[-1]),
        "FAKETIME": f"{hours:+}h",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def is_close(text: str, true: datetime) -> bool:
    return abs(moment(text) - true) < CLOSE


def test_the_nodes_do_have_other_clocks(site: Site) -> None:
    for node, hours in zip(site.nodes, HOURS, strict=True):
        said = parsedate_to_datetime(node.admin.get("/healthz").headers["date"])
        assert abs(said - datetime.now(UTC) - timedelta(hours=hours)) < CLOSE


def test_usage_is_booked_at_the_databases_time(site: Site) -> None:
    acme = site.nodes[2].organization(allowance=100)
    assert is_close(acme["created_at"], datetime.now(UTC))
    secret = site.nodes[0].key(acme)
    for number, node in enumerate(site.nodes):
        answer = asyncio.run(ask(node, secret, "POST", USAGE, id=f"evt-{number}", credits=1))
        assert answer.status == 201
        assert is_close(answer.body["booked_at"], datetime.now(UTC))
    balances = [asyncio.run(ask(node, secret, "GET", BALANCE)).body for node in site.nodes]
    assert all(is_close(balance["as_of"], datetime.now(UTC)) for balance in balances)
    known = [[balance[name] for name in TIMELESS] for balance in balances]
    assert balances[0]["consumed"] == 3
    assert known[1:] == known[:-1]


def test_no_node_is_in_another_period(site: Site) -> None:
    """The period began half an hour ago: a node that is behind is not in the one before it; and it
    ends in half an hour, and a node that is ahead is not in the next one."""
    half_an_hour = timedelta(minutes=30)
    for offset in (-half_an_hour, half_an_hour):
        anchor = (datetime.now(UTC) + offset).replace(microsecond=0, tzinfo=None)
        period = {"interval": "day", "anchor": anchor.isoformat(), "timezone": "UTC"}
        acme = site.operator.organization(allowance=100, billing_period=period)
        secret = site.operator.key(acme)
        for number, node in enumerate(site.nodes):
            booked = asyncio.run(ask(node, secret, "POST", USAGE, id=f"evt-{number}", credits=1))
            assert booked.status == 201
        balances = [asyncio.run(ask(node, secret, "GET", BALANCE)).body for node in site.nodes]
        bounds = [balance["period"] for balance in balances]
        start = moment(bounds[0]["start"]).replace(tzinfo=None)
        assert (start - anchor) % timedelta(days=1) == timedelta()
        assert is_close(bounds[0]["start"], datetime.now(UTC) - half_an_hour) == (
            offset < timedelta()
        )
        assert [balance["consumed"] for balance in balances] == [3] * 3
        assert bounds[1:] == bounds[:-1]


def test_a_hold_lives_as_long_as_the_database_says(site: Site) -> None:
    acme = site.operator.organization(allowance=100)
    secret = site.operator.key(acme)
    for node in site.nodes:
        placed = asyncio.run(ask(node, secret, "POST", HOLDS, credits=1, expires_in=1800))
        assert is_close(placed.body["expires_at"], datetime.now(UTC) + timedelta(minutes=30))
        for other in site.nodes:
            found = asyncio.run(ask(other, secret, "GET", f"{HOLDS}/{placed.body['id']}"))
            assert found.body["status"] == "open"


def test_a_key_expires_everywhere_when_the_database_says_so(site: Site) -> None:
    acme = site.operator.organization(allowance=100)
    lasting = site.operator.key(acme)
    for node in (site.nodes[0], site.nodes[-1]):
        later = asyncio.run(ask(site.operator, lasting, "GET", BALANCE)).body["as_of"]
        expires_at = moment(later) + timedelta(seconds=2)
        secret = node.key(acme, expires_at=expires_at.isoformat())
        # While the last ask begins before that, all of them know the key.
        statuses = [asyncio.run(ask(each, secret, "GET", CREDITS)).status for each in site.nodes]
        asked_until = asyncio.run(ask(site.operator, lasting, "GET", BALANCE)).body["as_of"]
        assert moment(asked_until) > expires_at or statuses == [200] * 3
        wait_until(site.operator, lasting, expires_at)
        statuses = [asyncio.run(ask(each, secret, "GET", CREDITS)).status for each in site.nodes]
        assert statuses == [401] * 3


def wait_until(node: Server, secret: str, then: datetime) -> None:
    """By the database's clock."""
    while moment(asyncio.run(ask(node, secret, "GET", BALANCE)).body["as_of"]) <= then:
        pass


async def ask(node: Server, secret: str, method: str, path: str, **body: Any) -> Answer:  # noqa: ANN401 - any JSON
    async with connected(node.url, secret) as connection:
        return await connection.ask(method, path, body or None)
