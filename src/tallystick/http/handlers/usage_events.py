"""Usage events as JSON spells them, and the commands that they become.

One decoding pass checks types, lengths and unknown fields; `to_command` checks what types cannot
say. What is left are keys that occur twice, of which decoding keeps the last and says nothing.

They are found by counting. Whatever decoding kept is encoded again; the result has every key and
every string that was kept, once, and therefore two structural quotes (those that delimit strings,
not the escaped ones inside) for each. What was sent has two for each string that was *sent*. A key
that occurs twice was sent, but is not among what was kept, so the counts are equal exactly when no
key occurs twice. Three things make this sound: unknown fields are refused, so nothing is skipped;
optional fields default to UNSET, so encoding invents no key that was not sent; and an amount, which
is kept as it was spelled, is refused unless it is a number, and so is a quantity. Only where the
counts differ is the body scanned key by key, to name the culprit.

This module is on the path of every event: it is kept to about 5 µs for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.commands import BookUsage, is_too_early, is_too_late, usage_content
from tallystick.domain.credits import InvalidCredits, parse_credits
from tallystick.domain.quantities import parse_quantity
from tallystick.http.errors import ApiError, invalid
from tallystick.http.shapes import Amount, Quantity, Request, Time
from tallystick.http.wire import (
    decode,
    escape_step,
    instant_field,
    parse_field,
    refuse_duplicate_keys,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.http.auth import Principal

    Entropy = Callable[[int], bytes]

T = TypeVar("T", bound=msgspec.Struct)

MAX_BATCH: Final = 1000
"""Events in one request that is not a stream."""
MAX_ID: Final = 255
MAX_VALUE: Final = 255
SALT_BYTES: Final = 16
_NO_NUL: Final = "must not contain NUL"
ID_RULE: Final = "must be 1 to 255 characters from ! to ~ (ASCII, no spaces)"

EventId = Annotated[
    str,
    Meta(
        description="Your own id of the event, unique in the organization for ever: printable "
        "ASCII without spaces",
        extra_json_schema={"minLength": 1, "maxLength": MAX_ID, "pattern": "^[\\x21-\\x7e]+$"},
    ),
]

Meter = Annotated[
    str, Meta(min_length=1, max_length=255, description="What was metered, such as llm.tokens")
]

Dimensions = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)],
        Annotated[str, Meta(max_length=MAX_VALUE)],
    ],
    Meta(max_length=16, description="What statistics can group by: names of 1 to 64 characters"),
]

EventTime = Annotated[
    Time,
    Meta(description="When it happened: from the year 2000 to 24 hours ahead; default: now"),
]

OnInsufficient = Annotated[
    Literal["reject", "overdraw"],
    Meta(
        description="reject (default): refused unless covered in full. overdraw: the work has "
        "been done, so it is booked and what no grant covers becomes overage"
    ),
]


class UsageFacts(Request, kw_only=True, gc=False):
    """What an event may say beside its id and its credits; null is the same as not given, but for
    the quantity, which takes the place of the credits."""

    quantity: Quantity | UnsetType = UNSET
    meter: Meter | UnsetType | None = UNSET
    timestamp: EventTime | UnsetType | None = UNSET
    dimensions: Dimensions | UnsetType | None = UNSET
    on_insufficient: OnInsufficient | UnsetType | None = UNSET


class UsageEvent(UsageFacts, kw_only=True, gc=False):
    """One event of a batch or a stream."""

    id: EventId
    credits: Amount | UnsetType = UNSET


CREDITS_OR_QUANTITY: Final = [
    {"required": ["id", "credits"]},
    {"required": ["id", "quantity", "meter"]},
]
"""Exactly one of them says how much it was."""

EventOfMany = Annotated[UsageEvent, Meta(extra_json_schema={"oneOf": CREDITS_OR_QUANTITY})]

Events = Annotated[list[EventOfMany], Meta(min_length=1, max_length=MAX_BATCH)]

Atomic = Annotated[bool, Meta(description="All events of the batch or none (default false)")]


class UsageRequest(UsageFacts, kw_only=True, gc=False):
    """One event (`id`, `credits` or `quantity`, …) or a batch of them (`events`, `atomic`)."""

    id: EventId | UnsetType = UNSET
    credits: Amount | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    atomic: Atomic | UnsetType | None = UNSET


_BATCH_FIELDS: Final = ("events", "atomic")
_request_decoder: Final = msgspec.json.Decoder(UsageRequest)
_event_decoder: Final = msgspec.json.Decoder(UsageEvent)
_encode: Final = msgspec.json.encode
# A NamedTuple's own constructor costs twice as much.
_new: Final = tuple.__new__


def read_request(body: bytes) -> UsageRequest:
    """The event or the batch in `body`; raises 422 for whatever is wrong with its form."""
    return _read(_request_decoder, body)


def read_event(line: bytes) -> UsageEvent:
    """The event in `line`; raises 422 for whatever is wrong with its form."""
    return _read(_event_decoder, line)


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        value = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = decode_event(decoder, body)  # raises, and says what is wrong
    kept = _encode(value)
    # Where nothing is escaped, nothing has to be when it is encoded, and every quote is structural.
    if b"\\" in body:
        is_whole = _quotes(body) == _quotes(kept)
    else:
        is_whole = body.count(b'"') == kept.count(b'"')
    if not is_whole:
        refuse_duplicate_keys(body)
    return value


def decode_event(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """`wire.decode`, with pointers that name the dimension which is wrong."""
    try:
        return decode(decoder, body)
    except ApiError as error:
        raise _name_dimension(error, body) from None


def _quotes(json: bytes) -> int:
    """How many quotes in valid JSON delimit a string, rather than stand in one."""
    # Escapes in a run of backslashes pair up from its left, which is how `replace` finds them;
    # once the escaped backslashes are gone, a backslash before a quote escapes it.
    if b"\\\\" in json:
        json = json.replace(b"\\\\", b"")
    return json.count(b'"') - json.count(b'\\"')


def single(request: UsageRequest, principal: Principal, now: int, entropy: Entropy) -> BookUsage:
    """The command of a request that is no batch."""
    if request.atomic is not UNSET and request.atomic is not None:
        raise invalid("/atomic", "is for batches: it needs 'events'")
    if request.id is UNSET:
        raise invalid("/id", "is required (or 'events', for a batch)")
    return to_command(request.id, request.credits, request, "", principal, now, entropy)


def batch(request: UsageRequest) -> list[UsageEvent] | None:
    """The events of a request that is a batch; None where it is a single event."""
    if request.events is UNSET:
        return None
    for name in request.__struct_fields__:
        if name not in _BATCH_FIELDS and getattr(request, name) is not UNSET:
            raise invalid(f"/{name}", "cannot stand beside 'events': say it of each event")
    return request.events


def to_command(
    event_id: str,
    amount: msgspec.Raw | UnsetType,
    facts: UsageFacts,
    at: str,
    principal: Principal,
    now: int,
    entropy: Entropy,
) -> BookUsage:
    """The command that books an event for `principal`; raises 422 with pointers below `at`.

    `entropy` is where the salt of its dimensions comes from.
    """
    if not is_event_id(event_id):
        raise invalid(at + "/id", ID_RULE)
    quantity = None
    if amount is UNSET:
        credits_used, quantity = 0, _quantity(facts, at)
    elif facts.quantity is not UNSET:
        raise invalid(at + "/quantity", "cannot stand beside 'credits'")
    else:
        try:
            credits_used = parse_credits(bytes(amount))
        except InvalidCredits as error:
            raise invalid(at + "/credits", str(error)) from None
    # UNSET is falsy, an empty meter was refused by its type, and no dimensions are as good as none.
    meter = facts.meter or None
    if meter is not None and "\x00" in meter:
        raise invalid(at + "/meter", _NO_NUL)
    dimensions = facts.dimensions or None
    salt = b""
    if dimensions is not None:
        check_dimensions(dimensions, at)
        salt = entropy(SALT_BYTES)
    timestamp = facts.timestamp
    occurred_at = None
    if timestamp is not None and timestamp is not UNSET:
        occurred_at = event_instant(timestamp, at + "/timestamp", now)
    overdraw = facts.on_insufficient == "overdraw"
    teamspace_id = principal.teamspace_id
    content = usage_content(
        credits_used=credits_used,
        meter=meter,
        occurred_at=occurred_at,
        dimensions=dimensions,
        overdraw=overdraw,
        teamspace_id=teamspace_id,
        quantity=quantity,
        salt=salt,
    )
    return _new(
        BookUsage,
        (
            event_id,
            credits_used,
            meter,
            occurred_at,
            dimensions,
            overdraw,
            teamspace_id,
            principal.api_key_id,
            content,
            quantity,
            salt,
        ),
    )


def _quantity(facts: UsageFacts, at: str) -> int:
    if facts.quantity is UNSET:
        raise invalid(at + "/credits", "is required (or 'quantity', beside 'meter')")
    if not facts.meter:
        raise invalid(at + "/meter", "is required beside 'quantity': it says which prices count")
    return parse_field(at + "/quantity", parse_quantity, bytes(facts.quantity))


def is_event_id(text: str) -> bool:
    """Whether `text` is 1–255 bytes in 0x21–0x7E."""
    # Of ASCII, 0x20–0x7E are what Python calls printable. A pattern takes four times as long.
    return 0 < len(text) <= MAX_ID and text.isascii() and text.isprintable() and " " not in text


def check_dimensions(dimensions: dict[str, str], at: str) -> None:
    """Raises 422 for a NUL in a name or a value."""
    for name, value in dimensions.items():
        if "\x00" in name or "\x00" in value:
            raise invalid(f"{at}/dimensions/{escape_step(name)}", _NO_NUL)


def event_instant(text: str, pointer: str, now: int) -> int:
    """When usage happened; raises 422 where it cannot have happened then."""
    instant = instant_field(pointer, text)
    if is_too_early(instant):
        raise invalid(pointer, "must not be before the year 2000")
    if is_too_late(instant, now):
        raise invalid(pointer, "must not be more than 24 hours ahead")
    return instant


def _name_dimension(error: ApiError, body: bytes) -> ApiError:
    """`error` with a pointer to the dimension itself, where decoding only says: one of them."""
    field = error.errors[0]
    if not field.pointer.endswith("/dimensions/*"):
        return error
    pointer = field.pointer.removesuffix("/*")
    try:
        name = _wrong_dimension(body, pointer.split("/")[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError):
        # Something else is wrong as well, further on.
        return invalid(pointer, field.message)
    return invalid(f"{pointer}/{escape_step(name)}", field.message)


def _wrong_dimension(body: bytes, path: list[str]) -> str:
    """The first name in the object at `path` whose value is none that a dimension may have."""
    for step in path:
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
        body = bytes(found[int(step)] if isinstance(found, list) else found[step])
    for name, value in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items():
        if not _is_dimension_value(value):
            return name
    raise LookupError("no dimension is wrong")


def _is_dimension_value(value: msgspec.Raw) -> bool:
    text = msgspec.json.decode(value, type=object)
    return isinstance(text, str) and len(text) <= MAX_VALUE
