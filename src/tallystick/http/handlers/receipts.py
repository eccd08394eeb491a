"""What became of usage events, as JSON: receipts, refusals, and the results that gather them.

The types are what the reference shows. Receipts, of which there may be a thousand in an answer, are
written straight to text; a test holds them equal to their types.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.credits import format_credits
from tallystick.domain.entries import uncovered
from tallystick.domain.errors import Reason, Refusal
from tallystick.domain.periods import format_instant
from tallystick.http.errors import ApiError, invalid, translate
from tallystick.http.operations import Answer
from tallystick.http.shapes import Credits, Quantity, Response, Time
from tallystick.http.views import DrawnView
from tallystick.http.wire import credits_json, encode, time_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tallystick.domain.commands import Booked, BookUsage
    from tallystick.ledger.coalesce import Overloaded
    from tallystick.ledger.ports import StoreError


class Receipt(Response, kw_only=True, tag_field="object", tag="usage_event"):
    """A usage event as it was booked; a duplicate carries the first receipt's figures.

    `overage` is what no grant covered; `remaining` and `consumed` are the balance right after it.
    Where a quantity was sent, it is there with the price that made credits of it.
    """

    id: str
    status: Literal["booked", "duplicate"]
    credits: Credits
    quantity: Quantity | UnsetType = UNSET
    price_id: str | UnsetType = UNSET
    overage: Credits
    drawn: list[DrawnView]
    remaining: Credits
    consumed: Credits
    sequence: int
    booked_at: Time


EventError = Annotated[
    dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/EventError"})
]
"""An error's envelope, without the `request_id` that the whole answer has."""


class UsageResult(Response, kw_only=True):
    """One event of a batch: its receipt, or `status` rejected and an `error`, without figures."""

    object: Literal["usage_event"] | UnsetType = UNSET
    id: str
    status: Literal["booked", "duplicate", "rejected"]
    credits: Credits | UnsetType = UNSET
    quantity: Quantity | UnsetType = UNSET
    price_id: str | UnsetType = UNSET
    overage: Credits | UnsetType = UNSET
    drawn: list[DrawnView] | UnsetType = UNSET
    remaining: Credits | UnsetType = UNSET
    consumed: Credits | UnsetType = UNSET
    sequence: int | UnsetType = UNSET
    booked_at: Time | UnsetType = UNSET
    error: EventError | UnsetType = UNSET


class UsageResults(Response, kw_only=True, tag_field="object", tag="list"):
    """What became of a batch, in the order sent."""

    data: list[UsageResult]
    booked: int
    duplicates: int
    rejected: int


class RejectedLine(Response, kw_only=True, omit_defaults=True):
    """A line of a stream that was rejected; `id` where it could be read."""

    line: int
    id: str | None = None
    error: EventError


class UsageImport(Response, kw_only=True, tag_field="object", tag="usage_import"):
    """What became of a stream; `errors` are those of the first 100 rejected lines."""

    booked: int
    duplicates: int
    rejected: int
    errors: list[RejectedLine]


class Rating(msgspec.Struct):
    """What the entry of rated usage says of it; the quantity is decimal text."""

    price_id: str
    quantity: str


_decode_rating: Final = msgspec.json.Decoder(Rating).decode


_MOST_NAMED: Final = 20
"""Names that an error lists."""


def receipt_answer(outcome: Booked | Refusal) -> Answer:
    """The answer to a single event; raises what refused it."""
    if isinstance(outcome, Refusal):
        raise refusal_error(outcome)
    return Answer(200 if outcome.duplicate else 201, receipt_json(outcome).encode())


def _as_it_is(error: ApiError) -> ApiError:
    return error


@dataclass(slots=True)
class BatchResults:
    """Gathers what became of the events of a batch, a chunk at a time.

    `place` puts an error's pointer where the event, as it was sent, has the field.
    """

    place: Callable[[ApiError], ApiError] = _as_it_is
    _data: list[str] = field(default_factory=list)
    _booked: int = 0
    _duplicates: int = 0

    def __len__(self) -> int:
        return len(self._data)

    def add(self, commands: Sequence[BookUsage], outcomes: Sequence[Booked | Refusal]) -> None:
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                error = self.place(refusal_error(outcome))
                self._data.append(_rejected_json(command.event_id, error))
                continue
            self._data.append(receipt_json(outcome))
            if outcome.duplicate:
                self._duplicates += 1
            else:
                self._booked += 1

    def answer(self) -> Answer:
        rejected = len(self._data) - self._booked - self._duplicates
        return Answer(
            200,
            (
                f'{{"object":"list","data":[{",".join(self._data)}],"booked":{self._booked},'
                f'"duplicates":{self._duplicates},"rejected":{rejected}}}'
            ).encode(),
        )


def _rejected_json(event_id: str, error: ApiError) -> str:
    return encode({"id": event_id, "status": "rejected", "error": error.envelope()}).decode()


# The events of a batch were booked at one instant.
_print_instant = lru_cache(maxsize=64)(format_instant)


def receipt_json(booked: Booked) -> str:
    """The `Receipt` of a usage entry."""
    entry, duplicate = booked
    event_id, used = entry.event_id or "", entry.credits
    # Ids are printable ASCII, so these two characters are all that JSON would escape.
    if '"' in event_id or "\\" in event_id:
        event_id = encode(event_id)[1:-1].decode()
    credits_used, overage = format_credits(used), "0"
    if len(entry.drawn) == 1 and entry.drawn[0][1] == used:
        # Nearly always one grant covers everything.
        drawn = f'{{"grant_id":"{entry.drawn[0][0]}","credits":{credits_used}}}'
    else:
        drawn = ",".join(
            f'{{"grant_id":"{grant_id}","credits":{format_credits(taken)}}}'
            for grant_id, taken in entry.drawn
        )
        overage = format_credits(uncovered(entry))
    rated = "" if entry.detail is None else _rated_json(entry.detail)
    return (
        f'{{"object":"usage_event","id":"{event_id}",'
        f'"status":"{"duplicate" if duplicate else "booked"}",'
        f'"credits":{credits_used},{rated}"overage":{overage},"drawn":[{drawn}],'
        f'"remaining":{format_credits(entry.remaining_after)},'
        f'"consumed":{format_credits(entry.consumed_after)},"sequence":{entry.sequence},'
        f'"booked_at":"{_print_instant(entry.booked_at)}"}}'
    )


def _rated_json(detail: str) -> str:
    """The part of a receipt that says how an entry with this detail was rated."""
    rated = _decode_rating(detail)
    return f'"quantity":{rated.quantity},"price_id":"{rated.price_id}",'


def refusal_error(refusal: Refusal, at: str = "", **details: object) -> ApiError:
    """How a refusal to book the event at the pointer `at` is answered; `details` are added to its
    own."""
    figures = refusal.figures
    match refusal.reason:
        case Reason.ID_REUSED:
            return ApiError(
                "conflict",
                "an event with this id and other content has been booked",
                details=details,
                mitigation="Use a new id for a new event; ids may be used once, for ever",
            )
        case Reason.CLOSED | Reason.SUSPENDED:
            state = refusal.reason.name.lower()
            return ApiError(
                "permission_denied",
                f"the organization is {state}: it may read, but spend nothing",
                details=details,
                mitigation="Ask the operator of this service about the organization's status",
            )
        case Reason.SUM_LIMIT:
            room = figures["room"]
            return ApiError(
                "conflict",
                "the billing period would hold more usage than can be counted exactly; "
                f"there is room for {format_credits(room)} credits",
                details={"room": credits_json(room), **details},
                mitigation="Wait for the next billing period or book less",
            )
        case Reason.NOT_COVERED:
            return _not_covered(figures, details)
        case Reason.NO_SUCH_METER:
            known = {"known_meters": refusal.names, **details}
            return invalid(at + "/meter", "has no price", "unknown_meter", known)
        case Reason.NO_PRICE:
            return _not_priced(refusal, at, details)
        case Reason.CHARGE_LIMIT:
            message = f"comes to more than {format_credits(figures['most'])} credits"
            return invalid(at + "/quantity", message, details=details)
        case _:
            raise LookupError(f"{refusal.reason.name} is no reason to refuse usage")


def _not_covered(figures: Mapping[str, int], details: Mapping[str, object]) -> ApiError:
    required, available = figures["required"], figures["available"]
    reason = (
        f"{format_credits(required)} credits are required, {format_credits(available)} available"
    )
    if figures["overage_headroom"]:
        reason += f", and {format_credits(figures['overage_headroom'])} more may become overage"
    return ApiError(
        "credit_exceeded",
        reason,
        details={
            "required": credits_json(required),
            "available": credits_json(available),
            "blocked_by": "organization",
            "resets_at": time_json(figures["resets_at"]),
            **details,
        },
    )


def _not_priced(refusal: Refusal, at: str, details: Mapping[str, object]) -> ApiError:
    """Where other times have a price, it is the time that is wrong; else the dimensions are."""
    known: dict[str, object] = {
        name: time_json(instant) for name, instant in refusal.figures.items()
    }
    field = "/timestamp"
    if len(known) == 1:
        field, known["known_dimensions"] = "/dimensions", refusal.names[:_MOST_NAMED]
    message = "the meter has no price for these dimensions at that time"
    return invalid(at + field, message, "no_price", {**known, **details})


def interrupted(failure: StoreError | Overloaded, *, is_partial: bool) -> ApiError:
    """The 503 where storage failed; `is_partial`: after some of the events had been booked."""
    error = translate(failure)
    if not is_partial:
        return error
    return ApiError(
        "outcome_unknown",
        "storage failed half way: events may have been booked before it did",
        headers=error.headers,
    )
