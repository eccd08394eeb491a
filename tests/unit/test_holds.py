"""Holds: placed out of what is available, and ended exactly once (rule 9)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tallystick.domain.commands import Captured, Held, Outcome
from tallystick.domain.credits import format_credits
from tallystick.domain.entries import Entry, uncovered
from tallystick.domain.errors import Reason, Refusal
from tallystick.domain.grants import GrantStatus
from tallystick.domain.holds import HoldStatus
from tests.unit.life import (
    DAY,
    HOUR,
    Life,
    at,
    kinds,
    moves,
    overage,
    plan,
    printed,
    reason,
    rollover,
)


def receipt(outcome: Outcome) -> Entry:
    assert isinstance(outcome, Captured)
    return outcome.booked.entry


# ── placing ──


def test_what_is_held_remains_but_is_not_available() -> None:
    life = Life(plan("100"))
    life.hold("30")
    assert life.triple == ("100", "0", "100")
    assert (life.held, life.available) == ("30", "70")


def test_nobody_else_spends_or_holds_what_is_held() -> None:
    life = Life(plan("100"))
    life.hold("60")
    assert reason(life.use("40.000001")) is Reason.NOT_COVERED
    assert reason(life.ask_for_hold("40.000001")) is Reason.NOT_COVERED
    assert reason(life.use("40")) is None


def test_a_hold_is_not_widened_by_an_overage_policy() -> None:
    life = Life(plan("100", overage=overage("allow")))
    assert life.ask_for_hold("100.000001") == Refusal(
        reason=Reason.NOT_COVERED,
        figures={
            "required": 100_000_001,
            "available": 100_000_000,
            "overage_headroom": 0,
            "resets_at": at("2026-02-01"),
        },
    )
    assert reason(life.ask_for_hold("100")) is None


def test_recorded_usage_becomes_overage_rather_than_spend_what_is_held() -> None:
    life = Life(plan("100"))
    life.hold("100")
    life.use("10", overdraw=True)
    assert life.triple == ("100", "10", "100")
    assert life.overage == "10"


def test_the_same_reference_and_content_is_the_same_hold() -> None:
    life = Life(plan("100"))
    life.ask_for_hold("30", reference="job-1")
    again = life.ask_for_hold("30", reference="job-1")
    assert isinstance(again, Held)
    assert again.duplicate
    assert life.held == "30"


@pytest.mark.parametrize(
    "changed",
    [{"amount": "31"}, {"lasts": 2 * HOUR}, {"meter": "gpu"}, {"teamspace_id": "ts_2"}],
    ids=lambda changed: next(iter(changed)),
)
def test_the_same_reference_with_other_content_is_a_conflict(changed: dict[str, Any]) -> None:
    life = Life(plan("100"))
    life.ask_for_hold("30", reference="job-1")
    said = {"amount": "30", "reference": "job-1"} | changed
    assert reason(life.ask_for_hold(**said)) is Reason.ID_REUSED


def test_a_repeated_hold_is_recognised_when_nothing_could_be_held_any_more() -> None:
    life = Life(plan("100"))
    life.ask_for_hold("100", reference="job-1")
    life.set_status("suspended")
    assert reason(life.ask_for_hold("100", reference="job-1")) is None
    assert reason(life.ask_for_hold("100", reference="job-2")) is Reason.SUSPENDED


# ── its life ──


def test_a_hold_lives_seven_days_at_most() -> None:
    life = Life(plan("100"))
    assert life.ask_for_hold("1", lasts=7 * DAY + 1) == Refusal(
        reason=Reason.HOLD_TOO_LONG,
        figures={"latest_expiry": life.now + 7 * DAY, "now": life.now},
    )
    assert reason(life.ask_for_hold("1", lasts=7 * DAY)) is None


def test_an_extension_counts_from_now() -> None:
    life = Life(plan("100"))
    hold = life.hold("1", lasts=HOUR)
    life.wait("2026-01-10T12:30")
    life.extend(hold, HOUR)
    assert hold.expires_at == at("2026-01-10T13:30")


def test_an_extension_never_shortens_and_then_writes_nothing() -> None:
    life = Life(plan("100"))
    hold = life.hold("1", lasts=DAY)
    before = deepcopy(life.account)
    for lasts in (HOUR, DAY):
        assert isinstance(life.extend(hold, lasts), Held)
        assert life.account == before


def test_a_hold_lives_seven_days_in_all_however_often_it_is_extended() -> None:
    life = Life(plan("100"))
    hold = life.hold("1", lasts=6 * DAY)
    life.wait("2026-01-15")
    latest = at("2026-01-17T12:00")
    assert life.extend(hold, latest - life.now + 1) == Refusal(
        reason=Reason.HOLD_TOO_LONG, figures={"latest_expiry": latest, "now": life.now}
    )
    assert reason(life.extend(hold, latest - life.now)) is None
    assert moves(life.wait("2026-01-17T12:00")) == [("hold.expired", "1")]


def test_a_hold_expires_at_its_instant_and_gives_everything_back() -> None:
    life = Life(plan("100"))
    hold = life.hold("30", lasts=HOUR)
    assert not life.wait("2026-01-10T12:59:59.999999")
    (entry,) = life.wait("2026-01-10T13:00")
    assert (entry.booked_at, entry.hold_id) == (at("2026-01-10T13:00"), hold.id)
    assert printed(entry.drawn) == [(life.allowance.id, "30")]
    assert hold.status is HoldStatus.EXPIRED
    assert (life.held, life.available) == ("0", "100")


def test_holds_of_one_instant_expire_in_the_order_they_were_placed() -> None:
    life = Life(plan("100"))
    extended = life.hold("1", lasts=HOUR)
    placed_later = life.hold("2", lasts=2 * HOUR)
    life.extend(extended, 2 * HOUR)
    entries = life.wait("2026-01-11")
    assert [entry.hold_id for entry in entries] == [extended.id, placed_later.id]


@pytest.mark.parametrize("act", ["capture", "release", "extend"])
def test_at_the_instant_of_its_expiry_a_hold_has_expired_and_nothing_else(act: str) -> None:
    life = Life(plan("100"))
    hold = life.hold("30", lasts=HOUR)
    life.now = at("2026-01-10T13:00")
    acts = {
        "capture": lambda: life.capture(hold, "30"),
        "release": lambda: life.release(hold),
        "extend": lambda: life.extend(hold, HOUR),
    }
    assert acts[act]() == Refusal(reason=Reason.HOLD_ENDED, facts={"status": "expired"})
    assert kinds(life.entries)[-1] == "hold.expired"


@pytest.mark.parametrize("ending", ["captured", "released"])
def test_a_hold_that_has_ended_stays_as_it_ended(ending: str) -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    if ending == "captured":
        life.capture(hold, "10", final=True)
    else:
        life.release(hold)
    ended = Refusal(reason=Reason.HOLD_ENDED, facts={"status": ending})
    assert life.capture(hold, "1", "other") == ended
    assert life.release(hold) == ended
    assert life.extend(hold, DAY) == ended
    assert not life.wait("2026-01-20")


# ── capturing ──


def test_a_capture_spends_what_is_held() -> None:
    life = Life(plan("100"))
    hold = life.hold("30", meter="gpu")
    entry = receipt(life.capture(hold, "12", "event-1"))
    assert life.triple == ("88", "12", "100")
    assert (life.held, life.available) == ("18", "70")
    assert (entry.event_id, entry.hold_id, entry.meter) == ("event-1", hold.id, "gpu")
    assert (hold.status, format_credits(hold.captured)) == (HoldStatus.OPEN, "12")


def test_to_capture_everything_ends_the_hold() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.capture(hold, "12", "event-1")
    life.capture(hold, "18", "event-2")
    assert hold.status is HoldStatus.CAPTURED
    assert kinds(life.entries)[-1] == "usage.booked"


def test_a_final_capture_gives_the_rest_back() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.capture(hold, "12", final=True)
    assert moves(life.entries)[-2:] == [("usage.booked", "12"), ("hold.released", "18")]
    assert hold.status is HoldStatus.CAPTURED
    assert (life.held, life.available) == ("0", "88")


def test_nothing_may_be_captured() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.capture(hold, "0", "event-1")
    assert (hold.status, life.held) == (HoldStatus.OPEN, "30")
    life.capture(hold, "0", "event-2", final=True)
    assert (hold.status, life.held) == (HoldStatus.CAPTURED, "0")


def test_an_event_without_an_id_has_the_holds() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    assert receipt(life.capture(hold, "12", final=True)).event_id == hold.id
    assert reason(life.use("12", hold.id)) is Reason.ID_REUSED


def test_a_capture_takes_from_grants_in_the_order_drawn() -> None:
    life = Life(plan("100"))
    promotion = life.grant("20", "promotional", priority=10)
    hold = life.hold("50")
    burns_first = life.grant("50", priority=0)
    first = receipt(life.capture(hold, "15", "event-1"))
    second = receipt(life.capture(hold, "15", "event-2"))
    assert printed(first.drawn) == [(promotion.id, "15")]
    assert printed(second.drawn) == [(promotion.id, "5"), (life.allowance.id, "10")]
    assert promotion.status is GrantStatus.EXHAUSTED
    assert burns_first.unheld == burns_first.amount


def test_more_than_is_held_is_refused_and_changes_nothing() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    before = deepcopy(life.account)
    assert life.capture(hold, "30.000001") == Refusal(
        reason=Reason.MORE_THAN_HELD, figures={"required": 30_000_001, "held": 30_000_000}
    )
    assert life.account == before


def test_an_allowed_excess_is_decided_as_usage() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.hold("60")
    refusal = life.capture(hold, "40.000001", allow_excess=True)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NOT_COVERED
    assert (refusal.figures["required"], refusal.figures["available"]) == (10_000_001, 10_000_000)
    assert (hold.status, life.held) == (HoldStatus.OPEN, "90")
    assert uncovered(receipt(life.capture(hold, "40", allow_excess=True))) == 0
    assert hold.status is HoldStatus.CAPTURED


def test_an_excess_may_use_what_the_overage_policy_allows() -> None:
    life = Life(plan("100", overage=overage("limit", "5")))
    hold = life.hold("100")
    assert reason(life.capture(hold, "105.000001", allow_excess=True)) is Reason.NOT_COVERED
    life.capture(hold, "105", allow_excess=True)
    assert life.overage == "5"


def test_an_excess_that_is_recorded_becomes_overage() -> None:
    life = Life(plan("100"))
    hold = life.hold("100")
    life.capture(hold, "130", allow_excess=True, overdraw=True)
    assert life.triple == ("0", "130", "100")
    assert life.overage == "30"


def test_what_an_excess_draws_follows_what_was_held() -> None:
    life = Life(plan("100"))
    hold = life.hold("20")
    burns_first = life.grant("10", priority=10)
    entry = receipt(life.capture(hold, "25", allow_excess=True))
    assert printed(entry.drawn) == [(life.allowance.id, "20"), (burns_first.id, "5")]


def test_a_grant_may_come_first_out_of_the_hold_and_again_for_the_excess() -> None:
    life = Life(plan("0"))
    first, second = life.grant("10", priority=10), life.grant("10", priority=20)
    elsewhere = life.hold("4")
    hold = life.hold("16")
    life.release(elsewhere)
    entry = receipt(life.capture(hold, "20", allow_excess=True))
    assert printed(entry.drawn) == [(first.id, "6"), (second.id, "10"), (first.id, "4")]


def test_a_grant_that_comes_twice_in_a_row_comes_once() -> None:
    life = Life(plan("100"))
    entry = receipt(life.capture(life.hold("30"), "40", allow_excess=True))
    assert printed(entry.drawn) == [(life.allowance.id, "40")]


def test_the_same_capture_again_is_not_charged() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    first = receipt(life.capture(hold, "30", "event-1"))
    again = life.capture(hold, "30", "event-1")
    assert isinstance(again, Captured)
    assert again.booked == (first, True)
    assert again.hold.status is HoldStatus.CAPTURED
    assert life.triple == ("70", "30", "100")


@pytest.mark.parametrize(
    "changed",
    [{"amount": "11"}, {"final": True}, {"allow_excess": True}, {"overdraw": True}, {"meter": "x"}],
    ids=lambda changed: next(iter(changed)),
)
def test_the_same_event_with_other_content_is_a_conflict(changed: dict[str, Any]) -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.capture(hold, "10", "event-1")
    said = {"amount": "10", "event_id": "event-1"} | changed
    assert reason(life.capture(hold, **said)) is Reason.ID_REUSED


def test_the_same_event_out_of_another_hold_is_a_conflict() -> None:
    life = Life(plan("100"))
    one, other = life.hold("30"), life.hold("30")
    life.capture(one, "10", "event-1")
    assert reason(life.capture(other, "10", "event-1")) is Reason.ID_REUSED


# ── holds outlive their grants and periods ──


def test_what_is_held_outlives_the_period_and_does_not_roll_over() -> None:
    life = Life(plan("100", rollover=rollover("all")), opened="2026-01-31")
    hold = life.hold("30", lasts=2 * DAY)
    entries = life.wait("2026-02-01")
    assert moves(entries)[:2] == [("grant.expired", "70"), ("grant.issued", "70")]
    assert (life.triple, life.held) == (("200", "0", "200"), "30")
    life.capture(hold, "30")
    assert life.triple == ("170", "30", "200")


def test_a_hold_that_expires_with_the_period_lets_its_credits_roll_over() -> None:
    life = Life(plan("100", rollover=rollover("all")), opened="2026-01-31")
    life.hold("30", lasts=DAY)
    assert moves(life.wait("2026-02-01"))[:3] == [
        ("hold.expired", "30"),
        ("grant.expired", "100"),
        ("grant.issued", "100"),
    ]


def test_what_goes_back_to_an_expired_grant_lapses_at_once() -> None:
    life = Life(plan("0"))
    grant = life.grant("50", expires="2026-01-11")
    hold = life.hold("30", lasts=2 * DAY)
    assert moves(life.wait("2026-01-11")) == [("grant.expired", "20")]
    assert life.triple == ("30", "0", "30")
    life.capture(hold, "10", final=True)
    assert life.entries[-1].detail == f'{{"lapsed":[["{grant.id}",20000000]],"status":"captured"}}'
    assert life.triple == ("0", "10", "10")


def test_what_goes_back_to_a_voided_grant_lapses_at_once() -> None:
    life = Life(plan("0"))
    grant = life.grant("50")
    hold = life.hold("30")
    life.void(grant)
    assert (grant.status, life.triple) == (GrantStatus.VOIDED, ("30", "0", "30"))
    life.release(hold)
    assert life.triple == ("0", "0", "0")


def test_what_goes_back_to_a_live_grant_does_not_lapse() -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.release(hold)
    assert life.entries[-1].detail == '{"status":"released"}'
    assert life.available == "100"


def test_an_allowance_does_not_fall_below_what_is_held_of_it() -> None:
    life = Life(plan("100"))
    life.use("20")
    life.hold("30")
    life.change(allowance="0", apply_now=True)
    assert (format_credits(life.allowance.amount), life.triple) == ("50", ("30", "20", "50"))


# ── who may do what, and when ──


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_an_organization_that_is_not_active_only_releases(status: str) -> None:
    life = Life(plan("100"))
    hold = life.hold("30")
    life.set_status(status)
    expected = Reason[status.upper()]
    assert reason(life.ask_for_hold("1")) is expected
    assert reason(life.capture(hold, "1", "event-1")) is expected
    assert reason(life.extend(hold, DAY)) is expected
    assert reason(life.release(hold)) is None
    assert life.held == "0"


def test_a_key_bound_to_a_teamspace_ends_only_that_teamspaces_holds() -> None:
    life = Life(plan("100"))
    hold = life.hold("30", teamspace_id="ts_1")
    assert reason(life.capture(hold, "1", "e", acting_for="ts_2")) is Reason.OTHER_TEAMSPACE
    assert reason(life.release(hold, acting_for="ts_2")) is Reason.OTHER_TEAMSPACE
    assert reason(life.extend(hold, DAY, acting_for="ts_2")) is Reason.OTHER_TEAMSPACE
    assert reason(life.release(hold, acting_for="ts_1")) is None


def test_a_capture_is_booked_for_the_teamspace_and_key_that_placed_the_hold() -> None:
    life = Life(plan("100"))
    hold = life.hold("30", teamspace_id="ts_2", api_key_id="key_2")
    entry = receipt(life.capture(hold, "1", "event-1"))
    assert (entry.teamspace_id, entry.api_key_id) == ("ts_2", "key_2")


def test_a_hold_that_nobody_placed_is_missing() -> None:
    life, other = Life(plan("100")), Life(plan("100"))
    life.wait("2026-01-10T12:01")
    hold = life.hold("1")
    assert reason(other.release(hold)) is Reason.NO_SUCH_HOLD
    assert reason(other.extend(hold, DAY)) is Reason.NO_SUCH_HOLD
    assert reason(other.capture(hold, "1")) is Reason.NO_SUCH_HOLD
