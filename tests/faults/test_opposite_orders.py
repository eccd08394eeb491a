"""Two nodes write batches that touch the same organizations in opposite orders: no deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, suppress

import pytest

from tests.faults.sites import Site, running_site
from tests.servers.postgres import Connection as DatabaseConnection
from tests.servers.postgres import Postgres
from tests.servers.postgres import connected as database_session
from tests.sockets import USAGE, Answer, connected

ORGANIZATIONS = 24
TURNS = 4
HELD_SECONDS = 1.0
"""At most; a node puts off those who want an account that stays locked for longer than two."""
_HOLD = "SELECT FROM accounts WHERE organization_id = $1 FOR UPDATE"
_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
def narrow_site(tmp_path_factory: pytest.TempPathFactory, durable: Postgres) -> Iterator[Site]:
    """Each node writes on one connection, so that a batch has many organizations."""
    folder = tmp_path_factory.mktemp("narrow")
    url = durable.database()
    with running_site(folder, count=2, database=url, database_lanes=1) as site:
        yield site


def test_no_batch_waits_for_one_that_waits_for_it(narrow_site: Site, durable: Postgres) -> None:
    node = narrow_site.operator
    secrets = {}
    for number in range(ORGANIZATIONS):
        organization = node.organization(f"Organization {number}", allowance=1000)
        secrets[organization["id"]] = node.key(organization)
    told = durable.daemon.output.count("deadlock detected")
    answers = asyncio.run(book_in_both_orders(narrow_site, secrets))
    assert [answer.status for answer in answers] == [201] * (2 * ORGANIZATIONS * TURNS)
    assert durable.daemon.output.count("deadlock detected") == told
    facts = narrow_site.facts()
    assert {len(facts[name].booked) for name in secrets} == {2 * TURNS}


async def book_in_both_orders(site: Site, secrets: Mapping[str, str]) -> list[Answer]:
    """While somebody has the account in the middle, so that whoever waits for it with other locks
    in hand, in an order of its own, meets the other node."""
    names = sorted(secrets)
    answers: list[Answer] = []
    async with database_session(site.operator.place) as holder, AsyncExitStack() as stack:
        first, second = [
            [await stack.enter_async_context(connected(url, secrets[each])) for each in order]
            for url, order in zip(site.urls, (names, names[::-1]), strict=True)
        ]
        for turn in range(TURNS):
            async with holder.transaction():
                await holder.execute(_HOLD, names[len(names) // 2])
                for name, clients in (("a", first), ("b", second)):
                    for client in clients:
                        await client.send("POST", USAGE, {"id": f"{name}-{turn}", "credits": 1})
                await both_wait(holder)
            answers += [await client.receive() for client in (*first, *second)]
    return answers


async def both_wait(holder: DatabaseConnection) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(HELD_SECONDS):
            while await holder.fetchval(_WAITING) < 2:
                pass
