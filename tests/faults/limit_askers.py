"""Nodes that ask a shared limiter far more often than it admits; a process of the test's.

    python -m tests.faults.limit_askers URL WINDOW_MS LIMIT NODES SECONDS

Prints for each check what came of it (1 admitted, 0 refused, 2 not known) and when it was asked and
answered, in seconds of the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from tallystick.limits.fallback import Fallback, Policy
from tallystick.limits.policy import Decision, LimiterUnavailable
from tallystick.limits.redis import RedisLimiter

PAUSE_SECONDS = 0.01
KEY = ("teamspace", "credits.get")
Asked = tuple[int, float, float]


async def ask(limiter: RedisLimiter, limit: int) -> int:
    # Where the machine is so busy that Redis misses the deadline, nobody decides in its place.
    found = limiter.acquire(KEY, limit, 0)
    try:
        decision = found if isinstance(found, Decision) else await found
    except LimiterUnavailable:
        return 2
    return int(decision.admitted)


async def keep_asking(limiter: RedisLimiter, limit: int, until: float) -> list[Asked]:
    history = []
    while (began := time.monotonic()) < until:
        outcome = await ask(limiter, limit)
        history.append((outcome, began, time.monotonic()))
        await asyncio.sleep(PAUSE_SECONDS)
    return history


async def main(url: str, window_ms: int, limit: int, nodes: int, seconds: int) -> None:
    limiters = [
        RedisLimiter(url, Fallback(Policy.CLOSED), window_ms=window_ms) for _ in range(nodes)
    ]
    await asyncio.gather(*(each.start() for each in limiters))
    until = time.monotonic() + seconds
    found = await asyncio.gather(*(keep_asking(each, limit, until) for each in limiters))
    await asyncio.gather(*(each.close() for each in limiters))
    json.dump([asked for history in found for asked in history], sys.stdout)


if __name__ == "__main__":
    url, *numbers = sys.argv[1:]
    window_ms, limit, nodes, seconds = map(int, numbers)
    asyncio.run(main(url, window_ms, limit, nodes, seconds))
