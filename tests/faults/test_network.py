"""A network that delays, loses and swallows what a node and PostgreSQL say to each other.

Every request is answered in time; what is acknowledged is booked, and booked once. Another node,
whose way to the database is a better one, sees it all.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from tests.faults.sites import Site
from tests.faults.spenders import (
    PATIENCE_SECONDS,
    Spender,
    check_all_booked,
    endure,
    figures,
    make_spenders,
    micro,
)
from tests.server import running_server
from tests.servers.postgres import Postgres
from tests.servers.proxy import Fate, Proxy
from tests.sockets import CREDITS, Answer, Connection, connected, crowd
from tests.verified import check_by_command

ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))
CLIENTS = 64
DELAY_SECONDS = 0.05
SILENCES = ("strand",) if ROUNDS <= 2 else ("strand", "hang")
"""What a deadline has to end takes that long; one of them stands for both in a short run."""
SESSION_SECONDS = 10
"""After which the database gives up a transaction in which nothing happens."""


@dataclass(frozen=True, slots=True)
class World(Site):
    """The second node's way to the database is `network`; the first has one of its own."""

    network: Proxy

    @property
    def near(self) -> str:
        return self.urls[0]

    @property
    def far(self) -> str:
        return self.urls[1]


@pytest.fixture
def world(only_world: World) -> Iterator[World]:
    yield only_world
    only_world.network.delay_seconds = 0
    only_world.network.go_on()
    only_world.network.cut()


@pytest.fixture(scope="module")
def only_world(tmp_path_factory: pytest.TempPathFactory, durable: Postgres) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("network")
    url = durable.database()
    with Proxy(durable.daemon.port) as network:
        with (
            running_server(folder, database=network.leading_to(url)) as far,
            running_server(folder, database=url) as near,
        ):
            yield World([near, far], network)
        check_by_command(url)


@pytest.mark.parametrize(("fate", "again"), [(Fate.LOST, 201), (Fate.LOST_ANSWER, 200)])
def test_the_same_id_finds_out_what_became_of_a_commit(
    world: World, fate: Fate, again: int
) -> None:
    acme = world.operator.organization(allowance=100)
    secret = world.operator.key(acme)
    event_id = f"evt-{fate.name}"
    world.network.at_commit_of(event_id, fate)
    unknown, first, second, balances = asyncio.run(find_out(world, secret, event_id))
    assert (unknown.status, unknown.body["error"]) == (503, "outcome_unknown")
    assert unknown.body["retryable"] is True
    assert (first.status, second.status) == (again, 200)
    assert figures(first) == figures(second)
    assert [balance.body["remaining"] for balance in balances] == [99, 99]
    assert list(world.facts()[acme["id"]].booked) == [event_id]


async def find_out(
    world: World, secret: str, event_id: str
) -> tuple[Answer, Answer, Answer, list[Answer]]:
    async with connected(world.far, secret) as far, connected(world.near, secret) as near:
        # A balance that is remembered must not outlive a commit that may have changed it.
        await far.ask("GET", CREDITS)
        answers = [await each.book(event_id, 1) for each in (far, far, near)]
        balances = [await each.ask("GET", CREDITS) for each in (far, near)]
        return answers[0], answers[1], answers[2], balances


def test_a_slow_network_makes_answers_slow_and_not_wrong(world: World) -> None:
    acme = world.operator.organization(allowance=1000)
    world.network.delay_seconds = DELAY_SECONDS
    began = time.monotonic()
    answers = asyncio.run(book_all(world, world.operator.key(acme)))
    took = time.monotonic() - began
    assert [answer.status for answer in answers] == [201] * (2 * CLIENTS)
    # Each transaction is a few round trips. With one for each event it would take a minute.
    assert 8 * DELAY_SECONDS < took < 2 * CLIENTS * DELAY_SECONDS
    facts = world.facts()[acme["id"]]
    assert (len(facts.booked), facts.consumed) == (2 * CLIENTS, micro(2 * CLIENTS))


async def book_all(world: World, secret: str) -> list[Answer]:
    async with crowd([world.far], secret, CLIENTS) as clients:

        async def book(client: Connection, number: int) -> list[Answer]:
            return [await client.book(f"evt-{number}-{turn}", 1) for turn in range(2)]

        found = await asyncio.gather(*(book(*each[::-1]) for each in enumerate(clients)))
        return [answer for each in found for answer in each]


def test_connections_are_reset_under_load(world: World) -> None:
    spenders = make_spenders(world.operator, CLIENTS)
    for number in range(ROUNDS):
        before = sum(spender.setbacks for spender in spenders)
        answers = 100 + 171 * number % 500
        cut = partial(cut_until_noticed, world.network, spenders, before)
        asyncio.run(endure(world.nodes[1:], spenders, answers, cut))
    check_in_the_end(world, spenders)


def cut_until_noticed(network: Proxy, spenders: Sequence[Spender], before: int) -> None:
    """A connection on which nothing is under way is made again, and nobody notices."""
    until, pause = time.monotonic() + PATIENCE_SECONDS, threading.Event()
    while sum(spender.setbacks for spender in spenders) == before:
        assert time.monotonic() < until, "nobody was interrupted"
        network.cut()
        pause.wait(0.02)


@pytest.mark.parametrize("silence", SILENCES)
def test_everybody_is_answered_though_the_database_is_silent(world: World, silence: str) -> None:
    """It heals when the network does, or, where only what was connected is lost, by itself."""
    spenders = make_spenders(world.operator, CLIENTS)

    def fall_silent() -> None:
        getattr(world.network, silence)()
        wait_for_setbacks(spenders)
        world.network.go_on()

    asyncio.run(endure(world.nodes[1:], spenders, 200, fall_silent))
    check_in_the_end(world, spenders)


def wait_for_setbacks(spenders: Sequence[Spender]) -> None:
    """Returns when somebody has been told to come again."""
    until, pause = time.monotonic() + PATIENCE_SECONDS, threading.Event()
    while not any(spender.setbacks for spender in spenders):
        assert time.monotonic() < until, "nobody noticed"
        pause.wait(0.01)


def test_a_commit_that_got_lost_on_a_connection_that_nobody_closed(world: World) -> None:
    """The database keeps the account locked until it gives the session up. Whoever asks meanwhile
    is answered, and nobody else notices."""
    acme, other = (world.operator.organization(allowance=100) for _ in range(2))
    secret, secret_of_other = world.operator.key(acme), world.operator.key(other)
    world.network.at_commit_of("evt-half", Fate.HALF_OPEN)
    first, meanwhile, others = asyncio.run(ask_meanwhile(world, secret, secret_of_other))
    assert (first.status, first.body["error"]) == (503, "outcome_unknown")
    assert [answer.status for answer in meanwhile[:-1]] == [503] * (len(meanwhile) - 1)
    assert len(meanwhile) > 1, "nothing was locked"
    assert {answer.status for answer in others} == {201}
    facts = world.facts()
    assert list(facts[acme["id"]].booked) == ["evt-half"]
    assert len(facts[other["id"]].booked) == len(others)


async def ask_meanwhile(
    world: World, secret: str, secret_of_other: str
) -> tuple[Answer, list[Answer], list[Answer]]:
    """The answer to the first, those to whoever sent the same elsewhere until it was booked, and
    those to somebody else meanwhile."""
    others: list[Answer] = []
    async with (
        connected(world.far, secret) as far,
        connected(world.near, secret) as near,
        connected(world.near, secret_of_other) as other,
        asyncio.timeout(SESSION_SECONDS + PATIENCE_SECONDS),
    ):
        unknown = asyncio.create_task(far.book("evt-half", 1))
        assert await asyncio.to_thread(world.network.has_struck.wait, PATIENCE_SECONDS)
        meanwhile = [await near.book("evt-half", 1)]
        while meanwhile[-1].status == 503:
            async with asyncio.timeout(1):
                others.append(await other.book(f"evt-{len(others)}", 1))
            meanwhile.append(await near.book("evt-half", 1))
        return await unknown, meanwhile, others


def check_in_the_end(world: World, spenders: list[Spender]) -> None:
    """All that was ever sent is booked once, and the nodes agree about it."""

    async def finish() -> None:
        await asyncio.gather(*(spender.insist(world.near) for spender in spenders))
        for number, spender in enumerate(spenders):
            known = list(spender.acknowledged)[-2:]
            await spender.ask_again(world.urls[number % 2], known)

    asyncio.run(finish())
    check_all_booked(spenders, world.facts())
