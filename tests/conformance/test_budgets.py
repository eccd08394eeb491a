"""Budgets in a batch: what is written of them is what the batch came to."""

from __future__ import annotations

from tallystick.domain.budgets import Budget
from tallystick.ledger.budgets import BudgetState, BudgetUnit, NoSuchSubject
from tallystick.ledger.ports import Wanted
from tallystick.ledger.units import AccountUnit, AtomicRefusal
from tests.conformance.backend import Backend
from tests.conformance.samples import ACME, CREDIT, HOME, new_organization, teamspace, usage


def budgets_of(backend: Backend) -> dict[str, Budget]:
    return backend.load(Wanted(organizations={ACME})).accounts[ACME].budgets


def open_acme(backend: Backend) -> str:
    """An organization without credits; returns its teamspace."""
    changes = new_organization()
    home = teamspace(0)
    changes.teamspaces[ACME, home.id] = home
    backend.write(changes)
    return home.id


def test_a_unit_that_was_undone_leaves_no_trace_in_a_budget_of_its_batch(backend: Backend) -> None:
    subject = open_acme(backend)
    recorded = usage("evt-1", CREDIT)._replace(teamspace_id=subject)
    refused = usage("evt-2", overdraw=False, credits_used=10**15)._replace(teamspace_id=subject)
    _, outcome = backend.decide(
        BudgetUnit(ACME, subject, 5 * CREDIT), AccountUnit(ACME, [recorded, refused], atomic=True)
    )
    assert isinstance(outcome, AtomicRefusal)
    assert budgets_of(backend) == {subject: Budget(subject_id=subject, limit=5 * CREDIT)}


def test_a_budget_that_is_set_late_knows_what_was_used_before(backend: Backend) -> None:
    subject = open_acme(backend)
    first, second = (
        usage(name, CREDIT)._replace(teamspace_id=subject) for name in ("evt-1", "evt-2")
    )
    backend.decide(AccountUnit(ACME, [first]))
    _, outcome = backend.decide(AccountUnit(ACME, [second]), BudgetUnit(ACME, subject, 3 * CREDIT))
    budget = Budget(subject_id=subject, limit=3 * CREDIT, used=2 * CREDIT)
    assert isinstance(outcome, BudgetState)
    assert outcome.budget == budget
    assert budgets_of(backend) == {subject: budget}


def test_a_budget_is_removed_for_good_and_only_what_exists_has_one(backend: Backend) -> None:
    subject = open_acme(backend)
    backend.decide(BudgetUnit(ACME, subject, CREDIT))
    assert budgets_of(backend).keys() == {subject}
    backend.decide(BudgetUnit(ACME, subject, None))
    assert budgets_of(backend) == {}
    assert backend.decide(BudgetUnit(ACME, "ts_nobody", CREDIT), BudgetUnit(ACME, HOME, 0))[0] == (
        NoSuchSubject("ts_nobody")
    )
