"""Asking whether the storage can serve: one check for all, and no endless wait."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine

import pytest

from tallystick.http.probe import Probe
from tallystick.ledger.ports import StoreUnavailable


class Storage:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def check(self) -> None:
        self.asked += 1
        await asyncio.shield(self.answers)


def with_storage(
    test: Callable[[Storage], Coroutine[None, None, None]],
) -> Callable[[], None]:
    async def scenario() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context)
        )
        await test(Storage())
        gc.collect()
        assert failures == []

    return lambda: asyncio.run(scenario())


async def _all_who_ask_share_one_check(storage: Storage) -> None:
    probe = Probe(storage.check)
    askers = [asyncio.ensure_future(probe()) for _ in range(9)]
    await asyncio.sleep(0)
    storage.answers.set_result(None)
    await asyncio.gather(*askers)
    assert storage.asked == 1
    await probe()
    assert storage.asked == 2


async def _who_waits_too_long_is_told_so_and_the_check_goes_on(storage: Storage) -> None:
    probe = Probe(storage.check, longest_seconds=0)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="has not answered for 0 s"):
            await probe()
    assert storage.asked == 1
    storage.answers.set_exception(StoreUnavailable("gone"))
    for _ in range(5):
        await asyncio.sleep(0)


async def _a_failure_is_everybodys(storage: Storage) -> None:
    probe = Probe(storage.check)
    askers = [asyncio.ensure_future(probe()) for _ in range(3)]
    await asyncio.sleep(0)
    storage.answers.set_exception(StoreUnavailable("gone"))
    for asker in askers:
        with pytest.raises(StoreUnavailable, match="gone"):
            await asker


async def _who_leaves_takes_nothing_from_the_others(storage: Storage) -> None:
    probe = Probe(storage.check)
    leaves, stays = (asyncio.ensure_future(probe()) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    storage.answers.set_result(None)
    await stays


test_all_who_ask_share_one_check = with_storage(_all_who_ask_share_one_check)
test_who_waits_too_long_is_told_so = with_storage(
    _who_waits_too_long_is_told_so_and_the_check_goes_on
)
test_a_failure_is_everybodys = with_storage(_a_failure_is_everybodys)
test_who_leaves_takes_nothing_from_the_others = with_storage(
    _who_leaves_takes_nothing_from_the_others
)
