"""Both lanes side by side: two equal worlds, one behind each, and connections without sockets.

What is said to one side is said to the other in the same pieces. A side has answered when nothing
is under way any more, which is seen in its protocol, so that no test waits for time to pass.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple, TypeVar

import uvicorn
from uvicorn.server import ServerState

from tallystick.http.app import create_app
from tallystick.http.exchange import Exchange, Lane
from tallystick.http.express import ExpressProtocol
from tallystick.http.framing import Protocol
from tallystick.http.gate import Gate
from tallystick.http.handlers.table import OPERATIONS
from tallystick.ledger.coalesce import Coalescer
from tallystick.ledger.reading import EntryFilter, Page
from tallystick.limits.policy import ADDRESS_LIMIT
from tests.harness import World, world
from tests.later import MOST_TURNS

T = TypeVar("T")

HOT: Final = [operation for operation in OPERATIONS if operation.is_hot]
CLIENT: Final = "192.0.2.7"
_DATE: Final = (b"date", b"Tue, 10 Mar 2026 12:00:00 GMT")
# Turns of the loop in which whatever waits for no thread comes to its end. A key, a window and a
# balance may be far, one after the other, and each step to the next takes a few.
_TURNS: Final = 6
_FAR_TURNS: Final = _TURNS + 3 * (MOST_TURNS + 3)
# What never comes is not waited for for ever.
_AT_MOST_SECONDS: Final = 20


class Wire(asyncio.Transport):
    """A transport that keeps what is sent, and holds back what arrives while reading is paused."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__({"peername": (CLIENT, 4711), "sockname": ("192.0.2.1", 80)})
        self.protocol = protocol
        self.sent = bytearray()
        self.writes = 0
        self.has_ended = False
        self.is_paused = False
        self.unsent = 0
        self.is_aborted = False
        self.news = asyncio.Event()
        self._is_closing = False
        self._held_back: deque[bytes] = deque()

    # ── the client's end ──

    def arrive(self, data: bytes) -> None:
        self._held_back.append(data)
        self._pass_on()

    def hang_up(self) -> None:
        """The client is gone."""
        if not self._is_closing:
            self._is_closing = True
            self.protocol.connection_lost(None)

    @property
    def holds_back(self) -> bool:
        """Whether something has arrived that the server has not wanted to read yet."""
        return bool(self._held_back)

    def _pass_on(self) -> None:
        while self._held_back and not self.is_paused and not self._is_closing:
            self.protocol.data_received(self._held_back.popleft())

    # ── the server's end ──

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.has_ended, "written after the end"
        if not self._is_closing:
            self.sent += data
            self.writes += 1
        self.news.set()

    def get_write_buffer_size(self) -> int:
        """What the client has not taken: as much as a test says."""
        return self.unsent

    def write_eof(self) -> None:
        self.has_ended = True
        self.news.set()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
            self.news.set()

    def abort(self) -> None:
        self.is_aborted = True
        self.close()

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False
        asyncio.get_running_loop().call_soon(self._pass_on)
        self.news.set()


class Heard(NamedTuple):
    """What a client has heard, and what became of its connection."""

    answers: bytes
    is_closed: bool
    has_ended: bool
    is_paused: bool


class Connection:
    """A client's connection to one side."""

    def __init__(self, protocol: Protocol, turns: int = _TURNS) -> None:
        self.protocol = protocol
        self.turns = turns
        self.wire = Wire(protocol)
        protocol.connection_made(self.wire)

    async def say(self, *pieces: bytes) -> Heard:
        """What is answered to these pieces, each of which arrives after what came of the last."""
        for piece in pieces:
            self.wire.arrive(piece)
            await self.quiet()
        return self.heard()

    async def say_at_once(self, *pieces: bytes) -> Heard:
        """The same for pieces that arrive before the server has had a turn."""
        for piece in pieces:
            self.wire.arrive(piece)
        await self.quiet()
        return self.heard()

    async def quiet(self) -> None:
        """Returns when everything has been answered that can be."""
        while True:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            if flights := [task for task in asyncio.all_tasks() if _is_flight(task)]:
                await asyncio.wait(flights)
                continue
            if not self._is_under_way():
                return
            self.wire.news.clear()
            async with asyncio.timeout(_AT_MOST_SECONDS):
                await self.wire.news.wait()

    def heard(self) -> Heard:
        """All since it was asked last."""
        answers = bytes(self.wire.sent)
        self.wire.sent.clear()
        wire = self.wire
        is_paused = wire.is_paused and not wire.is_closing()
        return Heard(answers, wire.is_closing(), wire.has_ended, is_paused)

    def _is_under_way(self) -> bool:
        cycle = self.protocol.cycle
        if self.wire.is_closing() or cycle is None:
            return False
        return (
            self.wire.holds_back
            or bool(self.protocol.pipeline)
            or not (cycle.response_complete or cycle.disconnected or cycle.more_body)
        )


def is_express(connection: Connection) -> bool:
    """Whether the latest request went down the express lane."""
    return isinstance(connection.protocol.cycle, Exchange)


def _is_flight(task: asyncio.Task[Any]) -> bool:
    """Whether it is a batch of the ledger: somebody waits for it, even if no cycle shows it."""
    return getattr(task.get_coro(), "__qualname__", "").startswith(Coalescer.__name__)


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many requests the express lane took, and for how many of them it knew the head."""

    taken: int = 0
    known: int = 0


class Counted(ExpressProtocol):
    """Counts what goes down which lane."""

    tally: Tally
    _read: object = None

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if isinstance(self.cycle, Exchange):
            self.tally.taken += 1
            self._read = self.cycle

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        cycle = self.cycle
        if isinstance(cycle, Exchange) and cycle is not before and cycle is not self._read:
            self.tally.taken += 1
            self.tally.known += 1


@dataclass(slots=True, kw_only=True)
class Side:
    """A world and the way into it."""

    w: World
    accept: Callable[[], Protocol]
    lane: Lane | None = None
    tally: Tally = field(default_factory=Tally)

    def connect(self) -> Connection:
        return Connection(self.accept(), _FAR_TURNS if self.w.is_far else _TURNS)

    def number_requests(self) -> None:
        """Starts the requests' ids anew: a request that nobody was answered may use one up."""
        self.w.service.request_ids = (f"req_{number:08x}" for number in itertools.count())


def config_of(w: World) -> uvicorn.Config:
    config = uvicorn.Config(
        create_app(w.service, OPERATIONS),
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    config.load()
    return config


def new_state() -> ServerState:
    state = ServerState()
    state.default_headers = [_DATE]
    return state


def express_side(w: World) -> Side:
    """Connections that have both lanes."""
    config, state = config_of(w), new_state()
    lane = Lane(w.service, Gate(w.service), HOT)

    def accept() -> Counted:
        protocol = Counted(lane, config=config, server_state=state, app_state={})
        protocol.tally = side.tally
        return protocol

    side = Side(w=w, accept=accept, lane=lane)
    return side


def common_side(w: World) -> Side:
    """Connections that have the common lane only."""
    config, state, gate = config_of(w), new_state(), Gate(w.service)

    def accept() -> Protocol:
        return Protocol(w.service, gate, config=config, server_state=state, app_state={})

    return Side(w=w, accept=accept)


@dataclass(slots=True, kw_only=True)
class Twins:
    """Both sides; whatever is done to one is done to the other."""

    express: Side
    common: Side

    async def each(self, act: Callable[[World], Awaitable[T]]) -> T:
        """Does the same to both worlds, and returns what came of it in both alike."""
        first = await act(self.express.w)
        assert await act(self.common.w) == first
        return first

    def pass_time(self, *, ms: int) -> None:
        for side in (self.express, self.common):
            side.w.clock.now += ms * 1000

    def connect(self) -> Pair:
        self.express.number_requests()
        self.common.number_requests()
        return Pair(self.express.connect(), self.common.connect())

    async def assert_same_state(self, windows: Sequence[tuple[Hashable, int]]) -> None:
        """The entries of every organization, and what is left in these windows and the client's."""
        assert await _entries(self.express.w) == await _entries(self.common.w)
        found = [
            [
                *(
                    service.limiter.peek(key, limit, service.monotonic_ms())
                    for key, limit in windows
                ),
                service.strangers.peek(CLIENT, ADDRESS_LIMIT, service.monotonic_ms()),
            ]
            for service in (self.express.w.service, self.common.w.service)
        ]
        assert found[0] == found[1]


class Pair:
    """One connection to each side."""

    def __init__(self, express: Connection, common: Connection) -> None:
        self.express = express
        self.common = common

    async def say(self, *pieces: bytes, at_once: bool = False) -> Heard:
        """What both sides answer alike."""
        heard = []
        for connection in (self.express, self.common):
            say = connection.say_at_once if at_once else connection.say
            heard.append(await say(*pieces))
        assert heard[0] == heard[1], (heard[0], heard[1], pieces)
        return heard[0]

    def hang_up(self) -> None:
        self.express.wire.hang_up()
        self.common.wire.hang_up()


async def _entries(w: World) -> list[object]:
    page = Page(100_000, ascending=True)
    organizations = await w.service.reads.reader.organizations(page)
    return [
        await w.service.reads.entries(organization.id, page, EntryFilter())
        for organization in organizations
    ]


@asynccontextmanager
async def twins(*, far: bool = False) -> AsyncIterator[Twins]:
    """Two equal worlds, with a lane each; if `far`, each has its answers in an order of its own."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(world(far=Random(seed) if far else None))
            for seed in range(2)
        ]
        yield Twins(express=express_side(first), common=common_side(second))
