"""The ledger's clock on PostgreSQL: the database's, as this process last saw it.

A reading lies somewhere between the moment it was asked for and the moment it was answered, by the
process's monotonic clock, so it bounds how far apart the two clocks are. Of what is possible the
distance stays where it was, and at first it is the least: so the clock is never ahead of what the
database has said, nor behind by more than a round trip, it does not go back as long as the
database's does not, and it follows where that jumps (another server has taken over).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tallystick.ledger.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_NS: Final = 1000
"""Nanoseconds in a microsecond."""


class DatabaseClock:
    """Microseconds since 1970."""

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.monotonic_ns = monotonic_ns
        self._ahead_ns: int | None = None

    def note(self, now_us: int, asked_ns: int, answered_ns: int) -> None:
        """Takes in that the database's clock said `now_us`, some time between the two moments."""
        least, most = now_us * _NS - answered_ns, now_us * _NS - asked_ns
        known = least if self._ahead_ns is None else self._ahead_ns
        self._ahead_ns = min(max(known, least), most)

    def __call__(self) -> int:
        """Raises StoreUnavailable as long as the database has not been asked."""
        if self._ahead_ns is None:
            raise StoreUnavailable("the database's clock has not been read yet")
        return (self.monotonic_ns() + self._ahead_ns) // _NS
