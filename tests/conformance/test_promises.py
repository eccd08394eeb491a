"""Holds, reversals, budgets, and usage by billing period: what is written of them and read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tallystick.domain.budgets import Budget
from tallystick.domain.commands import (
    CaptureHold,
    Command,
    ExtendHold,
    PlaceHold,
    ReleaseHold,
    ReverseUsage,
)
from tallystick.domain.entries import EntryKind
from tallystick.domain.holds import Hold, HoldStatus
from tallystick.domain.usage import PeriodUsageKey, RollupKey
from tallystick.ledger.budgets import BudgetState, BudgetUnit
from tallystick.ledger.ports import Changes, PeriodUsage, Wanted
from tallystick.ledger.reading import Page, UnknownCursor
from tallystick.ledger.units import AccountUnit
from tests.conformance.backend import START, Backend
from tests.conformance.samples import (
    ACME,
    CREDIT,
    HOME,
    MOST,
    OTHER,
    UNICODE,
    new_organization,
    top_up,
    usage,
)

HOUR = 3_600_000_000
EVERYTHING = Page(100, ascending=True)


def full_hold(number: int, *, status: HoldStatus = HoldStatus.OPEN) -> Hold:
    """A hold with something in every field, placed as entry `number`."""
    is_open = status is HoldStatus.OPEN
    return Hold(
        id=f"hold_{number:03d}",
        credits=MOST,
        parts=(("grant_1", MOST - 1), (UNICODE, 1)) if is_open else (),
        captured=MOST,
        status=status,
        expires_at=START + HOUR,
        placed=number,
        reference=f"ref-{number}",
        teamspace_id=HOME,
        api_key_id="key_1",
        meter=UNICODE,
        dimensions='{"model":"é"}',
        salt=bytes(16),
        digest=bytes(32),
        created_at=START,
    )


def bare_hold(number: int) -> Hold:
    """A hold with nothing where there may be nothing."""
    hold = full_hold(number)
    hold = replace(hold, captured=0, reference=None, api_key_id=None, meter=None)
    return replace(hold, dimensions=None, salt=None, digest=None)


def place(amount: int = CREDIT, **terms: Any) -> PlaceHold:  # noqa: ANN401 - see PlaceHold
    facts: dict[str, Any] = {"teamspace_id": HOME, "api_key_id": None, "expires_in": HOUR, **terms}
    return PlaceHold(credits=amount, **facts)


def decide(backend: Backend, *commands: Command) -> list[Any]:
    """One batch about the one organization."""
    (outcomes,) = backend.decide(AccountUnit(ACME, list(commands)))
    found: list[Any] = outcomes
    return found


# ── holds ──


@pytest.mark.parametrize("status", HoldStatus)
def test_holds(backend: Backend, status: HoldStatus) -> None:
    backend.write(new_organization())
    first, second = full_hold(900, status=status), bare_hold(901)
    backend.write(Changes(holds=[(ACME, first), (ACME, second)]), ACME)
    names = {(ACME, first.id), (ACME, second.id)}
    found = backend.load(Wanted(holds={*names, (ACME, "?"), (OTHER, first.id)})).holds
    assert found == {(ACME, first.id): first, (ACME, second.id): second}
    assert backend.run(backend.reader.hold(ACME, first.id)) == first
    assert backend.run(backend.reader.hold(OTHER, first.id)) is None


def test_a_hold_changes_in_what_it_holds_and_until_when(backend: Backend) -> None:
    backend.write(new_organization())
    (held,) = decide(backend, place(5 * CREDIT, reference="job"))
    decide(backend, CaptureHold(hold_id=held.hold.id, credits=2 * CREDIT, event_id="step"))
    backend.clock.now += HOUR // 2
    (extended,) = decide(backend, ExtendHold(hold_id=held.hold.id, expires_in=HOUR))
    stored = backend.run(backend.reader.hold(ACME, held.hold.id))
    assert stored == extended.hold
    assert stored is not None
    assert (stored.held, stored.captured) == (3 * CREDIT, 2 * CREDIT)
    assert stored.expires_at == backend.clock.now + HOUR
    (released,) = decide(backend, ReleaseHold(hold_id=held.hold.id))
    assert backend.run(backend.reader.hold(ACME, held.hold.id)) == released.hold


def test_an_account_comes_with_its_open_holds_in_the_order_they_expire(backend: Backend) -> None:
    backend.write(new_organization())
    backend.write(new_organization(OTHER))
    terms = [3 * HOUR, HOUR, 2 * HOUR, HOUR]
    late, soon, ended, second = decide(backend, *(place(expires_in=each) for each in terms))
    decide(backend, ReleaseHold(hold_id=ended.hold.id))
    accounts = backend.load(Wanted(organizations={ACME, OTHER})).accounts
    read = backend.run(backend.reader.account(ACME))
    for account in (accounts[ACME], read):
        assert account is not None
        assert [hold.id for hold in account.open_holds] == [
            each.hold.id for each in (soon, second, late)
        ]
        assert all(account.holds[hold.id] is hold for hold in account.open_holds)
        assert account.held == 3 * CREDIT
        assert sum(grant.held for grant in account.grants.values()) == 3 * CREDIT
    assert accounts[OTHER].open_holds == []


def test_a_hold_is_one_object_wherever_it_is_found(backend: Backend) -> None:
    backend.write(new_organization())
    (held,) = decide(backend, place(reference="job"))
    name = (ACME, held.hold.id)
    wanted = Wanted(organizations={ACME}, holds={name}, hold_references={(ACME, "job")})
    snapshot = backend.load(wanted)
    live = snapshot.accounts[ACME].holds[held.hold.id]
    assert snapshot.holds[name] is live
    named = snapshot.hold_references[ACME, "job"]
    assert named.hold is live
    assert named.entry is not None
    assert (named.entry.kind, named.entry.hold_id) == (EntryKind.HOLD_PLACED, live.id)


def test_a_reference_finds_an_ended_hold_of_its_organization_only(backend: Backend) -> None:
    backend.write(new_organization())
    (held,) = decide(backend, place(reference="job"))
    (released,) = decide(backend, ReleaseHold(hold_id=held.hold.id))
    names = {(ACME, "job"), (ACME, "?"), (OTHER, "job")}
    snapshot = backend.load(Wanted(hold_references=names))
    assert list(snapshot.hold_references) == [(ACME, "job")]
    assert snapshot.hold_references[ACME, "job"].hold == released.hold


def ids(backend: Backend, page: Page, status: HoldStatus | None) -> list[str]:
    return [hold.id for hold in backend.run(backend.reader.holds(ACME, page, status))]


def several(backend: Backend) -> list[tuple[str, HoldStatus]]:
    """Holds of every status that ends by a command, oldest first; another's beside them."""
    for name in (ACME, OTHER):
        backend.write(new_organization(name))
    placed = [outcome.hold.id for outcome in decide(backend, *(place() for _ in range(9)))]
    backend.decide(AccountUnit(OTHER, [place()]))
    found = []
    for number, hold_id in enumerate(placed):
        status = (HoldStatus.OPEN, HoldStatus.RELEASED, HoldStatus.CAPTURED)[number % 3]
        if status is HoldStatus.RELEASED:
            decide(backend, ReleaseHold(hold_id=hold_id))
        elif status is HoldStatus.CAPTURED:
            decide(backend, CaptureHold(hold_id=hold_id, credits=0, final=True))
        found.append((hold_id, status))
    return found


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("status", [None, *HoldStatus])
def test_holds_are_listed_by_status_in_pages_that_tile(
    backend: Backend, status: HoldStatus | None, ascending: bool
) -> None:
    oldest_first = [
        hold_id for hold_id, found in several(backend) if status is None or found is status
    ]
    expected = oldest_first if ascending else oldest_first[::-1]
    assert ids(backend, Page(100, ascending=ascending), status) == expected
    for at, hold_id in enumerate(expected):
        after = Page(2, after=hold_id, ascending=ascending)
        assert ids(backend, after, status) == expected[at + 1 : at + 4]
        before = Page(2, before=hold_id, ascending=ascending)
        assert ids(backend, before, status) == expected[:at][::-1][:3]


@pytest.mark.parametrize("status", [None, HoldStatus.OPEN])
def test_a_cursor_is_a_hold_of_the_organization(
    backend: Backend, status: HoldStatus | None
) -> None:
    several(backend)
    (foreign,) = backend.run(backend.reader.holds(OTHER, EVERYTHING, None))
    for cursor in (foreign.id, "hold_?", ""):
        with pytest.raises(UnknownCursor):
            ids(backend, Page(5, after=cursor), status)


# ── reversals ──


def test_an_event_comes_with_its_reversals_and_the_grants_it_drew_from(backend: Backend) -> None:
    backend.write(new_organization())
    (spent,) = decide(backend, top_up())
    amount = 100 * CREDIT + CREDIT
    decide(backend, usage("event", amount), usage("other", 0))
    parts = [
        ReverseUsage(event_id="event", credits=number, reference=f"part-{number}")
        for number in (1, 2, 3)
    ]
    first, second, third = decide(backend, *parts)
    expected = [first.entry, second.entry, third.entry]
    names = {(ACME, "event"), (ACME, "other"), (OTHER, "event")}
    snapshot = backend.load(Wanted(events=names, reversals=names))
    assert snapshot.reversals == {(ACME, "event"): expected}
    drawn_from = {grant_id for grant_id, _ in snapshot.events[ACME, "event"].drawn}
    assert len(drawn_from) == 2
    assert {grant_id for _, grant_id in snapshot.grants} == drawn_from
    assert spent.grant.id in drawn_from
    assert backend.run(backend.reader.reversals(ACME, "event")) == expected
    assert backend.run(backend.reader.reversals(OTHER, "event")) == []


# ── budgets ──


def test_budgets(backend: Backend) -> None:
    backend.write(new_organization())
    first = Budget(subject_id=HOME, limit=MOST, used=MOST)
    second = Budget(subject_id="key_1", limit=0, used=0)
    names = {(ACME, HOME): first, (ACME, "key_1"): second}
    backend.write(Changes(budgets={**names}), ACME)

    def budgets() -> Sequence[Budget]:
        (account,) = backend.load(Wanted(organizations={ACME})).accounts.values()
        read = backend.run(backend.reader.account(ACME))
        assert read is not None
        assert read.budgets == account.budgets
        return [account.budgets[name] for name in sorted(account.budgets)]

    assert budgets() == [second, first]
    first = replace(first, limit=1, used=2)
    backend.write(Changes(budgets={(ACME, HOME): first, (ACME, "key_1"): None}), ACME)
    assert budgets() == [first]


def test_what_open_holds_set_aside_is_added_up_from_them(backend: Backend) -> None:
    backend.write(new_organization())
    kept, released = decide(backend, place(2 * CREDIT), place(CREDIT))
    (state,) = backend.decide(BudgetUnit(ACME, HOME, 10 * CREDIT))
    assert state == BudgetState(
        Budget(subject_id=HOME, limit=10 * CREDIT, used=0, held=3 * CREDIT), state.resets_at
    )
    decide(backend, ReleaseHold(hold_id=released.hold.id))
    account = backend.run(backend.reader.account(ACME))
    assert account is not None
    assert account.budgets[HOME].held == kept.hold.held


# ── usage by billing period ──


def test_usage_of_a_period_adds_up(backend: Backend) -> None:
    keys = [
        PeriodUsageKey(ACME, 0, HOME, "calls", "key_1"),
        PeriodUsageKey(ACME, 0, HOME, "", ""),
        PeriodUsageKey(ACME, 1, HOME, "calls", "key_1"),
        PeriodUsageKey(OTHER, 0, HOME, "calls", "key_1"),
    ]
    rollups = {RollupKey(ACME, 0, HOME, "", ""): (0, 0)}
    backend.write(Changes(rollups=rollups, period_usage=dict.fromkeys(keys, (MOST, 1))))
    backend.write(Changes(rollups=rollups, period_usage={keys[0]: (-7, 2)}))
    stored = backend.rows(
        "SELECT organization_id, period_index, teamspace_id, meter, api_key_id, credits, events"
        " FROM period_usage"
    )
    expected = dict.fromkeys(keys, (MOST, 1)) | {keys[0]: (MOST - 7, 3)}
    assert {tuple(row[:5]): tuple(row[5:]) for row in stored} == expected


def test_a_subjects_net_usage_is_that_of_the_present_period(backend: Backend) -> None:
    backend.write(new_organization())
    by_key = usage("keyed", 5 * CREDIT)._replace(api_key_id="key_1")
    decide(backend, by_key, usage("plain", 2 * CREDIT), usage("undone", CREDIT))
    decide(backend, ReverseUsage(event_id="undone"))
    names = {(ACME, HOME), (ACME, "key_1"), (ACME, "ts_?"), (OTHER, HOME)}

    def spent() -> dict[tuple[str, str], int]:
        found = backend.load(Wanted(organizations={ACME}, spent_by=names)).spent_by
        assert all(isinstance(each, PeriodUsage) for each in found.values())
        return {name: each.credits for name, each in found.items() if each.credits}

    assert spent() == {(ACME, HOME): 7 * CREDIT, (ACME, "key_1"): 5 * CREDIT}
    account = backend.load(Wanted(organizations={ACME})).accounts[ACME]
    backend.clock.now = account.period_end
    decide(backend, usage("later", 3 * CREDIT))
    assert spent() == {(ACME, HOME): 3 * CREDIT}
