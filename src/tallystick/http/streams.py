"""Sends an answer whose body is made while it is sent.

The server's `send` waits while the client does not read, and the next part is asked for only after
that. It says nothing when the client has left, so that is listened for beside: whoever makes the
parts is told at the next one, and lets go of what it holds.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Receive, Send


async def send_parts(parts: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
    """Sends the parts and ends the body, as long as there is somebody to send them to.

    What `parts` raises is raised on: the body is not ended, so the client knows.
    """
    gone = asyncio.ensure_future(_client_gone(receive))
    try:
        async with aclosing(parts):
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                if gone.done():
                    return
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
