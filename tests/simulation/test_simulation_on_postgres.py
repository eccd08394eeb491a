"""Worlds on a real PostgreSQL come to their end as they ought to; broken ledgers do not.

More of them: `make simulate BACKEND=postgres SEEDS="0 100"`.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.servers.postgres import Postgres
from tests.simulation.generate import script
from tests.simulation.mutant import caught_by
from tests.simulation.mutations import ON_POSTGRES, Mutation
from tests.simulation.postgres import PostgresMachine
from tests.simulation.world import Trace, run

_TELLING_SEEDS = (8, *range(20))
"""The one in front catches what others miss, as scripts are drawn now."""


def live(seed: int, cluster: Postgres) -> Trace:
    with cluster.lent() as url:
        return run(script(seed), partial(PostgresMachine, url))


@pytest.mark.parametrize("seed", [2, 4])
def test_a_world_comes_to_its_end(seed: int, postgres: Postgres) -> None:
    trace = live(seed, postgres)
    assert trace.failure is None, str(trace)
    assert trace.operations > 100


def test_a_seed_gives_the_same_trace_again(postgres: Postgres) -> None:
    assert str(live(7, postgres)) == str(live(7, postgres))


@pytest.mark.parametrize("mutation", ON_POSTGRES, ids=lambda mutation: mutation.breaks)
def test_a_broken_ledger_is_caught(mutation: Mutation, postgres: Postgres) -> None:
    assert caught_by(mutation, _TELLING_SEEDS, postgres) is not None
