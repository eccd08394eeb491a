"""What is measured: one row of the report each.

The yardstick of a row gets the very same bytes as its subject, head and body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from bench.load import Request

NO_REQUEST: Final = Request(path="")
"""For servers that work by themselves on both sides."""

ORGANIZATIONS: Final = 100_000
"""Where there are many."""

Figure = Literal["cpu_us_per_request", "requests_per_second"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is promised of a ratio to the yardstick: a cost is at most so much, a rate at least."""

    figure: Figure
    bound: float

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.bound if self.figure == "cpu_us_per_request" else ratio >= self.bound

    def __str__(self) -> str:
        if self.figure == "cpu_us_per_request":
            return f"at most {self.bound:g} × the CPU time"
        return f"at least {self.bound:g} × the rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`subject` and `yardstick` are names in `servers.SERVERS`; without a target, nothing is
    promised. What takes large ledgers or other people's software is no part of a quick run, and
    what `is_long` only of a long one. `seconds` and `rounds` are bounds of this row's own."""

    title: str
    request: Request = NO_REQUEST
    connections: int = 1
    subject: str = "tallystick"
    yardstick: str
    target: Target | None = None
    takes_much: bool = False
    is_long: bool = False
    seconds: int | None = None
    rounds: int | None = None


def _cpu(bound: float) -> Target:
    return Target(figure="cpu_us_per_request", bound=bound)


def _rate(bound: float) -> Target:
    return Target(figure="requests_per_second", bound=bound)


_EVENT: Final = '{"id":"ID","credits":1,"meter":"llm.tokens"}'
_CREDITS: Final = "/v1/organization/credits"
_USAGE: Final = f"{_CREDITS}/usage"
# A query, even one that says nothing, is for the common lane.
_COMMON: Final = "?"

GET_CREDITS: Final = Request(path=_CREDITS)
GET_CREDITS_VARIED: Final = Request(path=_CREDITS, varies=True)
GET_CREDITS_OF_64: Final = Request(path=_CREDITS, varies=True, askers=64)
GET_CREDITS_OF_ALL: Final = Request(path=_CREDITS, varies=True, askers=ORGANIZATIONS)
GET_CREDITS_COMMON: Final = Request(path=_CREDITS + _COMMON)
BOOK_ONE: Final = Request(path=_USAGE, event=_EVENT, events=1)
BOOK_ONE_VARIED: Final = Request(path=_USAGE, varies=True, event=_EVENT, events=1)
BOOK_ONE_OF_64: Final = replace(BOOK_ONE_VARIED, askers=64)
BOOK_ONE_OF_ALL: Final = replace(BOOK_ONE_VARIED, askers=ORGANIZATIONS)
BOOK_ONE_RANDOM: Final = Request(path=_USAGE, event=_EVENT, events=1, ids_are_random=True)
BOOK_ONE_COMMON: Final = Request(path=_USAGE + _COMMON, event=_EVENT, events=1)
BOOK_100: Final = Request(path=_USAGE, event=_EVENT, events=100, is_batch=True)
BOOK_100_RANDOM: Final = Request(
    path=_USAGE, event=_EVENT, events=100, is_batch=True, ids_are_random=True
)
BOOK_1000_ATOMICALLY: Final = Request(
    path=_USAGE, event=_EVENT, events=1000, is_batch=True, is_atomic=True
)

_BESIDE_HELLO: Final = tuple(
    Row(title=title, request=request, connections=connections, yardstick=yardstick, target=target)
    for title, request, yardstick, crowds in (
        ("GET credits", GET_CREDITS, "hello", {1: None, 64: _cpu(0.5)}),
        ("GET credits, every head different", GET_CREDITS_VARIED, "hello", {64: _cpu(0.8)}),
        ("GET credits, common lane", GET_CREDITS_COMMON, "hello", {64: None}),
        ("POST usage, one event", BOOK_ONE, "hello, body read", {1: None, 64: _cpu(2)}),
        ("POST usage, one event, common lane", BOOK_ONE_COMMON, "hello, body read", {64: None}),
        ("POST usage, batch of 100", BOOK_100, "hello, body read", {1: None, 64: None}),
    )
    for connections, target in crowds.items()
)

_BESIDE_THE_FILE: Final = (
    Row(
        title="POST usage, one event, beside one transaction an event",
        request=BOOK_ONE,
        connections=64,
        yardstick="one transaction an event",
        target=_rate(10),
        takes_much=True,
    ),
    Row(
        title="POST usage, batch of 100, beside bare executemany",
        request=BOOK_100,
        connections=64,
        subject="tallystick, a million entries",
        yardstick="bare executemany",
        target=_rate(0.4),
        takes_much=True,
    ),
    Row(
        title="POST usage, batch of 100, random ids, beside bare executemany",
        request=BOOK_100_RANDOM,
        connections=64,
        subject="tallystick, a million entries, random ids",
        yardstick="bare executemany, random ids",
        target=_rate(0.6),
        takes_much=True,
    ),
)

_BESIDE_OTHERS: Final = tuple(
    Row(
        title=f"{title}, beside {yardstick}",
        request=request,
        connections=64,
        yardstick=yardstick,
        target=target,
        takes_much=True,
    )
    for title, request, yardstick, target in (
        ("GET credits", GET_CREDITS, "nginx", _cpu(1.5)),
        ("GET credits", GET_CREDITS, "hello on granian", None),
        ("GET credits", GET_CREDITS, "typical stack", _rate(100)),
        ("POST usage, one event", BOOK_ONE, "typical stack", _rate(100)),
    )
)

# The smaller ledger grows while it is measured: few and short slices keep it small.
_SECONDS: Final = 1
_ROUNDS: Final = 3

_GROWTH: Final = tuple(
    Row(
        title=f"{title}, {entries}{kind}, beside ten thousand",
        request=request,
        connections=64,
        subject=f"tallystick, {entries}{kind}",
        yardstick=f"tallystick, ten thousand entries{kind}",
        target=target,
        takes_much=True,
        is_long=is_long,
        seconds=_SECONDS,
        rounds=_ROUNDS,
    )
    for entries, is_long in (("a million entries", False), ("ten million entries", True))
    for title, request, kind, target in (
        ("GET credits", GET_CREDITS, "", _cpu(1.3)),
        ("POST usage, one event", BOOK_ONE, "", _cpu(1.3)),
        ("POST usage, one event", BOOK_ONE_RANDOM, ", random ids", None),
    )
)

# What is promised is promised of all: see the README. The other two say where the cost comes from.
_MANY_ORGANIZATIONS: Final = tuple(
    Row(
        title=f"{title}, a hundred thousand organizations, {who}, beside one",
        request=request,
        connections=64,
        subject="tallystick, a hundred thousand organizations",
        yardstick="tallystick",
        target=target,
        takes_much=True,
        seconds=_SECONDS,
        rounds=_ROUNDS,
    )
    for title, who, request, target in (
        ("GET credits", "of which one asks", GET_CREDITS_VARIED, None),
        ("GET credits", "of which 64 ask", GET_CREDITS_OF_64, None),
        ("GET credits", "which all ask", GET_CREDITS_OF_ALL, _cpu(1.3)),
        ("POST usage, one event", "of which one asks", BOOK_ONE_VARIED, None),
        ("POST usage, one event", "of which 64 ask", BOOK_ONE_OF_64, None),
        ("POST usage, one event", "which all ask", BOOK_ONE_OF_ALL, _cpu(1.3)),
    )
)

_NODE: Final = "tallystick on PostgreSQL + Redis"

_FAR: Final = tuple(
    Row(
        title=f"{title}, PostgreSQL + Redis{beside}",
        request=request,
        connections=64,
        subject=_NODE,
        yardstick=yardstick,
        target=target,
        takes_much=True,
    )
    for title, request, yardstick, beside, target in (
        ("GET credits", GET_CREDITS, "hello", "", _cpu(1)),
        ("GET credits, every head different", GET_CREDITS_VARIED, "hello", "", None),
        ("GET credits", GET_CREDITS, "typical stack", ", beside typical stack", _rate(30)),
        ("POST usage, one event", BOOK_ONE, "hello, body read", "", None),
        ("POST usage, one event", BOOK_ONE, "typical stack", ", beside typical stack", _rate(30)),
    )
)

# The processes share the cores with each other, the databases and the load: see the README.
_SEVERAL_PROCESSES: Final = tuple(
    Row(
        title=f"{title}, PostgreSQL + Redis, {processes}, beside one",
        request=request,
        connections=64,
        subject=f"{_NODE}, {processes}",
        yardstick=_NODE,
        takes_much=True,
    )
    for title, request in (("GET credits", GET_CREDITS), ("POST usage, one event", BOOK_ONE))
    for processes in ("two processes", "four processes")
)

_SHARED_LIMITER: Final = tuple(
    Row(title=title, subject=subject, yardstick=yardstick, takes_much=True, seconds=_SECONDS)
    for title, subject, yardstick in (
        (
            "limiter on Redis, checks, beside one key a call",
            "limiter on Redis",
            "limiter on Redis, one key a call",
        ),
        (
            "limiter on Redis, checks in slot groups, beside one key a call",
            "limiter on Redis, groups",
            "limiter on Redis, one key a call",
        ),
        ("limiter on Redis, checks, beside limits", "limiter on Redis", "limits on Redis"),
    )
)

_LIMITER: Final = (
    Row(
        title="limiter, checks",
        subject="limiter",
        yardstick="limits",
        target=_rate(4),
        takes_much=True,
    ),
    Row(
        title="limiter, checks, beside yes or no",
        subject="limiter",
        yardstick="limits, without values",
        takes_much=True,
    ),
)

ROWS: Final = (
    *_BESIDE_HELLO,
    *_BESIDE_OTHERS,
    *_GROWTH,
    *_MANY_ORGANIZATIONS,
    *_BESIDE_THE_FILE,
    *_FAR,
    *_SEVERAL_PROCESSES,
    *_LIMITER,
    *_SHARED_LIMITER,
)
