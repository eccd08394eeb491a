"""How time moves an account: renewals, expiries, activations and rollover (rules 4, 5, 11)."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest

from tallystick.domain.account import advance, open_account
from tallystick.domain.entries import Entry, encode
from tallystick.domain.plans import Rollover
from tests.unit.life import (
    ORGANIZATION,
    Life,
    at,
    kinds,
    moves,
    plan,
    rollover,
    schedule,
)


def starts(life: Life) -> list[int]:
    """When each period began."""
    return [entry.booked_at for entry in life.entries if entry.kind == "period.started"]


# ── opening ──


def test_an_account_opens_in_the_period_that_contains_its_creation() -> None:
    account, entries = open_account(ORGANIZATION, plan("100"), at("2026-01-10T12:00"))
    assert (account.period_index, account.period_start, account.period_end) == (
        0,
        at("2026-01-01"),
        at("2026-02-01"),
    )
    assert kinds(entries) == ["plan.changed", "period.started", "grant.issued"]
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert {entry.booked_at for entry in entries} == {at("2026-01-10T12:00")}


def test_an_allowance_of_nothing_is_no_grant() -> None:
    _, entries = open_account(ORGANIZATION, plan("0"), at("2026-01-10"))
    assert kinds(entries) == ["plan.changed", "period.started"]


def test_a_period_says_its_bounds() -> None:
    _, entries = open_account(ORGANIZATION, plan("100"), at("2026-01-10"))
    assert json.loads(entries[1].detail or "") == {
        "allowance": 100_000_000,
        "end": at("2026-02-01"),
        "index": 0,
        "start": at("2026-01-01"),
        "timezone": "UTC",
    }


# ── renewal ──


def test_a_period_ends_at_its_end_and_not_before() -> None:
    life = Life(plan("100"))
    life.use("30")
    assert life.wait("2026-01-31T23:59:59.999999") == []
    assert moves(life.wait("2026-02-01")) == [
        ("grant.expired", "70"),
        ("period.started", "0"),
        ("grant.issued", "100"),
    ]
    assert life.triple == ("100", "0", "100")


def test_a_month_from_the_31st_is_counted_from_the_anchor() -> None:
    life = Life(plan("100", periods=schedule("month", "2026-01-31")), "2026-01-31T00:00")
    life.wait("2026-05-01")
    assert starts(life) == [
        at("2026-01-31"),
        at("2026-02-28"),
        at("2026-03-31"),
        at("2026-04-30"),
    ]


def test_a_day_on_which_clocks_go_forward_has_23_hours() -> None:
    life = Life(plan(periods=schedule("day", "2026-01-01", "Europe/Paris")), "2026-03-28T12:00")
    life.wait("2026-03-31")
    assert starts(life)[1:] == [
        at("2026-03-28T23:00"),
        at("2026-03-29T22:00"),
        at("2026-03-30T22:00"),
    ]


def test_consumption_and_overage_begin_anew_with_each_period() -> None:
    life = Life(plan("100"))
    life.use("130", overdraw=True)
    life.wait("2026-02-01")
    assert (life.triple, life.overage) == (("100", "0", "100"), "0")


def test_top_ups_outlive_the_period() -> None:
    life = Life(plan("100"))
    life.grant("50")
    life.wait("2026-02-01")
    assert life.triple == ("150", "0", "150")


def test_an_exhausted_grant_does_not_expire() -> None:
    life = Life(plan("100"))
    life.use("100")
    assert kinds(life.wait("2026-02-01")) == ["period.started", "grant.issued"]


def test_an_allowance_is_clipped_to_the_room_that_sums_leave() -> None:
    life = Life(plan("0"))
    for _ in range(7):
        life.grant("1000000000")
    life.grant("999999994")
    life.grant("1", effective="2026-06-01")
    life.change(allowance="10")
    assert moves(life.wait("2026-02-01")) == [("period.started", "0"), ("grant.issued", "5")]


# ── the fixed order at one instant ──


def test_at_one_instant_things_happen_in_a_fixed_order() -> None:
    life = Life(plan("100", rollover=rollover("all")))
    life.grant("1", effective="2026-02-01")
    life.grant("2", expires="2026-02-01")
    life.grant("3", priority=0, expires="2026-02-01")
    life.grant("4", effective="2026-02-01", priority=0)
    assert moves(life.wait("2026-02-01")) == [
        ("grant.expired", "100"),
        ("grant.issued", "100"),  # rolled over
        ("grant.expired", "2"),
        ("grant.expired", "3"),
        ("period.started", "0"),
        ("grant.issued", "100"),
        ("grant.activated", "1"),
        ("grant.activated", "4"),
    ]


def test_what_is_written_late_is_dated_when_it_happened() -> None:
    life = Life(plan("100"))
    life.grant("5", expires="2026-01-15")
    written = life.wait("2026-02-20")
    assert [entry.booked_at for entry in written] == [at("2026-01-15"), *[at("2026-02-01")] * 3]


def test_looking_often_and_looking_once_write_the_same_bytes() -> None:
    terms = plan("100", rollover=rollover("percent", "50", periods=2))
    often, once = Life(terms), Life(terms)
    for life in (often, once):
        life.grant("5", effective="2026-02-10", expires="2026-03-10")
    for day in range(1, 29):
        often.wait(f"2026-02-{day:02}")
    often.wait("2026-06-01")
    once.wait("2026-06-01")
    assert [encode(entry) for entry in often.entries] == [encode(entry) for entry in once.entries]


def test_nothing_is_done_twice() -> None:
    life = Life()
    assert life.wait("2026-02-01")
    assert life.wait("2026-02-01") == []


def test_before_something_is_due_a_look_does_nothing() -> None:
    life = Life()
    assert life.account.next_due_at == at("2026-02-01")
    life.grant("1", expires="2026-01-25")
    assert life.account.next_due_at == at("2026-01-25")
    life.grant("1", effective="2026-01-20")
    assert life.account.next_due_at == at("2026-01-20")
    life.wait("2026-01-22")
    assert life.account.next_due_at == at("2026-01-25")


# ── rollover ──


def issued(entries: list[Entry]) -> list[str]:
    return [amount for kind, amount in moves(entries) if kind == "grant.issued"]


@pytest.mark.parametrize(
    ("terms", "carried"),
    [
        pytest.param(rollover("none"), [], id="none"),
        pytest.param(rollover("all"), ["33.333333"], id="all"),
        pytest.param(rollover("amount", "40"), ["33.333333"], id="an amount that is not reached"),
        pytest.param(rollover("amount", "10"), ["10"], id="at most an amount"),
        pytest.param(rollover("percent", "50"), ["16.666666"], id="a percentage, rounded down"),
        pytest.param(rollover("percent", "0"), [], id="nothing of it"),
    ],
)
def test_what_is_unspent_rolls_over(terms: Rollover, carried: list[str]) -> None:
    life = Life(plan("100", rollover=terms))
    life.use("66.666667")
    assert issued(life.wait("2026-02-01")) == [*carried, "100"]


def test_what_rolls_over_is_a_grant_of_its_kind() -> None:
    life = Life(plan("100", rollover=rollover("all")))
    life.wait("2026-02-01")
    grant = life.account.burning[0]
    assert (str(grant.kind), grant.priority) == ("rollover", 50)
    assert (grant.effective_at, grant.expires_at) == (at("2026-02-01"), at("2026-03-01"))


def test_only_the_allowance_rolls_over() -> None:
    life = Life(plan("0", rollover=rollover("all")))
    life.grant("50", expires="2026-02-01")
    assert issued(life.wait("2026-02-01")) == []


def test_what_rolled_over_does_not_roll_again() -> None:
    life = Life(plan("100", rollover=rollover("all")))
    life.wait("2026-02-01")
    life.change(rollover=rollover("none"))
    life.wait("2026-03-01")
    assert life.triple == ("200", "0", "200")
    life.wait("2026-04-01")
    assert life.triple == ("100", "0", "100")


def test_what_rolled_over_lives_its_number_of_periods() -> None:
    life = Life(plan("100", rollover=rollover("all", periods=2)))
    life.wait("2026-02-01")
    life.change(allowance="0")
    life.void(life.allowance)
    life.wait("2026-03-31T23:59:59.999999")
    assert life.triple == ("100", "0", "100")
    life.wait("2026-04-01")
    assert life.triple == ("0", "0", "0")


def test_what_is_left_of_an_allowance_that_was_voided_in_part_rolls_over() -> None:
    life = Life(plan("100", rollover=rollover("all")))
    life.void(life.allowance, "30")
    assert issued(life.wait("2026-02-01")) == ["70", "100"]


def test_a_voided_allowance_does_not_roll_over() -> None:
    life = Life(plan("100", rollover=rollover("all")))
    life.void(life.allowance)
    assert issued(life.wait("2026-02-01")) == ["100"]


def test_rollover_goes_by_the_terms_of_the_period_that_ended() -> None:
    life = Life(plan("100", rollover=rollover("amount", "10")))
    life.change(rollover=rollover("all"))
    assert issued(life.wait("2026-02-01")) == ["10", "100"]
    assert issued(life.wait("2026-03-01")) == ["100", "100"]


def test_what_rolled_over_ends_with_a_period_of_the_schedule_now_in_force() -> None:
    life = Life(plan("100", rollover=rollover("all")))
    life.change(periods=schedule("week", "2026-02-01"))
    life.wait("2026-02-01")
    assert life.account.burning[0].expires_at == at("2026-02-08")


# ── copies, and accounts that are read back ──


def test_a_copy_lives_its_own_life() -> None:
    life = Life(plan("100", rollover=rollover("all")))
    life.grant("5", effective="2026-01-20")
    before = deepcopy(life.account)
    copy = life.account.copy()
    assert copy == life.account
    advance(copy, at("2026-06-01"))
    assert life.account == before


def test_grants_that_are_read_back_find_their_places() -> None:
    life = Life(plan("100"))
    life.grant("1", priority=0)
    life.grant("2", priority=100)
    life.grant("3", effective="2026-01-20")
    spent = life.grant("4", priority=1)
    life.use("5")
    read_back = replace(life.account, grants={}, burning=[], waiting=[])
    for grant in reversed(life.account.grants.values()):
        read_back.add_loaded(grant)
    assert read_back.burning == life.account.burning
    assert read_back.waiting == life.account.waiting
    assert read_back.grants[spent.id] is spent
