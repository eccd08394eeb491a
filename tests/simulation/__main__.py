"""Simulates worlds, and shows the shortest script of the first that goes wrong.

python -m tests.simulation 0 1000           seeds 0 to 999
python -m tests.simulation replay FILE      a script from a file, with its trace
python -m tests.simulation mutants 150      which of so many seeds catches each mutation
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.simulation.generate import script
from tests.simulation.mutant import caught_by
from tests.simulation.mutations import MUTATIONS
from tests.simulation.script import Script, read, written
from tests.simulation.shrink import shrink
from tests.simulation.world import run


def main(arguments: list[str]) -> int:
    match arguments:
        case ["replay", file]:
            return replay(read(Path(file).read_text(encoding="utf-8")))
        case ["mutants", end]:
            return catch_mutants(range(int(end)))
        case [first, end]:
            return simulate(range(int(first), int(end)))
        case _:
            sys.stderr.write(__doc__ or "")
            return 2


def replay(steps: Script) -> int:
    trace = run(steps)
    sys.stdout.write(str(trace))
    return 1 if trace.failure else 0


def simulate(seeds: range) -> int:
    operations, began = 0, time.monotonic()
    for count, seed in enumerate(seeds, 1):
        trace = run(script(seed))
        operations += trace.operations
        if trace.failure is not None:
            sys.stdout.write(report(seed))
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


def report(seed: int) -> str:
    """What goes wrong with that seed: the shortest script that was found, and its trace."""
    shortest = shrink(script(seed), lambda steps: run(steps).failure)
    return (
        f"# seed {seed}; keep these lines in a file, and see it again with\n"
        f"# python -m tests.simulation replay FILE\n{written(shortest)}"
        f"\n# what happens:\n{_commented(str(run(shortest)))}"
    )


def _commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
