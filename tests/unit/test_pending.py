"""What is not there yet, and may be waited for by several."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.ledger.pending import Pending


async def _doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_it_is_what_is_made_of_the_future_at_once_or_later() -> None:
    async def scenario() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        at_once = asyncio.ensure_future(_wait(Pending(future, lambda number: number + 1)))
        afterwards = asyncio.ensure_future(_wait(Pending(future, _doubled)))
        await asyncio.sleep(0)
        future.set_result(20)
        assert (await at_once, await afterwards) == (21, 40)

    asyncio.run(scenario())


def test_who_leaves_cancels_nothing_that_others_wait_for() -> None:
    async def scenario() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        leaves, stays = (
            asyncio.ensure_future(_wait(Pending(future, lambda number: number))) for _ in range(2)
        )
        await asyncio.sleep(0)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        future.set_result(7)
        assert await stays == 7

    asyncio.run(scenario())


async def _wait(pending: Pending[int]) -> int:
    return await pending
