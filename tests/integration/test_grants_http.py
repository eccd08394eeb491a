"""Grants over HTTP: issued by reference, listed, taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.answers import assert_conflict, assert_invalid, assert_not_found, body_of
from tests.harness import World, in_world

NOW = "2026-03-10T12:00:00.000000Z"


def path_of(organization_id: str, rest: str = "") -> str:
    return f"/v1/admin/organizations/{organization_id}/grants{rest}"


async def issue(w: World, organization_id: str, **terms: object) -> dict[str, Any]:
    body = {"amount": 50, "kind": "top_up", **terms}
    return body_of(await w.send("POST", path_of(organization_id), w.admin, body), 201)


async def void(w: World, organization_id: str, grant_id: str, **terms: object) -> dict[str, Any]:
    path = path_of(organization_id, f"/{grant_id}/void")
    return body_of(await w.send("POST", path, w.admin, terms))


async def remaining(w: World, organization_id: str) -> float:
    reader = await w.key(organization_id)
    report = body_of(await w.send("GET", "/v1/organization/credits", reader))
    found: float = report["remaining"]
    return found


@in_world
async def test_a_grant_is_issued_on_its_terms(w: World) -> None:
    acme = await w.organization()
    terms = {
        "amount": 12.345678,
        "kind": "promotional",
        "priority": 0,
        "effective_at": "2026-03-11T00:00:00+01:00",
        "expires_at": "2026-04-01T00:00:00Z",
        "reference": "invoice/7",
    }
    grant = await issue(w, acme.id, **terms)
    assert grant["id"].startswith("grant_")
    assert grant == {
        "object": "credits.grant",
        **terms,
        "id": grant["id"],
        "remaining": 12.345678,
        "held": 0,
        "effective_at": "2026-03-10T23:00:00.000000Z",
        "expires_at": "2026-04-01T00:00:00.000000Z",
        "status": "pending",
        "created_at": NOW,
    }
    assert await remaining(w, acme.id) == 0
    w.clock.set("2026-03-10T23:00:00Z")
    assert await remaining(w, acme.id) == 12.345678


@pytest.mark.parametrize("kind", ["top_up", "promotional", "adjustment"])
@in_world
async def test_only_amount_and_kind_are_needed(w: World, kind: str) -> None:
    acme = await w.organization()
    grant = await issue(w, acme.id, kind=kind)
    assert grant == {
        "object": "credits.grant",
        "id": grant["id"],
        "amount": 50,
        "remaining": 50,
        "held": 0,
        "kind": kind,
        "priority": 50,
        "effective_at": NOW,
        "expires_at": None,
        "status": "active",
        "reference": None,
        "created_at": NOW,
    }
    assert await remaining(w, acme.id) == 50


@in_world
async def test_the_same_reference_and_content_give_the_first_grant_as_it_is_now(w: World) -> None:
    acme = await w.organization()
    first = await issue(w, acme.id, reference="r-1")
    await w.spend(acme, "20.5")
    body = {
        "amount": 50.0,
        "kind": "top_up",
        "priority": 50,
        "reference": "r-1",
        "expires_at": None,
    }
    again = await w.send("POST", path_of(acme.id), w.admin, body)
    assert body_of(again, 200) == {**first, "remaining": 29.5}
    assert await remaining(w, acme.id) == 29.5


@pytest.mark.parametrize(
    "other",
    [
        {"amount": 51},
        {"kind": "adjustment"},
        {"priority": 49},
        {"effective_at": "2026-03-10T12:00:00Z"},
        {"expires_at": "2026-05-01T00:00:00Z"},
    ],
)
@in_world
async def test_the_same_reference_with_other_content_is_a_conflict(
    w: World, other: dict[str, Any]
) -> None:
    acme = await w.organization()
    terms = {"amount": 50, "kind": "top_up", "reference": "r-1"}
    await issue(w, acme.id, **terms)
    assert_conflict(await w.send("POST", path_of(acme.id), w.admin, {**terms, **other}))
    assert await remaining(w, acme.id) == 50


@in_world
async def test_a_reference_is_unique_in_its_organization_only(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    first = await issue(w, acme.id, reference="r-1")
    second = await issue(w, other.id, reference="r-1", amount=7)
    assert first["id"] != second["id"]


@in_world
async def test_one_reference_sent_twenty_times_at_once_is_one_grant(w: World) -> None:
    acme = await w.organization()
    body = {"amount": 50, "kind": "top_up", "reference": "r-1"}
    answers = await asyncio.gather(
        *(w.send("POST", path_of(acme.id), w.admin, body) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert await remaining(w, acme.id) == 50


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"amount": 0}, "/amount"),
        ({"amount": -1}, "/amount"),
        ({"amount": 1_000_000_001}, "/amount"),
        ({"amount": 0.0000001}, "/amount"),
        ({"amount": "50"}, "/amount"),
        ({"amount": None}, "/amount"),
        ({"kind": "allowance"}, "/kind"),
        ({"kind": "rollover"}, "/kind"),
        ({"priority": -1}, "/priority"),
        ({"priority": 101}, "/priority"),
        ({"priority": None}, "/priority"),
        ({"effective_at": "2026-03-11T00:00:00"}, "/effective_at"),
        ({"effective_at": "1999-12-31T23:59:59Z"}, "/effective_at"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"expires_at": "2026-03-10T12:00:00Z"}, "/expires_at"),
        ({"expires_at": "1999-12-31T23:59:59Z"}, "/expires_at"),
        (
            {"effective_at": "2026-05-01T00:00:00Z", "expires_at": "2026-05-01T00:00:00Z"},
            "/expires_at",
        ),
        ({"reference": ""}, "/reference"),
        ({"reference": "a b"}, "/reference"),
        ({"reference": "ä"}, "/reference"),
        ({"reference": "x" * 256}, "/reference"),
        ({"remaining": 5}, "/remaining"),
    ],
)
@in_world
async def test_what_is_wrong_with_a_grant_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    acme = await w.organization()
    body = {"amount": 50, "kind": "top_up", **terms}
    assert_invalid(await w.send("POST", path_of(acme.id), w.admin, body), pointer)
    assert await remaining(w, acme.id) == 0


@pytest.mark.parametrize("missing", ["amount", "kind"])
@in_world
async def test_amount_and_kind_are_required(w: World, missing: str) -> None:
    acme = await w.organization()
    body = {"amount": 50, "kind": "top_up"}
    del body[missing]
    assert_invalid(await w.send("POST", path_of(acme.id), w.admin, body), f"/{missing}")


@in_world
async def test_sums_stay_in_the_range_that_clients_read_exactly(w: World) -> None:
    acme = await w.organization()
    for _ in range(7):
        await issue(w, acme.id, amount=1_000_000_000)
    await issue(w, acme.id, amount=999_999_999.5)
    body = {"amount": 0.500001, "kind": "top_up"}
    details = assert_conflict(await w.send("POST", path_of(acme.id), w.admin, body))
    assert details["room"] == 0.5
    await issue(w, acme.id, amount=0.5)


@in_world
async def test_voiding_takes_back_what_is_left_for_good(w: World) -> None:
    acme = await w.organization()
    grant = await issue(w, acme.id)
    await w.spend(acme, "20")
    voided = await void(w, acme.id, grant["id"])
    assert voided == {**grant, "remaining": 0, "status": "voided"}
    assert await void(w, acme.id, grant["id"]) == voided
    assert await remaining(w, acme.id) == 0


@in_world
async def test_voiding_a_part_leaves_the_rest(w: World) -> None:
    acme = await w.organization()
    grant = await issue(w, acme.id)
    assert await void(w, acme.id, grant["id"], credits=20.5) == {**grant, "remaining": 29.5}
    assert await remaining(w, acme.id) == 29.5


@in_world
async def test_voiding_more_than_is_left_is_a_conflict(w: World) -> None:
    acme = await w.organization()
    grant = await issue(w, acme.id)
    await w.spend(acme, "20.25")
    path = path_of(acme.id, f"/{grant['id']}/void")
    details = assert_conflict(await w.send("POST", path, w.admin, {"credits": 29.75001}))
    assert details["available"] == 29.75
    assert await remaining(w, acme.id) == 29.75


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"credits": 0}, "/credits"),
        ({"credits": -1}, "/credits"),
        ({"credits": None}, "/credits"),
        ({"credits": "all"}, "/credits"),
        ({"amount": 5}, "/amount"),
    ],
)
@in_world
async def test_what_is_wrong_with_a_void_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    acme = await w.organization()
    grant = await issue(w, acme.id)
    path = path_of(acme.id, f"/{grant['id']}/void")
    assert_invalid(await w.send("POST", path, w.admin, terms), pointer)
    assert await remaining(w, acme.id) == 50


@in_world
async def test_grants_are_listed_newest_first_as_they_are_now(w: World) -> None:
    acme = await w.organization(allowance=10)
    first = await issue(w, acme.id, expires_at="2026-03-11T00:00:00Z")
    second = await issue(w, acme.id)
    w.clock.set("2026-04-01T00:00:00Z")
    page = body_of(await w.send("GET", path_of(acme.id), w.admin))
    assert (page["object"], page["has_more"]) == ("list", False)
    renewed, *issued, allowance = page["data"]
    assert (renewed["kind"], renewed["status"], renewed["remaining"]) == ("allowance", "active", 10)
    assert issued == [second, {**first, "status": "expired", "remaining": 0}]
    assert (allowance["kind"], allowance["status"]) == ("allowance", "expired")


@in_world
async def test_grants_are_listed_in_pages(w: World) -> None:
    acme = await w.organization()
    ids = [(await issue(w, acme.id))["id"] for _ in range(3)]
    page = body_of(await w.send("GET", path_of(acme.id, "?limit=2"), w.admin))
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    page = body_of(await w.send("GET", path_of(acme.id, f"?after={ids[1]}"), w.admin))
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:1], False)
    assert_invalid(await w.send("GET", path_of(acme.id, "?after=grant_x"), w.admin), "?after")


@in_world
async def test_the_cursor_of_another_organization_is_unknown(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    grant = await issue(w, other.id)
    answer = await w.send("GET", path_of(acme.id, f"?after={grant['id']}"), w.admin)
    assert_invalid(answer, "?after")


@in_world
async def test_a_suspended_organization_can_be_granted_credits_but_a_closed_one_cannot(
    w: World,
) -> None:
    acme = await w.organization()
    base = f"/v1/admin/organizations/{acme.id}"
    await w.send("POST", f"{base}/suspend", w.admin)
    await issue(w, acme.id, reference="r-1")
    await w.send("POST", f"{base}/close", w.admin)
    assert_conflict(
        await w.send("POST", path_of(acme.id), w.admin, {"amount": 1, "kind": "top_up"})
    )
    # What was decided before is looked up before any state is judged.
    body = {"amount": 50, "kind": "top_up", "reference": "r-1"}
    body_of(await w.send("POST", path_of(acme.id), w.admin, body), 200)


@in_world
async def test_a_grant_is_found_in_its_own_organization_only(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    grant = await issue(w, other.id)
    foreign = await w.send("POST", path_of(acme.id, f"/{grant['id']}/void"), w.admin)
    missing = await w.send("POST", path_of(acme.id, "/grant_none/void"), w.admin)
    assert_not_found(foreign)
    assert {**foreign.json(), "request_id": ""} == {**missing.json(), "request_id": ""}
    assert await remaining(w, other.id) == 50


@in_world
async def test_the_grants_of_no_organization_are_not_found(w: World) -> None:
    assert_not_found(await w.send("GET", path_of("org_none"), w.admin))
    body = {"amount": 50, "kind": "top_up"}
    assert_not_found(await w.send("POST", path_of("org_none"), w.admin, body))
    assert_not_found(await w.send("POST", path_of("org_none", "/grant_none/void"), w.admin))
