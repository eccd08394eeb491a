"""The properties can fail: each rule, broken on purpose in the core's source, is noticed.

A mutation replaces one piece of a domain module's text. The core and the twins are then imported
afresh with that text, beside the real ones, and taken for the same random walks that the core as it
is passes. What is not noticed here would not be noticed in a core that is wrong by accident.
"""

from __future__ import annotations

import pytest

from tests.property.mutant import Walk, walks_with
from tests.property.mutations import MUTATIONS, Mutation

_WALKS = 40
_STEPS = 80


def _walk_all(walk: Walk) -> None:
    for seed in range(_WALKS):
        walk(seed, _STEPS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.breaks)
def test_a_core_that_breaks_a_rule_is_caught(mutation: Mutation) -> None:
    with walks_with(mutation) as walk, pytest.raises(AssertionError):
        _walk_all(walk)


def test_the_core_as_it_is_passes_the_same_walks() -> None:
    with walks_with(None) as walk:
        _walk_all(walk)
