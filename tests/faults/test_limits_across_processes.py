"""Four processes of three nodes each, at ten times the limit: exactly `limit` in every window."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.redis import redis_cluster, redis_server
from tests.tidy.project import ROOT

PROCESSES, NODES = 4, 3
WINDOW_MS, LIMIT, SECONDS = 500, 50, 4
STAMP_SECONDS = 0.001
"""Redis counts whole milliseconds."""


@contextmanager
def one_server(folder: Path) -> Iterator[str]:
    with redis_server(folder) as server:
        yield server.url


@contextmanager
def a_cluster(folder: Path) -> Iterator[str]:
    with redis_cluster(folder) as servers:
        yield servers[0].url


@pytest.mark.parametrize("servers", [one_server, a_cluster])
def test_exactly_the_limit_is_admitted_in_every_window(tmp_path: Path, servers: Any) -> None:  # noqa: ANN401 - one of the two above
    with servers(tmp_path) as url:
        history = ask_from_many_processes(url)
    # Ten times as many are asked for, where the machine has the time.
    assert len(history) > 3 * LIMIT * SECONDS * 1000 / WINDOW_MS
    admitted = [each for each in history if each[0] == 1]
    # That many windows were filled, but for what the askers' pauses lose.
    assert len(admitted) > 0.8 * LIMIT * SECONDS * 1000 / WINDOW_MS
    check_never_more(admitted)
    check_never_less(history)


def check_never_more(admitted: list[list[float]]) -> None:
    """Who was admitted `limit` places later came at least a window later."""
    window = WINDOW_MS / 1000 - STAMP_SECONDS
    asked = sorted(each[1] for each in admitted)
    answered = sorted(each[2] for each in admitted)
    for earlier, later in zip(asked, answered[LIMIT:], strict=False):
        assert later - earlier >= window


def check_never_less(history: list[list[float]]) -> None:
    """At each refusal, `limit` that may have been counted were in the window."""
    window = WINDOW_MS / 1000 + STAMP_SECONDS
    counted = [each for each in history if each[0] != 0]
    for outcome, asked, answered in history:
        if outcome == 0:
            inside = sum(each[2] > asked - window and each[1] < answered for each in counted)
            assert inside >= LIMIT


def ask_from_many_processes(url: str) -> list[list[float]]:
    numbers = [str(each) for each in (WINDOW_MS, LIMIT, NODES, SECONDS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.limit_askers", url, *numbers],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )
        for _ in range(PROCESSES)
    ]
    history = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        history += json.loads(output)
    return history
