"""Organizations over HTTP: how their terms change, and what a status forbids."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_refused,
    body_of,
)
from tests.harness import World, in_world
from tests.terms import EVERYTHING, PATH, WRONG, change, create, credits_of


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        *(each for each in WRONG if "external_id" not in each[0]),
        ({"external_id": "x"}, "/external_id"),
        ({"rate_limits": None}, "/rate_limits"),
        ({"apply": "later"}, "/apply"),
        ({"apply": None}, "/apply"),
        ({"rollover": None}, "/rollover"),
        ({"overage": None}, "/overage"),
        ({"status": "closed"}, "/status"),
    ],
)
@in_world
async def test_what_is_wrong_with_a_change_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    before = await create(w)
    assert_invalid(await w.send("PATCH", f"{PATH}/{before['id']}", w.admin, terms), pointer)
    assert body_of(await w.send("GET", f"{PATH}/{before['id']}", w.admin)) == before


@in_world
async def test_a_change_leaves_the_rest_as_it_is(w: World) -> None:
    before = await create(w, **EVERYTHING)
    assert await change(w, before, name="Bcme") == {**before, "name": "Bcme"}
    assert await change(w, before) == {**before, "name": "Bcme"}
    limited = await change(w, before, rate_limits={"get_balance": 3})
    assert limited == {**before, "name": "Bcme", "rate_limits": {"get_balance": 3}}


@in_world
async def test_a_new_allowance_counts_from_the_next_period(w: World) -> None:
    organization = await create(w, allowance=100)
    reader = await w.key(organization["id"])
    changed = await change(w, organization, allowance=250)
    assert changed["allowance"] == 250
    assert changed["takes_effect_at"] == "2026-04-01T00:00:00.000000Z"
    assert await credits_of(w, reader) == (100, 0, 100)
    w.clock.set("2026-03-31T23:59:59.999999Z")
    assert await credits_of(w, reader) == (100, 0, 100)
    w.clock.set("2026-04-01T00:00:00Z")
    assert await credits_of(w, reader) == (250, 0, 250)
    shown = body_of(await w.send("GET", f"{PATH}/{organization['id']}", w.admin))
    assert (shown["allowance"], shown["takes_effect_at"]) == (250, None)


@in_world
async def test_a_new_allowance_counts_now_where_that_is_asked(w: World) -> None:
    organization = await create(w, allowance=100)
    reader = await w.key(organization["id"])
    await w.spend(organization["id"], "30")
    changed = await change(w, organization, allowance=250, apply="now")
    assert (changed["allowance"], changed["takes_effect_at"]) == (250, None)
    assert await credits_of(w, reader) == (220, 30, 250)


@in_world
async def test_an_allowance_never_falls_below_what_was_spent(w: World) -> None:
    organization = await create(w, allowance=100)
    reader = await w.key(organization["id"])
    await w.spend(organization["id"], "30")
    await change(w, organization, allowance=10, apply="now")
    assert await credits_of(w, reader) == (0, 30, 30)
    w.clock.set("2026-04-01T00:00:00Z")
    assert await credits_of(w, reader) == (10, 0, 10)


@in_world
async def test_a_waiting_allowance_can_be_applied_after_all(w: World) -> None:
    organization = await create(w, allowance=100)
    await change(w, organization, allowance=250)
    assert (await change(w, organization, apply="now"))["takes_effect_at"] is None
    assert await credits_of(w, await w.key(organization["id"])) == (250, 0, 250)


@in_world
async def test_a_new_billing_period_starts_when_the_present_one_ends(w: World) -> None:
    organization = await create(w, **EVERYTHING)
    changed = await change(w, organization, billing_period={"interval": "week"}, apply="now")
    assert changed["billing_period"] == {**EVERYTHING["billing_period"], "interval": "week"}
    # The 31st of March begins in Paris at 22:00 UTC of the day before.
    assert changed["takes_effect_at"] == "2026-03-30T22:00:00.000000Z"
    balance = await w.send(
        "GET", "/v1/organization/credits/balance", await w.key(organization["id"])
    )
    assert body_of(balance)["period"]["end"] == changed["takes_effect_at"]


@in_world
async def test_the_count_must_suit_the_interval_that_a_change_leaves(w: World) -> None:
    organization = await create(w, billing_period={"interval": "day", "count": 365})
    path = f"{PATH}/{organization['id']}"
    answer = await w.send("PATCH", path, w.admin, {"billing_period": {"interval": "year"}})
    assert_invalid(answer, "/billing_period/count")


@in_world
async def test_rate_limits_are_in_force_at_once(w: World) -> None:
    organization = await create(w)
    reader = await w.key(organization["id"])

    async def limit() -> str:
        answer = await w.send("GET", "/v1/organization/credits", reader)
        return answer.headers["x-ratelimit-limit"]

    assert await limit() == "1000"
    await change(w, organization, rate_limits={"get_credits": 2})
    assert await limit() == "2"
    answer = await w.send("GET", "/v1/organization/credits", reader)
    assert_refused(answer, 429, "rate_limit_exceeded")
    await change(w, organization, rate_limits={})
    assert await limit() == "1000"


@in_world
async def test_a_suspended_organization_reads_until_it_is_resumed(w: World) -> None:
    organization = await create(w, allowance=100)
    path, reader = f"{PATH}/{organization['id']}", await w.key(organization["id"])
    suspended = body_of(await w.send("POST", f"{path}/suspend", w.admin))
    assert suspended == {**organization, "status": "suspended"}
    assert body_of(await w.send("POST", f"{path}/suspend", w.admin, {})) == suspended
    assert await credits_of(w, reader) == (100, 0, 100)
    assert body_of(await w.send("POST", f"{path}/resume", w.admin)) == organization
    assert body_of(await w.send("POST", f"{path}/resume", w.admin)) == organization


@pytest.mark.parametrize("verb", ["suspend", "close"])
@in_world
async def test_who_is_suspended_or_closed_spends_nothing(w: World, verb: str) -> None:
    organization = await create(w, allowance=100, overage={"mode": "allow"})
    key = await w.key(organization["id"])
    body_of(await w.send("POST", f"{PATH}/{organization['id']}/{verb}", w.admin))
    for terms in ({"credits": 1}, {"credits": 1, "on_insufficient": "overdraw"}):
        event = {"id": "evt-1", **terms}
        answer = await w.send("POST", "/v1/organization/credits/usage", key, event)
        assert_refused(answer, 403, "permission_denied")
    assert await credits_of(w, key) == (100, 0, 100)


@in_world
async def test_who_is_resumed_spends_again(w: World) -> None:
    organization = await create(w, allowance=100)
    key, path = await w.key(organization["id"]), f"{PATH}/{organization['id']}"
    await w.send("POST", f"{path}/suspend", w.admin)
    await w.send("POST", f"{path}/resume", w.admin)
    event = {"id": "evt-1", "credits": 1}
    body_of(await w.send("POST", "/v1/organization/credits/usage", key, event), 201)
    assert await credits_of(w, key) == (99, 1, 100)


@in_world
async def test_what_is_closed_stays_closed(w: World) -> None:
    organization = await create(w, allowance=100)
    path, reader = f"{PATH}/{organization['id']}", await w.key(organization["id"])
    closed = body_of(await w.send("POST", f"{path}/close", w.admin))
    assert closed == {**organization, "status": "closed"}
    assert body_of(await w.send("POST", f"{path}/close", w.admin)) == closed
    assert_conflict(await w.send("POST", f"{path}/resume", w.admin))
    assert_conflict(await w.send("POST", f"{path}/suspend", w.admin))
    assert_conflict(await w.send("PATCH", path, w.admin, {"allowance": 5, "name": "Other"}))
    assert body_of(await w.send("GET", path, w.admin)) == closed
    assert await credits_of(w, reader) == (100, 0, 100)


@pytest.mark.parametrize("verb", ["suspend", "resume", "close"])
@in_world
async def test_a_change_of_status_takes_no_fields(w: World, verb: str) -> None:
    organization = await create(w)
    path = f"{PATH}/{organization['id']}/{verb}"
    assert_invalid(await w.send("POST", path, w.admin, {"reason": "x"}), "/reason")


@in_world
async def test_two_changes_to_different_parts_of_the_schedule_both_count(w: World) -> None:
    """Sent at once, so that they share a batch: neither may start from what the other replaces."""
    acme = await w.organization()
    path = f"/v1/admin/organizations/{acme.id}"
    changes = [{"timezone": "Europe/Paris"}, {"interval": "week"}, {"count": 2}]
    answers = await asyncio.gather(
        *(w.send("PATCH", path, w.admin, {"billing_period": change}) for change in changes)
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    period = (await w.client.get(path, headers=w.admin)).json()["billing_period"]
    assert (period["timezone"], period["interval"], period["count"]) == ("Europe/Paris", "week", 2)


@in_world
async def test_a_count_that_the_present_interval_cannot_have_is_refused(w: World) -> None:
    acme = await w.organization()
    path = f"/v1/admin/organizations/{acme.id}"
    refused = await w.send("PATCH", path, w.admin, {"billing_period": {"count": 1000}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/billing_period/count"
