"""JSON shapes that several operations share: field types with their schema, lists, ids."""

from __future__ import annotations

from functools import cache
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tallystick.domain.credits import MAX_AMOUNT, MAX_SUM, MICRO
from tallystick.domain.periods import InvalidInstant, parse_instant
from tallystick.domain.quantities import MAX_DIGITS
from tallystick.http.errors import ApiError, FieldError
from tallystick.http.operations import Answer, Parameter, answer
from tallystick.http.wire import decode_strictly
from tallystick.ledger.reading import Page, UnknownCursor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

# No multipleOf: whoever checks it with doubles finds that 0.57 is no multiple of 0.000001.
_NUMBER: Final = {"type": "number", "format": "decimal"}

Credits = Annotated[msgspec.Raw, Meta(extra_json_schema={**_NUMBER, "minimum": 0})]
"""An amount in an answer, exact to 6 decimals."""

Amount = Annotated[
    msgspec.Raw,
    Meta(
        description="Credits; any spelling whose value has at most 6 decimals",
        extra_json_schema={**_NUMBER, "minimum": 0, "maximum": MAX_AMOUNT // MICRO},
    ),
]
"""An amount in a request: read from its exact spelling."""

Sum = Annotated[
    msgspec.Raw,
    Meta(
        description="Credits; any spelling whose value has at most 6 decimals",
        extra_json_schema={**_NUMBER, "minimum": 0, "maximum": MAX_SUM // MICRO},
    ),
]
"""A sum of amounts in a request."""

Quantity = Annotated[
    msgspec.Raw,
    Meta(
        description="How much of what the meter measures; at most 9 decimals and 15 digits",
        extra_json_schema={"type": "number", "minimum": 0, "exclusiveMaximum": 10**MAX_DIGITS},
    ),
]
"""A quantity, exact."""

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339; in answers in UTC with six fraction digits."""

CallerId = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+\Z", description="Your own id")
]

Name = Annotated[str, Meta(min_length=1, max_length=255, description="Free text without NUL")]

RateLimits = Annotated[
    dict[str, Annotated[int, Meta(ge=0, le=1_000_000)]],
    Meta(description="Requests per 60 seconds, by operation"),
]


class Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request body: unknown fields are refused."""


class Nothing(Request, kw_only=True):
    """The body of a request that says all in its path: empty, or `{}`."""


class Response(msgspec.Struct, kw_only=True):
    """A response body."""


PAGING: Final = (
    Parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        "How many objects at most",
    ),
    Parameter("after", {"type": "string"}, "Objects that follow the one with this id"),
    Parameter("before", {"type": "string"}, "Objects that precede the one with this id"),
    Parameter(
        "order",
        {"type": "string", "enum": ["desc", "asc"], "default": "desc"},
        "Newest first, or oldest first",
    ),
)


@cache
def list_type(item: type[msgspec.Struct], name: str) -> type[msgspec.Struct]:
    """The response type of a list of `item`s: one type however many operations answer with it."""
    items = GenericAlias(list, (item,))
    fields: list[tuple[str, Any]] = [
        ("object", Literal["list"]),
        ("data", items),
        ("has_more", bool),
    ]
    return msgspec.defstruct(name, fields, kw_only=True)


def read_page(query: Mapping[str, str]) -> Page:
    """The page that a request asks for; 422 for what is no page."""
    if "after" in query and "before" in query:
        raise bad_parameter("before", "cannot be combined with after")
    text = query.get("limit", "20")
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise bad_parameter("limit", "must be a whole number from 1 to 100")
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise bad_parameter("order", "must be asc or desc")
    return Page(int(text), query.get("after"), query.get("before"), order == "asc")


_decode_nothing: Final = msgspec.json.Decoder(Nothing)


def read_nothing(body: bytes) -> None:
    """Raises 422 where a request that says all in its path says something in its body as well."""
    decode_strictly(_decode_nothing, body or b"{}")


async def list_answer(
    page: Page,
    fetch: Callable[[Page], Awaitable[Sequence[Any] | None]],
    show: Callable[[Any], msgspec.Struct],
) -> Answer:
    """One page of what `fetch` yields (in the order travelled, one more where there are more)."""
    try:
        rows = await fetch(page)
    except UnknownCursor:
        raise unknown_cursor(page) from None
    if rows is None:
        raise not_found("organization")
    shown = [show(row) for row in rows[: page.limit]]
    if page.before is not None:
        shown.reverse()
    return answer(200, {"object": "list", "data": shown, "has_more": len(rows) > page.limit})


def unknown_cursor(page: Page) -> ApiError:
    name = "after" if page.before is None else "before"
    return bad_parameter(name, "names no object of this list")


def bad_parameter(name: str, message: str) -> ApiError:
    """422 for one query parameter."""
    return ApiError(
        "validation_failed",
        f"query parameter '{name}' {message}",
        errors=[FieldError(f"?{name}", "invalid", message)],
    )


def instant_parameter(query: Mapping[str, str], name: str) -> int | None:
    """The instant that a query parameter names, if it is given."""
    if name not in query:
        return None
    try:
        # A plus that was not percent-encoded arrives as a space, and no time has one.
        return parse_instant(query[name].replace(" ", "+"))
    except InvalidInstant as error:
        raise bad_parameter(name, str(error)) from None


def not_found(what: str) -> ApiError:
    """404: the same for what does not exist and for what belongs to another organization."""
    return ApiError("resource_not_found", f"there is no such {what}")
