"""Coalesced I/O: what shares a flight, in which order, and who suffers from whose failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tallystick.ledger.coalesce import AGAIN, Coalescer, Failed, Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tallystick.ledger.coalesce import Again


class Airline:
    """Flies when told to, and remembers who was aboard."""

    def __init__(self) -> None:
        self.flights: list[list[int]] = []
        self.may_land = asyncio.Event()
        self.may_land.set()
        self.refuses: Callable[[int], bool] = lambda _: False

    async def fly(self, items: Sequence[int]) -> list[int]:
        self.flights.append(list(items))
        await self.may_land.wait()
        if any(self.refuses(item) for item in items):
            raise ValueError(f"refused: {items}")
        return [-item for item in items]


def test_what_arrives_in_one_turn_of_the_loop_shares_a_flight() -> None:
    async def scenario() -> None:
        airline = Airline()
        coalescer = Coalescer(airline.fly)
        answers = await asyncio.gather(*map(coalescer.submit, [1, 2, 3]))
        assert answers == [-1, -2, -3]
        assert airline.flights == [[1, 2, 3]]

    asyncio.run(scenario())


def test_what_arrives_during_a_flight_shares_the_next_one() -> None:
    async def scenario() -> None:
        airline = Airline()
        airline.may_land.clear()
        coalescer = Coalescer(airline.fly)
        first = coalescer.submit(1)
        await asyncio.sleep(0)
        later = [coalescer.submit(2), coalescer.submit(3)]
        await asyncio.sleep(0)
        assert airline.flights == [[1]]
        airline.may_land.set()
        assert await asyncio.gather(first, *later) == [-1, -2, -3]
        assert airline.flights == [[1], [2, 3]]

    asyncio.run(scenario())


def test_who_asks_again_when_answered_shares_the_flight_that_follows() -> None:
    """As clients do: what they send next is read in the turn after their answer."""

    async def scenario() -> None:
        airline = Airline()
        airline.may_land.clear()
        coalescer = Coalescer(airline.fly)
        again: list[asyncio.Future[int]] = []
        loop = asyncio.get_running_loop()
        first = coalescer.submit(1)
        first.add_done_callback(lambda _: loop.call_soon(lambda: again.append(coalescer.submit(3))))
        await asyncio.sleep(0)
        waiting = coalescer.submit(2)
        airline.may_land.set()
        assert await waiting == -2
        assert [await each for each in again] == [-3]
        assert airline.flights == [[1], [2, 3]]

    asyncio.run(scenario())


def test_a_flight_is_no_heavier_than_allowed_unless_one_item_is() -> None:
    async def scenario() -> None:
        airline = Airline()
        coalescer = Coalescer(airline.fly, weigh=lambda item: item, max_weight=10)
        await asyncio.gather(*map(coalescer.submit, [4, 5, 6, 30, 1]))
        assert airline.flights == [[4, 5], [6], [30], [1]]

    asyncio.run(scenario())


def test_one_bad_item_harms_nobody_else_and_nobody_changes_places() -> None:
    async def scenario() -> None:
        airline = Airline()
        airline.refuses = lambda item: item == 2
        coalescer = Coalescer(airline.fly)
        futures = [coalescer.submit(item) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        futures.append(coalescer.submit(4))
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert [answers[0], answers[2], answers[3]] == [-1, -3, -4]
        assert isinstance(answers[1], ValueError)
        assert airline.flights == [[1, 2, 3], [1], [2], [3], [4]]

    asyncio.run(scenario())


def test_a_final_error_reaches_all_at_once() -> None:
    async def scenario() -> None:
        airline = Airline()
        airline.refuses = lambda _: True
        coalescer = Coalescer(airline.fly, is_final=lambda error: isinstance(error, ValueError))
        answers = await asyncio.gather(*map(coalescer.submit, [1, 2]), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ValueError, ValueError]
        assert airline.flights == [[1, 2]]

    asyncio.run(scenario())


def test_a_caller_that_left_disturbs_nobody() -> None:
    async def scenario() -> None:
        airline = Airline()
        airline.may_land.clear()
        coalescer = Coalescer(airline.fly)
        gone, there = coalescer.submit(1), coalescer.submit(2)
        await asyncio.sleep(0)
        gone.cancel()
        airline.may_land.set()
        assert await there == -2
        assert gone.cancelled()

    asyncio.run(scenario())


def test_more_than_may_wait_is_turned_away_at_once() -> None:
    async def scenario() -> None:
        coalescer = Coalescer(Airline().fly, max_waiting=2)
        waiting = [coalescer.submit(1), coalescer.submit(2)]
        with pytest.raises(Overloaded):
            coalescer.submit(3)
        assert await asyncio.gather(*waiting) == [-1, -2]
        assert await coalescer.submit(3) == -3

    asyncio.run(scenario())


def test_what_waits_is_bounded_by_weight() -> None:
    async def scenario() -> None:
        coalescer = Coalescer(Airline().fly, weigh=lambda item: item, max_waiting=10)
        waiting = [coalescer.submit(9), coalescer.submit(50)]
        with pytest.raises(Overloaded):
            coalescer.submit(1)
        await asyncio.gather(*waiting)
        assert await coalescer.submit(1) == -1

    asyncio.run(scenario())


def test_drained_returns_when_all_have_their_answers() -> None:
    async def scenario() -> None:
        airline = Airline()
        coalescer = Coalescer(airline.fly, max_weight=1)
        futures = [coalescer.submit(item) for item in (1, 2, 3)]
        await coalescer.drained()
        assert [future.result() for future in futures] == [-1, -2, -3]

    asyncio.run(scenario())


def test_what_has_to_wait_goes_before_what_came_after_it() -> None:
    flights: list[list[int]] = []

    async def fly(items: Sequence[int]) -> list[int | Again]:
        flights.append(list(items))
        if len(flights) == 1:
            coalescer.submit(5)
        return [AGAIN if len(flights) < 3 and item in {2, 4} else -item for item in items]

    coalescer = Coalescer[int, int](fly, max_weight=4)

    async def scenario() -> None:
        answers = await asyncio.gather(*map(coalescer.submit, [1, 2, 3, 4]))
        assert answers == [-1, -2, -3, -4]
        assert flights == [[1, 2, 3, 4], [2, 4, 5], [2, 4]]
        await coalescer.drained()

    asyncio.run(scenario())


def test_what_is_tried_alone_and_has_to_wait_stays_before_the_others() -> None:
    flights: list[list[int]] = []

    async def fly(items: Sequence[int]) -> list[int | Again]:
        flights.append(list(items))
        if len(items) > 1:
            raise ValueError("together they fail")
        return [AGAIN if len(flights) == 2 else -item for item in items]

    async def scenario() -> None:
        coalescer = Coalescer[int, int](fly)
        assert await asyncio.gather(*map(coalescer.submit, [1, 2])) == [-1, -2]
        assert flights == [[1, 2], [1], [1], [2]]

    asyncio.run(scenario())


def test_who_fails_alone_leaves_the_others_their_answers() -> None:
    async def fly(items: Sequence[int]) -> list[int | Failed]:
        return [Failed(ValueError("2 fails")) if item == 2 else -item for item in items]

    async def scenario() -> None:
        coalescer = Coalescer[int, int](fly)
        answers = await asyncio.gather(*map(coalescer.submit, [1, 2, 3]), return_exceptions=True)
        assert (answers[0], answers[2]) == (-1, -3)
        assert isinstance(answers[1], ValueError)

    asyncio.run(scenario())
