"""The store's threads, as jobs that run at a moment of virtual time.

A job runs in one go at one moment, and that it has ended becomes known at a later one: in between,
a commit is durable, and nobody knows. Who waits for a job as a thread would (`Future.result`) makes
it run there and then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from tallystick.storage.worker import Threads, Worker
from tests.simulation.loop import MICROSECOND

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Pace:
    """How many microseconds a job waits until it runs, and its end until it is known."""

    begins_after: int = 100
    known_after: int = 20


class Noting:
    """Hands what goes wrong within to `note`, whatever it is, and goes on."""

    def __init__(self, note: Callable[[BaseException], None]) -> None:
        self._note = note

    def __enter__(self) -> None: ...

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        if error is not None:
            self._note(error)
        return True


class Job(Future[T]):
    """Work that runs once: when its time has come, or when somebody waits for it."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__()
        self._work: Callable[[], T] | None = work
        self._tell: Callable[[], None] = lambda: None

    def run(self) -> None:
        if self._work is None:
            return
        work, self._work = self._work, None
        with Noting(self._note_failure):
            value = work()
            self._tell = partial(self.set_result, value)

    def _note_failure(self, error: BaseException) -> None:
        self._tell = partial(self.set_exception, error)

    def tell(self) -> None:
        """Makes known how it ended."""
        self.run()
        if not self.done():
            self._tell()

    def cancel(self) -> bool:
        """A thread goes on, whoever has stopped waiting for it."""
        return False

    def result(self, timeout: float | None = None) -> T:
        self.tell()
        return super().result(timeout)


class Pool(Executor):
    """Runs jobs one after the other; `ran` is called after each."""

    def __init__(self, pace: Pace, ran: Callable[[], None]) -> None:
        self._pace = pace
        self._ran = ran
        self._jobs: deque[Job[Any]] = deque()
        self._busy_until = 0.0
        self._is_alone = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        job = Job(lambda: fn(*args, **kwargs))
        if self._is_alone:
            job.tell()
            return job
        self._jobs.append(job)
        loop = asyncio.get_running_loop()
        begins = max(loop.time(), self._busy_until) + self._pace.begins_after * MICROSECOND
        self._busy_until = begins + self._pace.known_after * MICROSECOND
        loop.call_at(begins, self._begin, job)
        loop.call_at(self._busy_until, self._end, job)
        return job

    def _begin(self, job: Job[Any]) -> None:
        if not self._is_alone:
            job.run()
            self._ran()

    def _end(self, job: Job[Any]) -> None:
        if not self._is_alone:
            self._jobs.remove(job)
            job.tell()

    def leave_alone(self) -> None:
        """From now on jobs run at once, and nobody looks on: the process is given up."""
        self._is_alone = True
        while self._jobs:
            self._jobs.popleft().tell()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.leave_alone()


class PooledWorker(Worker):
    """The store's worker on a pool of virtual time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, job: Callable[[], None]) -> None:
        await asyncio.wrap_future(self._pool.submit(job))

    def close(self) -> None:
        self._pool.shutdown()


class VirtualThreads(Threads):
    """All at one pace; `committed` is called after each job of the worker."""

    def __init__(self, pace: Pace, committed: Callable[[], None]) -> None:
        self._pace = pace
        self._committed = committed
        self._pools: list[Pool] = []

    def worker(self, name: str) -> Worker:
        return PooledWorker(self._pool(self._committed))

    def executor(self, name: str) -> Executor:
        return self._pool(lambda: None)

    def _pool(self, ran: Callable[[], None]) -> Pool:
        pool = Pool(self._pace, ran)
        self._pools.append(pool)
        return pool

    def leave_alone(self) -> None:
        for pool in self._pools:
            pool.leave_alone()
