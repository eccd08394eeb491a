"""Budgets: what one teamspace or key may consume in a billing period (rule 13)."""

from __future__ import annotations

from tallystick.domain.budgets import Budget
from tallystick.domain.commands import BudgetSet
from tallystick.domain.credits import format_credits
from tallystick.domain.errors import Reason, Refusal
from tests.unit.life import DAY, Life, at, overage, plan, reason


def counted(life: Life, subject_id: str) -> tuple[str, str, str]:
    """Used, held and available."""
    budget = life.account.budgets[subject_id]
    return (
        format_credits(budget.used),
        format_credits(budget.held),
        format_credits(budget.available),
    )


# ── what it caps ──


def test_a_teamspace_may_use_its_budget_up_and_no_more() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    life.use("8")
    assert life.use("2.000001") == Refusal(
        reason=Reason.OVER_BUDGET,
        figures={
            "required": 2_000_001,
            "available": 2_000_000,
            "resets_at": at("2026-02-01"),
        },
        facts={"budget_id": "ts_1"},
    )
    assert reason(life.use("2")) is None
    assert reason(life.use("0")) is None
    assert reason(life.use("50", teamspace_id="ts_2")) is None


def test_a_key_may_have_a_budget_in_whatever_teamspace_it_acts() -> None:
    life = Life(plan("100"))
    life.set_budget("key_1", "10")
    life.use("6", teamspace_id="ts_1")
    life.use("3", teamspace_id="ts_2")
    assert reason(life.use("2", teamspace_id="ts_2")) is Reason.OVER_BUDGET
    assert reason(life.use("2", api_key_id="key_2")) is None


def test_of_two_budgets_the_teamspaces_is_reported_first() -> None:
    life = Life(plan("100"))
    life.set_budget("key_1", "1")
    life.set_budget("ts_1", "2")
    for amount, blamed in (("3", "ts_1"), ("2", "key_1")):
        refusal = life.use(amount)
        assert isinstance(refusal, Refusal)
        assert refusal.facts == {"budget_id": blamed}


def test_the_organizations_lack_is_reported_before_a_budgets() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    assert reason(life.use("101")) is Reason.NOT_COVERED
    assert reason(life.ask_for_hold("101")) is Reason.NOT_COVERED


def test_open_holds_count() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    life.hold("6")
    assert counted(life, "ts_1") == ("0", "6", "4")
    assert reason(life.use("4.000001")) is Reason.OVER_BUDGET
    assert reason(life.ask_for_hold("4.000001")) is Reason.OVER_BUDGET
    assert reason(life.ask_for_hold("4")) is None


def test_what_a_hold_lets_go_of_no_longer_counts() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    released, captured = life.hold("4"), life.hold("6")
    life.release(released)
    life.capture(captured, "5", final=True)
    assert counted(life, "ts_1") == ("5", "0", "5")
    life.hold("5", lasts=DAY)
    life.wait("2026-01-11T12:00")
    assert counted(life, "ts_1") == ("5", "0", "5")


def test_an_overage_policy_widens_no_budget() -> None:
    life = Life(plan("0", overage=overage("allow")))
    life.set_budget("ts_1", "10")
    assert reason(life.use("10.000001")) is Reason.OVER_BUDGET
    assert reason(life.use("10")) is None


# ── what it never refuses ──


def test_recorded_usage_is_never_refused_and_counts() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    assert reason(life.use("30", overdraw=True)) is None
    assert counted(life, "ts_1") == ("30", "0", "0")
    assert reason(life.use("0.000001")) is Reason.OVER_BUDGET


def test_a_capture_within_its_hold_is_never_refused() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.set_budget("ts_1", "0")
    assert reason(life.capture(hold, "29", "event-1")) is None
    assert reason(life.capture(hold, "2", "event-2", allow_excess=True)) is Reason.OVER_BUDGET
    assert reason(life.capture(hold, "2", "event-2", allow_excess=True, overdraw=True)) is None
    assert counted(life, "ts_1") == ("31", "0", "0")


def test_an_excess_needs_what_the_budget_has_beside_the_hold() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    hold = life.hold("8")
    assert reason(life.capture(hold, "10.000001", allow_excess=True)) is Reason.OVER_BUDGET
    assert reason(life.capture(hold, "10", allow_excess=True)) is None


def test_a_capture_counts_for_whoever_placed_the_hold() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_2", "10")
    life.set_budget("key_2", "10")
    hold = life.hold("8", teamspace_id="ts_2", api_key_id="key_2")
    life.capture(hold, "5", "event-1")
    assert counted(life, "ts_2") == counted(life, "key_2") == ("5", "3", "2")


# ── in the course of time ──


def test_a_period_starts_with_nothing_used_but_what_is_held_still_counts() -> None:
    life = Life(plan("100"), opened="2026-01-31")
    life.set_budget("ts_1", "10")
    life.use("4")
    hold = life.hold("6", lasts=2 * DAY)
    life.wait("2026-02-01")
    assert counted(life, "ts_1") == ("0", "6", "4")
    life.capture(hold, "6")
    assert counted(life, "ts_1") == ("6", "0", "4")


def test_a_reversal_within_the_period_gives_the_budget_back() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    life.use("10", "event-1")
    life.reverse("event-1", "4", reference="r1")
    assert counted(life, "ts_1") == ("6", "0", "4")


def test_a_reversal_in_a_later_period_gives_this_periods_budget_nothing() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    life.use("10", "event-1")
    life.wait("2026-02-01")
    life.use("3", "event-2")
    life.reverse("event-1")
    assert counted(life, "ts_1") == ("3", "0", "7")


# ── set, changed, removed ──


def test_a_budget_set_in_mid_period_counts_what_went_before() -> None:
    life = Life(plan("100"))
    life.use("4")
    life.hold("3")
    assert life.set_budget("ts_1", "10", used="4") == BudgetSet(
        Budget(subject_id="ts_1", limit=10_000_000, used=4_000_000, held=3_000_000)
    )
    assert reason(life.use("3.000001")) is Reason.OVER_BUDGET


def test_any_limit_takes_effect_at_once() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "10")
    life.use("8")
    life.set_budget("ts_1", "5", used="8")
    assert counted(life, "ts_1") == ("8", "0", "0")
    assert reason(life.use("0.000001")) is Reason.OVER_BUDGET
    life.set_budget("ts_1", "20", used="8")
    assert counted(life, "ts_1") == ("8", "0", "12")
    life.set_budget("ts_1", "0", used="8")
    assert reason(life.use("0.000001")) is Reason.OVER_BUDGET


def test_a_budget_that_was_removed_caps_nothing() -> None:
    life = Life(plan("100"))
    life.set_budget("ts_1", "0")
    assert life.remove_budget("ts_1") == BudgetSet(None)
    assert life.remove_budget("ts_1") == BudgetSet(None)
    assert reason(life.use("50")) is None


def test_budgets_write_no_entries() -> None:
    life = Life(plan("100"))
    known = len(life.entries)
    life.set_budget("ts_1", "10")
    life.remove_budget("ts_1")
    assert len(life.entries) == known


def test_a_closed_organization_gets_no_budget() -> None:
    life = Life(plan("100"))
    life.set_status("closed")
    assert reason(life.set_budget("ts_1", "10")) is Reason.CLOSED
