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
from tallystick.domain.errors import Refusal
from tallystick.domain.periods import format_instant
from tallystick.http.errors import ApiError, Rejected, translate
from tallystick.http.operations import Answer
from tallystick.http.refusals import refusal_error
from tallystick.http.shapes import Credits, Quantity, Response, Time
from tallystick.http.views import DrawnView
from tallystick.http.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tallystick.domain.commands import Booked, BookUsage
    from tallystick.domain.entries import Entry
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


def receipt_answer(event_id: str, outcome: Booked | Refusal) -> Answer:
    """The answer to a single event; raises what refused it."""
    if isinstance(outcome, Refusal):
        error = refusal_error(outcome)
        error.rejected = Rejected(1, [event_id])
        raise error
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
    _rejected_ids: list[str] = field(default_factory=list)
    first_error: dict[str, Any] | None = None
    """The envelope of the first event that was rejected."""

    def __len__(self) -> int:
        return len(self._data)

    def add(self, commands: Sequence[BookUsage], outcomes: Sequence[Booked | Refusal]) -> None:
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                envelope = self.place(refusal_error(outcome)).envelope()
                self._data.append(_rejected_json(command.event_id, envelope))
                self._rejected_ids.append(command.event_id)
                self.first_error = self.first_error or envelope
                continue
            self._data.append(receipt_json(outcome))
            if outcome.duplicate:
                self._duplicates += 1
            else:
                self._booked += 1

    @property
    def rejected(self) -> Rejected:
        return Rejected(len(self._rejected_ids), self._rejected_ids)

    def answer(self) -> Answer:
        return Answer(
            200,
            (
                f'{{"object":"list","data":[{",".join(self._data)}],"booked":{self._booked},'
                f'"duplicates":{self._duplicates},"rejected":{len(self._rejected_ids)}}}'
            ).encode(),
        )


def _rejected_json(event_id: str, envelope: dict[str, object]) -> str:
    return encode({"id": event_id, "status": "rejected", "error": envelope}).decode()


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
    rated = "" if entry.detail is None else _rated_json(_decode_rating(entry.detail))
    return (
        f'{{"object":"usage_event","id":"{event_id}",'
        f'"status":"{"duplicate" if duplicate else "booked"}",'
        f'"credits":{credits_used},{rated}"overage":{overage},"drawn":[{drawn}],'
        f'"remaining":{format_credits(entry.remaining_after)},'
        f'"consumed":{format_credits(entry.consumed_after)},"sequence":{entry.sequence},'
        f'"booked_at":"{_print_instant(entry.booked_at)}"}}'
    )


def rating_of(entry: Entry) -> Rating | None:
    """How usage was rated, where its quantity was sent; None where its credits were."""
    return None if entry.detail is None else _decode_rating(entry.detail)


def _rated_json(rated: Rating) -> str:
    """The part of a receipt that says how it was rated."""
    return f'"quantity":{rated.quantity},"price_id":"{rated.price_id}",'


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
