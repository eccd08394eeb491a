"""Who sends too slowly is cut off, with a word; a second passes when the test says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from tallystick.http.app import create_app
from tallystick.http.framing import (
    BODY_SECONDS,
    FIRST_BYTE_SECONDS,
    HEAD_SECONDS,
    LINGER_SECONDS,
    Protocol,
)
from tallystick.http.gate import Gate
from tallystick.http.handlers.table import OPERATIONS
from tests.harness import World, in_world

HEAD = (
    b"POST /v1/organization/credits/usage HTTP/1.1\r\nhost: a\r\n"
    b"authorization: Bearer %b\r\ncontent-type: application/json\r\ncontent-length: 29\r\n\r\n"
)
BODY = b'{"id": "evt-1", "credits": 1}'


class Watched(Protocol):
    """Says what has arrived, so that a test knows when it may go on."""

    arrived: asyncio.Queue[int]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.arrived = asyncio.Queue()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.arrived.put_nowait(len(data))


@dataclass(slots=True, kw_only=True)
class Line:
    """One connection to a server whose seconds are counted by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: Watched

    async def send(self, data: bytes) -> None:
        """Returns when the server has it."""
        self.writer.write(data)
        missing = len(data)
        while missing:
            missing -= await self.protocol.arrived.get()

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.protocol.second_passed()

    async def answer(self) -> tuple[int, Any]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def is_closed(self) -> bool:
        return await self.reader.read() == b""


@asynccontextmanager
async def connected(w: World) -> AsyncIterator[Line]:
    config = uvicorn.Config(create_app(w.service, OPERATIONS), lifespan="off", log_config=None)
    config.load()
    accepted: asyncio.Queue[Watched] = asyncio.Queue()

    def accept() -> Watched:
        protocol = Watched(
            w.service,
            Gate(w.service),
            config=config,
            server_state=ServerState(),
            app_state={},
        )
        accepted.put_nowait(protocol)
        return protocol

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    # What never comes must not be waited for until somebody looks.
    async with server, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        protocol = await accepted.get()
        try:
            yield Line(reader=reader, writer=writer, protocol=protocol)
        finally:
            writer.close()
            await writer.wait_closed()


def assert_too_slow(answer: tuple[int, Any]) -> None:
    status, body = answer
    assert (status, body["error"], body["retryable"]) == (408, "request_timeout", True)


@in_world
async def test_a_head_has_to_arrive_in_time_however_it_drips(w: World) -> None:
    async with connected(w) as line:
        await line.send(b"GET /healthz HTTP/1.1\r\n")
        for number in range(HEAD_SECONDS):
            await line.send(b"x-%d: y\r\n" % number)
            line.pass_seconds(1)
        line.pass_seconds(1)
        assert_too_slow(await line.answer())
        assert await line.is_closed()


@in_world
async def test_a_head_in_time_is_served_and_the_next_has_as_long(w: World) -> None:
    async with connected(w) as line:
        for _ in range(2):
            await line.send(b"GET /healthz HTTP/1.1\r\n")
            line.pass_seconds(HEAD_SECONDS)
            await line.send(b"host: a\r\n\r\n")
            assert await line.answer() == (200, {"status": "up"})


@in_world
async def test_a_body_may_pause_but_not_for_long(w: World) -> None:
    acme = await w.organization(allowance=5)
    head = HEAD % (await w.key(acme))["authorization"].removeprefix("Bearer ").encode()
    async with connected(w) as line:
        await line.send(head)
        for byte in BODY:
            line.pass_seconds(BODY_SECONDS)
            await line.send(bytes([byte]))
        assert (await line.answer())[0] == 201
    async with connected(w) as line:
        await line.send(head + BODY[:-1])
        line.pass_seconds(BODY_SECONDS + 1)
        assert_too_slow(await line.answer())
        assert await line.is_closed()


@in_world
async def test_a_request_that_is_whole_may_take_its_time(w: World) -> None:
    async with connected(w) as line:
        await line.send(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n")
        line.pass_seconds(10 * BODY_SECONDS)
        assert await line.answer() == (200, {"status": "ready"})
        line.pass_seconds(10 * BODY_SECONDS)
        await line.send(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await line.answer() == (200, {"status": "ready"})


@in_world
async def test_who_says_nothing_at_all_is_let_go(w: World) -> None:
    async with connected(w) as line:
        line.pass_seconds(FIRST_BYTE_SECONDS)
        await line.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await line.answer())[0] == 200
    async with connected(w) as line:
        line.pass_seconds(FIRST_BYTE_SECONDS + 1)
        assert await line.is_closed()


@in_world
async def test_who_goes_on_sending_after_a_refusal_is_not_heard_for_ever(w: World) -> None:
    async with connected(w) as line:
        await line.send(b"GARBAGE\r\n\r\n")
        assert (await line.answer())[0] == 400
        line.pass_seconds(LINGER_SECONDS)
        await line.send(b"x")
        assert not line.protocol.transport.is_closing()
        line.pass_seconds(1)
        assert line.protocol.transport.is_closing()


@in_world
async def test_when_the_server_ends_nobody_is_left_without_an_answer(w: World) -> None:
    acme = await w.organization(allowance=5)
    head = HEAD % (await w.key(acme))["authorization"].removeprefix("Bearer ").encode()
    async with connected(w) as line:
        await line.send(head + BODY[:-1])
        line.protocol.cut_off()
        status, body = await line.answer()
        assert (status, body["error"], body["retryable"]) == (503, "outcome_unknown", True)
        assert await line.is_closed()
    async with connected(w) as line:
        await line.send(head + BODY)
        line.protocol.cut_off()
        assert (await line.answer())[0] == 201
