"""Simulated worlds come to their end as they ought to; broken ledgers do not, and it is shown how.

Many more worlds are simulated by `make simulate`, and every mutation by `make mutants`
(see the README beside).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import mutations
from tests.simulation.generate import script
from tests.simulation.mutant import caught_by
from tests.simulation.mutations import Mutation
from tests.simulation.script import Script, read, written
from tests.simulation.shrink import shrink
from tests.simulation.world import run

_ROOT = Path(__file__).resolve().parents[2]
_TELLING_SEEDS = (2, 12, *range(60))
"""Those in front catch what the test is about, as scripts are drawn now."""
_DISK_THAT_LIES = """
+9000 operator found org=9 allowance=100
+20 disk full at=sync file=-wal times=5
+0 c1 use org=9 event=e0 amount=some teamspace=0 by=0
+5000 process kill
"""
_PRINT_TRACE = """
from tests.simulation.generate import script
from tests.simulation.world import run
print(run(script(3)), end="")
"""


@pytest.mark.parametrize("seed", range(5))
def test_a_world_comes_to_its_end(seed: int) -> None:
    trace = run(script(seed))
    assert trace.failure is None, str(trace)
    assert trace.operations > 100


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    traces = {
        subprocess.run(
            [sys.executable, "-c", _PRINT_TRACE],
            cwd=_ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert traces == {str(run(script(3))).encode()}


def test_a_script_reads_back_as_it_was_written() -> None:
    assert read(written(script(5))) == script(5)


@pytest.mark.parametrize(
    "mutation",
    [
        mutations.ANSWERED_TOO_EARLY,
        mutations.STALE_BALANCES,
        mutations.STALE_ACCOUNTS,
        mutations.CLOCK_GOES_BACK,
        mutations.UNSYNCED,
    ],
    ids=lambda mutation: mutation.breaks,
)
def test_a_broken_ledger_is_caught(mutation: Mutation) -> None:
    assert caught_by(mutation, _TELLING_SEEDS) is not None


def test_the_ledger_as_it_is_passes_where_broken_ones_are_caught() -> None:
    assert caught_by(None, _TELLING_SEEDS[:2]) is None


def test_what_fails_is_shown_by_its_shortest_script() -> None:
    """No disk fails to sync because it is full, and the store counts on that: here is one."""
    failing = (*script(0, steps=10), *read(_DISK_THAT_LIES), *script(1, steps=10))

    def failure(steps: Script) -> BaseException | None:
        return run(steps).failure

    shortest = shrink(failing, failure)
    assert [step.what for step in shortest] == ["found", "full", "use", "kill"]
    assert failure(read(written(shortest))) is not None
