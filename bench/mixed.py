"""Everything at once for a while, and how long the event loop was held: from inside and outside.

Events singly and in batches, and balances, on 64 connections, on a server whose loop is timed (see
`bench.steps`). On one more a *probe* asks for its balance, again as soon as it is answered, with a
higher priority on its core than the rest of the load (where the run may ask for that). Its longest
wait is at least the longest step of the loop: while a step lasts nobody is answered. It is more,
since the probe waits for its turn and for the machine as well; the same probe beside a hello-world
that has as many connections says how much of it is that.

Atomic batches of 1000, which may take longer by promise, come apart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import clocks, load, steps
from bench.load import Counts, Request
from bench.rows import BOOK_100, BOOK_1000_ATOMICALLY, BOOK_ONE, GET_CREDITS
from bench.run import Settings, own_processes
from bench.servers import SERVERS, STEPS, Running, running
from bench.steps import Long

PROBE: Final = "probe"
_WARM_UP_SECONDS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the load, on connections of its own."""

    name: str
    request: Request
    connections: int
    is_urgent: bool = False


PARTS: Final = (
    Part(name="POST usage, one event", request=BOOK_ONE, connections=40),
    Part(name="POST usage, batch of 100", request=BOOK_100, connections=2),
    Part(name="GET credits", request=GET_CREDITS, connections=22),
    Part(name=PROBE, request=GET_CREDITS, connections=1, is_urgent=True),
)
_ATOMIC_PARTS: Final = (
    Part(name="POST usage, atomic batch of 1000", request=BOOK_1000_ATOMICALLY, connections=2),
    Part(name=PROBE, request=GET_CREDITS, connections=1, is_urgent=True),
)
_HELLO_PARTS: Final = (
    Part(name="GET credits", request=GET_CREDITS, connections=64),
    Part(name=PROBE, request=GET_CREDITS, connections=1, is_urgent=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What each part of a load saw, by its name; what took the loop a millisecond or more; who else
    used the cores, if anybody."""

    counts: Mapping[str, Counts]
    long: Sequence[Long]
    disturbed_by: str | None


def mixed_load(settings: Settings, folder: Path, seconds: int) -> Seen:
    return _under_load("tallystick, its loop timed", PARTS, settings, folder, seconds)


def atomic_batches(settings: Settings, folder: Path, seconds: int) -> Seen:
    return _under_load("tallystick, its loop timed", _ATOMIC_PARTS, settings, folder, seconds)


def beside_hello(settings: Settings, folder: Path, seconds: int) -> Counts:
    """What the probe sees where a request costs next to nothing."""
    return _under_load("hello", _HELLO_PARTS, settings, folder, seconds).counts[PROBE]


def _under_load(
    name: str, parts: Sequence[Part], settings: Settings, folder: Path, seconds: int
) -> Seen:
    home = folder / f"mixed-{parts[0].name}-{name}"
    with running(SERVERS[name], core=settings.server_core, folder=home) as on:
        headers = on.tenant.key_for_slices(None) if on.tenant is not None else {}
        _drive(parts, on, headers, settings, _WARM_UP_SECONDS)
        before, server_ns, load_ns = clocks.read(), on.cpu_ns(), load.children_cpu_ns()
        counts = _drive(parts, on, headers, settings, seconds)
        server_ns, load_ns = on.cpu_ns() - server_ns, load.children_cpu_ns() - load_ns
        after = clocks.read()
    # A server whose loop is timed tells it when it ends.
    told, cores = home / STEPS, {settings.server_core, settings.load_core}
    long = steps.read(told, since=before.at_ns, until=after.at_ns) if told.exists() else ()
    ours = own_processes(on, server_ns, load_ns)
    return Seen(
        counts=counts,
        long=[*long],
        disturbed_by=clocks.disturbance(before, after, cores=cores, ours=ours),
    )


def _drive(
    parts: Sequence[Part],
    on: Running,
    headers: Mapping[str, str],
    settings: Settings,
    seconds: int,
) -> dict[str, Counts]:
    def drive(part: Part) -> Counts:
        if part.is_urgent:
            _hurry()
        return load.drive(
            on.url,
            part.request,
            connections=part.connections,
            seconds=seconds,
            headers=headers,
            core=settings.load_core,
        )

    with ThreadPoolExecutor(len(parts)) as threads:
        started = {part.name: threads.submit(drive, part) for part in parts}
        return {name: future.result() for name, future in started.items()}


def _hurry() -> None:
    """What this thread starts is not kept waiting by the rest of the load."""
    with suppress(PermissionError):  # it takes root
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
