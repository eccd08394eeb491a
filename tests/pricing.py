"""The price book in tests: written over HTTP, and prices as the core has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallystick.domain.periods import parse_instant
from tallystick.domain.prices import Price, Rounding
from tallystick.domain.quantities import NANO
from tests.answers import body_of
from tests.harness import World

PRICES: Final = "/v1/admin/prices"
PREVIEW: Final = "/v1/organization/credits/preview"
SINCE: Final = "2026-01-01T00:00:00Z"
Json = dict[str, Any]


async def price_of(w: World, meter: str, *, status: int = 201, **terms: object) -> Json:
    """A price of `meter` since the beginning of the year, one credit a unit unless said."""
    body = {"meter": meter, "credits": 1, "effective_at": SINCE, **terms}
    return body_of(await w.send("POST", PRICES, w.admin, body), status)


async def end(w: World, price: Json, **terms: object) -> Json:
    return body_of(await w.send("POST", f"{PRICES}/{price['id']}/end", w.admin, terms))


async def book_now(w: World) -> str:
    """All that the book says, to see that nothing of it changed."""
    return (await w.send("GET", f"{PRICES}?limit=100", w.admin)).text


def price(
    price_id: str = "price_1",
    *,
    meter: str = "tokens",
    dimensions: Mapping[str, str] | None = None,
    credits: int = 1_000_000,
    per: int = NANO,
    rounding: Rounding = Rounding.HALF_EVEN,
    since: str | int = SINCE,
    ends_at: int | None = None,
) -> Price:
    """A price as the core has it; amounts in micro-credits and billionths."""
    return Price(
        id=price_id,
        meter=meter,
        dimensions=tuple(sorted((dimensions or {}).items())),
        credits=credits,
        per=per,
        rounding=rounding,
        effective_at=parse_instant(since) if isinstance(since, str) else since,
        created_at=0,
        ends_at=ends_at,
    )
