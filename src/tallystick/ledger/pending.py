"""What is not there yet, for callers that have no task to wait in."""

from __future__ import annotations

from asyncio import shield
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable, Generator

T = TypeVar("T")


class Pending(NamedTuple, Generic[T]):
    """What `render` makes of what one future brings: a value, or an awaitable of one.

    It can be awaited; whoever has no task has the future call back instead, which spares the steps
    of a coroutine. Others may wait for the same future, so nobody who leaves cancels it.
    """

    future: Future[Any]
    render: Callable[[Any], T | Awaitable[T]]

    def __await__(self) -> Generator[Any, Any, T]:
        found = self.render((yield from shield(self.future)))
        if isawaitable(found):
            return (yield from found.__await__())
        return found
