"""Plans: which terms go together, and what they allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tallystick.domain.credits import MAX_AMOUNT, MAX_SUM, MICRO
from tallystick.domain.plans import (
    MAX_ROLLOVER_PERIODS,
    InvalidPlan,
    Overage,
    OverageMode,
    Plan,
    Rollover,
    RolloverMode,
)
from tests.unit.life import overage, plan, rollover, schedule

PERCENT = 100 * MICRO


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Rollover(mode=RolloverMode.ALL, cap=1), "exactly when"),
        (lambda: Rollover(mode=RolloverMode.NONE, cap=0), "exactly when"),
        (lambda: Rollover(mode=RolloverMode.AMOUNT), "exactly when"),
        (lambda: Rollover(mode=RolloverMode.PERCENT), "exactly when"),
        (lambda: Rollover(mode=RolloverMode.AMOUNT, cap=-1), "from 0 to 1000000000$"),
        (lambda: Rollover(mode=RolloverMode.AMOUNT, cap=MAX_AMOUNT + 1), "from 0 to 1000000000$"),
        (lambda: Rollover(mode=RolloverMode.PERCENT, cap=PERCENT + 1), "from 0 to 100$"),
        (lambda: Rollover(periods=0), "periods must be from 1 to 100$"),
        (lambda: Rollover(periods=MAX_ROLLOVER_PERIODS + 1), "periods must be from 1 to 100$"),
        (lambda: Overage(mode=OverageMode.LIMIT), "exactly when"),
        (lambda: Overage(mode=OverageMode.DENY, limit=0), "exactly when"),
        (lambda: Overage(mode=OverageMode.LIMIT, limit=-1), "from 0 to 8000000000$"),
        (lambda: Overage(mode=OverageMode.LIMIT, limit=MAX_SUM + 1), "from 0 to 8000000000$"),
        (lambda: Plan(allowance=-1), "allowance must be from 0 to 1000000000 credits$"),
        (lambda: Plan(allowance=MAX_AMOUNT + 1), "allowance must be from 0 to 1000000000 credits$"),
    ],
)
def test_terms_that_contradict_themselves_are_no_plan(
    make: Callable[[], object], says: str
) -> None:
    with pytest.raises(InvalidPlan, match=says):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rollover(mode=RolloverMode.AMOUNT, cap=0),
        lambda: Rollover(mode=RolloverMode.AMOUNT, cap=MAX_AMOUNT),
        lambda: Rollover(mode=RolloverMode.PERCENT, cap=0),
        lambda: Rollover(mode=RolloverMode.PERCENT, cap=PERCENT),
        lambda: Rollover(mode=RolloverMode.ALL, periods=MAX_ROLLOVER_PERIODS),
        lambda: Overage(mode=OverageMode.LIMIT, limit=0),
        lambda: Overage(mode=OverageMode.LIMIT, limit=MAX_SUM),
        lambda: Plan(allowance=0),
        lambda: Plan(allowance=MAX_AMOUNT),
    ],
)
def test_terms_may_reach_their_bounds(make: Callable[[], object]) -> None:
    make()


def test_by_default_nothing_is_granted_rolled_over_or_overdrawn_and_periods_are_months() -> None:
    facts = Plan().to_facts()
    assert (facts["allowance"], facts["rollover"], facts["overage"]) == (0, "none", "deny")
    assert (facts["interval"], facts["count"], facts["timezone"]) == ("month", 1, "UTC")
    assert (facts["anchor"], facts["rollover_periods"]) == ("2000-01-01T00:00:00", 1)


@pytest.mark.parametrize(
    ("terms", "unspent", "carried"),
    [
        (rollover("none"), 10, 0),
        (rollover("all"), 10, 10),
        (rollover("amount", "0.000007"), 10, 7),
        (rollover("amount", "0.000011"), 10, 10),
        (rollover("percent", "0"), 10, 0),
        (rollover("percent", "100"), 10, 10),
        (rollover("percent", "50"), 9, 4),
        (rollover("percent", "33.333333"), 3_000_000, 999_999),
        (rollover("percent", "99.999999"), MAX_AMOUNT, MAX_AMOUNT - 10_000_000),
    ],
)
def test_what_rolls_over_is_rounded_down_to_a_micro_credit(
    terms: Rollover, unspent: int, carried: int
) -> None:
    assert terms.carried(unspent) == carried


@pytest.mark.parametrize(
    ("terms", "overage_so_far", "headroom"),
    [
        (overage("deny"), 0, 0),
        (overage("deny"), 5, 0),
        (overage("limit", "20"), 0, 20 * MICRO),
        (overage("limit", "20"), 20 * MICRO, 0),
        (overage("limit", "20"), 30 * MICRO, 0),
        (overage("allow"), 5, MAX_SUM),
    ],
)
def test_headroom_is_what_may_still_go_uncovered(
    terms: Overage, overage_so_far: int, headroom: int
) -> None:
    assert terms.headroom(overage_so_far) == headroom


@pytest.mark.parametrize(
    "terms",
    [
        Plan(),
        plan(
            "0.000001", periods=schedule("day", "2026-03-29T02:30:00.000001", "Asia/Kathmandu", 7)
        ),
        plan("5", rollover=rollover("percent", "12.5", periods=3), overage=overage("limit", "0")),
        plan("5", rollover=rollover("all"), overage=overage("allow")),
    ],
)
def test_a_plan_is_read_back_as_it_was_written(terms: Plan) -> None:
    assert Plan.from_facts(terms.to_facts()) == terms


@pytest.mark.parametrize("fact", ["allowance", "count", "rollover_periods", "rollover_cap"])
def test_facts_that_are_no_whole_numbers_are_no_plan(fact: str) -> None:
    facts = plan("5", rollover=rollover("amount", "1")).to_facts()
    with pytest.raises(InvalidPlan, match="whole number"):
        Plan.from_facts({**facts, fact: "1"})
