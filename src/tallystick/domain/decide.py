"""The decisions of the ledger: `decide(account, command, now) -> outcome, entries`.

Each decision checks everything first, in one fixed order (seen before, exists, allowed, limits),
and only then changes the account: a refusal leaves it exactly as it was. The account must have been
advanced to `now`, and `now` is never before its last entry (`ledger_time`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tallystick.domain.account import issue_allowance, issue_grant
from tallystick.domain.budgets import Budget
from tallystick.domain.commands import (
    NOTHING_EARLIER,
    AccountStatus,
    BookUsage,
    BudgetSet,
    CaptureHold,
    Changed,
    ChangePlan,
    Command,
    CreateGrant,
    Earlier,
    ExtendHold,
    Issued,
    Outcome,
    PlaceHold,
    ReleaseHold,
    RemoveBudget,
    ReverseUsage,
    SetBudget,
    SetStatus,
    Voided,
    VoidGrant,
    grant_content,
)
from tallystick.domain.entries import Entry, EntryKind, canonical_json
from tallystick.domain.errors import CorruptLedger, Reason, Refusal
from tallystick.domain.grants import Grant, GrantStatus
from tallystick.domain.holding import extend_hold, place_hold, release_hold
from tallystick.domain.refusals import not_active
from tallystick.domain.reversals import reverse_usage
from tallystick.domain.spending import book_usage, capture_hold

if TYPE_CHECKING:
    from tallystick.domain.account import Account
    from tallystick.domain.plans import Plan

T = TypeVar("T")
Decision = tuple[Outcome, list[Entry]]


def ledger_time(account: Account, clock: int) -> int:
    """The account's present: the clock, but never before its last entry."""
    return max(clock, account.advanced_to)


def decide(
    account: Account, command: Command, now: int, earlier: Earlier = NOTHING_EARLIER
) -> Decision:
    """What becomes of `command` at `now`; changes `account` unless it is refused."""
    match command:
        case BookUsage():
            return book_usage(account, command, now, earlier)
        case ReverseUsage():
            return reverse_usage(account, command, now, earlier)
        case PlaceHold() | CaptureHold() | ReleaseHold() | ExtendHold():
            return _decide_about_hold(account, command, now, earlier)
        case CreateGrant():
            return _create_grant(account, command, now, earlier)
        case VoidGrant():
            return _void_grant(account, command, now, earlier)
        case ChangePlan() | SetStatus() | SetBudget() | RemoveBudget():
            return _decide_about_terms(account, command, now)


def _decide_about_hold(
    account: Account,
    command: PlaceHold | CaptureHold | ReleaseHold | ExtendHold,
    now: int,
    earlier: Earlier,
) -> Decision:
    match command:
        case PlaceHold():
            return place_hold(account, command, now, earlier)
        case CaptureHold():
            return capture_hold(account, command, now, earlier)
        case ReleaseHold():
            return release_hold(account, command, now, earlier)
        case ExtendHold():
            return extend_hold(account, command, now, earlier)


def _decide_about_terms(
    account: Account, command: ChangePlan | SetStatus | SetBudget | RemoveBudget, now: int
) -> Decision:
    match command:
        case ChangePlan():
            return _change_plan(account, command, now)
        case SetStatus():
            return _set_status(account, command)
        case SetBudget():
            return _set_budget(account, command)
        case RemoveBudget():
            return _remove_budget(account, command)


def _create_grant(account: Account, command: CreateGrant, now: int, earlier: Earlier) -> Decision:
    content = grant_content(command)
    if earlier.entry is not None:
        if earlier.entry.content != content:
            return Refusal(reason=Reason.ID_REUSED), []
        grant = account.grants.get(_expect(earlier.entry.grant_id), earlier.grant)
        return Issued(replace(_expect(grant)), duplicate=True), []
    if account.status is AccountStatus.CLOSED:
        return not_active(account), []
    effective_at = now if command.effective_at is None else command.effective_at
    if command.expires_at is not None and command.expires_at <= max(now, effective_at):
        return Refusal(reason=Reason.GRANT_ENDED, figures={"now": now}), []
    if command.amount > account.room:
        return Refusal(reason=Reason.SUM_LIMIT, figures={"room": account.room}), []

    # ── decided: from here on, only changes ──
    entry = issue_grant(
        account,
        now,
        kind=command.kind,
        amount=command.amount,
        effective_at=effective_at,
        expires_at=command.expires_at,
        priority=command.priority,
        reference=command.reference,
        content=content,
    )
    return Issued(replace(account.grants[_expect(entry.grant_id)])), [entry]


def _void_grant(account: Account, command: VoidGrant, now: int, earlier: Earlier) -> Decision:
    grant = account.grants.get(command.grant_id, earlier.grant)
    if grant is None:
        return Refusal(reason=Reason.NO_SUCH_GRANT), []
    is_live = grant.status in {GrantStatus.PENDING, GrantStatus.ACTIVE}
    left = grant.unheld if is_live else 0
    taken = left if command.credits is None else command.credits
    if taken > left:
        return Refusal(reason=Reason.TAKES_TOO_MUCH, figures={"available": left}), []
    is_final = command.credits is None
    has_ended = grant.status in {GrantStatus.VOIDED, GrantStatus.EXPIRED}
    if not taken and (has_ended or not is_final):
        return Voided(replace(grant), 0), []

    # ── decided: from here on, only changes ──
    account.grants[grant.id] = grant
    _take_back(account, grant, taken)
    if is_final:
        _end(account, grant, GrantStatus.VOIDED)
    detail = canonical_json({"final": is_final})
    entry = account.entry(EntryKind.GRANT_VOIDED, now, taken, grant_id=grant.id, detail=detail)
    return Voided(replace(grant), taken), [entry]


def _take_back(account: Account, grant: Grant, taken: int) -> None:
    grant.remaining -= taken
    if grant.status is GrantStatus.PENDING:
        account.pending -= taken
    else:
        account.remaining -= taken
    if not grant.remaining:
        _end(account, grant, GrantStatus.EXHAUSTED)


def _end(account: Account, grant: Grant, status: GrantStatus) -> None:
    if grant.status is GrantStatus.PENDING:
        account.waiting.remove(grant)
    elif grant.status is GrantStatus.ACTIVE:
        account.burning.remove(grant)
    grant.status = status


def _change_plan(account: Account, command: ChangePlan, now: int) -> Decision:
    if account.status is AccountStatus.CLOSED:
        return not_active(account), []
    before = account.next_plan or account.plan
    after = _changed_plan(before, command)
    difference = _allowance_difference(account, after) if command.apply_now else 0
    if difference > account.room:
        return Refusal(reason=Reason.SUM_LIMIT, figures={"room": account.room}), []
    present = replace(account.plan, overage=after.overage)
    if command.apply_now:
        present = replace(present, allowance=after.allowance)
    if (after, present) == (before, account.plan) and not difference:
        return changed(account), []

    # ── decided: from here on, only changes ──
    account.plan = present
    account.next_plan = after if after != account.plan else None
    facts = {**after.to_facts(), "apply_now": command.apply_now}
    entries = [account.entry(EntryKind.PLAN_CHANGED, now, detail=canonical_json(facts))]
    if difference:
        entries.append(_change_allowance(account, difference, now))
    return changed(account), entries


def _changed_plan(plan: Plan, command: ChangePlan) -> Plan:
    return replace(
        plan,
        allowance=plan.allowance if command.allowance is None else command.allowance,
        schedule=command.schedule or plan.schedule,
        rollover=command.rollover or plan.rollover,
        overage=command.overage or plan.overage,
    )


def _allowance_difference(account: Account, plan: Plan) -> int:
    """By how much the present period's allowance grant changes to match `plan`.

    It never falls below what was spent or is held of it, and one that was voided stays so.
    """
    grant = _allowance_grant(account)
    if grant is None:
        return plan.allowance if account.allowance_grant_id is None else 0
    if grant.status is GrantStatus.VOIDED:
        return 0
    return max(plan.allowance - grant.amount, -grant.unheld)


def _allowance_grant(account: Account) -> Grant | None:
    if account.allowance_grant_id is None:
        return None
    return _expect(account.grants.get(account.allowance_grant_id))


def _change_allowance(account: Account, difference: int, now: int) -> Entry:
    grant = _allowance_grant(account)
    if grant is None:
        return issue_allowance(account, now, difference)
    grant.amount += difference
    detail = canonical_json({"amount": grant.amount})
    if difference < 0:
        _take_back(account, grant, -difference)
        return account.entry(
            EntryKind.GRANT_VOIDED, now, -difference, grant_id=grant.id, detail=detail
        )
    if grant.status is GrantStatus.EXHAUSTED:
        grant.status = GrantStatus.ACTIVE
        grant.remaining = difference
        account.add_loaded(grant)
    else:
        grant.remaining += difference
    account.remaining += difference
    return account.entry(EntryKind.GRANT_ISSUED, now, difference, grant_id=grant.id, detail=detail)


def _set_budget(account: Account, command: SetBudget) -> Decision:
    """Any limit takes effect at once, also one below what has been used."""
    if account.status is AccountStatus.CLOSED:
        return not_active(account), []
    budget = account.budgets.get(command.subject_id)
    if budget is None:
        held = sum(
            hold.held
            for hold in account.open_holds
            if command.subject_id in {hold.teamspace_id, hold.api_key_id}
        )
        budget = Budget(subject_id=command.subject_id, limit=0, used=command.used, held=held)
        account.budgets[command.subject_id] = budget
    budget.limit = command.limit
    return BudgetSet(replace(budget)), []


def _remove_budget(account: Account, command: RemoveBudget) -> Decision:
    account.budgets.pop(command.subject_id, None)
    return BudgetSet(None), []


def _set_status(account: Account, command: SetStatus) -> Decision:
    if account.status is AccountStatus.CLOSED and command.status is not AccountStatus.CLOSED:
        return not_active(account), []
    account.status = command.status
    return changed(account), []


def changed(account: Account) -> Changed:
    """The terms of the account, those that wait for the period's end included."""
    if account.next_plan is None:
        return Changed(account.plan, None, account.status)
    return Changed(account.next_plan, account.period_end, account.status)


def _expect(value: T | None) -> T:
    if value is None:
        raise CorruptLedger("a row that an entry names is missing")
    return value
