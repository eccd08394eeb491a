"""What usage would cost, without booking it.

The path does not lie below that of usage, where every name is the id of an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.commands import Booked
from tallystick.domain.directory import Scope
from tallystick.domain.entries import uncovered
from tallystick.domain.errors import Refusal
from tallystick.http.handlers.receipts import EventError
from tallystick.http.handlers.usage_events import UsageFacts, decode_event, to_command
from tallystick.http.operations import Answer, Call, Operation, answer
from tallystick.http.refusals import refusal_error
from tallystick.http.shapes import Amount, Credits, Quantity, Response, Time, not_found
from tallystick.http.views import PriceView, price_view
from tallystick.http.wire import credits_json, quantity_json, refuse_duplicate_keys, time_json
from tallystick.ledger.previews import preview_of

if TYPE_CHECKING:
    from tallystick.domain.commands import BookUsage
    from tallystick.ledger.previews import Preview

_NOBODY: Final = "preview"
"""An id for an event that is never booked."""


class PreviewRequest(UsageFacts, kw_only=True):
    """A usage event without an id."""

    credits: Amount | UnsetType = UNSET


class UsagePreview(Response, kw_only=True, tag_field="object", tag="usage_preview"):
    """What would become of the event if it were booked at `as_of`."""

    status: Annotated[Literal["booked", "rejected"], Meta(description="What its receipt would say")]
    credits: Annotated[Credits, Meta(description="What it would cost")]
    quantity: Quantity | UnsetType = UNSET
    price: Annotated[
        PriceView | UnsetType, Meta(description="What the quantity would be rated by")
    ] = UNSET
    available: Annotated[Credits, Meta(description="What can be spent now")]
    overage: Annotated[
        Credits | UnsetType, Meta(description="What of it no grant would cover, if it were booked")
    ] = UNSET
    error: Annotated[EventError | UnsetType, Meta(description="Why it would be rejected")] = UNSET
    as_of: Time


_decode: Final = msgspec.json.Decoder(PreviewRequest)


async def preview_usage(call: Call) -> Answer:
    request = decode_event(_decode, call.body)
    refuse_duplicate_keys(call.body)
    now = call.service.clock()
    command = to_command(
        _NOBODY, request.credits, request, "", call.principal, now, call.service.entropy
    )
    found = await preview_of(call.service.reads, call.organization_id, command)
    if found is None:
        raise not_found("organization")
    if isinstance(found, Refusal):
        raise refusal_error(found)
    return answer(200, _preview_view(command, found))


def _preview_view(command: BookUsage, preview: Preview) -> UsagePreview:
    outcome, rated = preview.outcome, preview.rated
    shown = UsagePreview(
        status="rejected",
        credits=credits_json(command.credits if rated is None else rated.credits),
        available=credits_json(preview.available),
        as_of=time_json(preview.as_of) or "",
    )
    if rated is not None and command.quantity is not None:
        shown.quantity, shown.price = quantity_json(command.quantity), price_view(rated.price)
    if isinstance(outcome, Booked):
        shown.status, shown.overage = "booked", credits_json(uncovered(outcome.entry))
    elif isinstance(outcome, Refusal):
        shown.error = refusal_error(outcome).envelope()
    return shown


OPERATIONS = (
    Operation(
        name="preview_usage",
        method="POST",
        path="/v1/organization/credits/preview",
        handle=preview_usage,
        scope=Scope.CREDITS_READ,
        request=PreviewRequest,
        bodies={
            b"application/json": Annotated[
                PreviewRequest,
                Meta(
                    extra_json_schema={
                        "oneOf": [{"required": ["credits"]}, {"required": ["quantity", "meter"]}]
                    }
                ),
            ]
        },
        example={
            "quantity": 1500,
            "meter": "llm.tokens",
            "dimensions": {"model": "m-large"},
        },
        response=UsagePreview,
        summary="Preview usage",
        description=(
            "What a usage event would cost, by which price, and whether it would be covered now. "
            "Nothing is booked, and nothing is set aside: a moment later it may be different."
        ),
    ),
)
