"""Reading one usage event back, and erasing what it says of persons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from tallystick.domain.directory import Scope
from tallystick.domain.entries import uncovered
from tallystick.domain.errors import Refusal
from tallystick.http.handlers.receipts import rating_of
from tallystick.http.handlers.usage_events import OnInsufficient, is_event_id
from tallystick.http.operations import Answer, Call, Operation, answer
from tallystick.http.refusals import Asked, Subject, refusal_error
from tallystick.http.shapes import Credits, Quantity, Response, Time, not_found
from tallystick.http.views import DrawnView, drawn_view
from tallystick.http.wire import credits_json, time_json
from tallystick.ledger.units import EraseDimensions, NoSuchEvent

if TYPE_CHECKING:
    from tallystick.ledger.ports import UsageRecord


class BookedUsage(Response, kw_only=True):
    """A usage event: its receipt, what was booked, and what has become of it since.

    Where a quantity was sent, it is there with the price that made credits of it.
    """

    object: Literal["usage_event"] = "usage_event"
    id: str
    status: Literal["booked"] = "booked"
    credits: Credits
    quantity: Quantity | UnsetType = UNSET
    price_id: str | UnsetType = UNSET
    overage: Annotated[Credits, Meta(description="What no grant covered when it was booked")]
    drawn: list[DrawnView]
    remaining: Annotated[Credits, Meta(description="Of the balance right after it")]
    consumed: Annotated[Credits, Meta(description="Of the balance right after it")]
    sequence: int
    booked_at: Time
    reversed: Annotated[Credits, Meta(description="What of its credits was given back")]
    meter: str | None
    timestamp: Annotated[Time, Meta(description="When it happened")]
    dimensions: Annotated[
        dict[str, str] | None, Meta(description="Null where there are none, or none any more")
    ]
    dimensions_erased_at: Time | None
    on_insufficient: OnInsufficient
    teamspace_id: str
    api_key_id: str | None
    hold_id: Annotated[str | None, Meta(description="The hold that it was captured from")]


async def get_usage_event(call: Call) -> Answer:
    return await _answer(call, _event_id(call))


async def erase_usage_dimensions(call: Call) -> Answer:
    event_id = _event_id(call)
    who = call.principal
    unit = EraseDimensions(call.organization_id, event_id, who.acting_for)
    outcome = await call.service.ledger.submit(call.organization_id, unit)
    if isinstance(outcome, NoSuchEvent):
        raise not_found("usage event")
    if isinstance(outcome, Refusal):
        raise refusal_error(outcome, Asked(Subject.ERASURE, who.teamspace_id))
    return await _answer(call, event_id)


def _event_id(call: Call) -> str:
    event_id = call.params["event_id"]
    if not is_event_id(event_id):
        raise not_found("usage event")
    return event_id


async def _answer(call: Call, event_id: str) -> Answer:
    reader = call.service.reads.reader
    found = await reader.usage_event(call.organization_id, event_id)
    if found is None:
        raise not_found("usage event")
    reversals = await reader.reversals(call.organization_id, event_id)
    return answer(200, _view(found, sum(entry.credits for entry in reversals)))


def _view(record: UsageRecord, returned: int) -> BookedUsage:
    entry, overdraw, kept = record
    named = None if kept is None or kept.dimensions is None else dict(kept.dimensions)
    occurred_at = entry.booked_at if entry.occurred_at is None else entry.occurred_at
    rating = rating_of(entry)
    return BookedUsage(
        id=entry.event_id or "",
        credits=credits_json(entry.credits),
        quantity=UNSET if rating is None else Raw(rating.quantity.encode()),
        price_id=UNSET if rating is None else rating.price_id,
        overage=credits_json(uncovered(entry)),
        drawn=drawn_view(entry.drawn),
        remaining=credits_json(entry.remaining_after),
        consumed=credits_json(entry.consumed_after),
        sequence=entry.sequence,
        booked_at=time_json(entry.booked_at) or "",
        reversed=credits_json(returned),
        meter=entry.meter,
        timestamp=time_json(occurred_at) or "",
        dimensions=named,
        dimensions_erased_at=None if kept is None else time_json(kept.erased_at),
        on_insufficient="overdraw" if overdraw else "reject",
        teamspace_id=entry.teamspace_id or "",
        api_key_id=entry.api_key_id,
        hold_id=entry.hold_id,
    )


_ONE: Final = "/v1/organization/credits/usage/{event_id}"
OPERATIONS = (
    Operation(
        name="get_usage_event",
        method="GET",
        path=_ONE,
        handle=get_usage_event,
        scope=Scope.CREDITS_READ,
        response=BookedUsage,
        errors=("resource_not_found",),
        summary="Get a usage event",
    ),
    Operation(
        name="erase_usage_dimensions",
        method="DELETE",
        path=_ONE + "/dimensions",
        handle=erase_usage_dimensions,
        scope=Scope.USAGE_WRITE,
        response=BookedUsage,
        errors=("resource_not_found", "outcome_unknown"),
        summary="Erase an event's dimensions",
        description=(
            "Takes the names and values of its dimensions out of the ledger for good; safe to "
            "repeat. The event is one of the teamspace that the key acts in, or the key is of "
            "level account. Its credits stay, and so does the proof: the chain holds a salted "
            "digest of them, and the salt goes too. In statistics the event is counted as one "
            "without them. Sent again, the event is a duplicate where all else is the same."
        ),
    ),
)
