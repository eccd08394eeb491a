"""Grants as operators issue and void them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.commands import Command, CreateGrant, Issued, Voided, VoidGrant
from tallystick.domain.grants import DEFAULT_PRIORITY, Grant, GrantKind
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Audience, Call, Operation
from tallystick.http.outcomes import expect_alone
from tallystick.http.shapes import (
    PAGING,
    Amount,
    CallerId,
    Request,
    Time,
    list_answer,
    list_type,
    read_page,
)
from tallystick.http.views import GrantView, grant_view
from tallystick.http.wire import credits_field, decode_strictly, recent_instant
from tallystick.ledger.units import AccountUnit

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tallystick.ledger.reading import Page


class NewGrant(Request, kw_only=True):
    amount: Amount
    kind: Literal["top_up", "promotional", "adjustment"]
    priority: Annotated[
        int, Meta(ge=0, le=100, description="Lower burns first; the allowance has 50")
    ] = DEFAULT_PRIORITY
    effective_at: Time | None = None
    expires_at: Time | None = None
    reference: CallerId | None = None


class Voiding(Request, kw_only=True):
    credits: (
        Annotated[Amount, Meta(description="Left out: all that is neither spent nor held")]
        | UnsetType
    ) = UNSET


_decode_grant: Final = msgspec.json.Decoder(NewGrant)
_decode_voiding: Final = msgspec.json.Decoder(Voiding)


def issue_grant(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_grant, call.body)
    command = CreateGrant(
        amount=credits_field("/amount", body.amount, positive=True),
        kind=GrantKind(body.kind),
        priority=body.priority,
        effective_at=_instant("/effective_at", body.effective_at),
        expires_at=_instant("/expires_at", body.expires_at),
        reference=body.reference,
    )
    return carry_out(call, call.organization_id, _alone(call, command), _show_issued)


def _instant(pointer: str, text: str | None) -> int | None:
    return None if text is None else recent_instant(pointer, text)


def _alone(call: Call, command: Command) -> AccountUnit:
    return AccountUnit(call.organization_id, [command])


def _show_issued(outcome: object) -> Shown:
    issued = expect_alone(Issued, outcome)
    return Shown(200 if issued.duplicate else 201, grant_view(issued.grant))


def void_grant(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_voiding, call.body or b"{}")
    taken = (
        None if body.credits is UNSET else credits_field("/credits", body.credits, positive=True)
    )
    command = VoidGrant(grant_id=call.params["grant_id"], credits=taken)
    return carry_out(call, call.organization_id, _alone(call, command), _show_voided)


def _show_voided(outcome: object) -> Shown:
    return Shown(200, grant_view(expect_alone(Voided, outcome).grant))


def list_organization_grants(call: Call) -> Awaitable[Answer]:
    async def fetch(page: Page) -> list[Grant] | None:
        return await call.service.reads.grants(call.organization_id, page)

    return list_answer(read_page(call.query), fetch, grant_view)


_PATH: Final = "/v1/admin/organizations/{organization_id}/grants"

OPERATIONS = (
    Operation(
        name="issue_grant",
        method="POST",
        path=_PATH,
        handle=issue_grant,
        audience=Audience.OPERATOR,
        tag="Grants",
        request=NewGrant,
        response=GrantView,
        status=201,
        also={200: "There was one with this reference and content; this is it, as it is now"},
        errors=("resource_not_found", "conflict", "validation_failed"),
        idempotent=True,
        summary="Issue a grant",
        description=(
            "Adds credits to an organization: at once, or when `effective_at` comes. A `reference` "
            "is unique in the organization: the same content again gives the first grant, other "
            "content is a conflict."
        ),
    ),
    Operation(
        name="list_organization_grants",
        method="GET",
        path=_PATH,
        handle=list_organization_grants,
        audience=Audience.OPERATOR,
        tag="Grants",
        response=list_type(GrantView, "OrganizationGrantList"),
        errors=("resource_not_found", "validation_failed"),
        query=PAGING,
        summary="List an organization's grants",
    ),
    Operation(
        name="void_grant",
        method="POST",
        path=_PATH + "/{grant_id}/void",
        handle=void_grant,
        audience=Audience.OPERATOR,
        tag="Grants",
        request=Voiding,
        request_optional=True,
        response=GrantView,
        errors=("resource_not_found", "conflict", "validation_failed"),
        idempotent=True,
        summary="Void a grant",
        description=(
            "Takes back what of a grant is neither spent nor held: a part of it, or all and for "
            "good. What is held lapses when it is released."
        ),
    ),
)
