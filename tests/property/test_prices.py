"""Prices against rational arithmetic and a search through all events, and broken on purpose."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.decimals import InvalidNumber
from tallystick.domain.prices import Rounding
from tallystick.domain.quantities import NANO, format_quantity, parse_quantity
from tests.oracle_prices import MICRO, OraclePrice, cost
from tests.pricing import price
from tests.property.mutant import Walk, walks_with
from tests.property.mutations import Mutation
from tests.property.price_mutations import PRICE_MUTATIONS
from tests.property.price_walk import walk
from tests.property.test_credits import numbers

WALKS = "tests.property.price_walk"
_SEEDS = range(40)
_STEPS = 60

quantities = st.integers(0, 10**15 - 1).flatmap(
    lambda digits: st.sampled_from([10**power for power in range(10)]).map(
        lambda unit: digits * unit
    )
)


@pytest.mark.parametrize("seed", _SEEDS)
def test_the_book_does_what_the_oracle_says(seed: int) -> None:
    walk(seed, 2 * _STEPS)


def _walk_all(walk: Walk) -> None:
    for seed in _SEEDS:
        walk(seed, _STEPS)


@pytest.mark.parametrize("mutation", PRICE_MUTATIONS, ids=lambda mutation: mutation.breaks)
def test_a_book_that_breaks_a_rule_is_caught(mutation: Mutation) -> None:
    with walks_with(mutation, WALKS) as walk, pytest.raises(AssertionError):
        _walk_all(walk)


def test_the_book_as_it_is_passes_the_same_walks() -> None:
    with walks_with(None, WALKS) as walk:
        _walk_all(walk)


@settings(max_examples=1500, deadline=None)
@given(
    quantity=quantities,
    credits=st.integers(0, 10**15) | st.integers(0, 10),
    per=st.integers(1, 10**24 - 1) | st.integers(1, 10),
    rounding=st.sampled_from(Rounding),
)
def test_a_charge_is_rounded_once_and_exactly(
    quantity: int, credits: int, per: int, rounding: Rounding
) -> None:
    exact = OraclePrice("", "", frozenset(), credits * MICRO, Fraction(per, NANO), str(rounding), 0)
    charged = price(credits=credits, per=per, rounding=rounding).charge(quantity)
    assert charged * MICRO == cost(exact, Fraction(quantity, NANO))


@settings(max_examples=1500, deadline=None)
@given(numbers())
def test_every_number_gets_its_exact_quantity_or_the_right_advice(text: str) -> None:
    value = Fraction(text)
    advice = {
        "must be at least 0": value < 0,
        "must not be -0": value == 0 and text.startswith("-"),
        "must be less than 1000000000000000": value >= 10**15,
        "round to 9 decimals": (value * NANO).denominator != 1,
        "round to 15 digits": len("".join(map(str, Decimal(text).as_tuple().digits)).strip("0"))
        > 15,
    }
    if not any(advice.values()):
        assert parse_quantity(text.encode()) == value * NANO
        return
    with pytest.raises(InvalidNumber) as refused:
        parse_quantity(text.encode())
    assert advice[str(refused.value)]


@given(quantities)
def test_what_was_printed_reads_back(quantity: int) -> None:
    assert parse_quantity(format_quantity(quantity).encode()) == quantity
