"""Plan changes: what counts at once and what waits for the period's end (rule 12)."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tallystick.domain.commands import Changed
from tallystick.domain.errors import Reason, Refusal
from tests.unit.life import Life, at, kinds, moves, overage, plan, reason, rollover, schedule

# ── the allowance ──


def test_a_new_allowance_counts_from_the_next_period() -> None:
    life = Life(plan("100"))
    life.change(allowance="150")
    assert life.triple == ("100", "0", "100")
    life.wait("2026-02-01")
    assert life.triple == ("150", "0", "150")


def test_applied_now_it_raises_the_present_allowance_by_the_difference() -> None:
    life = Life(plan("100"))
    life.use("30")
    life.change(allowance="150", apply_now=True)
    assert life.triple == ("120", "30", "150")
    assert moves(life.entries[-2:]) == [("plan.changed", "0"), ("grant.issued", "50")]


def test_applied_now_it_lowers_the_present_allowance_by_the_difference() -> None:
    life = Life(plan("100"))
    life.use("30")
    life.change(allowance="50", apply_now=True)
    assert life.triple == ("20", "30", "50")
    assert moves(life.entries[-2:]) == [("plan.changed", "0"), ("grant.voided", "50")]


def test_the_present_allowance_never_falls_below_what_is_spent_of_it() -> None:
    life = Life(plan("100"))
    life.use("80")
    life.change(allowance="50", apply_now=True)
    assert life.triple == ("0", "80", "80")
    assert (life.allowance.amount, str(life.allowance.status)) == (80_000_000, "exhausted")
    life.wait("2026-02-01")
    assert life.triple == ("50", "0", "50")


def test_an_exhausted_allowance_comes_back_when_it_is_raised() -> None:
    life = Life(plan("100"))
    life.use("100")
    life.change(allowance="110", apply_now=True)
    assert life.triple == ("10", "100", "110")
    assert reason(life.use("10")) is None


def test_where_there_was_no_allowance_all_of_it_is_issued_until_the_periods_end() -> None:
    life = Life(plan("0"))
    life.change(allowance="100", apply_now=True)
    assert life.triple == ("100", "0", "100")
    assert (life.allowance.effective_at, life.allowance.expires_at) == (
        at("2026-01-01"),
        at("2026-02-01"),
    )
    assert moves(life.wait("2026-02-01"))[0] == ("grant.expired", "100")


def test_an_allowance_that_was_voided_stays_so() -> None:
    life = Life(plan("100"))
    life.void(life.allowance)
    life.change(allowance="150", apply_now=True)
    assert life.triple == ("0", "0", "0")
    life.wait("2026-02-01")
    assert life.triple == ("150", "0", "150")


def test_an_allowance_without_room_for_it_is_refused() -> None:
    life = Life(plan("0"))
    for _ in range(7):
        life.grant("1000000000")
    life.grant("999999999")
    before = deepcopy(life.account)
    assert life.change(allowance="1.000001", apply_now=True) == Refusal(
        reason=Reason.SUM_LIMIT, figures={"room": 1_000_000}
    )
    assert life.account == before
    assert reason(life.change(allowance="1", apply_now=True)) is None


def test_a_change_that_waits_can_be_applied_now_after_all() -> None:
    life = Life(plan("100"))
    life.change(allowance="150")
    life.change(apply_now=True)
    assert life.triple == ("150", "0", "150")


# ── period, zone and rollover ──


def test_a_new_schedule_starts_where_the_period_ends() -> None:
    life = Life(plan("100"))
    life.change(periods=schedule("week", "2026-01-05", "Europe/Paris"))
    assert life.account.period_end == at("2026-02-01")
    life.wait("2026-02-01")
    assert (life.account.period_index, life.account.period_start, life.account.period_end) == (
        1,
        at("2026-02-01"),
        at("2026-02-01T23:00"),
    )
    life.wait("2026-02-02")
    assert life.account.period_end == at("2026-02-08T23:00")


def test_applying_an_allowance_now_leaves_the_period_as_it_is() -> None:
    life = Life(plan("100"))
    life.change(allowance="150", periods=schedule("day"), apply_now=True)
    assert life.triple == ("150", "0", "150")
    assert life.account.period_end == at("2026-02-01")


# ── overage ──


def test_a_new_overage_policy_counts_at_once() -> None:
    life = Life(plan("0"))
    assert reason(life.use("1")) is Reason.NOT_COVERED
    life.change(overage=overage("allow"))
    assert reason(life.use("1")) is None
    life.change(overage=overage("deny"))
    assert reason(life.use("1")) is Reason.NOT_COVERED


# ── answers and entries ──


def test_the_answer_has_the_terms_as_last_set_and_when_they_take_effect() -> None:
    life = Life(plan("100"))
    changed = life.change(allowance="150")
    assert isinstance(changed, Changed)
    assert (changed.plan, changed.takes_effect_at) == (plan("150"), at("2026-02-01"))
    changed = life.change(allowance="150", apply_now=True)
    assert isinstance(changed, Changed)
    assert (changed.plan, changed.takes_effect_at) == (plan("150"), None)


def test_changes_add_up_until_they_take_effect() -> None:
    life = Life(plan("100"))
    life.change(allowance="150")
    life.change(rollover=rollover("all"))
    assert life.account.next_plan == plan("150", rollover=rollover("all"))
    life.wait("2026-02-01")
    assert life.account.plan == plan("150", rollover=rollover("all"))
    assert life.account.next_plan is None


def test_a_change_can_be_taken_back_before_it_takes_effect() -> None:
    life = Life(plan("100"))
    life.change(allowance="150")
    life.change(allowance="100")
    assert life.account.next_plan is None
    life.wait("2026-02-01")
    assert life.triple == ("100", "0", "100")


def test_an_entry_has_all_terms_as_they_were_set() -> None:
    life = Life(plan("100"))
    life.change(allowance="150", rollover=rollover("percent", "12.5"))
    assert life.entries[-1].detail == (
        '{"allowance":150000000,"anchor":"2026-01-01T00:00:00","apply_now":false,"count":1,'
        '"interval":"month","overage":"deny","overage_limit":null,"rollover":"percent",'
        '"rollover_cap":12500000,"rollover_periods":1,"timezone":"UTC"}'
    )


@pytest.mark.parametrize("apply_now", [False, True])
def test_a_change_that_changes_nothing_is_no_fact(apply_now: bool) -> None:
    life = Life(plan("100"))
    before = deepcopy(life.account), len(life.entries)
    assert reason(life.change(allowance="100", apply_now=apply_now)) is None
    assert (life.account, len(life.entries)) == before


def test_a_closed_organizations_plan_is_fixed() -> None:
    life = Life(plan("100"))
    life.set_status("closed")
    assert reason(life.change(allowance="150")) is Reason.CLOSED


def test_a_suspended_organizations_plan_may_change() -> None:
    life = Life(plan("100"))
    life.set_status("suspended")
    life.change(allowance="150")
    assert kinds(life.entries[-1:]) == ["plan.changed"]
