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


async def sweep(ledger: Ledger, now: int, report: Callable[[BaseException], None]) -> int:
    """Advances every account that is due at `now`; returns how many it advanced.

    What hinders one account is reported and does not keep the others waiting.
    """
    swept = 0
    seen: set[str] = set()
    # What is due again was advanced as far as the ledger's own clock, which may be behind `now`.
    while seen.isdisjoint(due := await ledger.store.reader.due(now, BATCH)):
        seen.update(due)
        units = [ledger.submit(name, AdvanceUnit(name)) for name in due]
        outcomes = await asyncio.gather(*units, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            report(failure)
        swept += len(due) - len(failures)
        if failures or len(due) < BATCH:
            break
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
            await sweep(ledger, clock(), report)
        except (StoreError, Overloaded) as failure:
            report(failure)
        await pause()
