"""Whether the storage can serve, for all who ask meanwhile, and no longer than they can wait.

Whoever may reach the service may ask, and a storage that hangs would gather them: so there is one
check at a time, which all share, and who waits too long is told so while it goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tallystick.ledger.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LONGEST_SECONDS: Final = 2


class Probe:
    """Asks `check`, which raises StoreUnavailable, or takes its time."""

    def __init__(
        self,
        check: Callable[[], Coroutine[None, None, None]],
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._check = check
        self._longest_seconds = longest_seconds
        self._under_way: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Raises StoreUnavailable where the storage cannot serve, or does not say so in time."""
        task = self._under_way
        if task is None:
            task = self._under_way = asyncio.create_task(self._check())
            task.add_done_callback(self._checked)
        ended, _ = await asyncio.wait([task], timeout=self._longest_seconds)
        if not ended:
            raise StoreUnavailable(f"it has not answered for {self._longest_seconds:g} s")
        task.result()

    def _checked(self, task: asyncio.Task[None]) -> None:
        self._under_way = None
        if not task.cancelled():
            # Those who wanted to know may have left.
            task.exception()
