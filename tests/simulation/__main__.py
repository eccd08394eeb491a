"""Simulates worlds, and shows the shortest script of the first that goes wrong.

python -m tests.simulation 0 1000           seeds 0 to 999
python -m tests.simulation replay FILE      a script from a file, with its trace
python -m tests.simulation mutants 150      which of so many seeds catches each mutation

With BACKEND=postgres in its environment, worlds are on a PostgreSQL that is started for them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.servers.postgres import Postgres, running
from tests.simulation.generate import script
from tests.simulation.mutant import caught_by
from tests.simulation.mutations import MUTATIONS
from tests.simulation.postgres import PostgresMachine
from tests.simulation.script import Script, read, written
from tests.simulation.shrink import shrink
from tests.simulation.world import Trace, run

Live = Callable[[Script], Trace]


def main(arguments: list[str]) -> int:
    if os.environ.get("BACKEND", "sqlite") == "sqlite":
        return obey(arguments, run)
    with running() as cluster:
        return obey(arguments, lambda steps: run_on_postgres(steps, cluster))


def run_on_postgres(steps: Script, cluster: Postgres) -> Trace:
    with cluster.lent() as url:
        return run(steps, partial(PostgresMachine, url))


def obey(arguments: list[str], live: Live) -> int:
    match arguments:
        case ["replay", file]:
            return replay(read(Path(file).read_text(encoding="utf-8")), live)
        case ["mutants", end]:
            return catch_mutants(range(int(end)))
        case [first, end]:
            return simulate(range(int(first), int(end)), live)
        case _:
            sys.stderr.write(__doc__ or "")
            return 2


def replay(steps: Script, live: Live) -> int:
    trace = live(steps)
    sys.stdout.write(str(trace))
    return 1 if trace.failure else 0


def simulate(seeds: range, live: Live) -> int:
    operations, began = 0, time.monotonic()
    for count, seed in enumerate(seeds, 1):
        trace = live(script(seed))
        operations += trace.operations
        if trace.failure is not None:
            sys.stdout.write(report(seed, live))
            return 1
        if count % 100 == 0 or count == len(seeds):
            seconds = time.monotonic() - began
            sys.stdout.write(f"{count} worlds, {operations} operations, {seconds:.0f} s\n")
            sys.stdout.flush()
    return 0


def catch_mutants(seeds: range) -> int:
    missed = 0
    for mutation in MUTATIONS:
        seed = caught_by(mutation, seeds)
        missed += seed is None
        found = "NOT CAUGHT" if seed is None else f"caught by seed {seed}"
        sys.stdout.write(f"{mutation.breaks}: {found}\n")
        sys.stdout.flush()
    return 1 if missed else 0


def report(seed: int, live: Live) -> str:
    """What goes wrong with that seed: the shortest script that was found, and its trace."""
    shortest = shrink(script(seed), lambda steps: live(steps).failure)
    return (
        f"# seed {seed}; keep these lines in a file, and see it again with\n"
        f"# python -m tests.simulation replay FILE\n{written(shortest)}"
        f"\n# what happens:\n{_commented(str(live(shortest)))}"
    )


def _commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
