"""Budgets: operators cap what a teamspace or a key may consume, tenants see what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tallystick.domain.commands import BudgetSet
from tallystick.domain.credits import MAX_SUM
from tallystick.domain.directory import Scope
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Audience, Call, Operation
from tallystick.http.outcomes import expect
from tallystick.http.shapes import (
    PAGING,
    Credits,
    Request,
    Response,
    Sum,
    Time,
    list_answer,
    list_type,
    read_page,
)
from tallystick.http.wire import credits_field, credits_json, decode_strictly, time_json
from tallystick.ledger.budgets import BudgetState, BudgetUnit
from tallystick.ledger.lists import walk_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from tallystick.ledger.reading import Page


class BudgetLimit(Request, kw_only=True):
    limit: Annotated[Sum, Meta(description="Credits a billing period, from now on")]


class BudgetView(Response, kw_only=True):
    """A cap on what one teamspace or one key may consume in a billing period.

    `id` is that of the teamspace or the key: it has one budget.
    """

    object: Literal["credits.budget"] = "credits.budget"
    id: str
    teamspace_id: str | None
    api_key_id: str | None
    limit: Credits
    used: Annotated[Credits, Meta(description="Net usage of the present billing period")]
    held: Annotated[Credits, Meta(description="What its open holds set aside")]
    available: Credits
    resets_at: Annotated[Time, Meta(description="When the billing period ends")]


class RemovedBudgetView(Response, kw_only=True):
    object: Literal["credits.budget"] = "credits.budget"
    id: str
    removed: Literal[True] = True


_decode: Final = msgspec.json.Decoder(BudgetLimit)


def set_budget(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode, call.body)
    # As much as an organization may consume.
    limit = credits_field("/limit", body.limit, most=MAX_SUM)
    return carry_out(call, call.organization_id, _unit(call, limit), _show_set)


def _show_set(outcome: object) -> Shown:
    return Shown(200, _budget_view(expect(BudgetState, outcome)))


def remove_budget(call: Call) -> Awaitable[Answer]:
    def show(outcome: object) -> Shown:
        expect(BudgetSet, outcome)
        return Shown(200, RemovedBudgetView(id=call.params["subject_id"]))

    return carry_out(call, call.organization_id, _unit(call, None), show)


def _unit(call: Call, limit: int | None) -> BudgetUnit:
    return BudgetUnit(call.organization_id, call.params["subject_id"], limit)


def list_budgets(call: Call) -> Awaitable[Answer]:
    async def fetch(page: Page) -> Sequence[BudgetState] | None:
        found = await call.service.reads.budgets(call.organization_id)
        if found is None:
            return None
        return await walk_all(page, found, lambda state: state.budget.subject_id)

    return list_answer(read_page(call.query), fetch, _budget_view)


def _budget_view(state: BudgetState) -> BudgetView:
    budget = state.budget
    is_key = budget.subject_id.startswith("key_")
    return BudgetView(
        id=budget.subject_id,
        teamspace_id=None if is_key else budget.subject_id,
        api_key_id=budget.subject_id if is_key else None,
        limit=credits_json(budget.limit),
        used=credits_json(budget.used),
        held=credits_json(budget.held),
        available=credits_json(budget.available),
        resets_at=time_json(state.resets_at) or "",
    )


_ADMIN: Final = "/v1/admin/organizations/{organization_id}/budgets"
_ONE: Final = _ADMIN + "/{subject_id}"

OPERATIONS = (
    Operation(
        name="list_budgets",
        method="GET",
        path="/v1/organization/credits/budgets",
        handle=list_budgets,
        tag="Budgets",
        scope=Scope.CREDITS_READ,
        query=PAGING,
        response=list_type(BudgetView, "BudgetList"),
        summary="List budgets",
        description="Of all teamspaces and keys of the organization, by id.",
    ),
    Operation(
        name="list_organization_budgets",
        method="GET",
        path=_ADMIN,
        handle=list_budgets,
        audience=Audience.OPERATOR,
        tag="Budgets",
        query=PAGING,
        response=list_type(BudgetView, "BudgetList"),
        errors=("resource_not_found", "validation_failed"),
        summary="List an organization's budgets",
    ),
    Operation(
        name="set_budget",
        method="PUT",
        path=_ONE,
        handle=set_budget,
        audience=Audience.OPERATOR,
        tag="Budgets",
        request=BudgetLimit,
        response=BudgetView,
        errors=("resource_not_found", "conflict", "validation_failed"),
        summary="Set a budget",
        description=(
            "Caps the net usage and the open holds of a teamspace or a key in each billing period. "
            "Any limit takes effect at once, also one below what has been used: then nothing more "
            "is authorized until the period ends. What was held is captured, and work that was "
            "done is recorded, whatever a budget says."
        ),
    ),
    Operation(
        name="remove_budget",
        method="DELETE",
        path=_ONE,
        handle=remove_budget,
        audience=Audience.OPERATOR,
        tag="Budgets",
        response=RemovedBudgetView,
        errors=("resource_not_found",),
        summary="Remove a budget",
        description="The teamspace or the key may consume what its organization has.",
    ),
)
