"""Measures a row: slices of the subject and of its yardstick in turns, A B A B ….

A slice is a few seconds of load. What drifts on the machine (clock rates, caches, neighbours) meets
both sides of a round alike, so the ratio of a round is steadier than either figure. A round of
which either slice was disturbed is dropped and another one taken, up to a bound; a row that has no
round left is reported with all of them, and says so.

CPU time is that of all the server's processes, until they are idle again: a server may still have
work when the load has ended. Where the server keeps a ledger, it is divided by what was really
booked, which must be all that was acknowledged and at most what was under way besides.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import clocks, load
from bench.clocks import Reading
from bench.load import Counts, LoadFailed
from bench.rows import Row
from bench.servers import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`rounds` are wanted undisturbed, `most_rounds` are tried; a slice lasts `seconds`. A round
    begins when the cores are quiet, or after `patience` seconds."""

    rounds: int
    most_rounds: int
    seconds: int
    patience: int
    warm_up: bool
    server_core: int
    load_core: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """`load_share` is how busy the load generator was, of its core."""

    answers: int
    requests_per_second: float
    cpu_us_per_request: float
    p50_ms: float
    p99_ms: float
    load_share: float
    disturbed_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    subject: Slice
    yardstick: Slice

    @property
    def is_clean(self) -> bool:
        return self.subject.disturbed_by is None and self.yardstick.disturbed_by is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    row: Row
    rounds: list[Round]

    @property
    def is_clean(self) -> bool:
        return any(round_.is_clean for round_ in self.rounds)

    @property
    def kept(self) -> list[Round]:
        """The rounds that count."""
        return [round_ for round_ in self.rounds if round_.is_clean or not self.is_clean]


def measure(
    row: Row, servers: Mapping[str, Running], settings: Settings, tell: Callable[[str], None]
) -> Measured:
    subject, yardstick = servers[row.subject], servers[row.yardstick]
    if settings.warm_up:
        _round(row, subject, yardstick, settings)
    return measure_until_clean(
        row, lambda: _round(row, subject, yardstick, settings), settings, tell
    )


def measure_until_clean(
    row: Row, take: Callable[[], Round], settings: Settings, tell: Callable[[str], None]
) -> Measured:
    """As many undisturbed rounds as are wanted, or as many rounds as may be tried."""
    rounds: list[Round] = []
    clean = 0
    while clean < settings.rounds and len(rounds) < settings.most_rounds:
        clocks.wait_until_quiet({settings.server_core, settings.load_core}, settings.patience)
        taken = take()
        rounds.append(taken)
        clean += taken.is_clean
        tell(_progress(taken))
    return Measured(row=row, rounds=rounds)


def _round(row: Row, subject: Running, yardstick: Running, settings: Settings) -> Round:
    headers = subject.tenant.key_for_slices(None) if subject.tenant is not None else {}
    others = headers
    if yardstick.tenant is not None:
        others = yardstick.tenant.key_for_slices(headers)
    return Round(
        subject=_slice(row, subject, headers, settings),
        yardstick=_slice(row, yardstick, others, settings),
    )


def _slice(row: Row, running: Running, headers: Mapping[str, str], settings: Settings) -> Slice:
    booked_before = _booked(row, running)
    clocks.wait_until_idle(running.pids)
    before, cpu_before = clocks.read(), running.cpu_ns()
    counts = _load(row, running, headers, settings)
    clocks.wait_until_idle(running.pids)
    cpu_ns, after = running.cpu_ns() - cpu_before, clocks.read()
    handled: float = counts.answers
    if booked_before is not None:
        handled = handled_requests(row, counts, (_booked(row, running) or 0) - booked_before)
    return Slice(
        answers=counts.answers,
        requests_per_second=counts.answers / counts.microseconds * 1e6,
        cpu_us_per_request=cpu_ns / handled / 1e3,
        p50_ms=counts.p50_us / 1e3,
        p99_ms=counts.p99_us / 1e3,
        load_share=counts.cpu_ns / counts.microseconds / 1e3,
        disturbed_by=clocks.disturbance(
            before,
            after,
            cores={settings.server_core, settings.load_core},
            ours=own_processes(running, cpu_ns, counts.cpu_ns) | _backing(running, before, after),
        ),
    )


def _load(row: Row, running: Running, headers: Mapping[str, str], settings: Settings) -> Counts:
    if running.server.works_alone:
        return load.order(running.port, seconds=settings.seconds)
    return load.drive(
        running.url,
        row.request,
        connections=row.connections,
        seconds=settings.seconds,
        headers=headers,
        core=settings.load_core,
        keys=_keys(row, running),
    )


def _keys(row: Row, running: Running) -> Path | None:
    """The many keys of a server that has them, where the row wants requests spread."""
    return running.tenant.keys if running.tenant is not None and row.request.askers else None


def own_processes(running: Running, server_cpu_ns: int, load_cpu_ns: int) -> dict[int, int]:
    """What our own processes used: the server, wrk (which has ended) and this one (little)."""
    first, *rest = running.pids
    return {first: server_cpu_ns, **dict.fromkeys(rest, 0), -1: load_cpu_ns, os.getpid(): 0}


def _backing(running: Running, before: Reading, after: Reading) -> dict[int, int]:
    """What the processes used that the server is backed by, those included that they began."""
    return {
        pid: after.processes[pid].cpu_ns
        - (before.processes[pid].cpu_ns if pid in before.processes else 0)
        for root in running.backing.pids
        for pid in clocks.family(root)
        if pid in after.processes
    }


def _booked(row: Row, running: Running) -> int | None:
    if running.tenant is None or not row.request.events:
        return None
    return running.tenant.booked_by_all() if _keys(row, running) else running.tenant.booked()


def handled_requests(row: Row, counts: Counts, booked: int) -> float:
    """How many requests were booked; raises LoadFailed where that cannot be."""
    events = row.request.events
    acknowledged = counts.answers * events
    if not acknowledged <= booked <= acknowledged + row.connections * events:
        raise LoadFailed(f"{acknowledged} events were acknowledged, but {booked} were booked")
    return booked / events


def _progress(taken: Round) -> str:
    ratio = taken.subject.cpu_us_per_request / taken.yardstick.cpu_us_per_request
    disturbed_by = taken.subject.disturbed_by or taken.yardstick.disturbed_by
    return (
        f"{taken.subject.cpu_us_per_request:9.1f} µs  {ratio:6.2f} × the yardstick"
        f"{f'  dropped: {disturbed_by}' if disturbed_by else ''}"
    )
