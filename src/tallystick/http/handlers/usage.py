"""Booking usage: one event, a batch, CloudEvents, or a stream of lines.

Whatever the form, events become `BookUsage` commands, commands become units of the ledger, and its
outcomes become receipts. A batch that is not atomic goes to the ledger in chunks of what one
transaction holds, each after the one before is durable, so that others are served in between; if
storage fails half way, the ids make it safe to send everything again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from tallystick.domain.directory import Scope
from tallystick.http.errors import ApiError, Rejected
from tallystick.http.handlers.cloudevents import (
    CloudEvent,
    below,
    read_cloud_event,
    read_cloud_events,
)
from tallystick.http.handlers.ndjson import import_usage
from tallystick.http.handlers.receipts import (
    BatchResults,
    Receipt,
    UsageImport,
    UsageResults,
    interrupted,
    receipt_answer,
)
from tallystick.http.handlers.usage_events import (
    CREDITS_OR_QUANTITY,
    MAX_BATCH,
    EventOfMany,
    UsageEvent,
    UsageRequest,
    batch,
    is_event_id,
    read_request,
    single,
    to_command,
)
from tallystick.http.noting import note_rejected
from tallystick.http.operations import Answer, Call, Operation
from tallystick.http.refusals import Asked, Subject, refusal_error
from tallystick.http.shapes import not_found
from tallystick.http.wire import media_type
from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.ledger import MAX_EVENTS
from tallystick.ledger.pending import Pending
from tallystick.ledger.ports import StoreError
from tallystick.ledger.units import AccountUnit, AtomicRefusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tallystick.domain.commands import Booked, BookUsage
    from tallystick.domain.errors import Refusal

JSON: Final = b"application/json"
CLOUD_EVENT: Final = b"application/cloudevents+json"
CLOUD_EVENTS: Final = b"application/cloudevents-batch+json"
NDJSON: Final = b"application/x-ndjson"


def book_usage(call: Call) -> Awaitable[Answer]:
    """Books what the body says, in whatever form its media type (known to the gate) announces."""
    content_type = call.header(b"content-type") or b""
    book = _FORMS.get(content_type) or _FORMS[media_type(content_type)]
    return book(call)


def _book_json(call: Call) -> Awaitable[Answer]:
    request = read_request(call.body)
    now = call.service.clock()
    events = batch(request)
    if events is None:
        try:
            command = single(request, call.principal, now, call.service.entropy)
        except ApiError as error:
            if isinstance(request.id, str) and is_event_id(request.id):
                error.rejected = Rejected(1, [request.id])
            raise
        return _book_one(call, command)
    return _book_batch(call, events, now, atomic=request.atomic is True)


def _book_cloud_event(call: Call) -> Awaitable[Answer]:
    command = _read_cloud_event(call, call.body, "", call.service.clock())
    return _in_cloud_event(_book_one(call, command))


async def _in_cloud_event(answer: Awaitable[Answer]) -> Answer:
    try:
        return await answer
    except ApiError as error:
        raise below("", error) from None


def _book_one(call: Call, command: BookUsage) -> Pending[Answer]:
    return Pending(_submit(call, (command,)), partial(_receipt, command.event_id))


def _receipt(event_id: str, decision: object) -> Answer:
    return receipt_answer(event_id, _outcomes(decision)[0])


async def _book_batch(
    call: Call, events: Sequence[UsageEvent], now: int, *, atomic: bool
) -> Answer:
    """All events are read before the first is booked: a malformed one refuses the request."""
    commands: list[BookUsage] = []
    entropy = call.service.entropy
    for number, event in enumerate(events):
        if number % MAX_EVENTS == MAX_EVENTS - 1:
            await asyncio.sleep(0)
        at = f"/events/{number}"
        who = call.principal
        commands.append(to_command(event.id, event.credits, event, at, who, now, entropy))
    if atomic:
        return await _book_all_or_none(call, commands)
    return await _book_each(call, commands, BatchResults())


async def _book_cloud_events(call: Call) -> Answer:
    commands: list[BookUsage] = []
    now = call.service.clock()
    for number, event in enumerate(read_cloud_events(call.body)):
        if number % MAX_EVENTS == MAX_EVENTS - 1:
            await asyncio.sleep(0)
        commands.append(_read_cloud_event(call, event, f"/{number}", now))
    return await _book_each(call, commands, BatchResults(place=partial(below, "")))


def _read_cloud_event(call: Call, body: bytes, at: str, now: int) -> BookUsage:
    return read_cloud_event(body, at, call.principal, now, call.service.entropy)


async def _book_each(call: Call, commands: Sequence[BookUsage], results: BatchResults) -> Answer:
    """Each event as if it had been sent singly, in order."""
    for start in range(0, len(commands), MAX_EVENTS):
        chunk = commands[start : start + MAX_EVENTS]
        try:
            outcomes = _outcomes(await _submit(call, chunk))
        except (StoreError, Overloaded) as failure:
            raise interrupted(failure, is_partial=start > 0) from failure
        results.add(chunk, outcomes)
    note_rejected(call, results.first_error, results.rejected)
    return results.answer()


async def _book_all_or_none(call: Call, commands: Sequence[BookUsage]) -> Answer:
    decision = await _submit(call, commands, atomic=True)
    if isinstance(decision, AtomicRefusal):
        event_id = commands[decision.index].event_id
        at = f"/events/{decision.index}"
        asked = Asked(Subject.USAGE, at=at)
        error = refusal_error(decision.refusal, asked, index=decision.index, id=event_id)
        error.rejected = Rejected(len(commands), [command.event_id for command in commands])
        raise error
    results = BatchResults()
    results.add(commands, _outcomes(decision))
    return results.answer()


def _submit(
    call: Call, commands: Sequence[BookUsage], *, atomic: bool = False
) -> asyncio.Future[Any]:
    organization_id = call.organization_id
    unit = AccountUnit(organization_id, commands, atomic)
    return call.service.ledger.submit(organization_id, unit)


def _outcomes(decision: object) -> list[Booked | Refusal]:
    if not isinstance(decision, list):
        raise not_found("organization")
    return decision


_FORMS: Final[dict[bytes, Callable[[Call], Awaitable[Answer]]]] = {
    JSON: _book_json,
    CLOUD_EVENT: _book_cloud_event,
    CLOUD_EVENTS: _book_cloud_events,
    NDJSON: import_usage,
}


OPERATIONS = (
    Operation(
        name="book_usage",
        is_hot=True,
        method="POST",
        path="/v1/organization/credits/usage",
        handle=book_usage,
        scope=Scope.USAGE_WRITE,
        request=UsageRequest,
        media_types=(JSON, CLOUD_EVENT, CLOUD_EVENTS),
        streams=(NDJSON,),
        bodies={
            JSON: Annotated[
                UsageRequest,
                Meta(extra_json_schema={"oneOf": [*CREDITS_OR_QUANTITY, {"required": ["events"]}]}),
            ],
            CLOUD_EVENT: CloudEvent,
            CLOUD_EVENTS: Annotated[list[CloudEvent], Meta(max_length=MAX_BATCH)],
            NDJSON: EventOfMany,
        },
        example={
            "id": "evt-1",
            "credits": 1.25,
            "meter": "llm.tokens",
            "dimensions": {"model": "m-large"},
        },
        response=Receipt,
        status=201,
        also={
            200: "A duplicate's first receipt; the results of a batch; or, for a stream, the totals"
        },
        responses={201: Receipt, 200: Receipt | UsageResults | UsageImport},
        errors=("credit_exceeded", "conflict", "outcome_unknown"),
        summary="Book usage",
        description=(
            "Books one usage event, a batch of up to 1000, CloudEvents, or a stream of lines. How "
            "much it was is said in `credits`, or as a `quantity` of a `meter` that has prices: it "
            "is then rated by the price of its own time, which the receipt names. An "
            "event's id makes it safe to send again: it is booked once, for ever, and each "
            "repetition gets the first receipt. Of a batch, each event fares as if it were sent "
            "singly, unless the batch is atomic; a malformed event refuses the whole request. Of a "
            "stream (at most 64 KiB a line, at least 1 KiB a minute), a bad line is rejected and "
            "the rest goes on; what was booked before a break stays."
        ),
    ),
)
