"""The thread that does a lane's waiting: jobs in their order, each heard of by who waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from tallystick.storage.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("worker-of-the-tests")
    yield worker
    worker.close()


def test_jobs_are_done_in_their_order_and_not_in_the_loop(worker: Worker) -> None:
    done: list[tuple[int, str]] = []

    def note(number: int) -> None:
        done.append((number, threading.current_thread().name))

    async def scenario() -> None:
        await asyncio.gather(*(worker.run(partial(note, number)) for number in range(3)))

    asyncio.run(scenario())
    assert done == [(number, "worker-of-the-tests") for number in range(3)]


def test_what_a_job_raises_reaches_who_waits_and_the_next_is_done(worker: Worker) -> None:
    def fail() -> None:
        raise ValueError("a bug")

    async def scenario() -> None:
        with pytest.raises(ValueError, match="a bug"):
            await worker.run(fail)
        await worker.run(lambda: None)

    asyncio.run(scenario())


def test_a_job_outlives_who_waits_for_it_and_the_loop(worker: Worker) -> None:
    may_end, ended = threading.Event(), threading.Event()

    def job() -> None:
        may_end.wait()
        ended.set()

    async def scenario() -> None:
        waiting = asyncio.ensure_future(worker.run(job))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(scenario())
    assert not ended.is_set()
    may_end.set()
    worker.close()
    assert ended.is_set()


def test_a_closed_worker_takes_no_job() -> None:
    worker = Worker("worker-of-the-tests")
    worker.close()
    with pytest.raises(RuntimeError, match="closed"):
        worker.put(lambda: None)
