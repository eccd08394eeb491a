"""The price book, as operators write it.

The book only grows: a price is added, or ended. What was written once may be sent again, alone or
with the whole book, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.price_book import Clash, EndsEarlier, TooManyPrices
from tallystick.domain.prices import Price, Rounding
from tallystick.domain.quantities import MAX_DIGITS, NANO, parse_quantity
from tallystick.http.errors import ApiError, invalid
from tallystick.http.handlers.usage_events import Dimensions, Meter, check_dimensions
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Audience, Call, Operation, answer
from tallystick.http.outcomes import expect
from tallystick.http.shapes import (
    PAGING,
    Amount,
    Request,
    Response,
    Time,
    list_answer,
    list_type,
    not_found,
    read_page,
)
from tallystick.http.views import PriceView, price_view
from tallystick.http.wire import (
    credits_field,
    decode_strictly,
    parse_field,
    recent_instant,
    text_field,
)
from tallystick.ledger.prices import LANE, AddPrices, EndPrice

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tallystick.domain.price_book import Added

MAX_AT_ONCE: Final = 1000
"""Prices in one request."""

_Credits = Annotated[Amount, Meta(description="What `per` units cost")]
_Per = Annotated[
    msgspec.Raw,
    Meta(
        description="How many units cost that much (default 1)",
        extra_json_schema={
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 10**MAX_DIGITS,
        },
    ),
]
_Rounding = Annotated[
    Literal["up", "down", "half_up", "half_even"],
    Meta(description="What becomes of a part of a micro-credit (default half_even)"),
]
_EffectiveAt = Annotated[
    Time, Meta(description="From when: a time that is past rates usage of that time that comes now")
]


class PriceFacts(Request, kw_only=True):
    """What a price may say."""

    dimensions: (
        Annotated[Dimensions, Meta(description="Which events: those that have all of these")]
        | UnsetType
    ) = UNSET
    per: _Per | UnsetType = UNSET
    rounding: _Rounding | UnsetType = UNSET


class NewPrice(PriceFacts, kw_only=True):
    """One price of several."""

    meter: Meter
    credits: _Credits
    effective_at: _EffectiveAt


class PriceRequest(PriceFacts, kw_only=True):
    """One price (`meter`, `credits`, `effective_at`, …) or several (`prices`), all or none."""

    meter: Meter | UnsetType = UNSET
    credits: _Credits | UnsetType = UNSET
    effective_at: _EffectiveAt | UnsetType = UNSET
    prices: Annotated[list[NewPrice], Meta(min_length=1, max_length=MAX_AT_ONCE)] | UnsetType = (
        UNSET
    )


class PriceEnding(Request, kw_only=True):
    ends_at: Annotated[Time, Meta(description="Default: now")] | UnsetType = UNSET


class PriceAdditions(Response, kw_only=True, tag_field="object", tag="list"):
    """Prices in the order sent, those included that the book had already."""

    data: list[PriceView]
    added: int
    unchanged: int


_decode_prices: Final = msgspec.json.Decoder(PriceRequest)
_decode_ending: Final = msgspec.json.Decoder(PriceEnding)


def add_prices(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_prices, call.body)
    if body.prices is UNSET:
        prices = {"": _price(call, _single(body), "")}
        show_added = _show_one
    else:
        _refuse_beside(body)
        numbered = {f"/prices/{number}": one for number, one in enumerate(body.prices)}
        prices = {at: _price(call, one, at) for at, one in numbered.items()}
        show_added = _show_several

    def show(outcome: object) -> Shown:
        if isinstance(outcome, Clash):
            raise _clash_error(outcome, {price.id: at for at, price in prices.items()})
        if isinstance(outcome, TooManyPrices):
            raise ApiError(
                "conflict",
                f"the meter {outcome.meter!r} would have more than {outcome.most} prices",
                details={"meter": outcome.meter, "most": outcome.most},
                mitigation="Use another meter; prices are never deleted",
            )
        return show_added(expect(list, outcome))

    return carry_out(call, LANE, AddPrices(prices=list(prices.values())), show)


def _single(body: PriceRequest) -> NewPrice:
    meter, cost, effective_at = body.meter, body.credits, body.effective_at
    if meter is UNSET:
        raise invalid("/meter", "is required (or 'prices', for several)")
    if cost is UNSET:
        raise invalid("/credits", "is required")
    if effective_at is UNSET:
        raise invalid("/effective_at", "is required: from when the price holds")
    return NewPrice(
        meter=meter,
        credits=cost,
        effective_at=effective_at,
        dimensions=body.dimensions,
        per=body.per,
        rounding=body.rounding,
    )


def _refuse_beside(body: PriceRequest) -> None:
    for name in body.__struct_fields__:
        if name != "prices" and getattr(body, name) is not UNSET:
            raise invalid(f"/{name}", "cannot stand beside 'prices': say it of each price")


def _price(call: Call, body: NewPrice, at: str) -> Price:
    dimensions = body.dimensions or {}
    check_dimensions(dimensions, at)
    per = NANO
    if body.per is not UNSET:
        per = parse_field(at + "/per", parse_quantity, bytes(body.per))
        if not per:
            raise invalid(at + "/per", "must be more than 0")
    return Price(
        id=call.service.new_id("price"),
        meter=text_field(at + "/meter", body.meter),
        dimensions=tuple(sorted(dimensions.items())),
        credits=credits_field(at + "/credits", body.credits),
        per=per,
        rounding=Rounding.HALF_EVEN if body.rounding is UNSET else Rounding(body.rounding),
        effective_at=recent_instant(at + "/effective_at", body.effective_at),
        created_at=call.service.clock(),
    )


def _show_one(added: list[Added]) -> Shown:
    (one,) = added
    return Shown(200 if one.duplicate else 201, price_view(one.price))


def _show_several(added: list[Added]) -> Shown:
    unchanged = sum(one.duplicate for one in added)
    view = PriceAdditions(
        data=[price_view(one.price) for one in added],
        added=len(added) - unchanged,
        unchanged=unchanged,
    )
    return Shown(201 if view.added else 200, view)


def _clash_error(clash: Clash, places: dict[str, str]) -> ApiError:
    """422 where the request contradicts itself, else 409 with the price that is in the way."""
    at = places[clash.price.id]
    reason = (
        "some events could be rated by either of two prices, which name equally many dimensions"
        if clash.is_ambiguous
        else "another price of this meter and these dimensions takes effect at that time"
    )
    if clash.other.id in places:
        code = "ambiguous_price" if clash.is_ambiguous else "repeated_price"
        return invalid(at, f"{reason}: see {places[clash.other.id]}", code)
    return ApiError(
        "conflict",
        f"{at or 'the price'}: {reason}; it is {clash.other.id}",
        details={"pointer": at, "price": price_view(clash.other)},
        mitigation=(
            "Name more dimensions in one of the two, or end the one that is there"
            if clash.is_ambiguous
            else "Give another effective_at, or end the one that is there before it takes effect"
        ),
    )


async def get_price(call: Call) -> Answer:
    return answer(200, price_view(await _known_price(call)))


async def _known_price(call: Call) -> Price:
    price = await call.service.reads.reader.price(call.params["price_id"])
    if price is None:
        raise not_found("price")
    return price


def list_prices(call: Call) -> Awaitable[Answer]:
    return list_answer(read_page(call.query), call.service.reads.reader.prices, price_view)


async def end_price(call: Call) -> Answer:
    body = decode_strictly(_decode_ending, call.body or b"{}")
    ends_at = None if body.ends_at is UNSET else recent_instant("/ends_at", body.ends_at)
    price = await _known_price(call)
    unit = EndPrice(meter=price.meter, price_id=price.id, ends_at=ends_at)
    return await carry_out(call, LANE, unit, _show_ended)


def _show_ended(outcome: object) -> Shown:
    if isinstance(outcome, EndsEarlier):
        raise ApiError(
            "conflict",
            "the price ends earlier already, and an end cannot be put off",
            details={"price": price_view(outcome.price)},
            mitigation="Add a price that takes effect when this one ends",
        )
    return Shown(200, price_view(expect(Price, outcome)))


_PATH: Final = "/v1/admin/prices"
_NEW: Final = ["meter", "credits", "effective_at"]

OPERATIONS = (
    Operation(
        name="add_prices",
        method="POST",
        path=_PATH,
        handle=add_prices,
        audience=Audience.OPERATOR,
        tag="Prices",
        request=PriceRequest,
        bodies={
            b"application/json": Annotated[
                PriceRequest,
                Meta(
                    extra_json_schema={"oneOf": [{"required": _NEW}, {"required": ["prices"]}]},
                ),
            ]
        },
        example={
            "meter": "llm.tokens",
            "dimensions": {"model": "m-large"},
            "credits": 3,
            "per": 1000000,
            "effective_at": "2026-11-22T10:00:00Z",
        },
        response=PriceView,
        status=201,
        also={200: "The book had it already, or all of them"},
        responses={201: PriceView | PriceAdditions, 200: PriceView | PriceAdditions},
        errors=("conflict", "validation_failed"),
        idempotent=True,
        summary="Add prices",
        description=(
            "Adds one price to the book, or several: all of them, or none. A price holds from "
            "`effective_at` until the next one of the same meter and dimensions takes effect, or "
            "until it is ended, and is never changed. Of the prices that hold for an event, the "
            "one that names the most dimensions counts; prices between which some event could not "
            "choose are refused. What the book has already is left as it is, so the whole of it "
            "may be sent again."
        ),
    ),
    Operation(
        name="list_prices",
        method="GET",
        path=_PATH,
        handle=list_prices,
        audience=Audience.OPERATOR,
        tag="Prices",
        response=list_type(PriceView, "PriceList"),
        query=PAGING,
        summary="List prices",
        description="Every price that was ever written, whatever has become of it.",
    ),
    Operation(
        name="get_price",
        method="GET",
        path=_PATH + "/{price_id}",
        handle=get_price,
        audience=Audience.OPERATOR,
        tag="Prices",
        response=PriceView,
        summary="Get a price",
    ),
    Operation(
        name="end_price",
        method="POST",
        path=_PATH + "/{price_id}/end",
        handle=end_price,
        audience=Audience.OPERATOR,
        tag="Prices",
        request=PriceEnding,
        request_optional=True,
        response=PriceView,
        errors=("conflict", "validation_failed"),
        idempotent=True,
        summary="End a price",
        description=(
            "The price no longer holds from `ends_at` on. Where that is not after `effective_at`, "
            "it never takes effect, and the price before it goes on. An end can be brought "
            "forward, but not put off. What was booked stays as it was rated."
        ),
    ),
)
