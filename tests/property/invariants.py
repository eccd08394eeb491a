"""What holds of every account after every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, fields, replace
from itertools import pairwise

from tallystick.domain.account import Account
from tallystick.domain.credits import MAX_SUM
from tallystick.domain.grants import Grant
from tallystick.domain.plans import Plan
from tallystick.domain.replay import Standing
from tests.oracle import Oracle
from tests.oracle_words import burns_before
from tests.property import languages as say
from tests.property.archive import Archive
from tests.property.fold import Fold

DAY = 86_400_000_000
_LIVE = {"pending", "active"}
_REPLAYED = (
    *("sequence", "remaining", "consumed", "overage", "held", "pending", "total", "available"),
    *("period_index", "period_start", "period_end"),
)


def photo(account: Account) -> dict[str, object]:
    """All of an account by value, to see whether anything changed."""
    values: dict[str, object] = {part.name: getattr(account, part.name) for part in fields(account)}
    values["grants"] = [_grant_photo(grant) for grant in account.grants.values()]
    values["burning"] = [_grant_photo(grant) for grant in account.burning]
    values["waiting"] = [_grant_photo(grant) for grant in account.waiting]
    values["holds"] = [astuple(hold) for hold in account.holds.values()]
    values["open_holds"] = [astuple(hold) for hold in account.open_holds]
    values["budgets"] = [astuple(budget) for budget in account.budgets.values()]
    return values


_GRANT_FIELDS = tuple(part.name for part in fields(Grant))


def _grant_photo(grant: Grant) -> tuple[object, ...]:
    return tuple(getattr(grant, name) for name in _GRANT_FIELDS)


def check_account(account: Account) -> None:
    """The invariants that the account's module promises."""
    grants = account.grants.values()
    active = [grant for grant in grants if grant.status == "active"]
    waiting = [grant for grant in grants if grant.status == "pending"]
    ended = [grant for grant in grants if grant.status not in _LIVE]
    assert account.remaining == sum(g.remaining for g in active) + sum(g.held for g in ended)
    assert account.held == sum(grant.held for grant in grants) <= account.remaining
    assert account.pending == sum(grant.remaining for grant in waiting)
    assert account.total == account.remaining + account.consumed - account.overage
    assert account.available == account.remaining - account.held
    assert account.total + account.pending <= MAX_SUM
    assert 0 <= account.overage <= account.consumed <= MAX_SUM
    assert min(account.remaining, account.held, account.pending, account.total) >= 0
    assert account.period_start <= account.advanced_to < account.period_end
    for grant in grants:
        _check_grant(grant)
    _check_lists(account, active, waiting)
    _check_holds(account)
    _check_budgets(account)


def _check_grant(grant: Grant) -> None:
    assert 0 <= grant.held <= grant.remaining <= grant.amount
    if grant.status in _LIVE:
        assert grant.remaining > 0
    else:
        assert grant.remaining == grant.held


def _check_holds(account: Account) -> None:
    is_open = [hold for hold in account.holds.values() if hold.status == "open"]
    assert {id(hold) for hold in account.open_holds} == {id(hold) for hold in is_open}
    assert len(account.open_holds) == len(is_open)
    assert [hold.placed for hold in account.open_holds] == [
        hold.placed for hold in sorted(is_open, key=lambda hold: (hold.expires_at, hold.placed))
    ]
    held: Counter[str] = Counter()
    for hold in is_open:
        assert hold.held > 0, "a hold is open though it holds nothing"
        assert 0 <= hold.captured == hold.credits - hold.held
        assert hold.expires_at - hold.created_at <= 7 * DAY
        assert len(dict(hold.parts)) == len(hold.parts)
        held.update(dict(hold.parts))
    assert account.held == held.total(), "not what the open holds hold"
    for grant in account.grants.values():
        assert grant.held == held[grant.id], "not what the open holds hold of the grant"
    for hold in account.holds.values():
        assert hold.status == "open" or hold.parts == ()


def _check_budgets(account: Account) -> None:
    for subject, budget in account.budgets.items():
        assert budget.subject_id == subject
        assert budget.available >= 0 <= min(budget.used, budget.held)
        assert budget.held == sum(
            hold.held
            for hold in account.open_holds
            if subject in {hold.teamspace_id, hold.api_key_id}
        )


def _check_lists(account: Account, active: list[Grant], waiting: list[Grant]) -> None:
    assert {id(grant) for grant in account.burning} == {id(grant) for grant in active}
    assert {id(grant) for grant in account.waiting} == {id(grant) for grant in waiting}
    assert len(account.burning) == len(active)
    assert len(account.waiting) == len(waiting)
    lots = [say.lot_told(grant) for grant in account.burning]
    assert all(burns_before(one, other) for one, other in pairwise(lots))
    due = [account.period_end]
    due += [grant.expires_at for grant in active if grant.expires_at is not None]
    due += [grant.effective_at for grant in waiting]
    due += [hold.expires_at for hold in account.open_holds]
    assert account.next_due_at <= min(due), "something falls due unnoticed"
    assert account.next_due_at > account.advanced_to, "something due was left undone"


def check_against_fold(account: Account, archive: Archive, fold: Fold) -> None:
    """The entries alone give the account."""
    assert account.sequence == fold.sequence
    assert account.advanced_to == fold.last_at
    assert account.remaining == fold.remaining
    assert account.pending == fold.pending
    assert account.consumed == fold.consumed
    assert account.overage == fold.overage
    assert account.held == fold.held
    assert account.period_index == fold.period["index"]
    assert account.period_start == fold.period["start"]
    assert account.period_end == fold.period["end"]
    last_set = account.next_plan or account.plan
    facts = {name: fact for name, fact in fold.plan_facts.items() if name != "apply_now"}
    assert last_set.to_facts() == facts
    assert Plan.from_facts(facts) == last_set
    _check_grants_against_fold(archive, fold)
    _check_holds_against_fold(archive, fold)
    for subject, budget in account.budgets.items():
        assert budget.used == fold.used[subject], "not the net usage of this period"


def _check_grants_against_fold(archive: Archive, fold: Fold) -> None:
    assert archive.grants.keys() == fold.grants.keys()
    for grant_id, folded in fold.grants.items():
        row = archive.grants[grant_id]
        assert (row.remaining, row.amount, row.status) == (
            folded.left,
            folded.amount,
            folded.status,
        )
        assert row.held == fold.held_of(grant_id)
        assert (row.kind, row.priority, row.reference) == (
            folded.kind,
            folded.priority,
            folded.reference,
        )
        assert (row.effective_at, row.expires_at, row.created_at, row.issued) == (
            folded.effective_at,
            folded.expires_at,
            folded.created_at,
            folded.issued,
        )


def _check_holds_against_fold(archive: Archive, fold: Fold) -> None:
    assert archive.holds.keys() == fold.holds.keys()
    for hold_id, folded in fold.holds.items():
        row = archive.holds[hold_id]
        assert (row.credits, row.captured, row.status, row.expires_at) == (
            folded.credits,
            folded.captured,
            folded.status,
            folded.expires_at,
        )
        assert row.parts == tuple(folded.parts.items())


def check_replayed(account: Account, archive: Archive, standing: Standing) -> None:
    """The core's own replay comes to the same place, from the beginning or from halfway."""
    for name in _REPLAYED:
        assert getattr(standing, name) == getattr(account, name), name
    assert standing.booked_at == account.advanced_to
    for grant in standing.grants.values():
        assert grant == archive.grants[grant.id]
    for hold in standing.holds.values():
        assert hold == replace(archive.holds[hold.id], dimensions=None, salt=None, digest=None)
    assert {hold.id for hold in standing.holds.values() if hold.status == "open"} == {
        hold.id for hold in account.open_holds
    }
    shown = [grant.id for grant in standing.grants_shown() if grant.status == "active"]
    assert shown == [grant.id for grant in account.burning]


def check_against_oracle(account: Account, archive: Archive, oracle: Oracle) -> None:
    """The account is what the oracle adds up."""
    assert say.to_decimal(account.remaining) == oracle.remaining
    assert say.to_decimal(account.consumed) == oracle.consumed
    assert say.to_decimal(account.overage) == oracle.overage
    assert say.to_decimal(account.held) == oracle.held
    assert say.to_decimal(account.available) == oracle.available
    assert say.to_decimal(account.total) == oracle.total
    assert say.to_decimal(account.pending) == oracle.pending
    assert str(account.status) == oracle.status
    assert account.plan == say.to_plan(oracle.terms)
    assert (account.next_plan or account.plan) == say.to_plan(oracle.wanted)
    assert say.to_datetime(account.period_start) == oracle.period.start
    assert say.to_datetime(account.period_end) == oracle.period.end
    assert [grant.issued for grant in account.burning] == [
        lot.number for lot in oracle.lots_in_burn_order()
    ]
    allowance = archive.grants.get(account.allowance_grant_id or "")
    expected = oracle.period.allowance
    assert (allowance and allowance.issued) == (expected and expected.number)
    lots = {lot.number: say.without_story(lot) for lot in oracle.lots}
    assert {row.issued: say.lot_told(row) for row in archive.grants.values()} == lots
    assert [say.hold_told(row, archive.numbers) for row in archive.holds.values()] == [
        say.hold_of_oracle(hold) for hold in oracle.holds
    ]
    _check_budgets_against_oracle(account, oracle)


def _check_budgets_against_oracle(account: Account, oracle: Oracle) -> None:
    assert account.budgets.keys() == oracle.caps.keys()
    for subject, budget in account.budgets.items():
        assert say.to_decimal(budget.limit) == oracle.caps[subject]
        assert say.to_decimal(budget.used) == oracle.used_by(subject)
        assert say.to_decimal(budget.held) == oracle.held_for(subject)
