"""What is decided without shared windows, by each policy."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.limits.fallback import Fallback, Policy
from tallystick.limits.policy import Decision, LimiterUnavailable
from tests.unit.test_limits_memory import admitted, refused

KEY = ("teamspace", "operation")


def test_local_limits_in_windows_of_this_node() -> None:
    fallback = Fallback(Policy.LOCAL, window_ms=1000)
    assert fallback.acquire(KEY, 1, 0) == admitted(1, 0, 1000, 1000)
    assert fallback.acquire(KEY, 1, 10) == refused(1, 990, 990)
    assert fallback.peek(KEY, 1, 1000) == admitted(1, 1, 0, 0)
    assert fallback.acquire(KEY, 1, 1000).admitted
    assert (fallback.counts.local_admitted, fallback.counts.local_refused) == (2, 1)


def test_open_admits_everybody_and_counts_nobody() -> None:
    fallback = Fallback(Policy.OPEN)
    for now_ms in range(5):
        assert fallback.acquire(KEY, 1, now_ms) == admitted(1, 1, 0, 0)
    assert fallback.peek(KEY, 1, 5) == admitted(1, 1, 0, 0)
    assert fallback.counts.open_admitted == 5


def test_a_limit_of_0_admits_nobody_even_when_open() -> None:
    fallback = Fallback(Policy.OPEN)
    assert fallback.acquire(KEY, 0, 0) == refused(0, 0, 60_000)
    assert fallback.counts.open_refused == 1


def test_closed_admits_nobody_and_says_when_to_ask_again() -> None:
    fallback = Fallback(Policy.CLOSED)
    with pytest.raises(LimiterUnavailable, match="nothing was counted") as raised:
        fallback.acquire(KEY, 200, 0)
    assert raised.value.retry_after_ms == 1000
    with pytest.raises(LimiterUnavailable):
        fallback.peek(KEY, 200, 0)
    assert fallback.counts.closed_refused == 1


def test_a_future_is_settled_once() -> None:
    async def scenario() -> None:
        fallback = Fallback(Policy.LOCAL)
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        fallback.settle(future, KEY, 2, 0)
        fallback.settle(future, KEY, 2, 0)
        assert await future == admitted(2, 1, 60_000, 0)
        peeked: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        fallback.settle(peeked, KEY, ~2, 0)
        assert await peeked == admitted(2, 1, 60_000, 0)
        assert fallback.counts.local_admitted == 1

    asyncio.run(scenario())


def test_nothing_is_decided_for_who_has_gone() -> None:
    async def scenario() -> None:
        fallback = Fallback(Policy.CLOSED)
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        future.cancel()
        fallback.settle(future, KEY, 2, 0)
        assert fallback.counts.closed_refused == 0

    asyncio.run(scenario())
