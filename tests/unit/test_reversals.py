"""Reversals: usage undone, whole or in part, now or later (rule 10)."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tallystick.domain.commands import Captured, Outcome, Reversed
from tallystick.domain.credits import MAX_AMOUNT, MAX_SUM, format_credits
from tallystick.domain.entries import Entry
from tallystick.domain.errors import Reason, Refusal
from tallystick.domain.reversals import reversal_facts
from tests.unit.life import DAY, Life, at, moves, overage, plan, printed, reason


def receipt(outcome: Outcome) -> Entry:
    assert isinstance(outcome, Reversed)
    return outcome.entry


def told(outcome: Outcome) -> tuple[list[tuple[str, str]], str, list[tuple[str, str]]]:
    """What went back to which grant, how much of the overage, and what lapsed."""
    entry = receipt(outcome)
    facts = reversal_facts(entry)
    return printed(entry.drawn), format_credits(facts.overage), printed(facts.lapsed)


# ── within the usage's own period ──


def test_a_whole_reversal_leaves_everything_as_if_nothing_had_been_used() -> None:
    life = Life(plan("100", overage=overage("allow")))
    life.use("130", "event-1")
    life.reverse("event-1")
    assert life.triple == ("100", "0", "100")
    assert life.overage == "0"
    assert moves(life.entries)[-1] == ("usage.reversed", "130")


def test_overage_is_undone_first() -> None:
    life = Life(plan("100", overage=overage("allow")))
    life.use("130", "event-1")
    assert told(life.reverse("event-1", "20", reference="r1")) == ([], "20", [])
    assert (life.triple, life.overage) == (("0", "110", "100"), "10")
    grant = life.allowance.id
    assert told(life.reverse("event-1", "20", reference="r2")) == ([(grant, "10")], "10", [])
    assert (life.triple, life.overage) == (("10", "90", "100"), "0")


def test_grants_take_back_in_the_reverse_of_the_order_drawn() -> None:
    life = Life(plan("100"))
    first, second = life.grant("10", priority=10), life.grant("10", priority=20)
    life.use("30", "event-1")
    third = life.allowance
    assert told(life.reverse("event-1", "15", reference="r1"))[0] == [
        (third.id, "10"),
        (second.id, "5"),
    ]
    assert told(life.reverse("event-1", reference="r2"))[0] == [(second.id, "5"), (first.id, "10")]


def test_parts_add_up_until_nothing_is_left() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    for number in range(3):
        assert reason(life.reverse("event-1", "10", reference=f"r{number}")) is None
    nothing_left = Refusal(
        reason=Reason.MORE_THAN_BOOKED, figures={"booked": 30_000_000, "left": 0}
    )
    assert life.reverse("event-1", "0.000001", reference="r4") == nothing_left
    assert life.reverse("event-1") == nothing_left
    assert life.triple == ("100", "0", "100")


def test_a_whole_reversal_after_a_part_undoes_what_is_left() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    life.reverse("event-1", "10", reference="r1")
    assert receipt(life.reverse("event-1")).credits == 20_000_000


def test_more_than_is_left_is_refused_and_changes_nothing() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    life.reverse("event-1", "10", reference="r1")
    before = deepcopy(life.account)
    assert life.reverse("event-1", "20.000001", reference="r2") == Refusal(
        reason=Reason.MORE_THAN_BOOKED, figures={"booked": 30_000_000, "left": 20_000_000}
    )
    assert life.account == before


def test_usage_of_nothing_is_undone_once() -> None:
    life = Life(plan("100"))
    life.use("0", "event-1")
    assert receipt(life.reverse("event-1")).credits == 0
    assert reason(life.reverse("event-1", reference="r1")) is Reason.MORE_THAN_BOOKED


def test_what_comes_back_to_an_exhausted_grant_can_be_spent_again() -> None:
    life = Life(plan("0"))
    spent_last = life.grant("10", priority=60)
    spent_first = life.grant("10", priority=10)
    life.use("10", "event-1")
    assert life.account.burning == [spent_last]
    life.reverse("event-1")
    assert life.account.burning == [spent_first, spent_last]
    life.use("12", "event-2")
    assert (spent_first.remaining, spent_last.remaining) == (0, 8_000_000)


def test_what_comes_back_to_a_grant_expires_with_it() -> None:
    life = Life(plan("0"))
    life.grant("10", expires="2026-01-12")
    life.grant("5", priority=60, expires="2026-01-11")
    life.use("10", "event-1")
    life.wait("2026-01-11")
    assert life.account.next_due_at == at("2026-02-01")
    life.reverse("event-1")
    assert life.account.next_due_at == at("2026-01-12")
    assert moves(life.wait("2026-01-12")) == [("grant.expired", "10")]


def test_overage_of_other_usage_is_not_repaid() -> None:
    life = Life(plan("100"))
    life.use("100", "event-1")
    life.use("10", "event-2", overdraw=True)
    life.reverse("event-1", "50", reference="r1")
    assert (life.triple, life.overage) == (("50", "60", "100"), "10")


# ── what ended in the meantime ──


def test_a_part_of_an_expired_grant_lapses() -> None:
    life = Life(plan("100"))
    expired = life.grant("10", priority=10, expires="2026-01-11")
    life.use("15", "event-1")
    life.wait("2026-01-11")
    assert told(life.reverse("event-1")) == (
        [(life.allowance.id, "5")],
        "0",
        [(expired.id, "10")],
    )
    assert life.triple == ("100", "0", "100")


def test_a_grants_time_is_up_at_the_instant_of_its_expiry() -> None:
    life = Life(plan("0"))
    grant = life.grant("10", expires="2026-01-11")
    life.use("10", "event-1")
    life.wait("2026-01-10T23:59:59.999999")
    assert told(life.reverse("event-1", "4", reference="r1")) == ([(grant.id, "4")], "0", [])
    life.use("4", "event-2")
    life.wait("2026-01-11")
    assert told(life.reverse("event-1", "6", reference="r2")) == ([], "0", [(grant.id, "6")])


def test_a_part_of_a_voided_grant_lapses() -> None:
    life = Life(plan("0"))
    grant = life.grant("10")
    life.use("4", "event-1")
    life.void(grant)
    assert told(life.reverse("event-1")) == ([], "0", [(grant.id, "4")])
    assert life.triple == ("0", "0", "0")


def test_a_part_of_a_grant_that_was_voided_in_part_comes_back() -> None:
    life = Life(plan("0"))
    grant = life.grant("10")
    life.use("4", "event-1")
    life.void(grant, "6")
    assert told(life.reverse("event-1")) == ([(grant.id, "4")], "0", [])
    assert life.triple == ("4", "0", "4")


# ── in a later period ──


def test_later_consumed_and_overage_stay() -> None:
    life = Life(plan("0", overage=overage("allow")))
    top_up = life.grant("10")
    life.use("15", "event-1")
    life.wait("2026-02-01")
    life.use("3", "event-2")
    assert told(life.reverse("event-1")) == ([(top_up.id, "10")], "5", [])
    assert (life.triple, life.overage) == (("10", "3", "10"), "3")


def test_the_allowance_of_a_period_that_ended_takes_nothing_back() -> None:
    life = Life(plan("100"))
    past = life.allowance
    life.use("100", "event-1")
    life.wait("2026-02-01")
    assert told(life.reverse("event-1")) == ([], "0", [(past.id, "100")])
    assert life.triple == ("100", "0", "100")


def test_usage_at_the_instant_that_begins_a_period_belongs_to_it() -> None:
    life = Life(plan("100"))
    life.wait("2026-02-01")
    life.use("30", "event-1")
    life.reverse("event-1")
    assert life.triple == ("100", "0", "100")


def test_what_comes_back_later_must_stay_within_the_sums_that_doubles_read_exactly() -> None:
    life = Life(plan("0"))
    life.grant("10")
    life.use("10", "event-1")
    life.wait("2026-02-01")
    for _ in range(MAX_SUM // MAX_AMOUNT - 1):
        life.grant("1000000000")
    life.grant("999999993")
    assert life.reverse("event-1") == Refusal(reason=Reason.SUM_LIMIT, figures={"room": 7_000_000})
    assert reason(life.reverse("event-1", "7", reference="r1")) is None
    assert life.triple[2] == "8000000000"


def test_what_comes_back_within_the_period_always_has_room() -> None:
    life = Life(plan("10"))
    for _ in range(MAX_SUM // MAX_AMOUNT - 1):
        life.grant("1000000000")
    life.grant("999999990")
    life.use("10", "event-1")
    assert reason(life.reverse("event-1")) is None


# ── captures ──


def test_a_capture_is_undone_like_any_usage() -> None:
    life = Life(plan("0"))
    first, second = life.grant("10", priority=10), life.grant("10", priority=20)
    elsewhere = life.hold("4")
    hold = life.hold("16")
    life.release(elsewhere)
    captured = life.capture(hold, "25", "event-1", allow_excess=True, overdraw=True)
    assert isinstance(captured, Captured)
    drawn = [(first.id, "6"), (second.id, "10"), (first.id, "4")]
    assert printed(captured.booked.entry.drawn) == drawn
    assert told(life.reverse("event-1", "12", reference="r1")) == (
        [(first.id, "4"), (second.id, "3")],
        "5",
        [],
    )
    assert told(life.reverse("event-1")) == ([(second.id, "7"), (first.id, "6")], "0", [])
    assert life.triple == ("20", "0", "20")


def test_what_was_captured_of_a_grant_that_ended_lapses_and_the_hold_keeps_its_own() -> None:
    life = Life(plan("0"))
    grant = life.grant("10", expires="2026-01-11")
    hold = life.hold("10", lasts=2 * DAY)
    life.capture(hold, "4", "event-1")
    life.wait("2026-01-11")
    assert told(life.reverse("event-1")) == ([], "0", [(grant.id, "4")])
    assert (life.triple, life.held) == (("6", "0", "6"), "6")


# ── repeated, or not allowed ──


def test_the_same_reference_gets_the_first_answer_again() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    first = life.reverse("event-1", "10", reference="r1")
    assert isinstance(first, Reversed)
    assert life.reverse("event-1", "10", reference="r1") == first._replace(duplicate=True)
    assert life.triple == ("80", "20", "100")


def test_a_whole_reversal_without_reference_is_the_same_when_repeated() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    first = life.reverse("event-1")
    assert isinstance(first, Reversed)
    assert life.reverse("event-1") == first._replace(duplicate=True)


def test_the_same_reference_with_other_content_is_a_conflict() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    life.reverse("event-1", "10", reference="r1")
    assert reason(life.reverse("event-1", "11", reference="r1")) is Reason.ID_REUSED
    assert reason(life.reverse("event-1", reference="r1")) is Reason.ID_REUSED
    assert reason(life.reverse("event-1", "10", reference="r1", note="x")) is Reason.ID_REUSED


def test_a_reference_belongs_to_its_event() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    life.use("30", "event-2")
    assert reason(life.reverse("event-1", "10", reference="r1")) is None
    assert reason(life.reverse("event-2", "20", reference="r1")) is None
    assert life.triple == ("70", "30", "100")


def test_usage_that_was_undone_keeps_its_id() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    life.reverse("event-1")
    life.use("30", "event-1")
    assert life.triple == ("100", "0", "100")


def test_usage_that_nobody_booked_is_missing() -> None:
    assert reason(Life().reverse("event-1")) is Reason.NO_SUCH_EVENT


@pytest.mark.parametrize(("status", "expected"), [("suspended", None), ("closed", Reason.CLOSED)])
def test_usage_is_undone_while_suspended_but_not_when_closed(
    status: str, expected: Reason | None
) -> None:
    life = Life(plan("100"))
    life.use("30", "event-1")
    life.set_status(status)
    assert reason(life.reverse("event-1")) is expected


def test_a_key_bound_to_a_teamspace_undoes_only_its_usage() -> None:
    life = Life(plan("100"))
    life.use("30", "event-1", teamspace_id="ts_1")
    assert reason(life.reverse("event-1", acting_for="ts_2")) is Reason.OTHER_TEAMSPACE
    assert reason(life.reverse("event-1", acting_for="ts_1")) is None
