"""Organizations: who owns credits, on which terms. Operators only."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.commands import AccountStatus, ChangePlan
from tallystick.domain.entries import canonical_json
from tallystick.domain.plans import Overage, Plan, Rollover
from tallystick.http.errors import invalid
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Audience, Call, Operation, Parameter, answer
from tallystick.http.outcomes import expect
from tallystick.http.shapes import (
    PAGING,
    Amount,
    CallerId,
    Credits,
    Name,
    Nothing,
    RateLimits,
    Request,
    Response,
    Time,
    list_answer,
    list_type,
    not_found,
    read_nothing,
    read_page,
)
from tallystick.http.terms import (
    BillingPeriod,
    BillingPeriodTerms,
    OverageTerms,
    OverageView,
    RolloverTerms,
    RolloverView,
    billing_period_view,
    new_schedule,
    overage,
    overage_view,
    rescheduling,
    rollover,
    rollover_view,
)
from tallystick.http.wire import (
    credits_field,
    credits_json,
    decode_strictly,
    escape_step,
    shorten,
    text_field,
    time_json,
)
from tallystick.ledger.directory import CreateOrganization, OrganizationState, UpdateOrganization

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tallystick.ledger.reading import Page

DIRECTORY: Final = ""
"""The lane of what concerns no organization yet, or none: there `external_id`s meet in order."""
MAX_DIMENSIONS: Final = 5
"""By which usage is counted; each is one more row to keep for an event that has it."""


UsageDimensions = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=64)]],
    Meta(
        max_length=MAX_DIMENSIONS,
        description="Dimensions of events by which usage can be grouped, from now on",
        extra_json_schema={"uniqueItems": True},
    ),
]


class NewOrganization(Request, kw_only=True):
    name: Name
    external_id: CallerId | None = None
    allowance: Amount | UnsetType = UNSET
    billing_period: BillingPeriodTerms | UnsetType = UNSET
    rollover: RolloverTerms | UnsetType = UNSET
    overage: OverageTerms | UnsetType = UNSET
    rate_limits: RateLimits = msgspec.field(default_factory=dict)
    usage_dimensions: UsageDimensions = msgspec.field(default_factory=list)


class OrganizationChange(Request, kw_only=True):
    name: Name | UnsetType = UNSET
    allowance: Amount | UnsetType = UNSET
    billing_period: BillingPeriodTerms | UnsetType = UNSET
    rollover: RolloverTerms | UnsetType = UNSET
    overage: OverageTerms | UnsetType = UNSET
    rate_limits: RateLimits | UnsetType = UNSET
    usage_dimensions: UsageDimensions | UnsetType = UNSET
    apply: Annotated[
        Literal["now", "next_period"],
        Meta(description="When a new allowance counts; the other terms start with a period"),
    ] = "next_period"


class OrganizationView(Response, kw_only=True):
    object: Literal["organization"] = "organization"
    id: str
    name: str
    external_id: str | None
    allowance: Credits
    billing_period: BillingPeriod
    rollover: RolloverView
    overage: OverageView
    rate_limits: dict[str, int]
    usage_dimensions: list[str]
    default_teamspace_id: str
    status: Literal["active", "suspended", "closed"]
    takes_effect_at: Annotated[
        Time | None, Meta(description="When terms begin that wait for the period's end")
    ]
    created_at: Time


_decode_new: Final = msgspec.json.Decoder(NewOrganization)
_decode_change: Final = msgspec.json.Decoder(OrganizationChange)


def create_organization(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_new, call.body)
    name = text_field("/name", body.name)
    limits = checked_limits(call, body.rate_limits)
    dimensions = _checked_dimensions(body.usage_dimensions)
    plan = Plan(
        allowance=0 if body.allowance is UNSET else credits_field("/allowance", body.allowance),
        schedule=new_schedule(body.billing_period),
        rollover=Rollover() if body.rollover is UNSET else rollover(body.rollover),
        overage=Overage() if body.overage is UNSET else overage(body.overage),
    )
    unit = CreateOrganization(
        organization_id=call.service.new_id("org"),
        teamspace_id=call.service.new_id("ts"),
        name=name,
        external_id=body.external_id,
        plan=plan,
        rate_limits=limits,
        usage_dimensions=dimensions,
        content=_content(name, plan, limits, dimensions),
    )
    return carry_out(call, DIRECTORY, unit, _show_created)


def _content(
    name: str, plan: Plan, limits: Mapping[str, int], dimensions: tuple[str, ...]
) -> bytes:
    """Tells a repeated `external_id` from a clash; defaults count as named."""
    facts: dict[str, object] = {
        "name": name,
        "plan": plan.to_facts(),
        "rate_limits": dict(limits),
    }
    if dimensions:
        facts["usage_dimensions"] = sorted(dimensions)
    return hashlib.sha256(canonical_json(facts).encode()).digest()


def checked_limits(call: Call, limits: Mapping[str, int]) -> Mapping[str, int]:
    """422 for a limit on what is no operation of tenants: it would never apply."""
    for name in limits:
        if name not in call.service.limitable:
            pointer = f"/rate_limits/{escape_step(shorten(name))}"
            raise invalid(pointer, "names no operation that can be limited")
    return limits


def _checked_dimensions(names: list[str]) -> tuple[str, ...]:
    for number, name in enumerate(names):
        text_field(f"/usage_dimensions/{number}", name)
        if name in names[:number]:
            raise invalid(f"/usage_dimensions/{number}", "is named twice")
        if "," in name:
            raise invalid(f"/usage_dimensions/{number}", "must not contain a comma")
    return tuple(names)


def _show_created(outcome: object) -> Shown:
    state = expect(OrganizationState, outcome)
    return Shown(200 if state.duplicate else 201, organization_view(state))


def list_organizations(call: Call) -> Awaitable[Answer]:
    page = read_page(call.query)
    external_id = call.query.get("external_id")
    if external_id is None:
        return list_answer(page, call.service.reads.organizations, organization_view)

    async def fetch(_: Page) -> list[OrganizationState]:
        found = await call.service.reads.organization_named(external_id)
        return [] if found is None else [found]

    return list_answer(page, fetch, organization_view)


async def get_organization(call: Call) -> Answer:
    state = await call.service.reads.organization(call.organization_id)
    if state is None:
        raise not_found("organization")
    return answer(200, organization_view(state))


def update_organization(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_change, call.body)
    period = body.billing_period
    unit = UpdateOrganization(
        organization_id=call.organization_id,
        name=None if body.name is UNSET else text_field("/name", body.name),
        rate_limits=None if body.rate_limits is UNSET else checked_limits(call, body.rate_limits),
        usage_dimensions=(
            None if body.usage_dimensions is UNSET else _checked_dimensions(body.usage_dimensions)
        ),
        plan=_plan_change(body),
        reschedule=None if period is UNSET else rescheduling(period),
    )
    return carry_out(call, call.organization_id, unit, _show_state)


def _plan_change(body: OrganizationChange) -> ChangePlan | None:
    terms = (body.allowance, body.billing_period, body.rollover, body.overage)
    is_now = body.apply == "now"
    if all(term is UNSET for term in terms) and not is_now:
        return None
    return ChangePlan(
        allowance=None if body.allowance is UNSET else credits_field("/allowance", body.allowance),
        rollover=None if body.rollover is UNSET else rollover(body.rollover),
        overage=None if body.overage is UNSET else overage(body.overage),
        apply_now=is_now,
    )


def _set_status(status: AccountStatus) -> Callable[[Call], Awaitable[Answer]]:
    def handle(call: Call) -> Awaitable[Answer]:
        read_nothing(call.body)
        unit = UpdateOrganization(organization_id=call.organization_id, status=status)
        return carry_out(call, call.organization_id, unit, _show_state)

    return handle


def _show_state(outcome: object) -> Shown:
    return Shown(200, organization_view(expect(OrganizationState, outcome)))


def organization_view(state: OrganizationState) -> OrganizationView:
    organization, terms = state.organization, state.terms
    return OrganizationView(
        id=organization.id,
        name=organization.name,
        external_id=organization.external_id,
        allowance=credits_json(terms.plan.allowance),
        billing_period=billing_period_view(terms.plan.schedule),
        rollover=rollover_view(terms.plan.rollover),
        overage=overage_view(terms.plan.overage),
        rate_limits=dict(organization.rate_limits),
        usage_dimensions=list(organization.usage_dimensions),
        default_teamspace_id=organization.default_teamspace_id,
        status=terms.status.value,
        takes_effect_at=time_json(terms.takes_effect_at),
        created_at=time_json(organization.created_at) or "",
    )


_PATH: Final = "/v1/admin/organizations"
_ONE: Final = _PATH + "/{organization_id}"


def _status_operation(verb: str, status: AccountStatus, description: str) -> Operation:
    return Operation(
        name=f"{verb}_organization",
        method="POST",
        path=f"{_ONE}/{verb}",
        handle=_set_status(status),
        audience=Audience.OPERATOR,
        tag="Organizations",
        request=Nothing,
        request_optional=True,
        response=OrganizationView,
        errors=("resource_not_found", "conflict", "validation_failed"),
        idempotent=True,
        summary=f"{verb.capitalize()} an organization",
        description=description,
    )


OPERATIONS = (
    Operation(
        name="create_organization",
        method="POST",
        path=_PATH,
        handle=create_organization,
        audience=Audience.OPERATOR,
        tag="Organizations",
        request=NewOrganization,
        response=OrganizationView,
        status=201,
        also={200: "There was one with this external_id and content; this is it"},
        errors=("conflict", "validation_failed"),
        idempotent=True,
        summary="Create an organization",
        description=(
            "Opens its account, starts its billing period and makes its default teamspace. An "
            "`external_id` is unique: the same content again gives the first organization, other "
            "content is a conflict."
        ),
    ),
    Operation(
        name="list_organizations",
        method="GET",
        path=_PATH,
        handle=list_organizations,
        audience=Audience.OPERATOR,
        tag="Organizations",
        response=list_type(OrganizationView, "OrganizationList"),
        errors=("validation_failed",),
        query=(
            *PAGING,
            Parameter("external_id", {"type": "string"}, "Only the one with this id of yours"),
        ),
        summary="List organizations",
    ),
    Operation(
        name="get_organization",
        method="GET",
        path=_ONE,
        handle=get_organization,
        audience=Audience.OPERATOR,
        tag="Organizations",
        response=OrganizationView,
        errors=("resource_not_found",),
        summary="Get an organization",
    ),
    Operation(
        name="update_organization",
        method="PATCH",
        path=_ONE,
        handle=update_organization,
        audience=Audience.OPERATOR,
        tag="Organizations",
        request=OrganizationChange,
        response=OrganizationView,
        errors=("resource_not_found", "conflict", "validation_failed"),
        summary="Change an organization",
        description=(
            "What is left out stays. Name, rate limits, usage dimensions and overage count at "
            "once. A new allowance counts from the next period or, with `apply` set to `now`, "
            "changes the present one by the difference, never below what of it is spent or held. A "
            "new billing period or rollover starts when the present period ends; there is no "
            "proration."
        ),
    ),
    _status_operation(
        "suspend", AccountStatus.SUSPENDED, "It reads, but spends nothing, until it is resumed."
    ),
    _status_operation("resume", AccountStatus.ACTIVE, "Lets a suspended organization spend again."),
    _status_operation("close", AccountStatus.CLOSED, "For good: it reads, but spends nothing."),
)
