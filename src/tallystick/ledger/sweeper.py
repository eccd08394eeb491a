"""The sweeper: writes what has fallen due, so that notices go out in time.

Correctness never depends on it: every read and every command advances the account it looks at.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.ports import StoreError
from tallystick.ledger.units import AdvanceUnit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tallystick.ledger.ledger import Ledger

BATCH: Final = 100
INTERVAL_SECONDS: Final = 15


async def sweep(ledger: Ledger, now: int) -> int:
    """Advances every account that is due at `now`; returns how many there were."""
    swept = 0
    while due := await ledger.store.reader.due(now, BATCH):
        await asyncio.gather(*(ledger.submit(name, AdvanceUnit(name)) for name in due))
        swept += len(due)
    return swept


async def keep_sweeping(
    ledger: Ledger,
    clock: Callable[[], int],
    pause: Callable[[], Awaitable[None]],
    report: Callable[[BaseException], None],
) -> None:
    """Sweeps, pauses and sweeps again, until cancelled; a store that fails is tried again."""
    while True:
        try:
            await sweep(ledger, clock())
        except (StoreError, Overloaded) as failure:
            report(failure)
        await pause()
