"""Coalesced I/O: what arrives while a round trip is under way shares the next one.

Theory of operation. Items wait in a queue. While nothing is under way, the first item starts a
flight at the end of the present turn of the event loop, so whatever else arrives in that turn
shares it. While one is under way, items gather; when it lands, the next takes all of them, up to a
weight, after one turn more: clients who have just been answered ask again at once, and would
otherwise travel in two groups by turns, in twice as many flights. Nobody waits for a timer: alone,
an item pays one round trip; in a crowd, the crowd does.

An item whose answer is `AGAIN` has not had its turn: it goes on the next flight, before all that
came after it. One whose answer is `Failed` fails alone, and the others do not notice.

A flight that fails as a whole is flown again one item at a time, so that one bad item harms nobody
else, unless its error says that trying again is pointless (`is_final`). Items keep their order.

Each flight is a task; its outcome, of whatever kind, reaches the items' futures. A caller that has
gone away leaves a cancelled future behind, which is skipped.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

Boarding = tuple[Item, "asyncio.Future[Result]", int]
"""What waits: an item, who hears of it, and its weight."""


class Again(enum.Enum):
    """What a flight answers for an item that is to go on the next one."""

    AGAIN = enum.auto()


AGAIN: Final = Again.AGAIN


class Failed(NamedTuple):
    """What a flight answers for an item that fails while others do not."""

    error: Exception


class Overloaded(RuntimeError):
    """More is waiting than may wait; nothing was done."""


class Coalescer(Generic[Item, Result]):
    """Shares round trips between the items of one event loop."""

    def __init__(
        self,
        fly: Callable[[Sequence[Item]], Coroutine[None, None, Sequence[Result | Again | Failed]]],
        *,
        weigh: Callable[[Item], int] = lambda _: 1,
        max_weight: int = 256,
        max_waiting: int = 65_536,
        is_final: Callable[[BaseException], bool] = lambda _: False,
    ) -> None:
        """`fly` answers each item in order; a heavier item than `max_weight` flies alone.

        `max_waiting` bounds the weight of what waits, beside one item of any weight.
        """
        self._fly = fly
        self._weigh = weigh
        self._max_weight = max_weight
        self._max_waiting = max_waiting
        self._is_final = is_final
        self._waiting: deque[Boarding[Item, Result]] = deque()
        self._alone: deque[Boarding[Item, Result]] = deque()
        self._weight = 0
        self._flight: asyncio.Task[Sequence[Result | Again | Failed]] | None = None

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queues `item`; raises Overloaded where too many wait."""
        if self._weight >= self._max_waiting:
            raise Overloaded(f"{self._weight} events are waiting already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        weight = self._weigh(item)
        self._waiting.append((item, future, weight))
        self._weight += weight
        if self._flight is None:
            self._start(loop)
        return future

    async def drained(self) -> None:
        """Returns when nothing waits and nothing is under way."""
        while self._flight is not None:
            await asyncio.wait([self._flight])
            # The landing runs in a callback of the same turn: let it come first.
            await asyncio.sleep(0)

    def _start(self, loop: asyncio.AbstractEventLoop, *, follows: bool = False) -> None:
        batch: list[Boarding[Item, Result]] = []
        self._flight = loop.create_task(self._take_off(batch, follows=follows))
        self._flight.add_done_callback(lambda flight: self._land(flight, batch))

    async def _take_off(
        self, batch: list[Boarding[Item, Result]], *, follows: bool
    ) -> Sequence[Result | Again | Failed]:
        if follows:
            await asyncio.sleep(0)
        self._board(batch)
        return await self._fly([item for item, _, _ in batch])

    def _board(self, batch: list[Boarding[Item, Result]]) -> None:
        if self._alone:
            batch.append(self._alone.popleft())
            return
        weight = 0
        while self._waiting:
            heavier = weight + self._waiting[0][2]
            if batch and heavier > self._max_weight:
                break
            weight = heavier
            batch.append(self._waiting.popleft())
        self._weight -= weight

    def _land(
        self,
        flight: asyncio.Task[Sequence[Result | Again | Failed]],
        batch: list[Boarding[Item, Result]],
    ) -> None:
        self._flight = None
        error = asyncio.CancelledError() if flight.cancelled() else flight.exception()
        if error is None:
            self._hand_out(batch, flight.result())
        elif len(batch) > 1 and not self._is_final(error):
            self._alone.extend(batch)
        else:
            for _, future, _ in batch:
                _fail(future, error)
        if self._alone or self._waiting:
            self._start(flight.get_loop(), follows=True)

    def _hand_out(
        self, batch: list[Boarding[Item, Result]], results: Sequence[Result | Again | Failed]
    ) -> None:
        again = []
        for boarding, result in zip(batch, results, strict=True):
            if result is AGAIN:
                again.append(boarding)
            elif isinstance(result, Failed):
                _fail(boarding[1], result.error)
            elif not boarding[1].done():
                boarding[1].set_result(result)
        if self._alone:
            self._alone.extendleft(reversed(again))
        elif again:
            self._waiting.extendleft(reversed(again))
            self._weight += sum(weight for _, _, weight in again)


def _fail(future: asyncio.Future[Result], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)
