"""What handlers work with, as bootstrap made it."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from tallystick.http.probe import Probe
from tallystick.ledger.refused import RefusedRequests

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Hashable, Iterator

    from tallystick.http.auth import Authenticator
    from tallystick.ledger.ledger import Ledger
    from tallystick.ledger.ports import ReplayKey
    from tallystick.ledger.reads import Reads
    from tallystick.limits.policy import Decision, Limits


_LAST_DIGITS: Final = [f"{number:03x}" for number in range(0x1000)]


class Limiter(Protocol):
    """Counts requests in exact sliding windows (see `limits.policy`)."""

    def acquire(self, key: Hashable, limit: int, now_ms: int) -> Decision | Future[Decision]:
        """Decides on one request, at once or later. Raises LimiterUnavailable, or the future does,
        where nobody is to pass without being counted."""
        ...

    def peek(self, key: Hashable, limit: int, now_ms: int) -> Decision: ...


@dataclass(slots=True, kw_only=True)
class Service:
    """Clocks: `clock` is the ledger's (microseconds), `monotonic_ms` the limiter's, `epoch_ms` only
    prints. `new_id` and `entropy` are the sources of ids and secrets. `limitable` names the
    operations that an organization's own limits may concern; whoever routes the table fills it.
    `limiter` counts who has a key, `strangers` the addresses of those who have none; `throttled` is
    how many requests either refused since the start, by operation."""

    ledger: Ledger
    reads: Reads
    authenticator: Authenticator
    limiter: Limiter
    strangers: Limiter
    limits: Limits
    clock: Callable[[], int]
    monotonic_ms: Callable[[], int]
    epoch_ms: Callable[[], int]
    new_id: Callable[[str], str]
    entropy: Callable[[int], bytes]
    pepper: bytes | None = None
    trusted_proxies: frozenset[str] = frozenset()
    limitable: frozenset[str] = frozenset()
    request_ids: Iterator[str] = field(init=False)
    refused: RefusedRequests = field(init=False)
    probe: Probe = field(init=False)
    replays_in_flight: set[ReplayKey] = field(default_factory=set)
    throttled: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.refused = RefusedRequests(self.ledger, self.clock)
        self.probe = Probe(self.ledger.store.check)
        self.request_ids = _request_ids(f"req_{self.entropy(8).hex()}")


def _request_ids(prefix: str) -> Iterator[str]:
    """The prefix and eight hexadecimal digits, which count up.

    Every request needs one: to append the last digits costs a fifth of formatting a number.
    """
    for number in itertools.count():
        start = f"{prefix}{number:05x}"
        for end in _LAST_DIGITS:
            yield start + end
