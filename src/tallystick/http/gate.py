"""The gate: judges every request in one order, whichever lane it came down.

    route (404, 405) → key (401) → window (429) → scope (403) → body (413, 415, 422) → operation

`judge` covers the window and the scope of whoever `identify` found, at once or when the limiter has
answered. A lane then reads the body and calls the operation; `finish` puts the headers on whatever
came of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.http.auth import Admission, Denied, Principal
from tallystick.http.errors import ApiError, error_body, error_headers, translate
from tallystick.http.noting import note_refused
from tallystick.http.operations import Answer, Audience
from tallystick.http.wire import media_type
from tallystick.ledger.pending import Pending
from tallystick.limits.policy import (
    ADDRESS_LIMIT,
    Decision,
    LimiterUnavailable,
    client_address_key,
    headers,
    uncounted,
)

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Sequence

    from tallystick.http.operations import Operation
    from tallystick.http.service import Service

_RETRY_AFTER: Final = b"retry-after"
_NO_STORE: Final = (b"cache-control", b"private, no-store")
_NO_CACHE: Final = (b"cache-control", b"private, no-cache")
TRUSTED_MS: Final = 1000
"""How long a key that was good is taken to be so while the body arrives: a body may take for ever,
and who was shown out must not be served because the door was opened before."""
_VARY: Final = (b"vary", b"Authorization, Datagrid-Teamspace, Accept")
# An ordinary answer with what `Gate.finish` gives for it, in one piece: nearly every answer is one.
_PLAIN: Final = b"".join(
    (
        b"%bcontent-type: %b\r\ncontent-length: %d\r\n",
        b"%b: %b\r\n%b: %b\r\n" % (*_NO_STORE, *_VARY),
        b"x-request-id: %b\r\n",
        b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n\r\n%b",
    )
)


# A NamedTuple's own constructor costs twice as much, and every request comes through here.
_new = tuple.__new__


class Verdict(NamedTuple):
    """What the gate found: a principal who may pass or the error in its place, and the window.

    `judged_at_ms` is when, by the clock that prints: what the window says counts from then.
    """

    principal: Principal | None
    error: ApiError | None
    decision: Decision | None
    judged_at_ms: int


UNJUDGED: Final = Verdict(None, None, None, 0)
"""Of what came to no window."""


class Gate:
    """Judges requests for one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def identify(
        self, authorization: bytes | None, teamspace: bytes | None
    ) -> Principal | Denied | Awaitable[Principal | Denied]:
        return self._service.authenticator.identify(authorization, teamspace)

    def judge(
        self, operation: Operation, who: Principal | Denied, address: str
    ) -> Verdict | Pending[Verdict]:
        """Key, window and scope. A verdict that is pending raises LimiterUnavailable where the
        windows cannot be asked."""
        found = self.ask(operation, who, address, self._service.monotonic_ms())
        if isinstance(found, Verdict):
            return found
        return Pending(found, partial(self.rule, operation, who))

    def ask(
        self, operation: Operation, who: Principal | Denied, address: str, now_ms: int
    ) -> Verdict | Future[Decision]:
        """The verdict or, where windows are elsewhere, what is found there, for `rule`. Requests
        with a key count in the window of whoever acts, all others in that of the client's address.

        `now_ms` is by the service's `monotonic_ms`.
        """
        service = self._service
        limiter = service.limiter
        window: tuple[str, str] | str
        if isinstance(who, Denied):
            limiter = service.strangers
            window, limit, may_call = client_address_key(address), ADDRESS_LIMIT, False
        else:
            window, limit, may_call = who.admissions.get(operation.name) or _admission(
                operation, who
            )
        try:
            decision = limiter.acquire(window, limit, now_ms)
        except LimiterUnavailable as failure:
            return Verdict(None, translate(failure), None, service.epoch_ms())
        if not isinstance(decision, Decision):
            return decision
        if may_call and decision.admitted:
            return _new(Verdict, (who, None, decision, service.epoch_ms()))
        return self.rule(operation, who, decision)

    def rule(self, operation: Operation, who: Principal | Denied, decision: Decision) -> Verdict:
        """The verdict on whoever `ask` was asked about, when the window has been."""
        now_ms = self._service.epoch_ms()
        if not decision.admitted:
            self._service.throttled[operation.name] += 1
            return Verdict(None, self._too_many(decision), decision, now_ms)
        if isinstance(who, Denied):
            denied = ApiError("no_authentication", who.reason)
            return Verdict(None, denied, decision, now_ms)
        may_call = who.admissions[operation.name].may_call
        error = None if may_call else _overreach(operation, who)
        return _new(Verdict, (who, error, decision, now_ms))

    def trusts(self, principal: Principal, since_ms: int) -> bool:
        """Whether who was admitted then is still to be served, without another look at the key."""
        now_ms = self._service.monotonic_ms()
        until_ms = principal.believed_until_ms
        return now_ms - since_ms < TRUSTED_MS and (until_ms is None or now_ms < until_ms)

    def client_address(self, address: str, fields: Sequence[tuple[bytes, bytes]]) -> str:
        """The client's address; a trusted proxy's word for it is its last `X-Forwarded-For` entry.
        `address` is the other end of the connection."""
        proxies = self._service.trusted_proxies
        if address not in proxies:
            return address
        forwarded = b", ".join(value for name, value in fields if name == b"x-forwarded-for")
        hops = [hop.strip() for hop in forwarded.decode("latin-1").split(",")]
        untrusted = [hop for hop in hops if hop and hop not in proxies]
        return untrusted[-1] if untrusted else address

    def _too_many(self, decision: Decision) -> ApiError:
        seconds = self._service.limits.window_ms / 1000
        wait = -(-decision.retry_after_ms // 1000)
        reason = f"{decision.limit} requests per {seconds:g} seconds are admitted here"
        return ApiError("rate_limit_exceeded", f"{reason}; a slot opens in {wait} s")

    def refuse(
        self,
        error: ApiError,
        operation: Operation | None,
        verdict: Verdict,
        request_id: str,
        accept: bytes | None,
    ) -> Answer:
        """The answer that an error is, on either lane; noted where somebody passed the window."""
        who = verdict.principal
        if operation is not None and who is not None:
            status, envelope = error.code.status, error.envelope()
            note_refused(
                self._service, operation, who, request_id, status, envelope, error.rejected
            )
        return refuse(error, request_id, accept)

    def finish(
        self, answer: Answer, verdict: Verdict, request_id: str
    ) -> list[tuple[bytes, bytes]]:
        """The response's headers."""
        service = self._service
        now_ms = service.epoch_ms()
        window = (
            uncounted(service.limits.default, now_ms)
            if verdict.decision is None
            else headers(verdict.decision, verdict.judged_at_ms, now_ms)
        )
        own = answer.headers
        if own and _RETRY_AFTER in dict(window):
            # Who comes back before there is a slot is refused: the window's wait is the one to say.
            own = tuple(field for field in own if field[0] != _RETRY_AFTER)
        return [
            *_about_body(answer),
            *self.common_headers(own, request_id),
            *window,
        ]

    def message(self, opening: bytes, answer: Answer, verdict: Verdict, request_id: str) -> bytes:
        """The response as it goes over the wire. `opening` is what the server begins it with: the
        status line and headers of its own."""
        _, body, content_type, own, _ = answer
        _, _, decision, judged_at_ms = verdict
        if own or decision is None or not decision.remaining:
            fields = self.finish(answer, verdict, request_id)
            lines = [b"%b: %b\r\n" % field for field in fields]
            return b"".join([opening, *lines, b"\r\n", body])
        _, limit, remaining, reset_after_ms, _ = decision
        return _PLAIN % (
            opening,
            content_type,
            len(body),
            request_id.encode(),
            limit,
            remaining,
            (judged_at_ms + reset_after_ms + 999) // 1000,
            body,
        )

    def common_headers(
        self, own: tuple[tuple[bytes, bytes], ...], request_id: str
    ) -> list[tuple[bytes, bytes]]:
        """What every response carries, beside the operation's own headers."""
        names = {name for name, _ in own}
        caching = (
            [] if b"cache-control" in names else [_NO_CACHE if b"etag" in names else _NO_STORE]
        )
        return [*caching, _VARY, (b"x-request-id", request_id.encode()), *own]


def check_media_type(
    operation: Operation, content_type: bytes | None, encoding: bytes | None
) -> None:
    """Raises 415 where a body is of no kind that the operation reads whole."""
    if encoding is not None and encoding.lower() != b"identity":
        raise ApiError("unsupported_media_type", "bodies are read without content encoding")
    if content_type in operation.media_types:
        return
    if media_type(content_type) not in operation.media_types:
        known = ", ".join(name.decode() for name in (*operation.media_types, *operation.streams))
        raise ApiError("unsupported_media_type", f"this operation reads {known}")


def _about_body(answer: Answer) -> list[tuple[bytes, bytes]]:
    """A 304 says nothing of the body that it spares: of length 0 it would be another one. How long
    a body is that is yet to be made, nobody knows."""
    if answer.status == 304:
        return []
    if answer.parts is not None:
        return [(b"content-type", answer.content_type)]
    length = b"%d" % len(answer.body)
    return [(b"content-type", answer.content_type), (b"content-length", length)]


def refuse(error: ApiError, request_id: str, accept: bytes | None) -> Answer:
    """The answer that an error is."""
    content_type, body = error_body(error, request_id, accept)
    return Answer(error.code.status, body, content_type, tuple(error_headers(error)))


def _admission(operation: Operation, who: Principal) -> Admission:
    """Remembered with the principal, and so for as long as nothing about it changes."""
    window = (who.teamspace_id or who.key_id, operation.name)
    limit = who.limit_of(operation.name)
    found = Admission(window, limit, may_call=_overreach(operation, who) is None)
    who.admissions[operation.name] = found
    return found


def _overreach(operation: Operation, who: Principal) -> ApiError | None:
    """Why `who` may not call `operation`, if so."""
    if operation.audience is Audience.OPERATOR:
        if not who.is_operator:
            return ApiError("permission_denied", "this operation is for operator keys only")
        return None
    if who.is_operator and not who.organization_id:
        return ApiError(
            "permission_denied",
            "an operator key belongs to no organization; use one of the organization's keys",
        )
    if operation.scope is not None and operation.scope not in who.scopes:
        return ApiError(
            "permission_denied",
            f"the key lacks the scope {operation.scope.value}",
            details={"required_scope": operation.scope.value},
        )
    if who.foreign_teamspace:
        return ApiError("resource_not_found", "there is no such teamspace in this organization")
    return None
