"""That what the ledger answered is what the oracle says of the same, asked at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tallystick.domain.commands import (
    Booked,
    BudgetSet,
    Captured,
    Changed,
    Command,
    Held,
    Issued,
    Outcome,
    Reversed,
    Voided,
)
from tallystick.domain.entries import Entry
from tallystick.domain.errors import Refusal
from tallystick.domain.grants import Grant
from tallystick.domain.holds import Hold
from tallystick.ledger.units import AtomicRefusal
from tests.oracle import Oracle
from tests.oracle_words import Fact, Refused, Repeated, Verdict
from tests.property import languages as say
from tests.simulation.tenant import Tenant, copy_of

AskOracle = Callable[[Oracle, datetime], Verdict]


@dataclass(frozen=True, slots=True)
class Asked:
    """A command, and how the oracle is asked the same; `named` is what the script calls the grant
    or the hold that comes of it."""

    command: Command
    oracle: AskOracle
    named: str | None = None


def judge_each(tenant: Tenant, asked: Sequence[Asked], outcomes: object, now: datetime) -> None:
    assert isinstance(outcomes, list)
    for one, outcome in zip(asked, outcomes, strict=True):
        verdict = one.oracle(tenant.oracle, now)
        check_outcome(tenant, tenant.oracle, outcome, verdict)
        if one.named is not None:
            _note_name(tenant, one.named, outcome)


def judge_atomically(
    tenant: Tenant, asked: Sequence[Asked], outcome: object, now: datetime
) -> None:
    """All or none: where one is refused, the oracle forgets those before it."""
    oracle = copy_of(tenant.oracle)
    for index, one in enumerate(asked):
        verdict = one.oracle(oracle, now)
        if isinstance(verdict, Refused):
            assert isinstance(outcome, AtomicRefusal), f"accepted, but {verdict}"
            assert outcome.index == index, f"{outcome}, but of command {index} {verdict}"
            check_outcome(tenant, oracle, outcome.refusal, verdict)
            return
        if isinstance(outcome, list):
            check_outcome(tenant, oracle, outcome[index], verdict)
    assert isinstance(outcome, list), f"{outcome}, but all of it was fine"
    tenant.oracle = oracle


def _note_name(tenant: Tenant, name: str, outcome: Outcome) -> None:
    if isinstance(outcome, Held):
        tenant.holds[name] = outcome.hold.id
    elif isinstance(outcome, Issued):
        tenant.grants[name] = outcome.grant.id


def check_outcome(tenant: Tenant, oracle: Oracle, outcome: Outcome, verdict: Verdict) -> None:
    if isinstance(verdict, Refused):
        assert isinstance(outcome, Refusal), f"accepted, but {verdict}"
        assert outcome.reason.name == verdict.reason, f"{outcome}, but {verdict}"
        assert say.figures_told(outcome.figures) == verdict.figures, f"{outcome}, but {verdict}"
        assert outcome.facts == verdict.facts
        return
    assert not isinstance(outcome, Refusal), f"{outcome}, but {verdict}"
    assert _is_duplicate(outcome) == isinstance(verdict, Repeated), f"{outcome}, but {verdict}"
    fact = verdict.fact if isinstance(verdict, Repeated) else next(iter(verdict), None)
    _check_receipt(tenant, outcome, fact)
    _check_present(tenant, oracle, outcome)


def _is_duplicate(outcome: Outcome) -> bool:
    if isinstance(outcome, Captured):
        return outcome.booked.duplicate
    return isinstance(outcome, Booked | Held | Issued | Reversed) and outcome.duplicate


def _check_receipt(tenant: Tenant, outcome: Outcome, fact: Fact | None) -> None:
    """That the answer is about the entry that says `fact`."""
    match outcome:
        case Booked(entry) | Reversed(entry) | Captured(_, Booked(entry)):
            assert fact is not None
            _check_entry(tenant, entry, fact)
        case Issued(grant):
            assert fact is not None
            assert grant.issued == fact.sequence
        case Held(hold, duplicate):
            assert fact is None or duplicate or tenant.numbers[hold.id] == hold.placed
        case Voided(_, taken):
            assert taken == (0 if fact is None else say.to_micro(fact.credits))


def _check_entry(tenant: Tenant, entry: Entry, fact: Fact) -> None:
    told = tenant.told(entry)
    assert told == fact, f"the receipt says {told}, the oracle {fact}"


def _check_present(tenant: Tenant, oracle: Oracle, outcome: Outcome) -> None:
    """That what the answer shows of holds, grants, terms and budgets is how they are now."""
    match outcome:
        case Held(hold) | Captured(hold, _):
            _check_hold(tenant, oracle, hold)
        case Issued(grant) | Voided(grant, _):
            _check_grant(oracle, grant)
        case Changed():
            effect = None if oracle.wanted == oracle.terms else oracle.period.end
            assert outcome.plan == say.to_plan(oracle.wanted)
            assert say.if_any(say.to_datetime, outcome.takes_effect_at) == effect
            assert outcome.status == oracle.status
        case BudgetSet(budget) if budget is not None:
            subject = budget.subject_id
            assert say.to_decimal(budget.limit) == oracle.caps[subject]
            assert say.to_decimal(budget.used) == oracle.used_by(subject)
            assert say.to_decimal(budget.held) == oracle.held_for(subject)


def _check_hold(tenant: Tenant, oracle: Oracle, hold: Hold) -> None:
    (theirs,) = (one for one in oracle.holds if one.number == hold.placed)
    ours = say.hold_told(hold, tenant.numbers)
    assert ours == say.hold_of_oracle(theirs), f"{ours}, but {say.hold_of_oracle(theirs)}"


def _check_grant(oracle: Oracle, grant: Grant) -> None:
    lot = say.without_story(oracle.lot(grant.issued))
    assert say.lot_told(grant) == lot, f"{say.lot_told(grant)}, but {lot}"
