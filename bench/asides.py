"""What is promised beside the rows: figures that are no slices of two servers in turns."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.load import LoadFailed
from bench.mixed import PROBE, beside_hello, mixed_load
from bench.run import Settings
from bench.servers import PROJECT, our_python, peers_python

_MOST_BYTES: Final = 1 / 20
_LONGEST_STEP_US: Final = 5000
_PLAIN_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A promise, and what came of it; None where nothing is promised."""

    title: str
    yardstick: str
    promised: str
    measured: str
    is_met: bool | None
    notes: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    title: str
    take: Callable[[Settings, Path, int], Finding]
    """From where servers may run, a folder for them, and for how many seconds."""


def _worst_wait(settings: Settings, folder: Path, seconds: int) -> Finding:
    found = mixed_load(settings, folder, seconds)
    plain = beside_hello(settings, folder, min(seconds, _PLAIN_SECONDS))
    longest = found[PROBE].max_us
    return Finding(
        title=_WORST_WAIT,
        yardstick="the same probe beside hello",
        promised="no step over 5 ms",
        measured=f"{longest / 1e3:.1f} ms at most, beside hello {plain.max_us / 1e3:.1f} ms",
        is_met=longest <= _LONGEST_STEP_US,
        notes=[
            f"Of {seconds} s of mixed load, {name}: "
            f"{counts.answers * 1e6 / counts.microseconds:,.0f} requests/s, "
            f"p50 {counts.p50_us / 1e3:.2f} ms, p99 {counts.p99_us / 1e3:.2f} ms, "
            f"longest {counts.max_us / 1e3:.2f} ms."
            for name, counts in found.items()
        ],
        figures={
            "probe_max_us": longest,
            "yardstick_probe_max_us": plain.max_us,
            **{f"{name}, p50_us": counts.p50_us for name, counts in found.items()},
            **{f"{name}, p99_us": counts.p99_us for name, counts in found.items()},
            **{f"{name}, max_us": counts.max_us for name, counts in found.items()},
        },
    )


def _limiter_memory(_settings: Settings, _folder: Path, _seconds: int) -> Finding:
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

_WORST_WAIT: Final = "mixed load, longest wait"

ASIDES: Final = (
    Aside(title=_LIMITER_MEMORY, take=_limiter_memory),
    Aside(title=_WORST_WAIT, take=_worst_wait),
)
