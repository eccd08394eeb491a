"""What a server does besides answering: sweeping what has fallen due, and keeping house."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.directory import Housekeeping
from tallystick.ledger.ports import StoreError
from tallystick.ledger.sweeper import INTERVAL_SECONDS, keep_sweeping
from tallystick.ledger.units import REPLAYS_KEPT
from tallystick.observe import logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tallystick.http.service import Service

HOUSEKEEPING_SECONDS: Final = 60
NOTING_SECONDS: Final = 1
"""How long a refused request waits to be written; a crash loses those that wait."""


@asynccontextmanager
async def upkeep(service: Service, *, sweeps: bool = True) -> AsyncIterator[None]:
    """Runs what a server does besides answering, while the block lasts.

    Where several processes serve, one that sweeps is enough; nothing is wrong where more do.
    """
    tasks = [
        _start(_keep_house(service, _pause(HOUSEKEEPING_SECONDS)), "housekeeping"),
        _start(_keep_noting(service, _pause(NOTING_SECONDS)), "noting of refused requests"),
    ]
    if sweeps:
        sweeping = keep_sweeping(service.ledger, service.clock, _pause(INTERVAL_SECONDS), _report)
        tasks.append(_start(sweeping, "sweeper"))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await tidy(service)


def _start(work: Awaitable[None], name: str) -> asyncio.Task[None]:
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda ended: _ended(ended, name))
    return task


def _ended(task: asyncio.Task[None], name: str) -> None:
    if not task.cancelled():
        logger().error(f"{name} stopped; restart the server", exc_info=task.exception())


def _pause(seconds: int) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


def _report(failure: BaseException) -> None:
    is_bug = not isinstance(failure, StoreError | Overloaded)
    logger().warning(
        "not done now, tried again later",
        reason=str(failure),
        exc_info=failure if is_bug else None,
    )


async def _keep_house(service: Service, pause: Callable[[], Awaitable[None]]) -> None:
    while True:
        await pause()
        await tidy(service)


async def _keep_noting(service: Service, pause: Callable[[], Awaitable[None]]) -> None:
    while True:
        await pause()
        try:
            await service.refused.write()
        except (StoreError, Overloaded) as failure:
            _report(failure)


async def tidy(service: Service) -> None:
    """Writes when keys were last used and what was refused, and forgets what nobody needs."""
    last_used = service.authenticator.last_used
    used = dict(last_used)
    last_used.clear()
    try:
        forgotten = service.clock() - REPLAYS_KEPT
        unit = Housekeeping(keys_used=used, forget_replays_before=forgotten)
        await service.ledger.submit("", unit)
    except (StoreError, Overloaded) as failure:
        for name, moment in used.items():
            last_used.setdefault(name, moment)
        _report(failure)
        return
    await _tidy_refused(service)


async def _tidy_refused(service: Service) -> None:
    if dropped := service.refused.take_dropped():
        logger().warning("too many requests were refused to note them all", dropped=dropped)
    try:
        await service.refused.write()
        await service.refused.forget()
    except (StoreError, Overloaded) as failure:
        _report(failure)
