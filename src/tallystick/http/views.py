"""How the ledger's objects look as JSON, wherever they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tallystick.http.shapes import Credits, Response, Time
from tallystick.http.wire import credits_json, time_json

if TYPE_CHECKING:
    from tallystick.domain.grants import Grant


class DrawnView(Response, kw_only=True):
    grant_id: str
    credits: Credits


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
