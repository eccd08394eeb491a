"""Holds: credits set aside for work whose cost is not known yet, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.commands import (
    Captured,
    CaptureHold,
    ExtendHold,
    Held,
    PlaceHold,
    ReleaseHold,
)
from tallystick.domain.directory import Scope
from tallystick.domain.holds import HoldStatus
from tallystick.http.errors import ApiError, Rejected, invalid
from tallystick.http.handlers.receipts import receipt_json
from tallystick.http.handlers.usage_events import (
    ID_RULE,
    SALT_BYTES,
    Dimensions,
    EventId,
    EventTime,
    Meter,
    OnInsufficient,
    check_dimensions,
    decode_event,
    event_instant,
    is_event_id,
)
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Call, Operation, Parameter, answer
from tallystick.http.outcomes import expect_alone
from tallystick.http.refusals import Asked, Subject
from tallystick.http.shapes import (
    PAGING,
    Amount,
    CallerId,
    Nothing,
    Request,
    bad_parameter,
    list_answer,
    list_type,
    not_found,
    read_nothing,
    read_page,
)
from tallystick.http.views import HoldView, hold_view
from tallystick.http.wire import (
    credits_field,
    decode_strictly,
    refuse_duplicate_keys,
    text_field,
)
from tallystick.ledger.units import AccountUnit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tallystick.domain.commands import Command
    from tallystick.domain.holds import Hold
    from tallystick.ledger.reading import Page

_SECOND: Final = 1_000_000
_LONGEST: Final = 86_400
_DEFAULT: Final = 900

Seconds = Annotated[
    int, Meta(ge=1, le=_LONGEST, description="Seconds from now; 7 days in all at most")
]


class NewHold(Request, kw_only=True):
    credits: Amount
    expires_in: Seconds = _DEFAULT
    reference: CallerId | None = None
    meter: Annotated[Meter | None, Meta(description="That of the captures, unless they say")] = None
    dimensions: Dimensions | None = None


class Capture(Request, kw_only=True):
    """What a capture may leave out is the hold's own; null is the same as not given."""

    credits: Amount
    id: (
        Annotated[EventId, Meta(description="The usage event's id. Left out: the hold's id")]
        | UnsetType
        | None
    ) = UNSET
    final: Annotated[
        bool, Meta(description="Ends the hold, and gives back what is then still held")
    ] = False
    allow_excess: Annotated[
        bool, Meta(description="More than is held may be captured: the rest is decided as usage")
    ] = False
    on_insufficient: OnInsufficient | UnsetType | None = UNSET
    meter: Meter | UnsetType | None = UNSET
    timestamp: EventTime | UnsetType | None = UNSET
    dimensions: Dimensions | UnsetType | None = UNSET


class Extension(Request, kw_only=True):
    expires_in: Seconds


class CapturedHoldView(HoldView, kw_only=True):
    """The hold as it is after its capture, and the receipt of what was booked."""

    usage: Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Receipt"})]


HoldList = list_type(HoldView, "HoldList")

_decode_hold: Final = msgspec.json.Decoder(NewHold)
_decode_capture: Final = msgspec.json.Decoder(Capture)
_decode_extension: Final = msgspec.json.Decoder(Extension)


def place_hold(call: Call) -> Awaitable[Answer]:
    body = decode_event(_decode_hold, call.body)
    refuse_duplicate_keys(call.body)
    command = PlaceHold(
        credits=credits_field("/credits", body.credits, positive=True),
        expires_in=body.expires_in * _SECOND,
        reference=body.reference,
        meter=_meter(body.meter),
        dimensions=_dimensions(body.dimensions),
        salt=call.service.entropy(SALT_BYTES),
        teamspace_id=call.principal.teamspace_id,
        api_key_id=call.principal.api_key_id,
    )
    return _carry_out(call, command, _show_placed)


def _show_placed(outcome: object, asked: Asked) -> Shown:
    held = expect_alone(Held, outcome, asked)
    return _shown(200 if held.duplicate else 201, held.hold)


def _shown(status: int, hold: Hold) -> Shown:
    """A repetition is told no dimensions: they can be erased, an answer that is kept cannot."""
    view = hold_view(hold)
    again = None if view.dimensions is None else msgspec.structs.replace(view, dimensions=None)
    return Shown(status, view, again)


def capture_hold(call: Call) -> Awaitable[Answer]:
    body = decode_event(_decode_capture, call.body)
    refuse_duplicate_keys(call.body)
    command = CaptureHold(
        hold_id=call.params["hold_id"],
        credits=credits_field("/credits", body.credits),
        event_id=_event_id(body),
        final=body.final,
        allow_excess=body.allow_excess,
        overdraw=body.on_insufficient == "overdraw",
        meter=_meter(body.meter),
        occurred_at=_occurred_at(body, call.service.clock()),
        dimensions=_dimensions(body.dimensions),
        salt=call.service.entropy(SALT_BYTES),
        acting_for=call.principal.acting_for,
    )

    def show(outcome: object, asked: Asked) -> Shown:
        try:
            return _show_captured(outcome, asked)
        except ApiError as error:
            error.rejected = Rejected(1, [command.booked_as])
            raise

    return _carry_out(call, command, show, Subject.CAPTURE)


def _event_id(body: Capture) -> str | None:
    """Only the last capture of a hold may go by the hold's own id, which is used once as well."""
    if body.id is UNSET or body.id is None:
        if not body.final:
            raise invalid("/id", 'is required, unless the capture is "final"')
        return None
    if not is_event_id(body.id):
        raise invalid("/id", ID_RULE)
    return body.id


def _meter(meter: str | UnsetType | None) -> str | None:
    return text_field("/meter", meter) if isinstance(meter, str) else None


def _dimensions(dimensions: dict[str, str] | UnsetType | None) -> dict[str, str] | None:
    if not isinstance(dimensions, dict):
        return None
    check_dimensions(dimensions, "")
    return dimensions


def _occurred_at(body: Capture, now: int) -> int | None:
    if body.timestamp is UNSET or body.timestamp is None:
        return None
    return event_instant(body.timestamp, "/timestamp", now)


def _show_captured(outcome: object, asked: Asked) -> Shown:
    captured = expect_alone(Captured, outcome, asked)
    hold = hold_view(captured.hold)
    parts = {name: getattr(hold, name) for name in hold.__struct_fields__}
    receipt = msgspec.Raw(receipt_json(captured.booked).encode())
    return Shown(200, CapturedHoldView(**parts, usage=receipt))


def release_hold(call: Call) -> Awaitable[Answer]:
    read_nothing(call.body)
    command = ReleaseHold(
        hold_id=call.params["hold_id"],
        acting_for=call.principal.acting_for,
    )
    return _carry_out(call, command, _show_held)


def extend_hold(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_extension, call.body)
    command = ExtendHold(
        hold_id=call.params["hold_id"],
        expires_in=body.expires_in * _SECOND,
        acting_for=call.principal.acting_for,
    )
    return _carry_out(call, command, _show_held)


def _show_held(outcome: object, asked: Asked) -> Shown:
    return _shown(200, expect_alone(Held, outcome, asked).hold)


def _carry_out(
    call: Call,
    command: Command,
    show: Callable[[object, Asked], Shown],
    about: Subject = Subject.HOLD,
) -> Awaitable[Answer]:
    asked = Asked(about, call.principal.teamspace_id)
    unit = AccountUnit(call.organization_id, [command])
    return carry_out(call, call.organization_id, unit, lambda outcome: show(outcome, asked))


async def get_hold(call: Call) -> Answer:
    hold = await call.service.reads.hold(call.organization_id, call.params["hold_id"])
    if hold is None:
        raise not_found("hold")
    return answer(200, hold_view(hold))


def list_holds(call: Call) -> Awaitable[Answer]:
    status = _status(call.query)

    async def fetch(page: Page) -> Sequence[Hold] | None:
        return await call.service.reads.holds(call.organization_id, page, status)

    return list_answer(read_page(call.query), fetch, hold_view)


def _status(query: Mapping[str, str]) -> HoldStatus | None:
    if "status" not in query:
        return None
    try:
        return HoldStatus(query["status"])
    except ValueError:
        raise bad_parameter("status", f"must be one of {', '.join(HoldStatus)}") from None


_PATH: Final = "/v1/organization/credits/holds"
_ONE: Final = _PATH + "/{hold_id}"

OPERATIONS = (
    Operation(
        name="place_hold",
        method="POST",
        path=_PATH,
        handle=place_hold,
        tag="Holds",
        scope=Scope.HOLDS_WRITE,
        request=NewHold,
        example={"credits": 25, "expires_in": 600, "reference": "job-7", "meter": "agent.steps"},
        response=HoldView,
        status=201,
        also={200: "There was one with this reference and content; this is it, as it is now"},
        errors=("credit_exceeded", "conflict"),
        idempotent=True,
        summary="Place a hold",
        description=(
            "Sets credits aside for work whose cost is not known yet. They must be available: an "
            "overage policy does not help, and the budgets of the teamspace and the key count. "
            "Nobody else can spend what is held; what has not been captured when the hold expires "
            "goes back. A `reference` is unique in the organization: the same content again gives "
            "the first hold, other content is a conflict."
        ),
    ),
    Operation(
        name="list_holds",
        method="GET",
        path=_PATH,
        handle=list_holds,
        tag="Holds",
        scope=Scope.CREDITS_READ,
        query=(
            *PAGING,
            Parameter(
                "status", {"type": "string", "enum": list(HoldStatus)}, "Holds with this status"
            ),
        ),
        response=HoldList,
        summary="List holds",
        description="Of the whole organization, whatever has become of them; the latest first.",
    ),
    Operation(
        name="get_hold",
        method="GET",
        path=_ONE,
        handle=get_hold,
        tag="Holds",
        scope=Scope.CREDITS_READ,
        response=HoldView,
        summary="Get a hold",
    ),
    Operation(
        name="capture_hold",
        method="POST",
        path=_ONE + "/capture",
        handle=capture_hold,
        tag="Holds",
        scope=Scope.HOLDS_WRITE,
        request=Capture,
        example={"id": "job-7-step-1", "credits": 1.25},
        response=CapturedHoldView,
        errors=("credit_exceeded", "conflict"),
        summary="Capture a hold",
        description=(
            "Books usage out of what is held, also where the grants have expired since. As for all "
            "usage, the event's `id` makes it safe to send again: each repetition gets the first "
            "receipt. A capture of all that is held, or one that is `final`, ends the hold and "
            "gives the rest back. More than is held is a conflict, unless `allow_excess` says that "
            "the rest is to be decided as usage."
        ),
    ),
    Operation(
        name="release_hold",
        method="POST",
        path=_ONE + "/release",
        handle=release_hold,
        tag="Holds",
        scope=Scope.HOLDS_WRITE,
        request=Nothing,
        request_optional=True,
        response=HoldView,
        errors=("conflict",),
        idempotent=True,
        summary="Release a hold",
        description=(
            "Ends the hold and gives back all that is still held. What goes back to a grant that "
            "has ended in the meantime lapses."
        ),
    ),
    Operation(
        name="extend_hold",
        method="POST",
        path=_ONE + "/extend",
        handle=extend_hold,
        tag="Holds",
        scope=Scope.HOLDS_WRITE,
        request=Extension,
        example={"expires_in": 900},
        response=HoldView,
        errors=("conflict",),
        idempotent=True,
        summary="Extend a hold",
        description=(
            "Counts from now, and never shortens a hold's life, which is 7 days in all at most."
        ),
    ),
)
