"""`GET /v1/organization/credits/grants`: what an organization's own keys see of its grants."""

from __future__ import annotations

from typing import Any

from tests.harness import START, Headers, World, in_world
from tests.moves import book, issue

PATH = "/v1/organization/credits/grants"
SOON = "2026-03-10T13:00:00Z"
NEXT_MONTH = "2026-04-01T00:00:00Z"


async def listed(w: World, headers: Headers, **query: str) -> list[dict[str, Any]]:
    answer = await w.client.get(PATH, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


@in_world
async def test_a_grant_to_the_field(w: World) -> None:
    acme = await w.organization()
    grant = await issue(w, acme, "12.5", expires_at=SOON, reference="order-1")
    await book(w, acme, "evt-1", "0.1")
    assert await listed(w, await w.key(acme)) == [
        {
            "object": "credits.grant",
            "id": grant.id,
            "amount": 12.5,
            "remaining": 12.4,
            "held": 0,
            "kind": "top_up",
            "priority": 50,
            "effective_at": START.replace("Z", ".000000Z"),
            "expires_at": SOON.replace("Z", ".000000Z"),
            "status": "active",
            "reference": "order-1",
            "created_at": START.replace("Z", ".000000Z"),
        }
    ]


@in_world
async def test_grants_are_shown_as_they_are_now(w: World) -> None:
    """What fell due counts, whether or not it has been written."""
    acme = await w.organization(allowance=5)
    await issue(w, acme, "1", expires_at=SOON)
    w.clock.set(NEXT_MONTH)
    found = await listed(w, await w.key(acme))
    assert [(grant["kind"], grant["status"]) for grant in found] == [
        ("allowance", "active"),
        ("top_up", "expired"),
        ("allowance", "expired"),
    ]


@in_world
async def test_pages_follow_each_other(w: World) -> None:
    acme = await w.organization(allowance=5)
    reader = await w.key(acme)
    for _ in range(3):
        await issue(w, acme, "1")
    w.clock.set(NEXT_MONTH)
    whole = [grant["id"] for grant in await listed(w, reader)]
    page = await listed(w, reader, limit="2")
    found = list(page)
    while page:
        page = await listed(w, reader, limit="2", after=page[-1]["id"])
        found += page
    assert [grant["id"] for grant in found] == whole
    assert len(whole) == 5


@in_world
async def test_another_organizations_grant_is_no_cursor(w: World) -> None:
    acme, other = await w.organization(), await w.organization("Other")
    grant = await issue(w, other, "1")
    reader = await w.key(acme)
    answer = await w.client.get(f"{PATH}?after={grant.id}", headers=reader)
    assert answer.status_code == 422


@in_world
async def test_reading_needs_its_scope(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["usage:write"])
    assert (await w.client.get(PATH, headers=writer)).status_code == 403
