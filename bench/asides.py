"""What is promised beside the rows: figures that are no slices of two servers in turns."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.hot_nodes import hot_organization
from bench.load import Counts, LoadFailed
from bench.mixed import Seen, atomic_batches, beside_hello, mixed_load
from bench.run import Settings
from bench.servers import PROJECT, our_python, peers_python
from bench.steps import Long, longest

_MOST_BYTES: Final = 1 / 20
_PLAIN_SECONDS: Final = 10
_ATOMIC_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A promise, and what came of it. `title` is that of the aside."""

    title: str
    yardstick: str = ""
    promised: str
    measured: str
    is_met: bool
    disturbed_by: str | None = None
    notes: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """`take` gets where servers may run, a folder for them, and for how many seconds."""

    title: str
    promised: str
    take: Callable[[Settings, Path, int], Finding]


def _mixed(settings: Settings, folder: Path, seconds: int) -> Finding:
    seen = mixed_load(settings, folder, seconds)
    plain = beside_hello(settings, folder, min(seconds, _PLAIN_SECONDS))
    beside = f"beside a hello-world the probe waited {_ms(plain.max_us)} ms at most"
    return _longest_step(_MIXED, seen, seconds, most_ms=5, note=beside)


def _atomic(settings: Settings, folder: Path, seconds: int) -> Finding:
    seconds = min(seconds, _ATOMIC_SECONDS)
    return _longest_step(_ATOMIC, atomic_batches(settings, folder, seconds), seconds, most_ms=25)


def _longest_step(title: str, seen: Seen, seconds: int, *, most_ms: int, note: str = "") -> Finding:
    step, turn = longest(seen.long, "step"), longest(seen.long, "turn")
    over = sum(each.kind == "step" and each.took > most_ms * 1e6 for each in seen.long)
    return Finding(
        title=title,
        promised=_no_step_over(most_ms),
        measured=f"{step.took / 1e6:.1f} ms at most",
        is_met=not over,
        disturbed_by=seen.disturbed_by,
        notes=[
            (
                f"{title}, {seconds} s: the longest step was {_step(step)}, and {over} were over "
                f"{most_ms} ms; the loop came round after {turn.took / 1e6:.1f} ms at most"
                f"{f'; {note}' if note else ''}."
            ),
            *(f"{title}, {name}: {_latency(counts)}." for name, counts in seen.counts.items()),
        ],
        figures={
            "longest_step_us": step.took / 1e3,
            "longest_step_cpu_us": step.cpu / 1e3,
            "longest_turn_us": turn.took / 1e3,
            "steps_over": over,
            **{
                f"{name}, {figure}": getattr(counts, figure)
                for name, counts in seen.counts.items()
                for figure in ("answers", "microseconds", "p50_us", "p99_us", "max_us")
            },
        },
    )


def _no_step_over(most_ms: int) -> str:
    return f"no step of the loop over {most_ms} ms"


def _step(step: Long) -> str:
    return f"{step.took / 1e6:.1f} ms (`{step.what}`, {step.cpu / 1e6:.1f} ms of CPU at most)"


def _latency(counts: Counts) -> str:
    return (
        f"{counts.answers * 1e6 / counts.microseconds:,.0f} requests/s, p50 "
        f"{_ms(counts.p50_us)} ms, p99 {_ms(counts.p99_us)} ms, longest {_ms(counts.max_us)} ms"
    )


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1e3:.2f}"


def _limiter_memory(_settings: Settings, _folder: Path, _seconds: int) -> Finding:
    ours, theirs = _full_window(our_python(), "ours"), _full_window(peers_python(), "limits")
    return Finding(
        title=_LIMITER_MEMORY,
        yardstick="limits, moving window in memory",
        promised=_FEW_BYTES,
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


def _one_hot_organization(settings: Settings, folder: Path, seconds: int) -> Finding:
    cores = {settings.server_core, settings.load_core}
    hot = hot_organization(folder, cores, min(seconds, _HOT_SECONDS), _HOT_NODES)
    together = ", ".join(f"{count}: {each:,.0f}" for count, each in hot.by_nodes.items())
    return Finding(
        title=_HOT,
        promised=_HOT_PROMISE,
        measured=f"{hot.storage:,.0f} events/s, {hot.deadlocks} deadlocks",
        is_met=hot.storage >= _HOT_RATE and not hot.deadlocks,
        disturbed_by=hot.disturbed_by,
        notes=[
            (
                f"{_HOT}: one lane loads, writes and commits {hot.storage:,.0f} events/s in "
                f"batches of 256, {hot.with_deciding:,.0f} with deciding and hashing them (fsync, "
                f"synchronous_commit: {hot.durability}). Events/s acknowledged to so many nodes "
                f"at the same time, which share the machine's cores with the database: {together}."
            )
        ],
        figures={
            "storage_per_second": hot.storage,
            "decided_per_second": hot.with_deciding,
            "deadlocks": hot.deadlocks,
            **{f"nodes_{count}_per_second": each for count, each in hot.by_nodes.items()},
        },
    )


_LIMITER_MEMORY: Final = "limiter, memory of a full window"
_FEW_BYTES: Final = "at most 1/20 of the bytes"
_HOT: Final = "one hot organization on PostgreSQL, storage layer"
_HOT_RATE: Final = 25_000
_HOT_PROMISE: Final = f"at least {_HOT_RATE:,} events/s, no deadlock, fsync on"
_HOT_NODES: Final = (1, 2, 4)
_HOT_SECONDS: Final = 5
_MIXED: Final = "mixed load"
_ATOMIC: Final = "atomic batches of 1000"

ASIDES: Final = (
    Aside(title=_LIMITER_MEMORY, promised=_FEW_BYTES, take=_limiter_memory),
    Aside(title=_HOT, promised=_HOT_PROMISE, take=_one_hot_organization),
    Aside(title=_MIXED, promised=_no_step_over(5), take=_mixed),
    Aside(title=_ATOMIC, promised=_no_step_over(25), take=_atomic),
)
