"""Worlds around a ledger with one mutation in it, imported afresh beside the real one."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from tests.property.mutant import imported_afresh
from tests.simulation.mutations import Mutation

_AFRESH = (
    *("tallystick.domain", "tallystick.ledger", "tallystick.storage"),
    *("tests.property", "tests.simulation"),
)


def caught_by(mutation: Mutation | None, seeds: Iterable[int]) -> int | None:
    """The first of the seeds whose world goes wrong, if one does."""
    with imported_afresh(_AFRESH, mutation):
        generate = importlib.import_module("tests.simulation.generate")
        world = importlib.import_module("tests.simulation.world")
        for seed in seeds:
            if world.run(generate.script(seed)).failure is not None:
                return seed
    return None
