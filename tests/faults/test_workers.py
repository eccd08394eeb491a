"""Two workers on PostgreSQL and Redis while clients ask: they are replaced, killed, told to end.

Nobody here tries anything again: whatever was sent has an answer.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tallystick.cli.errors import UNAVAILABLE
from tests.commands import Commands
from tests.server import ADMIN_KEY, Server
from tests.servers.postgres import Postgres, name_of
from tests.sizes import running_workers
from tests.sockets import CREDITS, GONE, Answer, Connection, connected

STAYING, COMING = 12, 4
PAUSE_SECONDS = 0.05
"""Of every second client that stays, between an answer and its next request."""
AT_MOST_SECONDS = 60


def worker_of(answer: Answer) -> str:
    """Each process numbers its requests in a way of its own."""
    return answer.headers["x-request-id"][:20]


@dataclass
class Crowd:
    """Clients: most keep their connection until they are told that it closes, with pauses or
    without, and some make a new one each time."""

    server: Server
    secret: str
    booked: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    """Requests without an answer."""
    workers: set[str] = field(default_factory=set)
    """Who answered, since it was emptied."""
    told: int = 0
    """How many were told that their connection closes."""
    is_over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def answers(self, count: int) -> None:
        """Returns when so many more have come."""
        for _ in range(count):
            self.news.clear()
            await self.news.wait()

    async def until_said(self, text: str) -> None:
        while not has_said(self.server, text):
            await self.answers(1)

    async def during(self, act: Callable[[], Awaitable[None]]) -> None:
        """Has all of them ask while `act` goes on."""
        asking = [
            self._stay(f"staying{number}", PAUSE_SECONDS * (number % 2))
            for number in range(STAYING)
        ]
        asking += [self._come(f"coming{number}") for number in range(COMING)]
        async with asyncio.timeout(AT_MOST_SECONDS), asyncio.TaskGroup() as group:
            for each in asking:
                group.create_task(each)
            await act()
            self.is_over = True

    async def answered_by(self, count: int, but: frozenset[str] = frozenset()) -> frozenset[str]:
        """So many workers, as soon as they have answered, and nobody of those whom it is not to
        be any more."""
        while True:
            self.workers.clear()
            await self.answers(50)
            if len(self.workers) >= count and not self.workers & but:
                return frozenset(self.workers)

    async def _stay(self, name: str, pause: float) -> None:
        numbers = itertools.count()
        while not self.is_over:
            async with connected(self.server.url, self.secret) as connection:
                stays = True
                while stays and not self.is_over:
                    stays = await self._ask(connection, f"{name}-{next(numbers)}")
                    await asyncio.sleep(pause)

    async def _come(self, name: str) -> None:
        for number in itertools.count():
            if self.is_over:
                return
            async with connected(self.server.url, self.secret) as connection:
                await self._ask(connection, f"{name}-{number}")

    async def _ask(self, connection: Connection, event_id: str) -> bool:
        """Whether the connection stays open."""
        try:
            answer = await connection.book(event_id, 0.5)
        except GONE:
            self.lost.append(event_id)
            return False
        assert answer.status == 201, answer
        self.booked.add(event_id)
        self.workers.add(worker_of(answer))
        self.news.set()
        closes = answer.headers.get("connection") == "close"
        self.told += closes
        return not closes


@pytest.fixture
def url(durable: Postgres) -> str:
    return durable.empty_database()


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    with running_workers(tmp_path, url, config=tmp_path / "tallystick.toml") as server:
        yield server


@pytest.fixture(autouse=True)
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "tallystick.toml"
    file.touch()
    return file


def crowd(server: Server) -> Crowd:
    return Crowd(server, server.key(server.organization(external_id="acme", allowance=1_000_000)))


def check_booked(url: str, crowd: Crowd) -> None:
    """What was answered is booked, once, and nothing else; all of it follows from the entries."""
    tallystick = Commands(database=url)
    assert tallystick.json("verify")["agrees"]
    balance = tallystick.json("balance", "acme")
    assert balance["consumed"] == len(crowd.booked) / 2


def has_said(server: Server, text: str) -> bool:
    return any(text in line for line in server.said)


def configure(settings: Path, text: str) -> None:
    settings.write_text(text)


def test_workers_are_replaced_and_nobody_loses_an_answer(server: Server, url: str) -> None:
    clients = crowd(server)

    async def reload() -> None:
        before = await clients.answered_by(2)
        os.kill(server.pid, signal.SIGHUP)
        await clients.until_said("all workers were replaced")
        await clients.answered_by(2, but=before)

    asyncio.run(clients.during(reload))
    assert clients.lost == []
    assert clients.told >= STAYING
    server.stop()
    check_booked(url, clients)


def test_who_is_killed_is_replaced(server: Server, url: str) -> None:
    clients = crowd(server)

    async def kill() -> None:
        before = await clients.answered_by(2)
        killed = server.workers[0]
        os.kill(killed, signal.SIGKILL)
        await clients.until_said("a worker died")
        after = await clients.answered_by(2)
        while not after - before:
            after = await clients.answered_by(2)
        assert len(after & before) == 1
        assert killed not in server.workers

    asyncio.run(clients.during(kill))
    # Those whom it was answering; what became of their requests they would have to ask.
    assert 0 < len(clients.lost) <= STAYING + COMING
    server.stop()
    unknown = len(clients.lost)
    consumed = Commands(database=url).json("balance", "acme")["consumed"]
    assert len(clients.booked) <= 2 * consumed <= len(clients.booked) + unknown


def test_told_to_end_they_answer_what_was_sent(server: Server, url: str) -> None:
    clients = crowd(server)

    async def end() -> None:
        await clients.answered_by(2)
        server.terminate()

    # Where nobody listens any more, there is nothing to be sent.
    with suppress(*GONE, ExceptionGroup):
        asyncio.run(clients.during(end))
    server.wait()
    check_booked(url, clients)


def test_with_settings_that_are_wrong_the_old_ones_go_on(server: Server, settings: Path) -> None:
    """And with new ones that are right, new workers obey them."""
    secret = server.key(server.organization())

    async def limit() -> tuple[str, str]:
        async with connected(server.url, secret) as connection:
            answer = await connection.ask("GET", CREDITS)
            return answer.headers["x-ratelimit-limit"], worker_of(answer)

    async def reload() -> None:
        old = {(await limit())[1] for _ in range(20)}
        configure(settings, 'rate_limits = "get_credits=many"')
        os.kill(server.pid, signal.SIGHUP)
        while not has_said(server, "the old ones go on"):
            assert (await limit())[1] in old
        configure(settings, 'rate_limits = "get_credits=7"')
        os.kill(server.pid, signal.SIGHUP)
        while not has_said(server, "all workers were replaced"):
            await limit()
        assert (await limit())[0] == "7"

    asyncio.run(asyncio.wait_for(reload(), AT_MOST_SECONDS))


def test_where_one_cannot_start_none_is_left(durable: Postgres) -> None:
    """The database lets fewer of them in than there are to be."""
    name = name_of(durable.empty_database())
    durable.execute(f"CREATE ROLE crowded_{name} LOGIN CONNECTION LIMIT 2")
    durable.execute(f"ALTER DATABASE {name} OWNER TO crowded_{name}")
    tallystick = Commands(
        database=durable.url(name, user=f"crowded_{name}"),
        environ={"TALLYSTICK_LIMITS": "redis://127.0.0.1:1", "TALLYSTICK_ADMIN_KEY": ADMIN_KEY},
    )
    ended = tallystick("serve", "--port", "0", "--workers", "4")
    assert ended.code == UNAVAILABLE, ended
    assert "too many connections" in ended.err
