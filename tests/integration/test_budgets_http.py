"""Budgets over HTTP: set by operators, seen by tenants, and in the way of whoever exceeds them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_not_found,
    assert_refused,
    body_of,
)
from tests.harness import Headers, World, in_world
from tests.holding import BUDGETS, HOLDS, budget_path, cap, capture, place, release, reverse, use
from tests.spending import post
from tests.tenants import command, key_of, teamspace, tenant


def bearer_of(key: dict[str, Any]) -> Headers:
    return {"authorization": f"Bearer {key['secret']}"}


async def budgets(w: World, key: Headers) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body_of(await w.send("GET", BUDGETS, key))["data"]
    return found


@in_world
async def test_a_teamspaces_budget_counts_usage_and_open_holds(w: World) -> None:
    acme = await w.organization(allowance=100)
    home, key = acme.default_teamspace_id, await w.key(acme)
    await use(w, key, "before", 5)
    made = await cap(w, acme.id, home, 20.5)
    assert made == {
        "object": "credits.budget",
        "id": home,
        "teamspace_id": home,
        "api_key_id": None,
        "limit": 20.5,
        "used": 5,
        "held": 0,
        "available": 15.5,
        "resets_at": "2026-04-01T00:00:00.000000Z",
    }
    hold = await place(w, key, 10)
    body_of(await capture(w, key, hold, id="step", credits=4))
    assert await budgets(w, key) == [{**made, "used": 9, "held": 6, "available": 5.5}]
    body_of(await release(w, key, hold))
    body_of(await reverse(w, key, "before"), 201)
    assert await budgets(w, key) == [{**made, "used": 4, "available": 16.5}]


@pytest.mark.parametrize("kind", ["usage", "hold", "excess"])
@in_world
async def test_what_exceeds_a_budget_is_refused_and_says_whose(w: World, kind: str) -> None:
    acme = await w.organization(allowance=100)
    home, key = acme.default_teamspace_id, await w.key(acme)
    hold = await place(w, key, 4)
    await cap(w, acme.id, home, 10)
    if kind == "usage":
        answer = await post(w, key, {"id": "e", "credits": 7})
    elif kind == "hold":
        answer = await w.send("POST", HOLDS, key, {"credits": 7})
    else:
        answer = await capture(w, key, hold, id="e", credits=11, allow_excess=True)
    details = assert_refused(answer, 402, "credit_exceeded")
    assert details == {
        "reason": f"7 credits are required, and the budget of {home} leaves 6",
        "required": 7,
        "available": 6,
        "blocked_by": "budget",
        "budget_id": home,
        "resets_at": "2026-04-01T00:00:00.000000Z",
    }
    assert answer.headers["x-should-retry"] == "false"
    assert "budget" in answer.json()["mitigation"]


@in_world
async def test_a_batch_names_the_events_that_a_budget_refuses(w: World) -> None:
    acme = await w.organization(allowance=100)
    key = await w.key(acme)
    await cap(w, acme.id, acme.default_teamspace_id, 10)
    events = [{"id": "small", "credits": 9}, {"id": "large", "credits": 2}]
    answer = body_of(await post(w, key, {"events": events}))
    assert (answer["booked"], answer["rejected"]) == (1, 1)
    assert answer["data"][1]["error"]["details"]["blocked_by"] == "budget"
    refused = await post(w, key, {"events": [{"id": "x", "credits": 2}], "atomic": True})
    details = assert_refused(refused, 402, "credit_exceeded")
    assert (details["blocked_by"], details["index"], details["id"]) == ("budget", 0, "x")


@in_world
async def test_what_was_held_and_what_was_done_is_booked_all_the_same(w: World) -> None:
    acme = await w.organization(allowance=100)
    home, key = acme.default_teamspace_id, await w.key(acme)
    hold = await place(w, key, 4)
    await cap(w, acme.id, home, 0)
    body_of(await capture(w, key, hold, id="held", credits=4))
    await use(w, key, "done", 5, on_insufficient="overdraw")
    [budget] = await budgets(w, key)
    assert (budget["limit"], budget["used"], budget["available"]) == (0, 9, 0)
    await use(w, key, "nothing", 0)


@in_world
async def test_a_keys_budget_is_its_own(w: World) -> None:
    acme = await tenant(w, "Acme")
    small, free = await key_of(w, acme), await key_of(w, acme)
    await use(w, bearer_of(small), "before", 1)
    made = await cap(w, acme["id"], small["id"], 3)
    assert (made["id"], made["api_key_id"], made["teamspace_id"]) == (
        small["id"],
        small["id"],
        None,
    )
    assert made["used"] == 1
    answer = await post(w, bearer_of(small), {"id": "e", "credits": 2.5})
    assert assert_refused(answer, 402, "credit_exceeded")["budget_id"] == small["id"]
    await use(w, bearer_of(free), "e", 2.5)


@in_world
async def test_a_new_period_begins_anew(w: World) -> None:
    acme = await w.organization(allowance=100)
    home, key = acme.default_teamspace_id, await w.key(acme)
    await cap(w, acme.id, home, 10)
    await use(w, key, "march", 8)
    w.clock.set("2026-04-01T00:00:00Z")
    [budget] = await budgets(w, key)
    assert (budget["used"], budget["resets_at"]) == (0, "2026-05-01T00:00:00.000000Z")
    await use(w, key, "april", 8)
    [budget] = await budgets(w, key)
    assert budget["used"] == 8


@in_world
async def test_a_limit_is_changed_and_taken_away_at_once(w: World) -> None:
    acme = await w.organization(allowance=100)
    home, key = acme.default_teamspace_id, await w.key(acme)
    await cap(w, acme.id, home, 1)
    assert (await post(w, key, {"id": "e", "credits": 2})).status_code == 402
    await cap(w, acme.id, home, 2)
    await use(w, key, "e", 2)
    path = budget_path(acme.id, home)
    removed = {"object": "credits.budget", "id": home, "removed": True}
    for _ in range(2):
        assert body_of(await w.send("DELETE", path, w.admin)) == removed
    await use(w, key, "f", 50)
    assert await budgets(w, key) == []
    again = await cap(w, acme.id, home, 60)
    assert again["used"] == 52, "what was used while there was none counts too"


@in_world
async def test_a_budget_may_be_as_much_as_an_organization_may_consume(w: World) -> None:
    acme = await w.organization()
    set_to = await cap(w, acme.id, acme.default_teamspace_id, 8_000_000_000)
    assert set_to["limit"] == 8_000_000_000


@in_world
async def test_budgets_are_listed_by_id(w: World) -> None:
    acme = await tenant(w, "Acme")
    second = (await teamspace(w, acme, "Second"))["id"]
    key = await key_of(w, acme)
    subjects = sorted([acme["default_teamspace_id"], second, key["id"]])
    for subject in subjects:
        await cap(w, acme["id"], subject, 5)
    for headers, path in ((bearer_of(key), BUDGETS), (w.admin, budget_path(acme["id"]))):
        page = body_of(await w.send("GET", f"{path}?limit=2&order=asc", headers))
        assert page["has_more"]
        assert [one["id"] for one in page["data"]] == subjects[:2]
        rest = body_of(await w.send("GET", f"{path}?order=asc&after={subjects[1]}", headers))
        assert [one["id"] for one in rest["data"]] == subjects[2:]
        assert_invalid(await w.send("GET", f"{path}?after=ts_nowhere", headers), "?after")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/limit"),
        ({"limit": -1}, "/limit"),
        ({"limit": -0.000001}, "/limit"),
        ({"limit": "5"}, "/limit"),
        ({"limit": None}, "/limit"),
        ({"limit": 0.0000001}, "/limit"),
        ({"limit": 8_000_000_000.000001}, "/limit"),
        ({"limit": 5, "used": 0}, "/used"),
        ([], ""),
    ],
)
@in_world
async def test_a_budget_that_is_not_one_is_refused(w: World, body: object, pointer: str) -> None:
    acme = await w.organization()
    path = budget_path(acme.id, acme.default_teamspace_id)
    assert_invalid(await w.send("PUT", path, w.admin, body), pointer)
    assert await budgets(w, await w.key(acme)) == []


@in_world
async def test_a_budget_is_of_a_teamspace_or_key_that_there_is(w: World) -> None:
    acme, other = await tenant(w, "Acme"), await tenant(w, "Other")
    foreign = (await key_of(w, other))["id"]
    for organization_id, subject in (
        (acme["id"], "ts_nowhere"),
        (acme["id"], "key_nowhere"),
        (acme["id"], other["default_teamspace_id"]),
        (acme["id"], foreign),
        (acme["id"], acme["id"]),
        (acme["id"], "%00"),
        ("org_nowhere", acme["default_teamspace_id"]),
    ):
        path = budget_path(organization_id, subject)
        assert_not_found(await w.send("PUT", path, w.admin, {"limit": 5}))
        assert_not_found(await w.send("DELETE", path, w.admin))
    assert_not_found(await w.send("GET", budget_path("org_nowhere"), w.admin))


@in_world
async def test_budgets_are_set_by_operators_only(w: World) -> None:
    acme = await w.organization()
    key = await w.key(acme, scopes=["credits:read", "usage:write", "teamspaces:write"])
    path = budget_path(acme.id, acme.default_teamspace_id)
    for method, body in (("PUT", {"limit": 5}), ("DELETE", None)):
        assert_refused(await w.send(method, path, key, body), 403, "permission_denied")
    assert_refused(await w.send("GET", budget_path(acme.id), key), 403, "permission_denied")


@in_world
async def test_a_closed_organization_gets_no_budget(w: World) -> None:
    acme = await tenant(w, "Acme")
    await command(w, "POST", acme, "/close")
    path = budget_path(acme["id"], acme["default_teamspace_id"])
    assert_conflict(await w.send("PUT", path, w.admin, {"limit": 5}))
