"""The properties can fail: each rule, broken on purpose in the core's source, is noticed.

A mutation replaces one piece of a domain module's text. The core and the twins are then imported
afresh with that text, beside the real ones, and taken for the same random walks that the core as it
is passes. What is not noticed here would not be noticed in a core that is wrong by accident.
"""

from __future__ import annotations

import pytest

from tests.property.hold_mutations import HOLD_MUTATIONS
from tests.property.mutant import Walk, walks_with
from tests.property.mutations import MUTATIONS, Mutation
from tests.property.reversal_mutations import BUDGET_MUTATIONS, REVERSAL_MUTATIONS

_WALKS = 78
_STEPS = 80
_NOTICED = (AssertionError, LookupError)
"""A check fails, or the core itself does not find what its lists should have."""
_ALL = (*MUTATIONS, *HOLD_MUTATIONS, *REVERSAL_MUTATIONS, *BUDGET_MUTATIONS)


def _walk_all(walk: Walk) -> None:
    for seed in range(_WALKS):
        walk(seed, _STEPS)


@pytest.mark.parametrize("mutation", _ALL, ids=lambda mutation: mutation.breaks)
def test_a_core_that_breaks_a_rule_is_caught(mutation: Mutation) -> None:
    with walks_with(mutation) as walk, pytest.raises(_NOTICED):
        _walk_all(walk)


def test_the_core_as_it_is_passes_the_same_walks() -> None:
    with walks_with(None) as walk:
        _walk_all(walk)
