"""A thread that does one job after the other, for an event loop that waits for them.

An executor of the standard library makes a future with a lock and a condition for each job, and the
loop another one to wait for it. Here a job that has ended is one call into the loop: half the cost,
which an event that is alone in its batch pays by itself.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from types import TracebackType


class Worker:
    """One thread, from now until `close`."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_closed = False
        # It ends with the process, if nobody closes it: a store that is left open loses nothing.
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, job: Callable[[], None]) -> None:
        """Returns when `job` has ended, or raises what it raised.

        A job goes on to its end also where whoever waits for it is cancelled.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        self.put(_Awaited(job, loop, ended))
        await ended

    def put(self, job: Callable[[], None]) -> None:
        """Has `job`, which raises nothing, done after those before it."""
        if self._is_closed:
            raise RuntimeError("the worker has been closed")
        self._jobs.put(job)

    def close(self) -> None:
        """Waits for the jobs that were put."""
        self._is_closed = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class _Awaited:
    """A job, and the future that hears of its end, whatever that is."""

    __slots__ = ("_ended", "_job", "_loop")

    def __init__(
        self,
        job: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[None],
    ) -> None:
        self._job = job
        self._loop = loop
        self._ended = ended

    def __call__(self) -> None:
        with self:
            self._job()

    def __enter__(self) -> None: ...

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        # A loop that has been closed meanwhile has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_tell, self._ended, error)
        return True


def _tell(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


class Threads:
    """Makes the threads of a store; tests that decide what runs when have others."""

    def worker(self, name: str) -> Worker:
        return Worker(name)

    def executor(self, name: str) -> Executor:
        return ThreadPoolExecutor(1, thread_name_prefix=name)
