"""Worlds around a ledger with one mutation in it, imported afresh beside the real one."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import partial

from tests.property.mutant import imported_afresh
from tests.servers.postgres import Postgres
from tests.simulation.mutations import Mutation

_AFRESH = (
    *("tallystick.domain", "tallystick.ledger", "tallystick.storage"),
    *("tests.property", "tests.simulation"),
)


def caught_by(
    mutation: Mutation | None, seeds: Iterable[int], cluster: Postgres | None = None
) -> int | None:
    """The first of the seeds whose world, on a file or on `cluster`, goes wrong, if one does."""
    with imported_afresh(_AFRESH, mutation):
        generate = importlib.import_module("tests.simulation.generate")
        world = importlib.import_module("tests.simulation.world")
        postgres = importlib.import_module("tests.simulation.postgres")
        for seed in seeds:
            script = generate.script(seed)
            if cluster is None:
                trace = world.run(script)
            else:
                with cluster.lent() as url:
                    trace = world.run(script, partial(postgres.PostgresMachine, url))
            if trace.failure is not None:
                return seed
    return None
