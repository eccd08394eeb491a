"""Reversals: a usage event's credits given back, whole or in part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.commands import Reversed, ReverseUsage
from tallystick.domain.directory import Scope
from tallystick.domain.ids import derive_id
from tallystick.domain.reversals import reversal_facts
from tallystick.http.errors import invalid
from tallystick.http.handlers.usage_events import is_event_id
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Call, Operation
from tallystick.http.outcomes import expect_alone
from tallystick.http.refusals import Asked, Subject
from tallystick.http.shapes import (
    Amount,
    CallerId,
    Credits,
    Name,
    Request,
    Response,
    Time,
    not_found,
)
from tallystick.http.views import DrawnView, drawn_view
from tallystick.http.wire import credits_field, credits_json, decode_strictly, text_field, time_json
from tallystick.ledger.units import AccountUnit

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tallystick.domain.entries import Entry


class Reversal(Request, kw_only=True):
    credits: (
        Annotated[Amount, Meta(description="Left out: all that has not been reversed yet")]
        | UnsetType
    ) = UNSET
    reference: Annotated[
        CallerId | None,
        Meta(description="Your own id of this reversal of the event; a part must have one"),
    ] = None
    reason: Name | None = None


class UsageReversalView(Response, kw_only=True):
    """What was given back: `credits` is what was returned, the overage undone and what lapsed."""

    object: Literal["usage_reversal"] = "usage_reversal"
    id: str
    event_id: str
    credits: Credits
    returned: Annotated[list[DrawnView], Meta(description="What went back to which grant")]
    overage: Annotated[Credits, Meta(description="Of what no grant had covered")]
    lapsed: Annotated[Credits, Meta(description="Of what came from grants that have ended since")]
    reference: str | None
    reason: str | None
    remaining: Credits
    consumed: Credits
    sequence: int
    booked_at: Time


_decode: Final = msgspec.json.Decoder(Reversal)


def reverse_usage(call: Call) -> Awaitable[Answer]:
    event_id = call.params["event_id"]
    body = decode_strictly(_decode, call.body or b"{}")
    amount = (
        None if body.credits is UNSET else credits_field("/credits", body.credits, positive=True)
    )
    if amount is not None and body.reference is None:
        raise invalid("/reference", "is required beside 'credits': it tells one part from another")
    if not is_event_id(event_id):
        raise not_found("usage event")
    command = ReverseUsage(
        event_id=event_id,
        credits=amount,
        reference=body.reference,
        note=None if body.reason is None else text_field("/reason", body.reason),
        acting_for=call.principal.acting_for,
    )
    asked = Asked(Subject.REVERSAL, call.principal.teamspace_id)
    unit = AccountUnit(call.organization_id, [command])
    return carry_out(call, call.organization_id, unit, lambda outcome: _show(outcome, asked))


def _show(outcome: object, asked: Asked) -> Shown:
    done = expect_alone(Reversed, outcome, asked)
    return Shown(200 if done.duplicate else 201, usage_reversal_view(done.entry))


def usage_reversal_view(entry: Entry) -> UsageReversalView:
    facts = reversal_facts(entry)
    return UsageReversalView(
        id=derive_id("reversal", entry.organization_id, entry.sequence, entry.booked_at),
        event_id=entry.event_id or "",
        credits=credits_json(entry.credits),
        returned=drawn_view(entry.drawn),
        overage=credits_json(facts.overage),
        lapsed=credits_json(sum(part for _, part in facts.lapsed)),
        reference=facts.reference,
        reason=facts.note,
        remaining=credits_json(entry.remaining_after),
        consumed=credits_json(entry.consumed_after),
        sequence=entry.sequence,
        booked_at=time_json(entry.booked_at) or "",
    )


OPERATIONS = (
    Operation(
        name="reverse_usage",
        method="POST",
        path="/v1/organization/credits/usage/{event_id}/reverse",
        handle=reverse_usage,
        scope=Scope.USAGE_WRITE,
        request=Reversal,
        request_optional=True,
        example={"credits": 0.5, "reference": "ticket-7", "reason": "the answer was cut off"},
        response=UsageReversalView,
        status=201,
        also={200: "This had been reversed before; the first reversal again"},
        errors=("conflict",),
        summary="Reverse usage",
        description=(
            "Gives a usage event's credits back, all that is left of them or a part: overage "
            "first, then the grants in the reverse of the order drawn. What came from grants that "
            "have ended since lapses at once. Within the event's own billing period `consumed` "
            "falls; later, only what live grants get back shows. A `reference`, which a part must "
            "have, is unique among the reversals of an event: the same content again gives the "
            "first reversal, other content is a conflict."
        ),
    ),
)
