"""How the service says no over HTTP: one envelope, one table of codes.

    ApiError              an answer that a handler, the gate or the framing decided on
    FAILURES              of the ledger's and the limiter's machinery become one in `translate`

Every error has the envelope of the Datagrid contract; a client that accepts
`application/problem+json` gets the same facts as RFC 9457 problem details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tallystick.http.weights import weights
from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.ports import OutcomeUnknown, StoreError
from tallystick.limits.policy import LimiterUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FAILURES: Final = (StoreError, Overloaded, LimiterUnavailable)
"""What `translate` knows: machinery that cannot do its work now, and no bug."""
PROBLEM_JSON: Final = b"application/problem+json"
JSON: Final = b"application/json"
# What names plain JSON, the most exact first.
_PLAIN: Final = (JSON, b"application/*", b"*/*")
_PROBLEM_TYPE: Final = "https://api.datagrid.com/errors/"


class Code(NamedTuple):
    """What one error code means; `mitigation` tells the reader what to do next."""

    name: str
    status: int
    message: str
    mitigation: str
    retryable: bool = False


CODES: Final[Mapping[str, Code]] = {
    code.name: code
    for code in (
        Code(
            "bad_request",
            400,
            "The request is not valid HTTP",
            "Send a well-formed HTTP/1.1 request",
        ),
        Code(
            "no_authentication",
            401,
            "A valid API key is required",
            "Send 'Authorization: Bearer <key>' with a key that is neither expired nor revoked",
        ),
        Code(
            "credit_exceeded",
            402,
            "Not enough credits",
            "Top up, wait for the next billing period, or record work that is done already with "
            '"on_insufficient": "overdraw"',
        ),
        Code(
            "permission_denied",
            403,
            "This key may not do that",
            "Use a key that has the scope the operation needs",
        ),
        Code(
            "resource_not_found",
            404,
            "There is no such resource",
            "Check the path and the ids in it",
        ),
        Code(
            "method_not_allowed",
            405,
            "This path does not support that method",
            "Use one of the methods that the Allow header names",
        ),
        Code(
            "request_timeout",
            408,
            "The request took too long to arrive",
            "Send the whole request without pausing",
            retryable=True,
        ),
        Code(
            "conflict",
            409,
            "The request contradicts the present state",
            "Read the resource and decide anew; use a new id for something new",
        ),
        Code(
            "payload_too_large",
            413,
            "The request body is too large",
            "Send smaller batches, or stream application/x-ndjson",
        ),
        Code(
            "unsupported_media_type",
            415,
            "The body's media type is not supported",
            "Send JSON with 'Content-Type: application/json' and no content encoding",
        ),
        Code(
            "validation_failed",
            422,
            "The request is not valid",
            "Correct what 'errors' points at and send it again",
        ),
        Code(
            "rate_limit_exceeded",
            429,
            "Rate limit exceeded",
            "Implement exponential backoff and retry with delays",
            retryable=True,
        ),
        Code(
            "headers_too_large",
            431,
            "The request's head is too large",
            "Send fewer and shorter headers",
        ),
        Code(
            "internal_error",
            500,
            "Something went wrong on our side",
            "Try again; if it persists, tell the operator the request_id",
            retryable=True,
        ),
        Code(
            "service_unavailable",
            503,
            "The service cannot do this right now; nothing was changed",
            "Try again in a moment",
            retryable=True,
        ),
        Code(
            "outcome_unknown",
            503,
            "It is not known whether the change was made",
            "Send the same request with the same id again: it is never booked twice",
            retryable=True,
        ),
    )
}


class Rejected(NamedTuple):
    """Usage events that were not booked: how many, and the ids of the first."""

    events: int = 0
    ids: Sequence[str] = ()


NO_EVENT: Final = Rejected()


class FieldError(NamedTuple):
    """One thing wrong with a request, and where (a JSON pointer, or a query parameter)."""

    pointer: str
    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "message": self.message}


class ApiError(Exception):
    """An answer other than success. `details` are JSON values (`msgspec.Raw` for credits);
    `rejected` says which usage events it is about, for whoever asks later."""

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        details: Mapping[str, object] | None = None,
        errors: Sequence[FieldError] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        mitigation: str | None = None,
        retryable: bool | None = None,
        rejected: Rejected = NO_EVENT,
    ) -> None:
        super().__init__(reason)
        self.code = CODES[code]
        self.reason = reason
        self.details = details or {}
        self.errors = errors
        self.headers = list(headers)
        self.mitigation = mitigation or self.code.mitigation
        self.retryable = self.code.retryable if retryable is None else retryable
        self.rejected = rejected

    def envelope(self, request_id: str | None = None) -> dict[str, object]:
        """The error as the contract's JSON; results inside a batch have no `request_id`."""
        body: dict[str, object] = {
            "status_code": self.code.status,
            "statusCode": self.code.status,
            "error": self.code.name,
            "message": self.code.message,
            "mitigation": self.mitigation,
            "retryable": self.retryable,
            "details": {"reason": self.reason, **self.details},
        }
        if request_id is not None:
            body["request_id"] = request_id
        if self.errors:
            body["errors"] = [error.to_json() for error in self.errors]
        return body

    def problem(self, request_id: str) -> dict[str, object]:
        """The same facts as RFC 9457 problem details."""
        envelope = self.envelope(request_id)
        del envelope["status_code"], envelope["statusCode"]
        return {
            "type": _PROBLEM_TYPE + self.code.name,
            "title": self.code.message,
            "status": self.code.status,
            "detail": self.reason,
            **envelope,
        }


def error_body(error: ApiError, request_id: str, accept: bytes | None) -> tuple[bytes, bytes]:
    """Content type and body of an error, in the form that the client accepts."""
    if accept is not None and _wants_problem(accept):
        return PROBLEM_JSON, msgspec.json.encode(error.problem(request_id))
    return JSON, msgspec.json.encode(error.envelope(request_id))


def _wants_problem(accept: bytes) -> bool:
    """Whether the client names problem details, and likes them no less than plain JSON."""
    liked = weights(accept)
    plain = next((liked[each] for each in _PLAIN if each in liked), 0)
    return liked.get(PROBLEM_JSON, 0) >= max(plain, 1)


def error_headers(error: ApiError) -> list[tuple[bytes, bytes]]:
    """Headers beyond the usual ones; the official clients obey `x-should-retry`."""
    headers = error.headers
    if error.code.status == 401:
        headers = [*headers, (b"www-authenticate", b"Bearer")]
    return headers if error.retryable else [*headers, (b"x-should-retry", b"false")]


def translate(failure: StoreError | Overloaded | LimiterUnavailable) -> ApiError:
    """What a failure of the ledger's or the limiter's machinery is to the caller."""
    if isinstance(failure, LimiterUnavailable):
        reason = "the rate limiter cannot be reached, and nothing is admitted without it"
        seconds = -(-failure.retry_after_ms // 1000)
        return ApiError("service_unavailable", reason, headers=[(b"retry-after", b"%d" % seconds)])
    if isinstance(failure, OutcomeUnknown):
        return ApiError("outcome_unknown", "storage broke off while committing")
    if isinstance(failure, Overloaded):
        reason = "too many requests are waiting to be written"
        return ApiError("service_unavailable", reason, headers=[(b"retry-after", b"1")])
    return ApiError("service_unavailable", "the ledger's storage cannot be reached or written")


def invalid(
    pointer: str,
    message: str,
    code: str = "invalid",
    details: Mapping[str, object] | None = None,
) -> ApiError:
    """422 for one field."""
    return ApiError(
        "validation_failed",
        f"{pointer or 'the body'}: {message}",
        details=details,
        errors=[FieldError(pointer, code, message)],
    )
