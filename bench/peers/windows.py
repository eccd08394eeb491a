"""Checks of a limiter, and the memory it takes: `python -m bench.peers.windows PORT FOLDER WHICH`.

WHICH names the limiter: `ours`, or of the package `limits` its moving window in memory, `limits`
with the values that headers need and `limits-bare` without. Each runs where it is installed, so
each is imported only when it is asked for.

A step fills the windows of some keys, one key after the other, 200 requests each; every key is a
new one, as after an idle minute. `memory` gives the bytes that one full window takes.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Final

from bench.peers import alone

LIMIT: Final = 200
_KEYS_A_STEP: Final = 5
_KEYS_WEIGHED: Final = 1000

Check = Callable[[str], object]


def ours() -> Check:
    # The peers' environment does not have it.
    from tallystick.limits.memory import MemoryLimiter  # noqa: PLC0415

    acquire = MemoryLimiter().acquire
    now_ns = time.monotonic_ns
    return lambda key: acquire(key, LIMIT, now_ns() // 1_000_000)


def theirs(*, with_values: bool) -> Check:
    # The peers' environment alone has it.
    from limits import RateLimitItemPerMinute  # noqa: PLC0415 (see above)
    from limits.storage import MemoryStorage  # noqa: PLC0415 (see above)
    from limits.strategies import MovingWindowRateLimiter  # noqa: PLC0415 (see above)

    limiter = MovingWindowRateLimiter(MemoryStorage())
    item = RateLimitItemPerMinute(LIMIT)

    def check(key: str) -> object:
        admitted = limiter.hit(item, key)
        return admitted, limiter.get_window_stats(item, key)

    return check if with_values else lambda key: limiter.hit(item, key)


LIMITERS: Final[dict[str, Callable[[], Check]]] = {
    "ours": ours,
    "limits": lambda: theirs(with_values=True),
    "limits-bare": lambda: theirs(with_values=False),
}


class Filling:
    """Makes full windows; a limiter that has a hundred thousand of them makes way for a new one."""

    def __init__(self, make: Callable[[], Check], most_keys: int = 2000) -> None:
        self._make, self._most_keys = make, most_keys
        self._check = make()
        self._number = 0

    def step(self) -> int:
        if self._number % self._most_keys == 0:
            self._check = self._make()
            gc.collect()
        keys = [f"ts_{self._number + n:026d}" for n in range(_KEYS_A_STEP)]
        self._number += len(keys)
        return fill(self._check, keys)


def fill(check: Check, keys: list[str]) -> int:
    start = time.perf_counter_ns()
    for key in keys:
        for _ in range(LIMIT):
            check(key)
    return time.perf_counter_ns() - start


def bytes_per_full_window(make: Callable[[], Check]) -> int:
    check = make()
    fill(check, ["warm-up"])
    gc.collect()
    tracemalloc.start()
    keys = [f"ts_{number:026d}" for number in range(_KEYS_WEIGHED)]
    before = tracemalloc.get_traced_memory()[0]
    fill(check, keys)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken // _KEYS_WEIGHED


def main() -> None:
    make = LIMITERS[sys.argv[3]]
    if sys.argv[1] == "memory":
        print(bytes_per_full_window(make))
        return
    alone.serve(int(sys.argv[1]), Filling(make).step, per_step=_KEYS_A_STEP * LIMIT)


if __name__ == "__main__":
    main()
