"""What a read tells is read while its window is asked: who is told, and who is not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import cast

import pytest

from tallystick.ledger.ports import StoreUnavailable
from tallystick.ledger.reading import BalanceRow, Reader
from tests.harness import World, in_world
from tests.integration.test_far import answers, get, hold, statuses, turns
from tests.lanes import express_side
from tests.tenants import bearer_field, key_of, tenant


class Reading:
    """A reader whose balances come when the test says what they are."""

    def __init__(self, w: World) -> None:
        self.asked: list[asyncio.Future[BalanceRow | None]] = []
        self._reader = w.service.reads.reader
        w.service.reads.reader = cast("Reader", self)

    def __getattr__(self, name: str) -> object:
        return getattr(self._reader, name)

    def balance(self, _: str) -> asyncio.Future[BalanceRow | None]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("read_first", [False, True])
@in_world
async def test_window_and_balance_are_asked_at_once(
    w: World, known: bool, read_first: bool
) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    for _ in range(2 * known):
        await connection.say(get(key))
    connection.heard()
    held, reading = hold(w), Reading(w)
    connection.wire.arrive(get(key))
    await turns()
    assert (len(held), len(reading.asked)) == (1, 1)
    row = BalanceRow(remaining=7_000_000, consumed=0, overage=0, next_due_at=1 << 62)
    steps: list[Callable[[], None]] = [held.let_go, lambda: reading.asked[0].set_result(row)]
    for step in reversed(steps) if read_first else steps:
        assert connection.heard().answers == b""
        step()
        await turns()
    assert answers(connection.heard()) == [(200, {"remaining": 7, "consumed": 0, "total": 7})]
    assert len(reading.asked) == 1


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("leaves", [False, True])
@in_world
async def test_who_is_refused_waits_for_no_balance_and_is_told_of_none(
    w: World, fails: bool, leaves: bool
) -> None:
    key = await bearer_field(w, rate_limits={"get_credits": 0})
    connection = express_side(w).connect()
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    held, reading = hold(w), Reading(w)
    connection.wire.arrive(get(key))
    await turns()
    if leaves:
        connection.wire.hang_up()
    held.let_go()
    await turns()
    assert statuses(connection.heard()) == ([] if leaves else [429])
    if fails:
        reading.asked.pop().set_exception(StoreUnavailable("by order of the test"))
    await turns()
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize("limit", [0, 100])
@in_world
async def test_a_balance_that_cannot_be_read_is_missed_by_those_who_pass(
    w: World, limit: int
) -> None:
    key = await bearer_field(w, rate_limits={"get_credits": limit})
    connection = express_side(w).connect()
    held, reading = hold(w), Reading(w)
    connection.wire.arrive(get(key))
    await turns()
    reading.asked[0].set_exception(StoreUnavailable("by order of the test"))
    await turns()
    assert connection.heard().answers == b""
    held.let_go()
    await turns()
    assert statuses(connection.heard()) == [503 if limit else 429]


@in_world
async def test_who_may_not_read_the_credits_has_none_read(w: World) -> None:
    acme = await tenant(w, "Acme")
    made = await key_of(w, acme, scopes=["usage:write"])
    connection = express_side(w).connect()
    held, reading = hold(w), Reading(w)
    connection.wire.arrive(get((b"Authorization", b"Bearer " + made["secret"].encode())))
    await turns()
    held.let_go()
    await turns()
    assert statuses(connection.heard()) == [403]
    assert reading.asked == []
