"""CloudEvents 1.0 in JSON as usage: which attribute says what.

    source | id         the event's id, with `%` and `|` of the source percent-encoded
    type                the meter
    time                the timestamp
    data                credits or quantity, dimensions and on_insufficient

Two sources may use the same id for different events, which is why both make up ours. CloudEvents
lets anyone add attributes, so unknown ones are taken and ignored where their name is one that it
allows; `data` is ours, and nothing unknown may stand in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.http.errors import ApiError, invalid
from tallystick.http.handlers.usage_events import (
    ID_RULE,
    MAX_BATCH,
    Dimensions,
    EventTime,
    Meter,
    OnInsufficient,
    UsageFacts,
    decode_event,
    is_event_id,
    to_command,
)
from tallystick.http.shapes import Amount, Quantity, Request
from tallystick.http.wire import decode, escape_step, media_type, refuse_duplicate_keys, shorten

if TYPE_CHECKING:
    from tallystick.domain.commands import BookUsage
    from tallystick.http.auth import Principal
    from tallystick.http.handlers.usage_events import Entropy

_Text = Annotated[str, Meta(min_length=1)]
_ATTRIBUTE: Final = re.compile(r"[a-z0-9]+|data_base64")
_PLACES: Final = {
    "meter": "type",
    "timestamp": "time",
    "credits": "data/credits",
    "quantity": "data/quantity",
    "dimensions": "data/dimensions",
}


class UsageData(Request, kw_only=True, gc=False):
    """What a CloudEvent's `data` says; meter and time are attributes of the event itself."""

    credits: Amount | UnsetType = UNSET
    quantity: Quantity | UnsetType = UNSET
    dimensions: Dimensions | UnsetType | None = UNSET
    on_insufficient: OnInsufficient | UnsetType | None = UNSET


class CloudEvent(msgspec.Struct, kw_only=True, gc=False):
    """A CloudEvent in structured mode; `source` and `id` together are the usage event's id."""

    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: Meter
    time: EventTime | UnsetType | None = UNSET
    subject: str | UnsetType | None = UNSET
    dataschema: str | UnsetType | None = UNSET
    datacontenttype: str | UnsetType | None = UNSET
    data_base64: Annotated[object, Meta(description="Not supported")] = UNSET
    data: Annotated[
        UsageData,
        Meta(extra_json_schema={"oneOf": [{"required": ["credits"]}, {"required": ["quantity"]}]}),
    ]


_event_decoder: Final = msgspec.json.Decoder(CloudEvent)
_batch_decoder: Final = msgspec.json.Decoder(
    Annotated[list[msgspec.Raw], Meta(max_length=MAX_BATCH)]
)


def read_cloud_events(body: bytes) -> list[bytes]:
    """The events of a batch, unread; CloudEvents allows that there are none."""
    return [bytes(event) for event in decode(_batch_decoder, body)]


def read_cloud_event(
    body: bytes, at: str, principal: Principal, now: int, entropy: Entropy
) -> BookUsage:
    """The command that a CloudEvent is; raises 422 with pointers below `at`."""
    try:
        event = _read(body)
        data = event.data
        facts = UsageFacts(
            quantity=data.quantity,
            meter=event.type,
            timestamp=event.time,
            dimensions=data.dimensions,
            on_insufficient=data.on_insufficient,
        )
        return to_command(_event_id(event), data.credits, facts, "", principal, now, entropy)
    except ApiError as error:
        raise below(at, error) from None


def _read(body: bytes) -> CloudEvent:
    event = decode_event(_event_decoder, body)
    attributes = refuse_duplicate_keys(body)
    for name in attributes if isinstance(attributes, dict) else ():
        if _ATTRIBUTE.fullmatch(name) is None:
            raise invalid(
                f"/{escape_step(shorten(name))}",
                "is no name of a CloudEvents attribute, which consists of a to z and 0 to 9",
            )
    if event.data_base64 is not UNSET and event.data_base64 is not None:
        raise invalid("/data_base64", "is not supported: send JSON in 'data'")
    if event.datacontenttype and not _is_json(event.datacontenttype):
        raise invalid("/datacontenttype", "must be a JSON media type, which is the default")
    return event


def _is_json(content_type: str) -> bool:
    found = media_type(content_type.encode())
    return found in {b"application/json", b"text/json"} or found.endswith(b"+json")


def _event_id(event: CloudEvent) -> str:
    source = event.source.replace("%", "%25").replace("|", "%7C")
    event_id = f"{source}|{event.id}"
    if not is_event_id(event_id):
        pointer = "/id" if is_event_id(source) else "/source"
        raise invalid(pointer, f"together, as source|id, source and id {ID_RULE}")
    return event_id


def below(at: str, error: ApiError) -> ApiError:
    """`error`, its pointer, if it has one, where a CloudEvent has the field, below `at`."""
    if not error.errors:
        return error
    field = error.errors[0]
    _, _, path = field.pointer.partition("/")
    first, slash, rest = path.partition("/")
    place = f"/{_PLACES.get(first, first)}{slash}{rest}" if path else ""
    placed = invalid(at + place, field.message, field.code, error.details)
    placed.rejected = error.rejected
    return placed
