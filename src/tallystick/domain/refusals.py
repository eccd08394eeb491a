"""Why spending is refused: by the account's state, its sums, its credits, or a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.domain.budgets import budgets_of
from tallystick.domain.commands import AccountStatus
from tallystick.domain.credits import MAX_SUM
from tallystick.domain.errors import Reason, Refusal

if TYPE_CHECKING:
    from tallystick.domain.account import Account


def not_active(account: Account) -> Refusal:
    is_closed = account.status is AccountStatus.CLOSED
    return Refusal(reason=Reason.CLOSED if is_closed else Reason.SUSPENDED)


def beyond_sums(account: Account, used: int) -> Refusal | None:
    """Where the period would hold more usage than clients read exactly."""
    if account.consumed + used <= MAX_SUM:
        return None
    return Refusal(reason=Reason.SUM_LIMIT, figures={"room": MAX_SUM - account.consumed})


def not_covered(account: Account, required: int, headroom: int = 0) -> Refusal | None:
    """Where grants, with `headroom` of overage beside, do not cover what is required."""
    if required - account.available <= headroom:
        return None
    return Refusal(
        reason=Reason.NOT_COVERED,
        figures={
            "required": required,
            "available": account.available,
            "overage_headroom": headroom,
            "resets_at": account.period_end,
        },
    )


def over_budget(
    account: Account, required: int, teamspace_id: str, api_key_id: str | None
) -> Refusal | None:
    """Where a budget of the teamspace or the key does not cover what is required."""
    for budget in budgets_of(account.budgets, teamspace_id, api_key_id):
        if required > budget.available:
            return Refusal(
                reason=Reason.OVER_BUDGET,
                figures={
                    "required": required,
                    "available": budget.available,
                    "resets_at": account.period_end,
                },
                facts={"budget_id": budget.subject_id},
            )
    return None


def unauthorized(
    account: Account, required: int, teamspace_id: str, api_key_id: str | None
) -> Refusal | None:
    """Why usage of `required` micro-credits is not authorized, if so."""
    headroom = account.plan.overage.headroom(account.overage)
    refusal = not_covered(account, required, headroom)
    if refusal is None and account.budgets:
        refusal = over_budget(account, required, teamspace_id, api_key_id)
    return refusal
