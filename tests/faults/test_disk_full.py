"""The disk is full: no file of the server can grow any more.

What stands in for the disk is a limit on the size of the server's files, which the system lets us
set and lift while it runs, without privileges.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.spenders import check_unavailable, figures, micro
from tests.server import Server, running_server
from tests.sockets import CREDITS, Answer, connected
from tests.verified import check_twice


@contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """While the block lasts, the write-ahead log cannot take one more page."""
    unlimited = fill_disk(server)
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)


def fill_disk(server: Server) -> tuple[int, int]:
    """Leaves no room from here on; returns what there was."""
    log = server.database.with_name(server.database.name + "-wal")
    room = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, room[1]))
    return room


def test_writes_are_refused_reads_go_on_and_it_recovers(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization(allowance=100)
        asyncio.run(fill_and_make_room(server, server.key(acme)))
    facts = check_twice(server.database)[acme["id"]]
    assert list(facts.booked) == ["before", "during", "after"]
    assert facts.consumed == micro(3)


async def fill_and_make_room(server: Server, secret: str) -> None:
    async with connected(server.url, secret) as connection:
        before = await connection.book("before", 1)
        assert before.status == 201
        with full_disk(server):
            for _ in range(3):
                check_unavailable(await connection.book("during", 1))
                balance = await connection.ask("GET", CREDITS)
                assert (balance.status, balance.body["consumed"]) == (200, 1)
            # A duplicate writes nothing, so it needs no room.
            again = await connection.book("before", 1)
            assert (again.status, figures(again)) == (200, figures(before))
        for event_id in ("during", "after"):
            answer = await connection.book(event_id, 1)
            assert (answer.status, answer.body["status"]) == (201, "booked")


def test_it_starts_again_after_being_killed_on_a_full_disk(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization(allowance=100)
        secret = server.key(acme)
        asyncio.run(fill_and_kill(server, secret))
        server.start()
        answer = asyncio.run(book(server, secret))
    assert (answer.status, answer.body["consumed"]) == (201, 2)
    facts = check_twice(server.database)[acme["id"]]
    assert list(facts.booked) == ["before", "during"]


async def fill_and_kill(server: Server, secret: str) -> None:
    async with connected(server.url, secret) as connection:
        assert (await connection.book("before", 1)).status == 201
        fill_disk(server)
        check_unavailable(await connection.book("during", 1))
        server.kill()


async def book(server: Server, secret: str) -> Answer:
    async with connected(server.url, secret) as connection:
        return await connection.book("during", 1)
