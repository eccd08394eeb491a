"""An event loop whose time passes only when everybody waits: then it leaps to the next timer.

So a run takes as long as its work does, however long it lasts, and it goes the same way each time:
callbacks run in the order in which they were called for, as asyncio promises, timers in the order
of their moments, and nothing comes from outside. What is random is decided by whoever sets timers.
"""

from __future__ import annotations

import asyncio
from typing import Any

MICROSECOND = 1e-6


class NobodyWakes(Exception):
    """All wait, and for nothing that will ever come."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Starts at the moment 0; `now` is in microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = 0.0
        self._selector = self
        self.set_exception_handler(_say_nothing)

    def time(self) -> float:
        return self._passed

    @property
    def now(self) -> int:
        return round(self._passed / MICROSECOND)

    def select(self, timeout: float | None) -> list[Any]:
        """What the loop calls when nothing can run before `timeout` (None: ever)."""
        if timeout is None:
            raise NobodyWakes("everybody waits, and no timer is set")
        self._passed += timeout
        return []

    def _process_events(self, _: list[Any]) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There are no other threads."""


def _say_nothing(_: asyncio.AbstractEventLoop, __: dict[str, Any]) -> None:
    """A process that crashed leaves futures behind that nobody asks about any more."""
