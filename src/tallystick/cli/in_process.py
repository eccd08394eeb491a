"""The service in this process, as a transport of the HTTP client.

httpx has one of its own, which gathers a whole body before it hands on any of it. Here a part is
taken from the application only when the reader asks for it, so that an export needs no more memory
than over a socket.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class InProcess(httpx.AsyncBaseTransport):
    def __init__(self, app: App) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange(self._app, request, await request.aread())
        start = await exchange.next()
        return httpx.Response(start["status"], headers=start["headers"], stream=exchange)


class _Exchange(httpx.AsyncByteStream):
    """One request, and its response as far as it has been taken."""

    def __init__(self, app: App, request: httpx.Request, body: bytes) -> None:
        self._body: list[bytes] = [body]
        self._messages: asyncio.Queue[Message] = asyncio.Queue(1)
        self._gone = asyncio.Event()
        self._task = asyncio.ensure_future(app(_scope_of(request), self._receive, self._send))

    async def _receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._messages.put(message)

    async def next(self) -> Message:
        """What the application says next; raises what it raises instead."""
        message = asyncio.ensure_future(self._messages.get())
        await asyncio.wait({message, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not message.done() and self._messages.empty():
            message.cancel()
            self._task.result()
            raise httpx.RemoteProtocolError("the service said no more")
        return await message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next()
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def aclose(self) -> None:
        self._gone.set()
        self._task.cancel()
        await asyncio.wait({self._task})


def _scope_of(request: httpx.Request) -> dict[str, Any]:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": None,
    }
