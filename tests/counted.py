"""An organization that counts its usage, and what its statistics say."""

from __future__ import annotations

from typing import Any

from tests.harness import Headers, World
from tests.spending import PATH, post
from tests.tenants import key_of, tenant

DAY = {"from": "2026-03-10T00:00:00Z", "to": "2026-03-11T00:00:00Z"}


async def spender(w: World, **terms: object) -> tuple[dict[str, Any], Headers]:
    """An organization that counts usage by model, and a key of it."""
    acme = await tenant(w, "Acme", **{"usage_dimensions": ["model"], **terms})
    key = await key_of(w, acme)
    return acme, {"authorization": f"Bearer {key['secret']}"}


async def use(w: World, key: Headers, event_id: str, amount: float, **facts: object) -> None:
    answer = await post(w, key, {"id": event_id, "credits": amount, **facts})
    assert answer.status_code == 201, answer.text


async def series(w: World, key: Headers, **query: str) -> list[dict[str, Any]]:
    answer = await w.client.get(PATH, params=query, headers=key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["has_more"] is False
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def told(w: World, key: Headers, group_by: str) -> list[tuple[list[object], float, int]]:
    """The groups of a day with their credits and events."""
    points = await series(w, key, group_by=group_by, **DAY)
    return [(list(each["group"].values()), each["credits"], each["events"]) for each in points]
