"""Reversals over HTTP: credits of a usage event given back, whole or in part, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_not_found,
    assert_refused,
    body_of,
)
from tests.harness import World, in_world
from tests.holding import capture, entries, figures, place, reverse, use
from tests.moves import issue
from tests.tenants import command, tenant


@in_world
async def test_all_of_an_event_is_given_back(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    receipt = await use(w, key, "evt-1", 12.5)
    done = body_of(await reverse(w, key, "evt-1", reason="the answer was cut off"), 201)
    assert done["id"].startswith("reversal_")
    assert done == {
        "object": "usage_reversal",
        "id": done["id"],
        "event_id": "evt-1",
        "credits": 12.5,
        "returned": receipt["drawn"],
        "overage": 0,
        "lapsed": 0,
        "reference": None,
        "reason": "the answer was cut off",
        "remaining": 100,
        "consumed": 0,
        "sequence": receipt["sequence"] + 1,
        "booked_at": w.clock.text(),
    }
    [booked, entry] = await entries(w, key, event_id="evt-1")
    assert (booked["kind"], entry["kind"]) == ("usage.booked", "usage.reversed")
    assert (entry["credits"], entry["drawn"]) == (12.5, receipt["drawn"])


@in_world
async def test_a_reversal_needs_no_body(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, "evt-1", 2)
    first = body_of(await reverse(w, key, "evt-1"), 201)
    assert first["credits"] == 2
    assert body_of(await reverse(w, key, "evt-1"), 200) == first
    assert (await figures(w, key))["remaining"] == 100


@in_world
async def test_parts_are_told_apart_by_their_references(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, "evt-1", 10)
    first = body_of(await reverse(w, key, "evt-1", credits=4, reference="ticket/1"), 201)
    again = await reverse(w, key, "evt-1", credits=4.0, reference="ticket/1")
    assert body_of(again, 200) == first
    body_of(await reverse(w, key, "evt-1", credits=4, reference="ticket/2"), 201)
    rest = body_of(await reverse(w, key, "evt-1"), 201)
    assert (rest["credits"], rest["consumed"]) == (2, 0)


@pytest.mark.parametrize("other", [{"credits": 5}, {"reason": "another"}])
@in_world
async def test_the_same_reference_with_other_content_is_a_conflict(
    w: World, other: dict[str, Any]
) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, "evt-1", 10)
    terms: dict[str, Any] = {"credits": 4, "reference": "r"}
    body_of(await reverse(w, key, "evt-1", **terms), 201)
    assert_conflict(await reverse(w, key, "evt-1", **{**terms, **other}))
    assert (await figures(w, key))["consumed"] == 6


@in_world
async def test_one_reversal_sent_twenty_times_at_once_is_one(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, "evt-1", 10)
    answers = await asyncio.gather(*(reverse(w, key, "evt-1") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert (await figures(w, key))["consumed"] == 0


@in_world
async def test_no_more_than_is_left_can_be_reversed(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, "evt-1", 10)
    body_of(await reverse(w, key, "evt-1", credits=4, reference="r-1"), 201)
    details = assert_conflict(await reverse(w, key, "evt-1", credits=6.5, reference="r-2"))
    assert (details["booked"], details["left"]) == (10, 6)
    assert (await figures(w, key))["consumed"] == 6
    body_of(await reverse(w, key, "evt-1"), 201)
    details = assert_conflict(await reverse(w, key, "evt-1", reference="r-2"))
    assert details["left"] == 0


@in_world
async def test_overage_is_undone_first(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, "evt-1", 120, on_insufficient="overdraw")
    part = body_of(await reverse(w, key, "evt-1", credits=30, reference="r"), 201)
    assert (part["overage"], [one["credits"] for one in part["returned"]]) == (20, [10])
    expected = {"remaining": 10, "consumed": 90, "held": 0, "available": 10, "overage": 0}
    assert await figures(w, key) == expected


@in_world
async def test_what_came_from_an_expired_grant_lapses(w: World) -> None:
    acme = await w.organization(allowance=100)
    key = await w.key(acme)
    await issue(w, acme, "10", priority=0, expires_at="2026-03-10T13:00:00Z")
    await use(w, key, "evt-1", 15)
    w.clock.set("2026-03-10T13:00:00Z")
    done = body_of(await reverse(w, key, "evt-1"), 201)
    assert (done["lapsed"], [one["credits"] for one in done["returned"]]) == (10, [5])
    assert (done["remaining"], done["consumed"]) == (100, 0)


@in_world
async def test_a_later_period_keeps_what_it_consumed(w: World) -> None:
    acme = await w.organization(allowance=100)
    key = await w.key(acme)
    top_up = await issue(w, acme, "50", priority=0)
    await use(w, key, "old", 60)
    w.clock.set("2026-04-01T00:00:00Z")
    await use(w, key, "new", 7)
    done = body_of(await reverse(w, key, "old"), 201)
    assert done["returned"] == [{"grant_id": top_up.id, "credits": 50}]
    assert (done["lapsed"], done["remaining"], done["consumed"]) == (10, 143, 7)


@in_world
async def test_a_capture_is_reversed_like_all_usage(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key, 10)
    body_of(await capture(w, key, hold, credits=4, final=True))
    done = body_of(await reverse(w, key, hold["id"]), 201)
    assert (done["credits"], done["remaining"]) == (4, 100)


@pytest.mark.parametrize("event_id", ["a/b", "..", "%2F", "?x=1#y", 'quo"te\\', "x" * 255])
@in_world
async def test_ids_are_percent_encoded_in_the_path(w: World, event_id: str) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, event_id, 1)
    # A path segment of two dots would be taken away by whoever tidies the path.
    answer = await reverse(w, key, event_id)
    if event_id == "..":
        path = "/v1/organization/credits/usage/%2E%2E/reverse"
        answer = await w.send("POST", path, key)
    assert body_of(answer, 201)["event_id"] == event_id


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"credits": 1}, "/reference"),
        ({"credits": 1, "reference": None}, "/reference"),
        ({"credits": 0, "reference": "r"}, "/credits"),
        ({"credits": -1, "reference": "r"}, "/credits"),
        ({"credits": "1", "reference": "r"}, "/credits"),
        ({"credits": None, "reference": "r"}, "/credits"),
        ({"reference": "with space"}, "/reference"),
        ({"reference": 7}, "/reference"),
        ({"reason": ""}, "/reason"),
        ({"reason": "nul\0"}, "/reason"),
        ({"reason": "x" * 256}, "/reason"),
        ({"note": "x"}, "/note"),
    ],
)
@in_world
async def test_a_reversal_that_is_not_one_is_refused(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    key = await w.key(await w.organization(allowance=100))
    await use(w, key, "evt-1", 10)
    assert_invalid(await reverse(w, key, "evt-1", **terms), pointer)
    assert (await figures(w, key))["consumed"] == 10


@in_world
async def test_another_organizations_event_is_as_good_as_none(w: World) -> None:
    mine, theirs = [await w.key(await w.organization(allowance=100)) for _ in range(2)]
    await use(w, theirs, "evt-1", 10)
    for event_id in ("evt-1", "nowhere", "\0", "é", "x" * 256, " "):
        assert_not_found(await reverse(w, mine, event_id))
    assert (await figures(w, theirs))["consumed"] == 10


@in_world
async def test_an_event_is_reversed_by_keys_of_its_teamspace_or_of_the_account(w: World) -> None:
    acme = await tenant(w, "Acme")
    path = "/v1/organization/teamspaces"
    maker = await w.key(acme["id"], scopes=["teamspaces:write"])
    elsewhere = body_of(await w.send("POST", path, maker, {"name": "Elsewhere"}), 201)["id"]
    await use(w, await w.key(acme["id"]), "evt-1", 10)
    foreign = await w.key(acme["id"], teamspace_id=elsewhere)
    details = assert_refused(await reverse(w, foreign, "evt-1"), 403, "permission_denied")
    assert details["teamspace_id"] == elsewhere
    account = await w.key(acme["id"], teamspace_id=elsewhere, level="account")
    body_of(await reverse(w, account, "evt-1"), 201)


@in_world
async def test_who_may_not_use_may_not_reverse(w: World) -> None:
    acme = await w.organization(allowance=100)
    await use(w, await w.key(acme), "evt-1", 10)
    for scopes in (["credits:read"], ["holds:write"]):
        answer = await reverse(w, await w.key(acme, scopes=scopes), "evt-1")
        assert assert_refused(answer, 403, "permission_denied")["required_scope"] == "usage:write"


@in_world
async def test_a_closed_organization_reverses_nothing(w: World) -> None:
    acme = await tenant(w, "Acme")
    key = await w.key(acme["id"])
    await use(w, key, "evt-1", 10)
    await command(w, "POST", acme, "/suspend")
    body_of(await reverse(w, key, "evt-1", credits=1, reference="r"), 201)
    await command(w, "POST", acme, "/close")
    assert_refused(await reverse(w, key, "evt-1"), 403, "permission_denied")
