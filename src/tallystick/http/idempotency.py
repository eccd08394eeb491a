"""`Idempotency-Key`: a request that is sent again gets the first answer again.

Theory of operation. The ledger keeps the answer in the transaction that makes the change
(`IdempotentUnit`), so that there is never the one without the other. What is kept is a successful
answer as a repetition shows it, without secrets, for 24 hours, under the API key, the operation and
the header's value; beside it a digest of what was asked (path and body), by which a repetition is
told from another request. A refusal keeps nothing, so its key stays free.

While the first request is on its way, a second one with its key is told to come back. That is a
courtesy of one process: two processes are kept apart by the ledger.

`carry_out` is how handlers write. An operation that takes no `Idempotency-Key` passes through it
just the same, and the header is ignored.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.entries import canonical_json
from tallystick.http.errors import ApiError, FieldError
from tallystick.http.operations import Answer, Call, answer
from tallystick.http.wire import encode, refuse_duplicate_keys
from tallystick.ledger.ports import Replay, ReplayKey
from tallystick.ledger.units import IdempotentUnit, KeyReused, Rendered

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from tallystick.http.auth import Principal
    from tallystick.http.operations import Operation
    from tallystick.ledger.work import Unit

HEADER: Final = b"idempotency-key"
REPLAYED: Final = (b"idempotent-replayed", b"true")
_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")


class Shown(NamedTuple):
    """A successful answer; `again` is what a repetition shows where it differs (no secrets)."""

    status: int
    view: msgspec.Struct
    again: msgspec.Struct | None = None


async def carry_out(
    call: Call, organization_id: str, unit: Unit, show: Callable[[object], Shown]
) -> Answer:
    """The answer to a request that asks for `unit`, at most once per `Idempotency-Key`.

    `show` turns what became of it into an answer or raises the ApiError that it means. It may be
    asked twice, and under the ledger's locks: it only computes.
    """
    key = _key_of(call) if call.operation.idempotent else None
    if key is None:
        return _answer(show(await call.service.ledger.submit(organization_id, unit)))
    name = _name(call.principal, call.operation, key)
    once = IdempotentUnit(
        unit=unit,
        key=name,
        organization_id=organization_id,
        request_digest=_digest(call),
        render=lambda outcome: _render(show, outcome),
    )
    outcome = await _alone(call, once)
    if isinstance(outcome, KeyReused):
        raise ApiError("conflict", "the Idempotency-Key was used before, for another request")
    if isinstance(outcome, Replay):
        return Answer(outcome.status, outcome.body, headers=(REPLAYED,))
    return _answer(show(outcome))


def _name(who: Principal, operation: Operation, key: str) -> ReplayKey:
    of = "" if who.is_operator else who.organization_id
    return ReplayKey(of, who.api_key_id or "", operation.name, key)


async def _alone(call: Call, once: IdempotentUnit) -> object:
    """What becomes of `once`; 409 where a request with its key is on its way already."""
    in_flight = call.service.replays_in_flight
    if once.key in in_flight:
        raise ApiError(
            "conflict",
            "a request with this Idempotency-Key is still on its way",
            mitigation="Send the same request again in a moment",
            retryable=True,
            headers=[(b"x-should-retry", b"true")],
        )
    in_flight.add(once.key)
    try:
        return await call.service.ledger.submit(once.organization_id, once)
    finally:
        in_flight.discard(once.key)


def _answer(shown: Shown) -> Answer:
    return answer(shown.status, shown.view)


def _render(show: Callable[[object], Shown], outcome: object) -> Rendered:
    """The answer as the ledger keeps it; errors are not kept, so theirs is empty."""
    try:
        status, view, again = show(outcome)
    except ApiError as error:
        return Rendered(error.code.status, b"", b"")
    body = encode(view)
    return Rendered(status, body, body if again is None else encode(again))


def _key_of(call: Call) -> str | None:
    values = [value for name, value in call.headers if name == HEADER]
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        message = "must be one value of 1 to 255 visible ASCII characters, without spaces"
        raise ApiError(
            "validation_failed",
            f"Idempotency-Key {message}",
            errors=[FieldError("Idempotency-Key", "invalid", message)],
        )
    return values[0].decode("ascii")


def _digest(call: Call) -> bytes:
    """What was asked, however its JSON was laid out; the body has been found valid already."""
    body = refuse_duplicate_keys(call.body or b"{}")
    asked = canonical_json({"body": body, "path": dict(call.params)})
    return hashlib.sha256(asked.encode()).digest()
