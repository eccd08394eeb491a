"""Two nodes write batches that touch the same organizations in opposite orders: no deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

import pytest

from tests.faults.sites import Site, running_site
from tests.servers.postgres import Postgres
from tests.sockets import USAGE, Answer, connected

ORGANIZATIONS = 16
TURNS = 20


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
    answers = asyncio.run(book_in_both_orders(narrow_site.urls, list(secrets.values())))
    assert [answer.status for answer in answers] == [201] * (2 * ORGANIZATIONS * TURNS)
    assert durable.daemon.output.count("deadlock detected") == told
    facts = narrow_site.facts()
    assert {len(facts[name].booked) for name in secrets} == {2 * TURNS}


async def book_in_both_orders(urls: Sequence[str], secrets: Sequence[str]) -> list[Answer]:
    shares = [book_in_order(urls[0], secrets, "a"), book_in_order(urls[1], secrets[::-1], "b")]
    return [answer for share in await asyncio.gather(*shares) for answer in share]


async def book_in_order(url: str, secrets: Sequence[str], name: str) -> list[Answer]:
    """Sends an event for each organization, in this order and all at once, again and again."""
    answers: list[Answer] = []
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(url, each)) for each in secrets]
        for turn in range(TURNS):
            for client in clients:
                await client.send("POST", USAGE, {"id": f"{name}-{turn}", "credits": 1})
            answers += [await client.receive() for client in clients]
    return answers
