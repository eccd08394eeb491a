"""Organizations over HTTP: created on their terms, found, listed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_not_found,
    body_of,
)
from tests.harness import World, in_world
from tests.terms import DEFAULTS, EVERYTHING, PATH, WRONG, change, create, credits_of

NOW = "2026-03-10T12:00:00.000000Z"


@in_world
async def test_an_organization_is_created_on_its_terms(w: World) -> None:
    made = await create(w, **EVERYTHING)
    assert made["id"].startswith("org_")
    assert made["default_teamspace_id"].startswith("ts_")
    assert made == {
        "object": "organization",
        **EVERYTHING,
        "id": made["id"],
        "default_teamspace_id": made["default_teamspace_id"],
        "status": "active",
        "takes_effect_at": None,
        "created_at": NOW,
    }
    assert body_of(await w.send("GET", f"{PATH}/{made['id']}", w.admin)) == made


@in_world
async def test_only_a_name_is_needed(w: World) -> None:
    made = await create(w)
    assert made["external_id"] is None
    assert {name: made[name] for name in DEFAULTS} == DEFAULTS


@in_world
async def test_the_allowance_is_there_at_once(w: World) -> None:
    organization = await w.organization(allowance="0.3")
    assert await credits_of(w, await w.key(organization)) == (0.3, 0, 0.3)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"interval": "day"}, {"interval": "day", "anchor": "2000-01-01T00:00:00"}),
        ({"interval": "week"}, {"interval": "week", "anchor": "2000-01-03T00:00:00"}),
        ({"timezone": "Asia/Tokyo"}, {"timezone": "Asia/Tokyo", "interval": "month"}),
        ({"anchor": "2024-02-29T12:30:00.5"}, {"anchor": "2024-02-29T12:30:00.500000"}),
        ({"anchor": "0001-01-01T00:00:00"}, {"anchor": "0001-01-01T00:00:00"}),
        ({"anchor": "9999-12-31T23:59:59"}, {"anchor": "9999-12-31T23:59:59"}),
        ({"interval": "year", "count": 10}, {"interval": "year", "count": 10}),
    ],
)
@in_world
async def test_a_billing_period_left_out_in_part_takes_defaults(
    w: World, given: dict[str, Any], shown: dict[str, Any]
) -> None:
    made = await create(w, billing_period=given)
    assert made["billing_period"] == {**DEFAULTS["billing_period"], **shown}


@pytest.mark.parametrize(
    ("rollover", "shown"),
    [
        ({"mode": "none", "periods": 3}, {"mode": "none"}),
        ({"mode": "all"}, {"mode": "all", "periods": 1}),
        ({"mode": "amount", "cap": 7.5}, {"mode": "amount", "cap": 7.5, "periods": 1}),
    ],
)
@in_world
async def test_a_rollover_shows_what_its_mode_has(
    w: World, rollover: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert (await create(w, rollover=rollover))["rollover"] == shown


@in_world
async def test_the_same_external_id_and_content_give_the_first(w: World) -> None:
    first = await create(w, external_id="cus_1", allowance=5)
    renamed = await change(w, first, name="Acme & Sons")
    with_defaults = {
        **DEFAULTS,
        "name": "Acme",
        "external_id": "cus_1",
        "allowance": 5.0,
        # Where nothing rolls over, it makes no difference for how long.
        "rollover": {"mode": "none", "periods": 3},
    }
    again = await w.send("POST", PATH, w.admin, with_defaults)
    assert body_of(again, 200) == renamed
    assert len(body_of(await w.send("GET", PATH, w.admin))["data"]) == 1


@pytest.mark.parametrize("other", [{"name": "Other"}, {"allowance": 6}, {"rate_limits": {}}])
@in_world
async def test_the_same_external_id_with_other_content_is_a_conflict(
    w: World, other: dict[str, Any]
) -> None:
    terms = {"external_id": "cus_1", "allowance": 5, "rate_limits": {"get_credits": 7}}
    await create(w, **terms)
    assert_conflict(await w.send("POST", PATH, w.admin, {"name": "Acme", **terms, **other}))


@in_world
async def test_one_external_id_sent_twenty_times_at_once_is_one_organization(w: World) -> None:
    body = {"name": "Acme", "external_id": "cus_1"}
    answers = await asyncio.gather(*(w.send("POST", PATH, w.admin, body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


@in_world
async def test_without_an_external_id_every_creation_makes_another(w: World) -> None:
    assert (await create(w))["id"] != (await create(w))["id"]


@pytest.mark.parametrize(("terms", "pointer"), WRONG)
@in_world
async def test_what_is_wrong_with_terms_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    assert_invalid(await w.send("POST", PATH, w.admin, {"name": "Acme", **terms}), pointer)
    assert body_of(await w.send("GET", PATH, w.admin))["data"] == []


@in_world
async def test_the_name_is_required_and_named_once(w: World) -> None:
    assert_invalid(await w.send("POST", PATH, w.admin, {}), "/name")
    twice = b'{"name": "Acme", "name": "Bcme"}'
    headers = {**w.admin, "content-type": "application/json"}
    assert_invalid(await w.client.post(PATH, headers=headers, content=twice), "")


@in_world
async def test_organizations_are_listed_newest_first_in_pages(w: World) -> None:
    ids = [(await create(w, name=f"No. {number}"))["id"] for number in range(3)]
    page = body_of(await w.send("GET", f"{PATH}?limit=2", w.admin))
    assert (page["object"], page["has_more"]) == ("list", True)
    assert [each["id"] for each in page["data"]] == [ids[2], ids[1]]
    page = body_of(await w.send("GET", f"{PATH}?limit=2&after={ids[1]}", w.admin))
    assert [each["id"] for each in page["data"]] == [ids[0]]
    assert not page["has_more"]
    page = body_of(await w.send("GET", f"{PATH}?order=asc&before={ids[1]}", w.admin))
    assert [each["id"] for each in page["data"]] == [ids[0]]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("limit=-1", "?limit"),
        ("after=org_unknown", "?after"),
        ("before=org_unknown", "?before"),
        ("after=a&before=b", "?before"),
        ("order=newest", "?order"),
    ],
)
@in_world
async def test_a_page_that_is_none_is_refused(w: World, query: str, pointer: str) -> None:
    await create(w)
    assert_invalid(await w.send("GET", f"{PATH}?{query}", w.admin), pointer)


@in_world
async def test_an_organization_is_found_by_the_callers_own_id(w: World) -> None:
    await create(w, name="Other", external_id="cus_1")
    acme = await create(w, name="Acme", external_id="cus_42")
    page = body_of(await w.send("GET", f"{PATH}?external_id=cus_42", w.admin))
    assert page == {"object": "list", "data": [acme], "has_more": False}
    page = body_of(await w.send("GET", f"{PATH}?external_id=cus_4", w.admin))
    assert page == {"object": "list", "data": [], "has_more": False}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("POST", "/suspend"), ("POST", "/resume"), ("POST", "/close")],
)
@in_world
async def test_an_organization_that_is_none_is_not_found(w: World, method: str, path: str) -> None:
    assert_not_found(await w.send(method, f"{PATH}/org_unknown{path}", w.admin, {}))
    assert_not_found(await w.send(method, f"{PATH}/%00{path}", w.admin, {}))
