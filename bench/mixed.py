"""Everything at once for a while, and the longest that somebody waited who asked alone.

Events singly and in batches, and balances, on 64 connections. On one more a *probe* asks for its
balance, again as soon as it is answered, with a higher priority on its core than the rest of the
load (where the run may ask for that). Its longest wait is at least the longest step of the server's
event loop: while a step lasts nobody is answered. It is more, since the probe waits for its turn
and for the machine as well; the same probe beside a hello-world that has as many connections says
how much of it is that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import load
from bench.load import Counts, Request
from bench.rows import BOOK_100, BOOK_ONE, GET_CREDITS
from bench.run import Settings
from bench.servers import SERVERS, Running, running

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
_HELLO_PARTS: Final = (
    Part(name="GET credits", request=GET_CREDITS, connections=64),
    Part(name=PROBE, request=GET_CREDITS, connections=1, is_urgent=True),
)


def mixed_load(settings: Settings, folder: Path, seconds: int) -> dict[str, Counts]:
    """What each part saw, by its name."""
    return _under_load("tallystick", PARTS, settings, folder, seconds)


def beside_hello(settings: Settings, folder: Path, seconds: int) -> Counts:
    """What the probe sees where a request costs next to nothing."""
    return _under_load("hello", _HELLO_PARTS, settings, folder, seconds)[PROBE]


def _under_load(
    name: str, parts: Sequence[Part], settings: Settings, folder: Path, seconds: int
) -> dict[str, Counts]:
    with running(SERVERS[name], core=settings.server_core, folder=folder / f"mixed-{name}") as on:
        headers = on.tenant.key_for_slices(None) if on.tenant is not None else {}
        _drive(parts, on, headers, settings, _WARM_UP_SECONDS)
        return _drive(parts, on, headers, settings, seconds)


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
