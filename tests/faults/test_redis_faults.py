"""Redis is killed, hangs or is emptied while clients ask at two nodes: requests go on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.sites import Site, running_site
from tests.faults.spenders import check_all_booked, endure, make_spenders
from tests.servers.postgres import Postgres
from tests.servers.redis import RedisServer, redis_server, tell
from tests.sockets import CREDITS, Answer, connected

CLIENTS = 32
SECONDS = 20
"""Within which a node that counted by itself has joined the others, however busy the machine."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def counted(
    tmp_path_factory: pytest.TempPathFactory, durable: Postgres, redis: RedisServer
) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("counted")
    url = durable.database()
    with running_site(folder, count=2, database=url, limits=redis.url) as site:
        yield site


def kill(redis: RedisServer, wait: Callable[[], None]) -> None:
    redis.kill()
    wait()
    redis.start()


def hang(redis: RedisServer, wait: Callable[[], None]) -> None:
    redis.hang()
    wait()
    redis.go_on()


def flush(redis: RedisServer, wait: Callable[[], None]) -> None:
    with redis.client() as client:
        for _ in range(20):
            tell(client, "FLUSHALL")
            tell(client, "SCRIPT", "FLUSH")
        wait()


@pytest.mark.parametrize("fault", [kill, hang, flush])
def test_requests_go_on(
    counted: Site, redis: RedisServer, fault: Callable[[RedisServer, Callable[[], None]], None]
) -> None:
    spenders = make_spenders(counted.operator, CLIENTS)

    def wait() -> None:
        """Until every client has been served twice more, as Redis is now."""
        booked = [len(spender.acknowledged) for spender in spenders]
        until, pause = time.monotonic() + SECONDS, threading.Event()
        while time.monotonic() < until and any(
            len(spender.acknowledged) < before + 2
            for spender, before in zip(spenders, booked, strict=True)
        ):
            pause.wait(0.01)

    asyncio.run(endure(counted.nodes, spenders, 200, lambda: fault(redis, wait)))
    assert sum(spender.setbacks for spender in spenders) == 0, "somebody was put off"
    check_all_booked(spenders, counted.facts())
    asyncio.run(count_together(counted, spenders[0].secret))


async def count_together(site: Site, secret: str) -> None:
    """Returns when each node counts what the other has admitted."""
    first, second = site.urls
    async with (
        asyncio.timeout(SECONDS),
        connected(first, secret) as one,
        connected(second, secret) as other,
    ):
        shared = False
        while not shared:
            left = [remaining(await each.ask("GET", CREDITS)) for each in (one, other, one)]
            shared = left == [left[0], left[0] - 1, left[0] - 2]


def remaining(answer: Answer) -> int:
    return int(answer.headers["x-ratelimit-remaining"])
