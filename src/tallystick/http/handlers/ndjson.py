"""A stream of usage events, one JSON object a line, of any length, in bounded memory.

The body is read piece by piece and cut into lines; 256 lines, or what is left of a piece, make a
chunk, whose good lines go to the ledger as one unit, and at most `_IN_FLIGHT` chunks are on their
way there. When they are, no more is read, and the network makes the sender wait; meanwhile the
pieces grow. Nothing that was read waits for what the sender may send later. Chunks reach the
ledger in order, so events are decided in the order of their lines.

A line that cannot be read is rejected like one that the ledger refuses: it is counted, the first
100 are described, and the stream goes on. What a chunk has booked stays, whatever happens to the
rest.

A stream may last for days, its key may not: before each chunk it is asked whether it is still good.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.errors import Refusal
from tallystick.http.auth import Denied
from tallystick.http.errors import ApiError, Rejected
from tallystick.http.handlers.receipts import RejectedLine, UsageImport, interrupted
from tallystick.http.handlers.usage_events import is_event_id, read_event, to_command
from tallystick.http.noting import note_rejected
from tallystick.http.operations import Answer, Call, answer
from tallystick.http.refusals import refusal_error
from tallystick.http.shapes import not_found
from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.ledger import MAX_EVENTS
from tallystick.ledger.ports import StoreError
from tallystick.ledger.units import AccountUnit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tallystick.domain.commands import Booked, BookUsage

MAX_LINE: Final = 1 << 16
"""Bytes of a line, without its line feed."""
MAX_ERRORS: Final = 100
_IN_FLIGHT: Final = 4
_JSON_SPACE: Final = b" \t\r"


async def import_usage(call: Call) -> Answer:
    """Books the events of a stream; answers when all of it has been decided."""
    _refuse_encoding(call)
    if call.stream is None:
        raise ValueError("this operation reads the stream by itself")
    lines, stream = Lines(), UsageStream(call)
    try:
        async for piece in call.stream():
            for line in lines.cut(piece):
                stream.take(lines.number, line)
                if stream.is_full:
                    await stream.send()
            await stream.send()
        for line in lines.end():
            stream.take(lines.number, line)
        await stream.send()
        return await stream.result()
    finally:
        stream.abandon()


def _refuse_encoding(call: Call) -> None:
    for name, value in call.headers:
        if name == b"content-encoding" and value.strip().lower() != b"identity":
            raise ApiError("unsupported_media_type", "bodies are read without content encoding")


class Lines:
    """Cuts pieces into lines, holding no more than one line of permitted length."""

    __slots__ = ("_is_too_long", "_start", "number")

    def __init__(self) -> None:
        self._start = bytearray()
        self._is_too_long = False
        self.number = 0
        """Of the line that was cut last, from 1."""

    def cut(self, piece: bytes) -> Iterator[bytes | None]:
        """The lines that end in `piece`, without their ends; None for one that is too long."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            self._keep(piece[start:end])
            yield self._whole()
            start = end + 1
        self._keep(piece[start:])

    def end(self) -> Iterator[bytes | None]:
        """What follows the last line feed."""
        if self._start or self._is_too_long:
            yield self._whole()

    def _keep(self, part: bytes) -> None:
        if self._is_too_long or len(self._start) + len(part) > MAX_LINE:
            self._is_too_long = True
            self._start.clear()
        else:
            self._start += part

    def _whole(self) -> bytes | None:
        line = None if self._is_too_long else bytes(self._start)
        self._start.clear()
        self._is_too_long = False
        self.number += 1
        return line


@dataclass(slots=True)
class Chunk:
    """Lines that go to the ledger together: `commands[i]` stands in line `numbers[i]`.

    `errors` describes the first of the `unreadable` lines; exceptions would hold on to their
    frames, and those to everything.
    """

    size: int = 0
    commands: list[BookUsage] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    unreadable: int = 0
    errors: list[RejectedLine] = field(default_factory=list)


class UsageStream:
    """Books the lines of one stream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._chunk = Chunk()
        self._in_flight: deque[tuple[Chunk, asyncio.Future[Any] | None]] = deque()
        self._tally = UsageImport(booked=0, duplicates=0, rejected=0, errors=[])

    @property
    def is_full(self) -> bool:
        return self._chunk.size >= MAX_EVENTS

    def take(self, number: int, line: bytes | None) -> None:
        """Reads a line, which may be blank, too long (None) or bad in any other way."""
        self._chunk.size += 1
        if line is None:
            reason = f"a line may have {MAX_LINE} bytes"
            self._reject(number, None, ApiError("payload_too_large", reason))
        elif line.strip(_JSON_SPACE):
            self._read(number, line)

    def _read(self, number: int, line: bytes) -> None:
        call, event_id = self._call, None
        try:
            event = read_event(line)
            event_id = event.id if is_event_id(event.id) else None
            service = call.service
            command = to_command(
                event.id, event.credits, event, "", call.principal, service.clock(), service.entropy
            )
        except ApiError as error:
            self._reject(number, event_id, error)
            return
        self._chunk.commands.append(command)
        self._chunk.numbers.append(number)

    def _reject(self, number: int, event_id: str | None, error: ApiError) -> None:
        chunk = self._chunk
        chunk.unreadable += 1
        if len(chunk.errors) < self._room():
            chunk.errors.append(_describe(number, event_id, error))

    def _room(self) -> int:
        """How many more lines the answer can describe."""
        return MAX_ERRORS - len(self._tally.errors)

    async def send(self) -> None:
        """Passes the chunk on, once there is room on the way and the key is still good."""
        if not self._chunk.size:
            return
        chunk, self._chunk = self._chunk, Chunk()
        await self._check_key()
        while len(self._in_flight) >= _IN_FLIGHT:
            await self._land()
        self._in_flight.append((chunk, self._submit(chunk)))
        await asyncio.sleep(0)

    async def _check_key(self) -> None:
        call = self._call
        if call.principal.is_local:
            return
        found = call.service.authenticator.identify(
            call.header(b"authorization"), call.header(b"datagrid-teamspace")
        )
        who = await found if isawaitable(found) else found
        if isinstance(who, Denied):
            raise ApiError("no_authentication", who.reason)

    def _submit(self, chunk: Chunk) -> asyncio.Future[Any] | None:
        if not chunk.commands:
            return None
        organization_id = self._call.organization_id
        unit = AccountUnit(organization_id, chunk.commands)
        try:
            return self._call.service.ledger.submit(organization_id, unit)
        except Overloaded as failure:
            raise self._interrupted(failure) from failure

    async def _land(self) -> None:
        """Waits for the oldest chunk on its way."""
        chunk, future = self._in_flight.popleft()
        try:
            outcomes = [] if future is None else await future
        except (StoreError, Overloaded) as failure:
            raise self._interrupted(failure) from failure
        if not isinstance(outcomes, list):
            raise not_found("organization")
        self._count(chunk, outcomes)

    def _interrupted(self, failure: StoreError | Overloaded) -> ApiError:
        has_booked = bool(self._tally.booked or self._in_flight)
        return interrupted(failure, is_partial=has_booked)

    def _count(self, chunk: Chunk, outcomes: Sequence[Booked | Refusal]) -> None:
        tally, room, refused = self._tally, self._room(), 0
        for number, command, outcome in zip(chunk.numbers, chunk.commands, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                refused += 1
                if refused <= room:
                    error = refusal_error(outcome)
                    chunk.errors.append(_describe(number, command.event_id, error))
            elif outcome.duplicate:
                tally.duplicates += 1
            else:
                tally.booked += 1
        tally.rejected += chunk.unreadable + refused
        chunk.errors.sort(key=lambda error: error.line)
        tally.errors.extend(chunk.errors[:room])

    async def result(self) -> Answer:
        """The answer, when everything that was sent on has been decided."""
        while self._in_flight:
            await self._land()
        tally, errors = self._tally, self._tally.errors
        ids = [error.id for error in errors if error.id is not None]
        first = errors[0].error if errors else None
        note_rejected(self._call, first, Rejected(tally.rejected, ids))
        return answer(200, tally)

    def abandon(self) -> None:
        """Lets go of what nobody will wait for any more; it is booked or not, as it happens."""
        for _, future in self._in_flight:
            if future is not None and not future.cancel() and not future.cancelled():
                # Asked for, so that the loop does not report an error that nobody has seen.
                future.exception()


def _describe(number: int, event_id: str | None, error: ApiError) -> RejectedLine:
    return RejectedLine(line=number, id=event_id, error=error.envelope())
