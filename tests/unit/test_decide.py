"""Usage: what is booked, what is refused, and from which grants it is drawn (rules 3, 6, 7, 8)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tallystick.domain.commands import Booked, Outcome
from tallystick.domain.credits import MAX_AMOUNT, MAX_SUM, format_credits
from tallystick.domain.decide import ledger_time
from tallystick.domain.entries import Entry
from tallystick.domain.errors import Reason, Refusal
from tests.unit.life import ORGANIZATION, Life, at, overage, plan, reason


def receipt(outcome: Outcome) -> Entry:
    assert isinstance(outcome, Booked)
    return outcome.entry


# ── the three figures ──


def test_a_new_account_has_its_allowance() -> None:
    assert Life(plan("100")).triple == ("100", "0", "100")


def test_usage_moves_credits_from_remaining_to_consumed() -> None:
    life = Life(plan("100"))
    life.use("0.1")
    life.use("0.2")
    assert life.triple == ("99.7", "0.3", "100")


def test_top_ups_never_repay_overage() -> None:
    life = Life(plan("100", overage=overage("allow")))
    life.use("120")
    life.grant("50")
    assert life.triple == ("50", "120", "150")
    assert life.overage == "20"


# ── authorized usage: covered, or refused ──


def test_usage_that_is_covered_to_the_last_micro_credit_is_booked() -> None:
    life = Life(plan("100"))
    assert reason(life.use("100")) is None
    assert life.triple == ("0", "100", "100")


def test_usage_that_is_not_covered_is_refused_with_its_figures() -> None:
    life = Life(plan("100"))
    refusal = life.use("100.000001")
    assert refusal == Refusal(
        reason=Reason.NOT_COVERED,
        figures={
            "required": 100_000_001,
            "available": 100_000_000,
            "overage_headroom": 0,
            "resets_at": at("2026-02-01"),
        },
    )


def test_a_refusal_changes_nothing_and_leaves_the_id_free() -> None:
    life = Life(plan("100"))
    before = deepcopy(life.account)
    life.use("101", "event-1")
    assert life.account == before
    assert reason(life.use("1", "event-1")) is None


def test_usage_of_nothing_is_booked_even_where_nothing_is_left() -> None:
    life = Life(plan("0"))
    entry = receipt(life.use("0"))
    assert (entry.credits, entry.drawn) == (0, ())


def test_overage_is_allowed_up_to_its_limit_for_the_whole_period() -> None:
    life = Life(plan("100", overage=overage("limit", "20")))
    assert reason(life.use("115")) is None
    assert reason(life.use("5.000001")) is Reason.NOT_COVERED
    assert reason(life.use("5")) is None
    assert life.triple == ("0", "120", "100")
    life.wait("2026-02-01")
    assert reason(life.use("120")) is None


def test_overage_beyond_a_limit_that_was_lowered_gives_no_credit_back() -> None:
    life = Life(plan("0", overage=overage("allow")))
    life.use("30")
    life.change(overage=overage("limit", "20"))
    assert reason(life.use("0.000001")) is Reason.NOT_COVERED
    assert reason(life.use("0")) is None


def test_what_is_consumed_stays_within_the_sums_that_doubles_read_exactly() -> None:
    life = Life(plan("0", overage=overage("allow")))
    for _ in range(MAX_SUM // MAX_AMOUNT):
        assert reason(life.use("1000000000")) is None
    assert life.use("0.000001", overdraw=True) == Refusal(
        reason=Reason.SUM_LIMIT, figures={"room": 0}
    )
    assert life.triple == ("0", "8000000000", "0")


# ── recorded usage: the work has been done ──


def test_recorded_usage_is_never_refused_for_lack_of_credits() -> None:
    life = Life(plan("100"))
    entry = receipt(life.use("130", overdraw=True))
    assert entry.drawn == ((life.entries[2].grant_id, 100_000_000),)
    assert life.triple == ("0", "130", "100")
    assert life.overage == "30"


def test_after_an_overdraft_authorized_usage_needs_credits_again() -> None:
    life = Life(plan("100"))
    life.use("130", overdraw=True)
    assert reason(life.use("1")) is Reason.NOT_COVERED
    life.grant("1")
    assert reason(life.use("1")) is None


# ── receipts ──


def test_a_receipt_says_what_was_drawn_and_the_balance_after_it() -> None:
    life = Life(plan("100", overage=overage("allow")))
    top_up = life.grant("50", priority=0)
    entry = receipt(life.use("160", "event-1", meter="llm.tokens"))
    assert entry.drawn == ((top_up.id, 50_000_000), (life.allowance.id, 100_000_000))
    assert (entry.remaining_after, entry.consumed_after, entry.overage_after) == (
        0,
        160_000_000,
        10_000_000,
    )
    assert (entry.organization_id, entry.sequence) == (ORGANIZATION, len(life.entries))
    assert (entry.event_id, entry.meter) == ("event-1", "llm.tokens")
    assert (entry.teamspace_id, entry.api_key_id) == ("ts_1", "key_1")


def test_usage_is_booked_now_and_dated_when_it_occurred() -> None:
    life = Life()
    entry = receipt(life.use("1", occurred_at=at("2025-06-01")))
    assert (entry.booked_at, entry.occurred_at) == (life.now, at("2025-06-01"))


def test_usage_without_a_time_occurred_when_it_was_booked() -> None:
    life = Life()
    assert receipt(life.use("1")).occurred_at == life.now


# ── idempotency ──


def test_the_same_event_again_gets_the_first_receipt_and_is_not_charged() -> None:
    life = Life(plan("100"))
    first = receipt(life.use("10", "event-1"))
    life.use("5", "event-2")
    again = life.use("10", "event-1")
    assert again == Booked(first, duplicate=True)
    assert life.triple == ("85", "15", "100")


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": "11"},
        {"overdraw": True},
        {"meter": "other"},
        {"occurred_at": at("2026-01-10T12:00")},
        {"dimensions": {"model": "large"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_same_id_with_other_content_is_a_conflict(changed: dict[str, Any]) -> None:
    life = Life(plan("100"))
    life.use("10", "event-1")
    said = {"amount": "10", "event_id": "event-1"} | changed
    assert reason(life.use(**said)) is Reason.ID_REUSED
    assert life.triple == ("90", "10", "100")


def test_a_default_that_is_left_out_is_the_default_that_is_named() -> None:
    life = Life()
    first = life.use("10", "event-1")
    again = life.use("10.0", "event-1", overdraw=False, meter=None, dimensions={})
    assert isinstance(first, Booked)
    assert again == first._replace(duplicate=True)


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_duplicates_are_looked_up_before_any_state_is_judged(status: str) -> None:
    life = Life(plan("100"))
    life.use("100", "event-1")
    life.set_status(status)
    assert isinstance(life.use("100", "event-1"), Booked)
    assert reason(life.use("99", "event-1")) is Reason.ID_REUSED


# ── suspended and closed ──


@pytest.mark.parametrize("overdraw", [False, True])
@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_only_an_active_organization_spends(status: str, overdraw: bool) -> None:
    life = Life(plan("100"))
    life.set_status(status)
    assert reason(life.use("0", overdraw=overdraw)) is Reason[status.upper()]


def test_a_suspended_organization_can_be_resumed() -> None:
    life = Life()
    life.set_status("suspended")
    life.set_status("active")
    assert reason(life.use("1")) is None


@pytest.mark.parametrize("status", ["active", "suspended"])
def test_a_closed_organization_stays_closed(status: str) -> None:
    life = Life()
    life.set_status("closed")
    assert reason(life.set_status(status)) is Reason.CLOSED
    assert reason(life.set_status("closed")) is None


# ── burn order ──


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"priority": 10}, {"priority": 20, "expires": "2026-01-11"}, id="priority"),
        pytest.param({"expires": "2026-03-01"}, {"expires": "2026-03-02"}, id="earlier expiry"),
        pytest.param({"expires": "2099-01-01"}, {}, id="never last"),
        pytest.param({"kind": "promotional"}, {"kind": "adjustment"}, id="promotional first"),
        pytest.param({"kind": "adjustment"}, {"kind": "top_up"}, id="adjustment before top-up"),
        pytest.param(
            {"effective": "2026-01-09"}, {"effective": "2026-01-10"}, id="earlier effective time"
        ),
    ],
)
@pytest.mark.parametrize("is_issued_first", [True, False])
def test_grants_burn_in_one_order(
    first: dict[str, Any], second: dict[str, Any], is_issued_first: bool
) -> None:
    life = Life(plan("0"))
    terms = [first, second] if is_issued_first else [second, first]
    grants = [life.grant("1", **each) for each in terms]
    expected = grants if is_issued_first else grants[::-1]
    assert [grant_id for grant_id, _ in receipt(life.use("2")).drawn] == [
        grant.id for grant in expected
    ]


def test_grants_that_are_alike_burn_in_the_order_of_issue() -> None:
    life = Life(plan("0"))
    issued = [life.grant("1").id for _ in range(3)]
    assert [grant_id for grant_id, _ in receipt(life.use("3")).drawn] == issued


def test_the_allowance_burns_between_what_rolled_over_and_a_promotion() -> None:
    life = Life(plan("100"))
    promotion = life.grant("1", "promotional", expires="2026-02-01")
    earlier = life.grant("1", "promotional", expires="2026-01-31")
    assert [grant_id for grant_id, _ in receipt(life.use("102")).drawn] == [
        earlier.id,
        life.allowance.id,
        promotion.id,
    ]


def test_usage_goes_on_with_the_next_grant_where_one_is_exhausted() -> None:
    life = Life(plan("0"))
    small, large = life.grant("3"), life.grant("10")
    assert receipt(life.use("2")).drawn == ((small.id, 2_000_000),)
    assert receipt(life.use("4")).drawn == ((small.id, 1_000_000), (large.id, 3_000_000))
    assert receipt(life.use("1")).drawn == ((large.id, 1_000_000),)
    assert (str(small.status), str(large.status)) == ("exhausted", "active")
    assert format_credits(large.remaining) == "6"


# ── the ledger's clock ──


def test_the_ledgers_clock_never_goes_back_behind_its_last_entry() -> None:
    life = Life()
    life.wait("2026-01-12")
    life.use("1")
    assert ledger_time(life.account, at("2026-01-11")) == at("2026-01-12")
    assert ledger_time(life.account, at("2026-01-13")) == at("2026-01-13")
