"""Servers that share a Redis admit exactly the limit, however many clients ask whichever of them.

What the limiter itself promises is tested without HTTP (`test_limits_across_processes`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.server import Server
from tests.servers.postgres import Postgres
from tests.sizes import running_nodes
from tests.sockets import CREDITS, connected

WORKERS = (2, 1, 1)
"""Processes of each node."""
CLIENTS = 15
WINDOW_MS, LIMIT, WINDOWS = 1_000, 40, 6
STAMP_SECONDS = 0.001
"""Redis counts whole milliseconds."""


class Asked(NamedTuple):
    """When, by the clock that all processes of a machine share, and what came of it."""

    status: int
    remaining: int
    sent: float
    answered: float


async def keep_asking(server: Server, secret: str, until: float) -> list[Asked]:
    history = []
    async with connected(server.url, secret) as connection:
        while (sent := time.monotonic()) < until:
            answer = await connection.ask("GET", CREDITS)
            remaining = int(answer.headers["x-ratelimit-remaining"])
            history.append(Asked(answer.status, remaining, sent, time.monotonic()))
    return history


async def ask_all(nodes: Sequence[Server], secret: str) -> list[Asked]:
    until = time.monotonic() + WINDOWS * WINDOW_MS / 1000
    asking = (keep_asking(nodes[number % len(nodes)], secret, until) for number in range(CLIENTS))
    return [asked for history in await asyncio.gather(*asking) for asked in history]


def test_exactly_the_limit_is_admitted_in_every_window(tmp_path: Path, durable: Postgres) -> None:
    url = durable.empty_database()
    # Where the machine is so busy that Redis misses the deadline, no node decides in its place.
    with running_nodes(
        tmp_path, url, workers=WORKERS, window_ms=WINDOW_MS, limits_fallback="closed"
    ) as nodes:
        acme = nodes[0].organization(rate_limits={"get_credits": LIMIT})
        secret = nodes[0].key(acme)
        history = asyncio.run(ask_all(nodes, secret))
    assert {asked.status for asked in history} <= {200, 429, 503}
    admitted = [asked for asked in history if asked.status == 200]
    check_never_more(admitted)
    check_never_less(history)
    assert len(history) >= 10 * LIMIT * WINDOWS
    # That many windows were filled.
    assert len(admitted) >= LIMIT * (WINDOWS - 1)
    assert all(asked.remaining == 0 for asked in history if asked.status == 429)


def check_never_more(admitted: Sequence[Asked]) -> None:
    """Who was admitted `LIMIT` places later came at least a window later."""
    window = WINDOW_MS / 1000 - STAMP_SECONDS
    sent = sorted(asked.sent for asked in admitted)
    answered = sorted(asked.answered for asked in admitted)
    for earlier, later in zip(sent, answered[LIMIT:], strict=False):
        assert later - earlier >= window


def check_never_less(history: Sequence[Asked]) -> None:
    """At each refusal, `LIMIT` that may have been counted were in the window."""
    window = WINDOW_MS / 1000 + STAMP_SECONDS
    counted = [asked for asked in history if asked.status != 429]
    for refused in history:
        if refused.status == 429:
            inside = sum(
                each.answered > refused.sent - window and each.sent < refused.answered
                for each in counted
            )
            assert inside >= LIMIT
