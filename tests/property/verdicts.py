"""That the core's answer to a command is the oracle's verdict, and shows what was done."""

from __future__ import annotations

from tallystick.domain.commands import (
    Booked,
    BudgetSet,
    Captured,
    Changed,
    Held,
    Issued,
    Outcome,
    Reversed,
    Voided,
)
from tallystick.domain.entries import Entry
from tallystick.domain.errors import Refusal
from tests.oracle import Oracle
from tests.oracle_words import Refused, Repeated, Verdict
from tests.property import languages as say
from tests.property.archive import Archive


def check_answer(
    outcome: Outcome, verdict: Verdict, entries: list[Entry], archive: Archive, oracle: Oracle
) -> None:
    """`archive` has been brought up to what the command did."""
    if isinstance(verdict, Refused):
        assert isinstance(outcome, Refusal), f"accepted, but {verdict}"
        assert outcome.reason.name == verdict.reason
        assert say.figures_told(outcome.figures) == verdict.figures
        assert outcome.facts == verdict.facts
        assert not entries
    elif isinstance(verdict, Repeated):
        assert _is_duplicate(outcome)
        assert not entries
        _check_outcome(outcome, archive.entries[verdict.fact.sequence - 1], archive, oracle)
    else:
        assert not isinstance(outcome, Refusal), f"refused for {outcome}"
        assert not _is_duplicate(outcome)
        assert len(entries) == len(verdict)
        _check_outcome(outcome, entries[0] if entries else None, archive, oracle)


def is_new(outcome: Outcome) -> bool:
    """Whether it was accepted, and for the first time."""
    return not isinstance(outcome, Refusal) and not _is_duplicate(outcome)


def _is_duplicate(outcome: Outcome) -> bool:
    if isinstance(outcome, Captured):
        return outcome.booked.duplicate
    return isinstance(outcome, Booked | Held | Issued | Reversed) and outcome.duplicate


def _check_outcome(outcome: Outcome, entry: Entry | None, archive: Archive, oracle: Oracle) -> None:
    """That the answer shows what `entry` did, or the present where there is none."""
    match outcome:
        case Booked() | Reversed():
            assert outcome.entry == entry, "the receipt is not the entry"
        case Captured(hold, booked):
            assert booked.entry == entry, "the receipt is not the entry"
            assert hold == archive.holds[hold.id]
        case Held(hold):
            assert entry is None or entry.hold_id == hold.id
            assert hold == archive.holds[hold.id]
        case Issued(grant):
            assert entry is not None
            assert entry.sequence == grant.issued
            assert grant == archive.grants[grant.id]
        case Voided(grant, taken):
            assert grant == archive.grants[grant.id]
            assert taken == (0 if entry is None else entry.credits)
        case Changed():
            effect = None if oracle.wanted == oracle.terms else oracle.period.end
            assert outcome.plan == say.to_plan(oracle.wanted)
            assert say.if_any(say.to_datetime, outcome.takes_effect_at) == effect
            assert outcome.status == oracle.status
        case BudgetSet(budget):
            if budget is not None:
                limit = oracle.caps[budget.subject_id]
                assert say.to_decimal(budget.limit) == limit
