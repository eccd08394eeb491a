"""What is promised beside the rows: figures that are no slices of two servers in turns."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.load import LoadFailed
from bench.servers import PROJECT, our_python, peers_python

_MOST_BYTES: Final = 1 / 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A promise, and what came of it; None where nothing is promised."""

    title: str
    yardstick: str
    promised: str
    measured: str
    is_met: bool | None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    title: str
    take: Callable[[], Finding]


def _limiter_memory() -> Finding:
    ours, theirs = _full_window(our_python(), "ours"), _full_window(peers_python(), "limits")
    return Finding(
        title=_LIMITER_MEMORY,
        yardstick="limits, moving window in memory",
        promised="at most 1/20 of the bytes",
        measured=f"1/{theirs / ours:.0f} ({ours} and {theirs:,} bytes)",
        is_met=ours <= theirs * _MOST_BYTES,
        figures={"bytes": ours, "yardstick_bytes": theirs},
    )


def _full_window(python: str, which: str) -> int:
    command = [python, "-m", "bench.peers.windows", "memory", "-", which]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise LoadFailed(f"windows could not be weighed:\n{ended.stderr}")
    return int(ended.stdout)


_LIMITER_MEMORY: Final = "limiter, memory of a full window"

ASIDES: Final = (Aside(title=_LIMITER_MEMORY, take=_limiter_memory),)
