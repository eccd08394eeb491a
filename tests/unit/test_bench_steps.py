"""The benchmark's clock in the event loop misses nothing that the loop runs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from bench.steps import Long, TimedLoop, longest, read

MS = 1_000_000


@pytest.fixture
def loop() -> Iterator[TimedLoop]:
    """A loop on whose clock two milliseconds pass between any two looks at it."""
    loop = TimedLoop(clock=count(step=2 * MS).__next__)
    yield loop
    loop.close()


class Greeting(asyncio.Protocol):
    """Ends a connection when it hears something."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.close()


async def served() -> None:
    door = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(Greeting, sock=door, backlog=1)
    reader, writer = await asyncio.open_connection(*door.getsockname())
    writer.write(b"hello")
    assert await reader.read() == b""
    writer.close()
    server.close()


def told(loop: TimedLoop) -> set[str]:
    return {each.what for each in loop.long if each.kind == "step"}


def test_what_a_protocol_hears_is_timed(loop: TimedLoop) -> None:
    loop.run_until_complete(served())
    assert {"Greeting.connection_made", "Greeting.data_received"} <= told(loop)


def test_steps_of_tasks_are_timed_and_named_by_their_coroutine(loop: TimedLoop) -> None:
    loop.run_until_complete(served())
    assert "served" in told(loop)


def test_callbacks_of_every_kind_are_timed(loop: TimedLoop) -> None:
    ran = []

    def soon() -> None:
        ran.append("soon")

    def from_a_thread() -> None:
        ran.append("from_a_thread")

    def later() -> None:
        loop.stop()

    loop.call_soon(soon)
    loop.call_soon_threadsafe(from_a_thread)
    loop.call_later(0, later)
    loop.run_forever()
    assert ran == ["soon", "from_a_thread"]
    assert {name.rpartition(".")[2] for name in told(loop)} >= {"soon", "from_a_thread", "later"}


def test_only_what_ended_under_load_is_read(tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    before, within, after = (Long("step", at, 2 * MS, MS, "a") for at in (1, 5, 9))
    path.write_text(json.dumps([before, within, after]))
    assert list(read(path, since=2, until=8)) == [within]


def test_the_longest_is_found_for_each_kind() -> None:
    step, longer = Long("step", 0, 2 * MS, 0, ""), Long("step", 0, 4 * MS, 0, "")
    turn = Long("turn", 0, 9 * MS, 0, "")
    assert longest([step, longer, turn], "step") == longer
    assert longest([step], "turn").took == MS
