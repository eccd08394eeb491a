"""The load: wrk, which keeps so many connections busy with one request each."""

from __future__ import annotations

import json
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.clocks import on_core

_SCRIPT: Final = Path(__file__).with_name("load.lua")
_REPORT: Final = "load: "
_PLACE: Final = 12 * "#"
_KEY: Final = "^"
_CHANCE: Final = "@@@@@@@@-@@@@-4@@@-8@@@-"


class LoadFailed(Exception):
    """What was to be measured did not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent over and over. `event` is a usage event, of which a POST carries `events`.

    In an event, `ID` stands for an id of 36 characters; they are unique, and ordered in time like
    UUIDv7s or random like UUIDv4s. With `varies` no head is like another: each has a header of its
    own. Where a server has many keys, requests are spread over the first `askers` of them.
    """

    path: str
    varies: bool = False
    askers: int = 0
    event: str = ""
    events: int = 0
    is_batch: bool = False
    is_atomic: bool = False
    ids_are_random: bool = False

    @property
    def method(self) -> str:
        return "POST" if self.events else "GET"

    def body(self, ids: str) -> str:
        """With a place where load.lua counts."""
        event = self.event.replace("ID", (_CHANCE if self.ids_are_random else ids) + _PLACE)
        if not self.is_batch:
            return event
        terms = ',"atomic":true' if self.is_atomic else ""
        return f'{{"events":[{",".join([event] * self.events)}]{terms}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What wrk counted. `cpu_ns` is its own."""

    answers: int
    microseconds: int
    p50_us: int
    p99_us: int
    max_us: int
    cpu_ns: int


def new_ids() -> str:
    """What the ids of a slice begin with: the millisecond in which it began, as in a UUIDv7."""
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    return f"{stamp[:8]}-{stamp[8:]}-7000-8000-"


def find_wrk() -> str:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadFailed("wrk is not installed: `scripts/setup bench` does it")
    return wrk


def drive(
    url: str,
    request: Request,
    *,
    connections: int,
    seconds: int,
    headers: Mapping[str, str],
    core: int,
    keys: Path | None = None,
) -> Counts:
    """Sends `request` for a while; raises LoadFailed unless every answer was a good one. Where
    there are `keys`, each request has one of those who ask, by chance."""
    command = [
        find_wrk(),
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        str(_SCRIPT),
        "--timeout",
        "10s",
    ]
    fields = dict(headers)
    if request.events:
        fields["content-type"] = "application/json"
    if request.varies:
        fields["x-client-request"] = _PLACE
    if keys is not None:
        fields["authorization"] = f"Bearer {_KEY}"
    for name, value in fields.items():
        command += ["-H", f"{name}: {value}"]
    command += [url + request.path, "--", request.method]
    command += [request.body(new_ids()) if request.events else "", str(time.time_ns() // 1000)]
    if keys is not None:
        command += [str(keys), str(request.askers)]
    before = children_cpu_ns()
    with on_core(core):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return _counts(ended.stdout + ended.stderr, children_cpu_ns() - before)


def order(port: int, *, seconds: int) -> Counts:
    """What a server that works by itself has done after a while; see `peers.alone`."""
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        connection.makefile("rw") as lines,
    ):
        lines.write(f"{seconds}\n")
        lines.flush()
        return _counts(_REPORT + lines.readline(), 0)


def children_cpu_ns() -> int:
    """What processes used that were started and waited for here, those of all threads."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((used.ru_utime + used.ru_stime) * 1e9)


def _counts(said: str, cpu_ns: int) -> Counts:
    report = next((line for line in said.splitlines() if line.startswith(_REPORT)), None)
    if report is None:
        raise LoadFailed(f"wrk said:\n{said}")
    found: dict[str, int] = json.loads(report.removeprefix(_REPORT))
    refused, broken = found.pop("refused"), found.pop("broken")
    if refused or broken or not found["answers"]:
        raise LoadFailed(
            f"of {found['answers']} answers {refused} had an error status, and {broken} requests "
            "failed"
        )
    return Counts(**found, cpu_ns=cpu_ns)
