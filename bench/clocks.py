"""What the machine's cores were doing, and for whom: before a slice, after it, and the difference.

The kernel counts a process's CPU time in nanoseconds, all its threads included, those that have
ended too. A slice is *disturbed* when somebody else had a part in it:

- other processes used the two cores that are measured (kernel threads are left out: they sync our
  own files);
- the hypervisor gave a core to somebody else (steal);
- the cores were busy with what none of these clocks shows, such as processes that began and ended
  within the slice. Interrupts and waking up show here as well, so this bound is wider.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_KERNEL_THREAD: Final = 0x0020_0000
_MOMENT: Final = 0.5
_WAKE_UP_LATENCY: Final = Path("/dev/cpu_dma_latency")

MOST_OTHERS: Final = 0.04
MOST_STOLEN: Final = 0.02
MOST_UNEXPLAINED: Final = 0.20
"""Shares of one core's time above which a slice is disturbed."""


class Process(NamedTuple):
    cpu_ns: int
    core: int
    """On which it ran last."""
    is_kernel: bool


class Core(NamedTuple):
    """Seconds since the machine started."""

    idle: float
    stolen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    at_ns: int
    processes: Mapping[int, Process]
    cores: Mapping[int, Core]


def cpu_ns(pid: int) -> int:
    """The CPU time of a process; raises OSError where there is none."""
    # A process's CPU clock is named by its id, as clock_getcpuclockid(3) does it.
    return time.clock_gettime_ns((~pid << 3) | 2)


def read() -> Reading:
    return Reading(at_ns=time.monotonic_ns(), processes=dict(_processes()), cores=dict(_cores()))


def _processes() -> Iterator[tuple[int, Process]]:
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            try:
                yield int(folder.name), _process(folder)
            except OSError:  # it ended meanwhile
                continue


def _process(folder: Path) -> Process:
    # The name in parentheses may contain anything; what is counted comes after it.
    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    is_kernel = bool(int(fields[6]) & _KERNEL_THREAD)
    return Process(cpu_ns(int(folder.name)), int(fields[36]), is_kernel)


def _cores() -> Iterator[tuple[int, Core]]:
    for line in (_PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            seconds = [int(tick) / _TICKS_PER_SECOND for tick in ticks]
            yield int(name.removeprefix("cpu")), Core(seconds[3] + seconds[4], seconds[7])


def disturbance(
    before: Reading, after: Reading, *, cores: Collection[int], ours: Mapping[int, int]
) -> str | None:
    """Who disturbed the time between two readings, and by how much; None if nobody did.

    `ours` has the CPU nanoseconds that our own processes used, by their ids; one that has ended may
    have any name that is no process's.
    """
    seconds = (after.at_ns - before.at_ns) / 1e9
    used = {
        pid: (process.cpu_ns - (before.processes[pid].cpu_ns if pid in before.processes else 0))
        for pid, process in after.processes.items()
        if pid not in ours and process.core in cores
    }
    kernel = sum(ns for pid, ns in used.items() if after.processes[pid].is_kernel) / 1e9
    others = sum(used.values()) / 1e9 - kernel
    stolen = sum(after.cores[core].stolen - before.cores[core].stolen for core in cores)
    idle = sum(after.cores[core].idle - before.cores[core].idle for core in cores)
    known = sum(ours.values()) / 1e9 + kernel + others + stolen
    unexplained = seconds * len(cores) - idle - known
    for share, most, who in (
        (others / seconds, MOST_OTHERS, "other processes"),
        (stolen / seconds, MOST_STOLEN, "the hypervisor"),
        (unexplained / seconds, MOST_UNEXPLAINED, "something short-lived"),
    ):
        if share > most:
            return f"{who} took {share:.0%} of a core"
    return None


def wait_until_idle(pids: Collection[int]) -> None:
    """Returns when these processes have stopped working."""
    before = sum(map(cpu_ns, pids))
    while True:
        time.sleep(0.02)
        now = sum(map(cpu_ns, pids))
        if now - before < 1_000_000:
            return
        before = now


def wait_until_quiet(cores: Collection[int], patience: int) -> None:
    """Returns when nobody has used these cores for a moment, or after `patience` seconds."""
    until = time.monotonic() + patience
    before = read()
    while time.monotonic() < until:
        time.sleep(_MOMENT)
        now = read()
        if disturbance(before, now, cores=cores, ours={os.getpid(): 0}) is None:
            return
        before = now


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        for task in (_PROC / str(one) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


@contextmanager
def wakeful() -> Iterator[bool]:
    """While the block lasts, idle cores wait without falling asleep; says whether that is so.

    To wake a core that sleeps costs the waker several microseconds, on a virtual machine ten. A
    server would pay that for each answer to a load generator that is faster than itself, and not
    for one that it keeps busy: the slower of two servers would seem slower than it is.
    """
    try:
        latency = _WAKE_UP_LATENCY.open("wb", buffering=0)
    except OSError:  # it takes root, and a kernel that knows it
        yield False
        return
    with latency:
        # The kernel promises to wake up within 0 µs, as long as the file is open.
        latency.write(bytes(4))
        yield True


@contextmanager
def on_core(*cores: int) -> Iterator[None]:
    """What is started in the block runs on these cores, with all its threads and children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
