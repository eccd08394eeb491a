"""What is measured: one row of the report each.

The yardstick of a row gets the very same bytes as its subject, head and body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.load import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`subject` and `yardstick` are names in `servers.SERVERS`."""

    title: str
    request: Request
    connections: int
    subject: str = "tallystick"
    yardstick: str


GET_CREDITS: Final = Request(path="/v1/organization/credits")
_EVENT: Final = '{"id":"ID","credits":1,"meter":"llm.tokens"}'
_USAGE: Final = "/v1/organization/credits/usage"
BOOK_ONE: Final = Request(path=_USAGE, event=_EVENT, events=1)
BOOK_100: Final = Request(path=_USAGE, event=_EVENT, events=100, is_batch=True)

ROWS: Final = tuple(
    Row(title=title, request=request, connections=connections, yardstick=yardstick)
    for title, request, yardstick in (
        ("GET credits", GET_CREDITS, "hello"),
        ("POST usage, one event", BOOK_ONE, "hello, body read"),
        ("POST usage, batch of 100", BOOK_100, "hello, body read"),
    )
    for connections in (1, 64)
)
