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


_EVENT: Final = '{"id":"ID","credits":1,"meter":"llm.tokens"}'
_CREDITS: Final = "/v1/organization/credits"
_USAGE: Final = f"{_CREDITS}/usage"
# A query, even one that says nothing, is for the common lane.
_COMMON: Final = "?"

GET_CREDITS: Final = Request(path=_CREDITS)
GET_CREDITS_VARIED: Final = Request(path=_CREDITS, varies=True)
GET_CREDITS_COMMON: Final = Request(path=_CREDITS + _COMMON)
BOOK_ONE: Final = Request(path=_USAGE, event=_EVENT, events=1)
BOOK_ONE_COMMON: Final = Request(path=_USAGE + _COMMON, event=_EVENT, events=1)
BOOK_100: Final = Request(path=_USAGE, event=_EVENT, events=100, is_batch=True)

ROWS: Final = tuple(
    Row(title=title, request=request, connections=connections, yardstick=yardstick)
    for title, request, yardstick, crowds in (
        ("GET credits", GET_CREDITS, "hello", (1, 64)),
        ("GET credits, every head different", GET_CREDITS_VARIED, "hello", (64,)),
        ("GET credits, common lane", GET_CREDITS_COMMON, "hello", (64,)),
        ("POST usage, one event", BOOK_ONE, "hello, body read", (1, 64)),
        ("POST usage, one event, common lane", BOOK_ONE_COMMON, "hello, body read", (64,)),
        ("POST usage, batch of 100", BOOK_100, "hello, body read", (1, 64)),
    )
    for connections in crowds
)
