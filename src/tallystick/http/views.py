"""How the ledger's objects look as JSON, wherever they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from tallystick.http.shapes import Credits, Quantity, Response, Time
from tallystick.http.wire import credits_json, quantity_json, time_json

if TYPE_CHECKING:
    from tallystick.domain.grants import Drawn, Grant
    from tallystick.domain.holds import Hold
    from tallystick.domain.prices import Price


class DrawnView(Response, kw_only=True):
    grant_id: str
    credits: Credits


def drawn_view(drawn: Drawn) -> list[DrawnView]:
    return [DrawnView(grant_id=grant_id, credits=credits_json(part)) for grant_id, part in drawn]


class PriceView(Response, kw_only=True, tag_field="object", tag="price"):
    id: str
    meter: str
    dimensions: dict[str, str]
    credits: Credits
    per: Quantity
    rounding: Literal["up", "down", "half_up", "half_even"]
    effective_at: Time
    ends_at: Time | None
    created_at: Time


def price_view(price: Price) -> PriceView:
    return PriceView(
        id=price.id,
        meter=price.meter,
        dimensions=dict(price.dimensions),
        credits=credits_json(price.credits),
        per=quantity_json(price.per),
        rounding=price.rounding.value,
        effective_at=time_json(price.effective_at) or "",
        ends_at=time_json(price.ends_at),
        created_at=time_json(price.created_at) or "",
    )


class GrantView(Response, kw_only=True):
    object: Literal["credits.grant"] = "credits.grant"
    id: str
    amount: Credits
    remaining: Credits
    held: Credits
    kind: Literal["rollover", "allowance", "promotional", "adjustment", "top_up"]
    priority: int
    effective_at: Time
    expires_at: Time | None
    status: Literal["pending", "active", "exhausted", "expired", "voided"]
    reference: str | None
    created_at: Time


def grant_view(grant: Grant) -> GrantView:
    return GrantView(
        id=grant.id,
        amount=credits_json(grant.amount),
        remaining=credits_json(grant.remaining),
        held=credits_json(grant.held),
        kind=grant.kind.value,
        priority=grant.priority,
        effective_at=time_json(grant.effective_at) or "",
        expires_at=time_json(grant.expires_at),
        status=grant.status.value,
        reference=grant.reference,
        created_at=time_json(grant.created_at) or "",
    )


class HoldView(Response, kw_only=True):
    object: Literal["hold"] = "hold"
    id: str
    status: Literal["open", "captured", "released", "expired"]
    credits: Annotated[Credits, Meta(description="What was set aside when it was placed")]
    held: Annotated[Credits, Meta(description="What is still set aside")]
    captured: Annotated[
        Credits, Meta(description="What captures have booked, also beyond what was held")
    ]
    expires_at: Time
    reference: str | None
    meter: str | None
    dimensions: dict[str, str] | None
    teamspace_id: str
    api_key_id: str | None
    created_at: Time


def hold_view(hold: Hold) -> HoldView:
    return HoldView(
        id=hold.id,
        status=hold.status.value,
        credits=credits_json(hold.credits),
        held=credits_json(hold.held),
        captured=credits_json(hold.captured),
        expires_at=time_json(hold.expires_at) or "",
        reference=hold.reference,
        meter=hold.meter,
        dimensions=None if hold.dimensions is None else msgspec.json.decode(hold.dimensions),
        teamspace_id=hold.teamspace_id,
        api_key_id=hold.api_key_id,
        created_at=time_json(hold.created_at) or "",
    )
