"""How the reference documents errors: one schema for all, narrowed for each code, with an example.

The examples are made by the code that answers, so they are what a client gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tallystick.http.errors import CODES, PROBLEM_JSON, ApiError, FieldError
from tallystick.http.openapi_schemas import ref
from tallystick.http.operations import Audience

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tallystick.http.openapi_schemas import Schema
    from tallystick.http.operations import Operation

REQUEST_ID: Final = "req_7f3a9c2e51b804d600000001"
FRAMING: Final = ("bad_request", "request_timeout", "headers_too_large", "internal_error")
"""What any request can meet, whichever operation it is for."""

_ERROR: Final[Schema] = {
    "type": "object",
    "description": "What every error looks like.",
    "required": [
        *("status_code", "statusCode", "error", "message", "mitigation", "retryable"),
        *("details", "request_id"),
    ],
    "properties": {
        "status_code": {"type": "integer", "description": "The HTTP status code."},
        "statusCode": {
            "type": "integer",
            "deprecated": True,
            "description": "Deprecated. Use status_code instead.",
        },
        "error": {"type": "string", "description": "The error code, which never changes."},
        "message": {"type": "string", "description": "A human-readable error message."},
        "mitigation": {"type": "string", "description": "Suggested action to resolve the error."},
        "retryable": {
            "type": "boolean",
            "description": "Whether the same request may succeed later.",
        },
        "details": {
            "type": "object",
            "required": ["reason"],
            "properties": {
                "reason": {"type": "string", "description": "What was wrong in this case."}
            },
        },
        "request_id": {"type": "string", "description": "The same as the header X-Request-Id."},
        "errors": {
            "type": "array",
            "items": ref("FieldError"),
            "description": "What is wrong with the request, and where.",
        },
    },
}

_RESULT_ERROR: Final[Schema] = {
    "description": "An error of one event among others: it has no request_id of its own.",
    **_ERROR,
    "required": [name for name in _ERROR["required"] if name != "request_id"],
}

_FIELD_ERROR: Final[Schema] = {
    "type": "object",
    "required": ["pointer", "code", "message"],
    "properties": {
        "pointer": {
            "type": "string",
            "description": "A JSON pointer into the body, or ?name for a query parameter.",
        },
        "code": {"type": "string"},
        "message": {"type": "string"},
    },
}

_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "The same as RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", *_ERROR["required"][2:]],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        **{
            name: schema
            for name, schema in _ERROR["properties"].items()
            if name not in {"status_code", "statusCode"}
        },
    },
}

_CREDITS: Final = {"type": "number", "format": "decimal"}

_DETAILS: Final[Mapping[str, Schema]] = {
    "credit_exceeded": {
        "required": {
            **_CREDITS,
            "description": "Credits that were asked for.",
        },
        "available": {**_CREDITS, "description": "Credits that could have been spent."},
        "blocked_by": {"type": "string", "enum": ["organization", "budget"]},
        "budget_id": {"type": "string", "description": "The budget that would be exceeded."},
        "resets_at": {
            "type": "string",
            "format": "date-time",
            "description": "When the billing period ends.",
        },
        "index": {"type": "integer", "description": "Of an atomic batch: the event's place."},
        "id": {"type": "string", "description": "Of an atomic batch: the event's id."},
    },
    "validation_failed": {
        "known_meters": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Of an unknown meter: some that have prices.",
        },
        "known_dimensions": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Where other dimensions have a price: the names that prices ask for.",
        },
        "takes_effect_at": {
            "type": "string",
            "format": "date-time",
            "description": "Where there is no price at that time: when the next one takes effect.",
        },
        "ended_at": {
            "type": "string",
            "format": "date-time",
            "description": "Where there is no price at that time: when the last one ended.",
        },
    },
    "permission_denied": {
        "required_scope": {"type": "string", "description": "The scope that the key lacks."},
        "teamspace_id": {
            "type": "string",
            "description": "The teamspace for which the key acts; what was named is of another.",
        },
    },
    "conflict": {
        "price": {"type": "object", "description": "The price that is in the way."},
        "status": {"type": "string", "description": "What the hold has become."},
        "latest_expiry": {
            "type": "string",
            "format": "date-time",
            "description": "Until when the hold can be extended at most.",
        },
        "required": {**_CREDITS, "description": "Credits that were to be captured."},
        "held": {**_CREDITS, "description": "Credits that are still held."},
        "booked": {**_CREDITS, "description": "Credits of the usage event."},
        "left": {**_CREDITS, "description": "Credits of the event that can still be reversed."},
        "room": {**_CREDITS, "description": "Credits for which the sums have room."},
        "available": {**_CREDITS, "description": "Credits that can still be taken back."},
    },
}
"""What `details` may say besides the reason."""

_EXAMPLES: Final[Mapping[str, ApiError]] = {
    "bad_request": ApiError("bad_request", "the request's framing is not valid"),
    "no_authentication": ApiError("no_authentication", "the Authorization header is missing"),
    "credit_exceeded": ApiError(
        "credit_exceeded",
        "1.25 credits are required, 0.5 available",
        details={
            "required": msgspec.Raw(b"1.25"),
            "available": msgspec.Raw(b"0.5"),
            "blocked_by": "organization",
            "resets_at": "2026-12-01T00:00:00.000000Z",
        },
    ),
    "permission_denied": ApiError(
        "permission_denied",
        "the key lacks the scope usage:write",
        details={"required_scope": "usage:write"},
    ),
    "resource_not_found": ApiError("resource_not_found", "there is no such grant"),
    "method_not_allowed": ApiError("method_not_allowed", "PUT is not supported here"),
    "request_timeout": ApiError("request_timeout", "the body did not arrive in time"),
    "conflict": ApiError("conflict", "an event with this id and other content has been booked"),
    "payload_too_large": ApiError("payload_too_large", "a body may have 1048576 bytes"),
    "unsupported_media_type": ApiError(
        "unsupported_media_type", "this operation reads application/json"
    ),
    "validation_failed": ApiError(
        "validation_failed",
        "/credits: round to 6 decimals",
        errors=[FieldError("/credits", "invalid", "round to 6 decimals")],
    ),
    "rate_limit_exceeded": ApiError(
        "rate_limit_exceeded", "200 requests per 60 seconds are admitted here; a slot opens in 7 s"
    ),
    "headers_too_large": ApiError("headers_too_large", "the request's head is too large"),
    "internal_error": ApiError("internal_error", "the request met a bug, which has been logged"),
    "service_unavailable": ApiError(
        "service_unavailable", "the ledger's storage cannot be reached or written"
    ),
    "outcome_unknown": ApiError("outcome_unknown", "storage broke off while committing"),
}


def codes_of(operation: Operation) -> list[str]:
    """The codes that an operation can answer, in the order of their statuses."""
    found = {*FRAMING, *operation.errors}
    if operation.audience is not Audience.OPEN:
        found |= {"no_authentication", "permission_denied", "rate_limit_exceeded"}
        found |= {"service_unavailable"}
    if operation.audience is Audience.TENANT or "{" in operation.path:
        found |= {"resource_not_found"}
    if operation.query:
        found |= {"validation_failed"}
    if operation.request is not None:
        found |= {"payload_too_large", "unsupported_media_type", "validation_failed"}
    if operation.method != "GET":
        found |= {"outcome_unknown"}
    if operation.idempotent:
        found |= {"conflict", "validation_failed"}
    return sorted(found, key=list(CODES).index)


def error_schemas() -> dict[str, Schema]:
    """The named schemas of errors."""
    return {
        "Error": _ERROR,
        "EventError": _RESULT_ERROR,
        "FieldError": _FIELD_ERROR,
        "Problem": _PROBLEM,
        **{schema_name(code): _narrowed(code) for code in CODES},
    }


def schema_name(code: str) -> str:
    """`conflict` → `ConflictError`."""
    return "".join(word.capitalize() for word in code.removesuffix("_error").split("_")) + "Error"


def _narrowed(code: str) -> Schema:
    properties: Schema = {
        "status_code": {"type": "integer", "const": CODES[code].status},
        "error": {"type": "string", "enum": [code]},
    }
    if code in _DETAILS:
        properties["details"] = {"type": "object", "properties": _DETAILS[code]}
    narrowed: Schema = {"type": "object", "properties": properties}
    if code == "validation_failed":
        narrowed["required"] = ["errors"]
    return {"description": f"{CODES[code].message}.", "allOf": [ref("Error"), narrowed]}


def error_content(codes: Iterable[str]) -> Schema:
    """The bodies of a status that stands for these codes."""
    names = list(codes)
    narrowed = [ref(schema_name(code)) for code in names]
    return {
        "application/json": {
            "schema": narrowed[0] if len(narrowed) == 1 else {"oneOf": narrowed},
            "examples": {code: {"value": _example(code)} for code in names},
        },
        PROBLEM_JSON.decode(): {"schema": ref("Problem")},
    }


def _example(code: str) -> Any:  # noqa: ANN401 - any JSON value
    return msgspec.json.decode(msgspec.json.encode(_EXAMPLES[code].envelope(REQUEST_ID)))
