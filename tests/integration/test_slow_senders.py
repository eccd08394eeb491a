"""Who sends too slowly is cut off, with a word, and who does not read without one.

A second passes when the test says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from tallystick.domain.directory import DEFAULT_SCOPES
from tallystick.http.app import create_app
from tallystick.http.framing import (
    BODY_PACE,
    BODY_SECONDS,
    FIRST_BYTE_SECONDS,
    HEAD_SECONDS,
    LINGER_SECONDS,
    PACE_SECONDS,
    STREAM_PACE,
    UNREAD_SECONDS,
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
STREAM = HEAD.replace(b"json", b"x-ndjson").replace(b"content-length: 29", b"content-length: 99999")
LINE = BODY + b"\n"


class Watched(Protocol):
    """Says what has arrived and what cannot leave, so that a test knows when it may go on."""

    arrived: asyncio.Queue[int]
    is_full: asyncio.Event
    is_gone: asyncio.Event

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.arrived, self.is_full, self.is_gone = asyncio.Queue(), asyncio.Event(), asyncio.Event()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.arrived.put_nowait(len(data))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_full.set()

    def resume_writing(self) -> None:
        self.is_full.clear()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_gone.set()


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
async def connected(w: World, app: ASGIApp | None = None) -> AsyncIterator[Line]:
    app = app or create_app(w.service, OPERATIONS)
    config = uvicorn.Config(app, lifespan="off", log_config=None)
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


def assert_too_slow(answer: tuple[int, Any], why: str = "") -> None:
    status, body = answer
    assert (status, body["error"], body["retryable"]) == (408, "request_timeout", True)
    assert why in body["details"]["reason"]


async def secret_of(w: World, *scopes: str) -> bytes:
    """The secret of a key that can book five credits, or do what these scopes say."""
    key = await w.key(await w.organization(allowance=5), scopes=scopes or DEFAULT_SCOPES)
    return key["authorization"].removeprefix("Bearer ").encode()


@in_world
async def test_a_head_has_to_arrive_in_time_however_it_drips(w: World) -> None:
    async with connected(w) as line:
        await line.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n")
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
        await line.send(head + BODY[:9])
        line.pass_seconds(BODY_SECONDS)
        await line.send(BODY[9:])
        assert (await line.answer())[0] == 201
    async with connected(w) as line:
        await line.send(head + BODY[:-1])
        line.pass_seconds(BODY_SECONDS + 1)
        assert_too_slow(await line.answer())
        assert await line.is_closed()


@in_world
async def test_a_body_has_to_arrive_in_time_however_it_drips(w: World) -> None:
    secret = await secret_of(w)
    head = HEAD.replace(b": 29", b": 99") % secret
    async with connected(w) as line:
        # The time of the head is part of it.
        await line.send(head[:9])
        line.pass_seconds(HEAD_SECONDS)
        await line.send(head[9:] + BODY)
        for _ in range(PACE_SECONDS - HEAD_SECONDS):
            line.pass_seconds(1)
            await line.send(b" ")
        line.pass_seconds(1)
        assert_too_slow(await line.answer(), "in every 60 seconds")
        assert await line.is_closed()
    async with connected(w) as line:
        await line.send(HEAD % secret + BODY)
        status, body = await line.answer()
        # Nothing had been booked under that id.
        assert (status, body["status"], body["consumed"]) == (201, "booked", 1)


@in_world
async def test_a_large_body_may_take_longer_at_an_honest_pace(w: World) -> None:
    body = BODY.ljust(2 * BODY_PACE)
    head = HEAD.replace(b": 29", b": %d" % len(body)) % await secret_of(w)
    step, pause = BODY_PACE // 5, PACE_SECONDS // 6
    async with connected(w) as line:
        await line.send(head)
        for start in range(0, len(body), step):
            await line.send(body[start : start + step])
            line.pass_seconds(pause)
        assert (await line.answer())[0] == 201
    async with connected(w) as line:
        await line.send(head)
        for start in range(0, 4 * step, step):
            line.pass_seconds(PACE_SECONDS // 4)
            await line.send(body[start : start + step])
        line.pass_seconds(1)
        assert_too_slow(await line.answer())


@in_world
async def test_a_stream_may_go_on_as_long_as_something_comes(w: World) -> None:
    lines = (b'{"id": "evt-%d", "credits": 0.1}\n' % number for number in range(40))
    said = b"".join(lines)
    step, pause = STREAM_PACE // 2, PACE_SECONDS // 3
    async with connected(w) as line:
        await line.send((STREAM % await secret_of(w)).replace(b"99999", b"%d" % (9 * len(said))))
        for start in range(0, 9 * len(said), step):
            line.pass_seconds(pause)
            await line.send((9 * said)[start : start + step])
        status, body = await line.answer()
        assert (status, body["booked"], body["duplicates"]) == (200, 40, 8 * 40)


@in_world
async def test_but_not_if_it_drips_or_pauses(w: World) -> None:
    secret = await secret_of(w)
    async with connected(w) as line:
        await line.send(STREAM % secret + LINE)
        for _ in range(PACE_SECONDS + 1):
            await line.send(b"\n")
            line.pass_seconds(1)
        assert_too_slow(await line.answer(), "what was booked of it stays")
        assert await line.is_closed()
    async with connected(w) as line:
        await line.send(STREAM % secret + STREAM_PACE * b"\n")
        line.pass_seconds(BODY_SECONDS + 1)
        assert_too_slow(await line.answer(), "what was booked of it stays")


@in_world
async def test_what_is_no_stream_does_not_become_one_by_its_name(w: World) -> None:
    stream = STREAM % await secret_of(w, "teamspaces:write")
    elsewhere = stream.replace(b"credits/usage", b"teamspaces")
    for head in (STREAM % b"nobody", elsewhere):
        async with connected(w) as line:
            await line.send(head + 2 * STREAM_PACE * b" ")
            if head is not elsewhere:
                # The answer is there before the body is, and remains the only one.
                assert (await line.answer())[0] == 401
            for _ in range(PACE_SECONDS):
                line.pass_seconds(1)
                await line.send(b" ")
            assert not line.writer.is_closing()
            line.pass_seconds(1)
            if head is elsewhere:
                assert_too_slow(await line.answer())
            assert await line.is_closed()


async def talkative(scope: Scope, receive: Receive, send: Send) -> None:
    """An application with more to say than any buffer holds."""
    await send({"type": "http.response.start", "status": 200})
    for _ in range(5_000):
        await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
        await asyncio.sleep(0)


@in_world
async def test_who_does_not_read_a_long_answer_is_let_go(w: World) -> None:
    async with connected(w, talkative) as line:
        await line.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        for _ in range(3):
            await line.protocol.is_full.wait()
            line.pass_seconds(UNREAD_SECONDS)
            assert not line.protocol.transport.is_closing()
            # Whoever reads has time again.
            left = line.protocol.transport.get_write_buffer_size()
            while line.protocol.transport.get_write_buffer_size() >= left:
                await line.reader.readexactly(65_536)
        await line.protocol.is_full.wait()
        line.pass_seconds(UNREAD_SECONDS + 2)
        await line.protocol.is_gone.wait()


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
