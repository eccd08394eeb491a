"""The least HTTP client: one connection whose every step a test takes itself.

Numbers of answers are exact (`Decimal`), for amounts are compared to the last digit.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

CREDITS: Final = "/v1/organization/credits"
USAGE: Final = "/v1/organization/credits/usage"

GONE: Final = (ConnectionError, asyncio.IncompleteReadError)
"""What comes of talking to a server that ended, or a connection that was cut."""

_CLOSE_WITH_RESET: Final = struct.pack("ii", 1, 0)


class Answer(NamedTuple):
    """`headers` in lower case; `body` is the JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Connection:
    """One connection to a server, with the key that its requests carry."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._secret = secret

    async def send(self, method: str, path: str, body: object = None) -> None:
        """Hands a whole request to the system, and no more."""
        content = b"" if body is None else json.dumps(body).encode()
        await self.send_bytes(self._head(method, path, len(content)) + content)

    async def send_head(self, method: str, path: str, length: int, *lines: str) -> None:
        """The same without its body, of that length, which has to follow; `lines` come on top."""
        await self.send_bytes(self._head(method, path, length, *lines))

    async def send_bytes(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    def _head(self, method: str, path: str, length: int, *more: str) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            "host: tallystick.test",
            f"authorization: Bearer {self._secret}",
            "content-type: application/json",
            f"content-length: {length}",
        ]
        return "\r\n".join([*lines, *more, "", ""]).encode()

    async def receive(self) -> Answer:
        """The next answer; raises one of `GONE` where none will come."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.rstrip("\r\n").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in rest)
        }
        body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(first.split()[1]), headers, json.loads(body, parse_float=Decimal))

    async def receive_continue(self) -> None:
        """The interim answer to `expect: 100-continue`: somebody wants to read the body."""
        assert await self._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        await self.send(method, path, body)
        return await self.receive()

    async def book(self, event_id: str, credits: object, **fields: object) -> Answer:
        return await self.ask("POST", USAGE, {"id": event_id, "credits": credits, **fields})

    def drop(self) -> None:
        """Closes at once, and lets the server know that nothing more is read."""
        transport = self._writer.transport
        door = transport.get_extra_info("socket")
        door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
        transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@asynccontextmanager
async def connected(url: str, secret: str) -> AsyncIterator[Connection]:
    """A connection, while the block lasts."""
    place = urlsplit(url)
    connection = Connection(*await asyncio.open_connection(place.hostname, place.port), secret)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def crowd(
    urls: str | Sequence[str], secret: str, count: int
) -> AsyncIterator[list[Connection]]:
    """So many connections, all open at once; where there are several servers, to each its share."""
    servers = itertools.cycle([urls] if isinstance(urls, str) else urls)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(connected(url, secret))
            for url in itertools.islice(servers, count)
        ]
