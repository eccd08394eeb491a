"""A limiter and a reader whose answers come later, as from another machine, in odd orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from random import Random
from typing import Any, Final, NoReturn, TypeVar, cast

from tallystick.http.service import Limiter
from tallystick.ledger.reading import BalanceRow, Credential, Reader
from tallystick.limits.policy import Decision

T = TypeVar("T")
MOST_TURNS: Final = 5


def later(rng: Random, answer: Callable[[], T | Exception]) -> asyncio.Future[T]:
    """What is answered some turns of the loop after it was asked."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def turn(left: int) -> None:
        if left:
            loop.call_soon(turn, left - 1)
            return
        # Somebody else waits for it too.
        assert not future.cancelled()
        found = answer()
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)

    loop.call_soon(turn, rng.randrange(MOST_TURNS))
    return future


class LaterLimiter:
    """Counts at once, and says later what it found."""

    def __init__(self, limiter: Limiter, rng: Random) -> None:
        self.limiter = limiter
        self.rng = rng

    def acquire(
        self, key: Hashable, limit: int, now_ms: int
    ) -> Decision | asyncio.Future[Decision]:
        found = self.limiter.acquire(key, limit, now_ms)
        assert isinstance(found, Decision)
        return later(self.rng, lambda: found)

    def peek(self, key: Hashable, limit: int, now_ms: int) -> Decision | asyncio.Future[Decision]:
        return self.limiter.peek(key, limit, now_ms)


class LaterReader:
    """Reads later; all who ask for the same before it is read share one future."""

    def __init__(self, reader: Reader, rng: Random) -> None:
        self.reader = reader
        self.rng = rng
        self.asked: list[object] = []
        self.failure: Exception | None = None
        """What becomes of look-ups of keys."""
        self._under_way: dict[object, asyncio.Future[Any]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self.reader, name)

    def balance(self, organization_id: str) -> asyncio.Future[BalanceRow | None]:
        return self._share(organization_id, lambda: self.reader.balance(organization_id))

    def credential(self, digest: bytes) -> asyncio.Future[Credential | None]:
        return self._share(digest, lambda: self.failure or self.reader.credential(digest))

    def _share(self, name: object, read: Callable[[], object]) -> asyncio.Future[Any]:
        def answer() -> object:
            del self._under_way[name]
            return read()

        if name not in self._under_way:
            self.asked.append(name)
            self._under_way[name] = later(self.rng, answer)
        return self._under_way[name]


def reader_later(reader: Reader, rng: Random) -> Reader:
    return cast("Reader", LaterReader(reader, rng))


class HeldLimiter:
    """Counts at once, and says what it found when the test lets it."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.failure: Exception | None = None
        self._held: list[tuple[asyncio.Future[Decision], Decision]] = []

    def acquire(self, key: Hashable, limit: int, now_ms: int) -> asyncio.Future[Decision]:
        found = self.limiter.acquire(key, limit, now_ms)
        assert isinstance(found, Decision)
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._held.append((future, found))
        return future

    def peek(self, key: Hashable, limit: int, now_ms: int) -> Decision | asyncio.Future[Decision]:
        return self.limiter.peek(key, limit, now_ms)

    def __len__(self) -> int:
        return len(self._held)

    def let_go(self) -> None:
        """Answers all that wait, those who came last first."""
        held, self._held = self._held, []
        for future, found in reversed(held):
            if self.failure is None:
                future.set_result(found)
            else:
                future.set_exception(self.failure)


class Unreachable:
    """A limiter that nobody passes."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    def acquire(self, *_: object) -> NoReturn:
        raise self.failure

    peek = acquire
