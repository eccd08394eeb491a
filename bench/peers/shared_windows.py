"""Checks of windows in Redis: `python -m bench.peers.shared_windows PORT FOLDER WHICH`.

WHICH names the limiter: `ours` on one server, where all checks share a call; `groups`, the same
with a call for each slot group, as on a Cluster; `single` with a call for each check; and `limits`,
the moving window of that package with the values that headers need. Redis is where REDIS_URL says.

A step is 64 checks at a time, each of another key, as from 64 connections. Windows have room for
200; when they are full there are new keys.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import uvloop

from bench.peers import alone
from bench.peers.windows import LIMIT

if TYPE_CHECKING:
    from tallystick.limits.redis.limiter import RedisLimiter

_AT_A_TIME: Final = 64

Check = Callable[[str], Awaitable[object]]


async def ours(url: str) -> Check:
    return _asking(await _limiter(url))


async def in_groups(url: str) -> Check:
    limiter = await _limiter(url)
    limiter.spans = False
    return _asking(limiter)


async def one_key_a_call(url: str) -> Check:
    # The peers' environment does not have it.
    from tallystick.limits.redis import lane  # noqa: PLC0415 (see above)

    setattr(lane, "MOST_PER_CALL", 1)  # noqa: B010 (there is no setting for it, and no use)
    return _asking(await _limiter(url))


async def _limiter(url: str) -> RedisLimiter:
    # The peers' environment does not have it.
    from tallystick.limits.fallback import Fallback, Policy  # noqa: PLC0415 (see above)
    from tallystick.limits.redis.limiter import RedisLimiter  # noqa: PLC0415 (see above)

    # Only Redis decides: what it did not decide in time would be an error here.
    limiter = RedisLimiter(url, Fallback(Policy.CLOSED), deadline_seconds=5)
    await limiter.start()
    return limiter


def _asking(limiter: RedisLimiter) -> Check:
    def check(key: str) -> Awaitable[object]:
        found: Any = limiter.acquire(key, LIMIT, 0)
        future: Awaitable[object] = found
        return future

    return check


async def theirs(url: str) -> Check:
    # The peers' environment alone has it.
    from limits import RateLimitItemPerMinute  # noqa: PLC0415 (see above)
    from limits.aio.storage import RedisStorage  # noqa: PLC0415 (see above)
    from limits.aio.strategies import MovingWindowRateLimiter  # noqa: PLC0415 (see above)

    limiter = MovingWindowRateLimiter(RedisStorage(f"async+{url}", implementation="redispy"))
    item = RateLimitItemPerMinute(LIMIT)

    async def check(key: str) -> object:
        admitted = await limiter.hit(item, key)
        return admitted, await limiter.get_window_stats(item, key)

    return check


LIMITERS: Final[dict[str, Callable[[str], Awaitable[Check]]]] = {
    "ours": ours,
    "groups": in_groups,
    "single": one_key_a_call,
    "limits": theirs,
}


class Filling:
    """Fills windows of ever new keys on a loop of its own."""

    def __init__(self, make: Callable[[str], Awaitable[Check]], url: str) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._check = self._runner.run(_made(make, url))
        self._number = 0

    def step(self) -> int:
        first = self._number // LIMIT * _AT_A_TIME
        self._number += 1
        return self._runner.run(self._ask([f"ts_{first + n:026d}" for n in range(_AT_A_TIME)]))

    async def _ask(self, keys: list[str]) -> int:
        start = time.perf_counter_ns()
        await asyncio.gather(*(self._check(key) for key in keys))
        return time.perf_counter_ns() - start


async def _made(make: Callable[[str], Awaitable[Check]], url: str) -> Check:
    return await make(url)


def main() -> None:
    filling = Filling(LIMITERS[sys.argv[3]], os.environ["REDIS_URL"])
    alone.serve(int(sys.argv[1]), filling.step, per_step=_AT_A_TIME)


if __name__ == "__main__":
    main()
