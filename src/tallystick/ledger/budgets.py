"""Setting and removing budgets, as a unit of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.commands import BudgetSet, RemoveBudget, SetBudget
from tallystick.ledger.units import NoSuchOrganization, decide_one

if TYPE_CHECKING:
    from tallystick.domain.account import Account
    from tallystick.domain.budgets import Budget
    from tallystick.domain.commands import Outcome
    from tallystick.ledger.ports import Wanted
    from tallystick.ledger.work import Work


class NoSuchSubject(NamedTuple):
    """Neither a teamspace nor a key of the organization has this id."""

    subject_id: str


class BudgetState(NamedTuple):
    """A budget, and when what counts against it begins anew."""

    budget: Budget
    resets_at: int


class BudgetUnit(NamedTuple):
    """Caps a teamspace's or key's consumption at `limit` micro-credits, or (None) no more."""

    organization_id: str
    subject_id: str
    limit: int | None

    @property
    def weight(self) -> int:
        return 1

    def wants(self, wanted: Wanted) -> None:
        name = (self.organization_id, self.subject_id)
        wanted.organizations.add(self.organization_id)
        wanted.teamspaces.add(name)
        wanted.keys.add(name)
        wanted.spent_by.add(name)

    def decide(self, work: Work) -> BudgetState | Outcome | NoSuchOrganization | NoSuchSubject:
        account = work.account(self.organization_id)
        if account is None:
            return NoSuchOrganization(self.organization_id)
        name = (self.organization_id, self.subject_id)
        is_known = name in work.snapshot.teamspaces or name in work.snapshot.keys
        if not is_known:
            return NoSuchSubject(self.subject_id)
        outcome = decide_one(work, account, self._command(work, account))
        if isinstance(outcome, BudgetSet) and outcome.budget is not None:
            return BudgetState(outcome.budget, account.period_end)
        return outcome

    def _command(self, work: Work, account: Account) -> SetBudget | RemoveBudget:
        if self.limit is None:
            return RemoveBudget(subject_id=self.subject_id)
        used = work.spent_by(account, self.subject_id)
        return SetBudget(subject_id=self.subject_id, limit=self.limit, used=used)
