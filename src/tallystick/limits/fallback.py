"""What is decided while the windows that nodes share are out of reach.

- `local`: this node limits by itself, in windows of its own, which are empty at first. So several
  nodes together admit more than the limit meanwhile, each of them no more than it.
- `open`: whoever comes is admitted, and nothing is counted.
- `closed`: nobody is admitted; the answer is that the service is unavailable.

A limit of 0 means that nobody is admitted, whatever the policy.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import WINDOW_MS, Decision, LimiterUnavailable

if TYPE_CHECKING:
    from collections.abc import Hashable

RETRY_AFTER_MS: Final = 1000
"""When to ask again whom `closed` turned away. Nobody knows; a second is soon and is no storm."""


class Policy(enum.Enum):
    LOCAL = "local"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(slots=True)
class Counts:
    """Decisions since the start, for a metric. Peeks are none."""

    shared_admitted: int = 0
    shared_refused: int = 0
    local_admitted: int = 0
    local_refused: int = 0
    open_admitted: int = 0
    open_refused: int = 0
    closed_refused: int = 0


class Fallback:
    """Decides by a policy. `counts` is also where who decides by shared windows counts."""

    __slots__ = ("_local", "counts", "policy")

    def __init__(self, policy: Policy, *, window_ms: int = WINDOW_MS) -> None:
        self.policy = policy
        self.counts = Counts()
        self._local = MemoryLimiter(window_ms=window_ms)

    def acquire(self, key: Hashable, limit: int, now_ms: int) -> Decision:
        """Raises LimiterUnavailable under `closed`."""
        counts = self.counts
        if self.policy is Policy.LOCAL:
            decision = self._local.acquire(key, limit, now_ms)
            counts.local_admitted += decision.admitted
            counts.local_refused += not decision.admitted
            return decision
        if self.policy is Policy.OPEN:
            decision = self._uncounted(key, limit, now_ms)
            counts.open_admitted += decision.admitted
            counts.open_refused += not decision.admitted
            return decision
        counts.closed_refused += 1
        raise _unavailable()

    def peek(self, key: Hashable, limit: int, now_ms: int) -> Decision:
        """Raises LimiterUnavailable under `closed`."""
        if self.policy is Policy.CLOSED:
            raise _unavailable()
        if self.policy is Policy.OPEN:
            return self._uncounted(key, limit, now_ms)
        return self._local.peek(key, limit, now_ms)

    def settle(
        self, future: asyncio.Future[Decision], key: Hashable, asked: int, now_ms: int
    ) -> None:
        """Decides in place of who could not; `asked` is the limit, or for a peek ~limit.

        Nothing is decided for a caller who has gone or has had an answer.
        """
        if future.done():
            return
        try:
            if asked < 0:
                future.set_result(self.peek(key, ~asked, now_ms))
            else:
                future.set_result(self.acquire(key, asked, now_ms))
        except LimiterUnavailable as unavailable:
            future.set_exception(unavailable)

    def _uncounted(self, key: Hashable, limit: int, now_ms: int) -> Decision:
        # What an empty window says. It stays empty: under this policy it is never counted in.
        return self._local.peek(key, limit, now_ms)


def _unavailable() -> LimiterUnavailable:
    return LimiterUnavailable(
        "rate limits cannot be checked at present; nothing was counted and nothing done",
        RETRY_AFTER_MS,
    )
