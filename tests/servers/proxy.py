"""A network between a service and a server, which can be made slow, silent or rude.

    with Proxy(postgres.daemon.port) as network:
        with running_server(tmp_path, database=network.leading_to(url)) as server:
            network.delay_seconds = 0.05         # each message takes that long
            network.hang()                       # nothing arrives any more, nobody is told
            network.go_on()
            network.cut()                        # every connection is reset
            network.strand()                     # those that are there lead nowhere from now on
            network.at_commit_of("evt-1", Fate.LOST_ANSWER)

It passes bytes on, in an event loop and a thread of its own.
"""

from __future__ import annotations

import asyncio
import enum
import re
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeVar

T = TypeVar("T")

_CHUNK: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)
_COMMIT: Final = b"COMMIT"


class Fate(enum.Enum):
    """What becomes of a COMMIT on its way."""

    LOST = enum.auto()
    """It does not arrive: both connections are reset before."""
    LOST_ANSWER = enum.auto()
    """It arrives and is carried out, and instead of the answer comes a reset."""
    HALF_OPEN = enum.auto()
    """It does not arrive, and neither side is told: both keep a connection that leads nowhere."""


class Passage:
    """One connection of the service's, and the one to the server that belongs to it."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self.is_stranded = False
        self.fate: Fate | None = None
        """Of its next COMMIT."""

    def cut(self) -> None:
        """Resets both ends."""
        for end in (self.near, self.far):
            door = end.transport.get_extra_info("socket")
            door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class Proxy:
    """Leads to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.delay_seconds = 0.0
        self.has_struck = threading.Event()
        """Whether a COMMIT has met its fate."""
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._flows = asyncio.Event()
        self._flows.set()
        self._passages: set[Passage] = set()
        self._marks: dict[bytes, Fate] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._meet, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def leading_to(self, url: str) -> str:
        """The same URL by way of here."""
        return re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{self.port}", url)

    # ── what can be done to it ──

    def hang(self) -> None:
        self._loop.call_soon_threadsafe(self._flows.clear)

    def go_on(self) -> None:
        self._loop.call_soon_threadsafe(self._flows.set)

    def cut(self) -> None:
        self._run(self._cut())

    def strand(self) -> None:
        """New connections lead where they should."""
        for passage in list(self._passages):
            passage.is_stranded = True

    def at_commit_of(self, mark: str, fate: Fate) -> None:
        """Once: the COMMIT of the first transaction in which these bytes are sent."""
        self.has_struck.clear()
        self._marks[mark.encode()] = fate

    # ── what it does ──

    def _run(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _meet(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            behind, far = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            near.transport.abort()
            return
        passage = Passage(near, far)
        self._passages.add(passage)
        try:
            with suppress(OSError):
                await asyncio.gather(self._ask(passage, reader), self._answer(passage, behind))
        finally:
            self._passages.discard(passage)
            for end in (near, far):
                end.close()

    async def _ask(self, passage: Passage, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK):
            self._mark(passage, chunk)
            if _COMMIT in chunk and passage.fate is Fate.LOST:
                self._strike(passage)
                return
            if _COMMIT in chunk and passage.fate is Fate.HALF_OPEN:
                self._strike(passage)
            await self._pass_on(passage, chunk, passage.far)
        passage.far.close()

    async def _answer(self, passage: Passage, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK):
            if _COMMIT in chunk and passage.fate is Fate.LOST_ANSWER:
                self._strike(passage)
                return
            await self._pass_on(passage, chunk, passage.near)
        if not passage.is_stranded:
            passage.near.close()

    def _mark(self, passage: Passage, chunk: bytes) -> None:
        for mark in [mark for mark in self._marks if mark in chunk]:
            passage.fate = self._marks.pop(mark)

    def _strike(self, passage: Passage) -> None:
        if passage.fate is Fate.HALF_OPEN:
            passage.is_stranded = True
        else:
            passage.cut()
        self.has_struck.set()

    async def _pass_on(self, passage: Passage, chunk: bytes, to: asyncio.StreamWriter) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self._flows.wait()
        if not passage.is_stranded:
            to.write(chunk)
            await to.drain()

    async def _cut(self) -> None:
        for passage in list(self._passages):
            passage.cut()

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
