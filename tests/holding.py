"""Holds, reversals and budgets over HTTP, as tests ask for them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import httpx

from tests.answers import body_of
from tests.harness import Headers, World
from tests.spending import PATH as USAGE
from tests.spending import post

HOLDS: Final = "/v1/organization/credits/holds"
BUDGETS: Final = "/v1/organization/credits/budgets"
Json = dict[str, Any]


async def place(w: World, key: Headers, amount: float = 10, **terms: object) -> Json:
    """A hold that can be had."""
    answer = await w.send("POST", HOLDS, key, {"credits": amount, **terms})
    return body_of(answer, 201)


async def capture(w: World, key: Headers, hold: Json, **terms: object) -> httpx.Response:
    return await w.send("POST", f"{HOLDS}/{hold['id']}/capture", key, terms)


async def release(w: World, key: Headers, hold: Json) -> httpx.Response:
    return await w.send("POST", f"{HOLDS}/{hold['id']}/release", key)


async def extend(w: World, key: Headers, hold: Json, seconds: object) -> httpx.Response:
    return await w.send("POST", f"{HOLDS}/{hold['id']}/extend", key, {"expires_in": seconds})


async def look_at(w: World, key: Headers, hold: Json) -> Json:
    """The hold as it is now."""
    return body_of(await w.send("GET", f"{HOLDS}/{hold['id']}", key))


async def use(w: World, key: Headers, event_id: str, amount: float, **terms: object) -> Json:
    """The receipt of usage that is accepted."""
    return body_of(await post(w, key, {"id": event_id, "credits": amount, **terms}), 201)


async def reverse(w: World, key: Headers, event_id: str, **terms: object) -> httpx.Response:
    path = f"{USAGE}/{quote(event_id, safe='')}/reverse"
    return await w.send("POST", path, key, terms or None)


def budget_path(organization_id: str, subject_id: str = "") -> str:
    path = f"/v1/admin/organizations/{organization_id}/budgets"
    return f"{path}/{subject_id}" if subject_id else path


async def cap(w: World, organization_id: str, subject_id: str, limit: object) -> Json:
    path = budget_path(organization_id, subject_id)
    return body_of(await w.send("PUT", path, w.admin, {"limit": limit}))


async def figures(w: World, key: Headers) -> dict[str, float]:
    """The balance's figures."""
    balance = body_of(await w.send("GET", "/v1/organization/credits/balance", key))
    names = ("remaining", "consumed", "held", "available", "overage")
    return {name: balance[name] for name in names}


async def entries(w: World, key: Headers, **query: str) -> list[Json]:
    """The ledger's lines, oldest first."""
    path = "/v1/organization/credits/entries"
    answer = await w.client.get(path, headers=key, params={"order": "asc", "limit": "100", **query})
    found: list[Json] = body_of(answer)["data"]
    return found
