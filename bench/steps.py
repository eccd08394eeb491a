"""Times each step of the event loop from inside: `python -m bench.steps FILE serve …`.

This is `tallystick` with two clocks in its event loop, and nothing else changed:

- *steps*: each piece of Python that the loop runs (a callback, a step of a task, a timer, a
  protocol's `data_received` and its like) is timed by the wall clock. Whatever happens in it is
  counted: statements, garbage collection, waiting for the interpreter while another thread has it,
  and waiting for the machine while another process has it.
- *turns*: a timer that wants to run every millisecond notes how late it is. That is the longest
  time for which the loop did not come round, many short steps in a row and the way back from the
  kernel to the interpreter included: an upper bound of what the first clock may have missed.

Those of a millisecond and more are kept and written to FILE as JSON when the server ends. With each
goes the CPU time of the loop's thread since the timer last ran, which is at least the step's own: a
step that took far longer waited, and did not work.

The clocks cost some half a microsecond a step and a thousand short timers a second: five percent of
a balance or so, and nothing of five milliseconds. What the loop does without Python (it reads and
writes sockets) is in turns only.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar, TypeVarTuple
from unittest.mock import patch

import uvloop

from tallystick.cli.app import run

if TYPE_CHECKING:
    from socket import socket

_Ts = TypeVarTuple("_Ts")
_Result = TypeVar("_Result")

Kind = Literal["step", "turn"]

_LONG_NS: Final = 1_000_000
_BEAT_NS: Final = 1_000_000
_EVENTS: Final = (
    "connection_made",
    "data_received",
    "eof_received",
    "connection_lost",
    "pause_writing",
    "resume_writing",
)


class Long(NamedTuple):
    """What took a millisecond or more. Nanoseconds: `ended_at` of the monotonic clock, `took` of
    the wall's, `cpu` at most of the loop's thread. `what` was run."""

    kind: Kind
    ended_at: int
    took: int
    cpu: int
    what: str


class TimedLoop(uvloop.Loop):
    """uvloop's, with a clock around each step."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__()
        self.long: list[Long] = []
        self._clock = clock
        self._beaten_at = clock()
        self._cpu = time.thread_time_ns()
        self._beat()

    def _beat(self) -> None:
        now = self._clock()
        late = now - self._beaten_at - _BEAT_NS
        if late >= _LONG_NS:
            self._note("turn", now, late, "")
        self._beaten_at, self._cpu = now, time.thread_time_ns()
        super().call_later(_BEAT_NS / 1e9, self._beat)

    def _note(self, kind: Kind, ended_at: int, took: int, what: str) -> None:
        self.long.append(Long(kind, ended_at, took, time.thread_time_ns() - self._cpu, what))

    def timed(self, callback: Callable[[*_Ts], _Result]) -> Callable[[*_Ts], _Result]:
        clock = self._clock

        def step(*args: *_Ts) -> _Result:
            started_at = clock()
            try:
                return callback(*args)
            finally:
                ended_at = clock()
                if ended_at - started_at >= _LONG_NS:
                    self._note("step", ended_at, ended_at - started_at, _name(callback))

        return step

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self.timed(callback), *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon_threadsafe(self.timed(callback), *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return super().call_later(delay, self.timed(callback), *args, context=context)

    async def create_server(  # type: ignore[override]  # only as the service calls it
        self, make: Callable[[], asyncio.Protocol], *, sock: socket, backlog: int
    ) -> asyncio.AbstractServer:
        def make_timed() -> asyncio.Protocol:
            protocol = make()
            for name in _EVENTS:
                setattr(protocol, name, self.timed(getattr(protocol, name)))
            return protocol

        return await super().create_server(make_timed, sock=sock, backlog=backlog)


def _name(callback: Callable[..., object]) -> str:
    """What was run: of a task's step the coroutine, of a partial its function."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", "a task")
    function = callback.func if isinstance(callback, functools.partial) else callback
    return getattr(function, "__qualname__", type(function).__qualname__)


def read(path: Path, *, since: int, until: int) -> Iterator[Long]:
    """What was long between two readings of the monotonic clock, in nanoseconds."""
    for line in json.loads(path.read_text()):
        found = Long(*line)
        if since <= found.ended_at <= until:
            yield found


def longest(found: Sequence[Long], kind: Kind) -> Long:
    """Where nothing was long, less than a millisecond is all that is known."""
    return max(
        (each for each in found if each.kind == kind),
        key=lambda each: each.took,
        default=Long(kind, 0, _LONG_NS, _LONG_NS, "nothing longer"),
    )


def main() -> None:
    loops: list[TimedLoop] = []

    def new_loop() -> TimedLoop:
        loops.append(TimedLoop())
        return loops[-1]

    with patch.object(uvloop, "new_event_loop", new_loop):
        status = run(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps([each for loop in loops for each in loop.long]))
    sys.exit(status)


if __name__ == "__main__":
    main()
