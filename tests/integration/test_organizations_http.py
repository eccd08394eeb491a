"""Organizations over HTTP: their terms, how these change, and what a status forbids."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.operations import Audience, Operation
from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_not_found,
    assert_refused,
    body_of,
)
from tests.harness import Headers, World, in_world

PATH = "/v1/admin/organizations"
NOW = "2026-03-10T12:00:00.000000Z"

EVERYTHING: dict[str, Any] = {
    "name": "Acme",
    "external_id": "cus_42",
    "allowance": 10000.25,
    "billing_period": {
        "interval": "month",
        "count": 1,
        "anchor": "2026-01-31T00:00:00",
        "timezone": "Europe/Paris",
    },
    "rollover": {"mode": "percent", "cap": 12.5, "periods": 2},
    "overage": {"mode": "limit", "limit": 50},
    "rate_limits": {"get_credits": 1000},
}
DEFAULTS: dict[str, Any] = {
    "allowance": 0,
    "billing_period": {
        "interval": "month",
        "count": 1,
        "anchor": "2000-01-01T00:00:00",
        "timezone": "UTC",
    },
    "rollover": {"mode": "none"},
    "overage": {"mode": "deny"},
    "rate_limits": {},
}


async def create(w: World, **terms: object) -> dict[str, Any]:
    answer = await w.send("POST", PATH, w.admin, {"name": "Acme", **terms})
    made: dict[str, Any] = body_of(answer, 201)
    return made


async def change(w: World, organization: dict[str, Any], **terms: object) -> dict[str, Any]:
    answer = await w.send("PATCH", f"{PATH}/{organization['id']}", w.admin, terms)
    changed: dict[str, Any] = body_of(answer)
    return changed


async def credits_of(w: World, reader: Headers) -> tuple[float, float, float]:
    report = body_of(await w.send("GET", "/v1/organization/credits", reader))
    return report["remaining"], report["consumed"], report["total"]


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
    with_defaults = {**DEFAULTS, "name": "Acme", "external_id": "cus_1", "allowance": 5.0}
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


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"),
    ({"name": "x" * 256}, "/name"),
    ({"name": "nul\0"}, "/name"),
    ({"name": None}, "/name"),
    ({"external_id": ""}, "/external_id"),
    ({"external_id": "with space"}, "/external_id"),
    ({"external_id": "newline\n"}, "/external_id"),
    ({"external_id": "x" * 256}, "/external_id"),
    ({"allowance": -1}, "/allowance"),
    ({"allowance": 0.0000001}, "/allowance"),
    ({"allowance": 1_000_000_001}, "/allowance"),
    ({"allowance": "5"}, "/allowance"),
    ({"allowance": None}, "/allowance"),
    ({"billing_period": None}, "/billing_period"),
    ({"billing_period": {"interval": "fortnight"}}, "/billing_period/interval"),
    ({"billing_period": {"count": 0}}, "/billing_period/count"),
    ({"billing_period": {"count": 121}}, "/billing_period/count"),
    ({"billing_period": {"count": 1.5}}, "/billing_period/count"),
    ({"billing_period": {"timezone": "Mars/Olympus"}}, "/billing_period/timezone"),
    ({"billing_period": {"timezone": "../etc/passwd"}}, "/billing_period/timezone"),
    ({"billing_period": {"anchor": "2026-01-31T00:00:00Z"}}, "/billing_period/anchor"),
    ({"billing_period": {"anchor": "2026-01-31T00:00:00+01:00"}}, "/billing_period/anchor"),
    ({"billing_period": {"anchor": "2026-01-31"}}, "/billing_period/anchor"),
    ({"billing_period": {"anchor": "2026-02-30T00:00:00"}}, "/billing_period/anchor"),
    ({"billing_period": {"zone": "UTC"}}, "/billing_period/zone"),
    ({"rollover": {}}, "/rollover/mode"),
    ({"rollover": {"mode": "some"}}, "/rollover/mode"),
    ({"rollover": {"mode": "amount"}}, "/rollover/cap"),
    ({"rollover": {"mode": "all", "cap": 1}}, "/rollover/cap"),
    ({"rollover": {"mode": "percent", "cap": 100.000001}}, "/rollover/cap"),
    ({"rollover": {"mode": "amount", "cap": -1}}, "/rollover/cap"),
    ({"rollover": {"mode": "all", "periods": 0}}, "/rollover/periods"),
    ({"rollover": {"mode": "all", "periods": 101}}, "/rollover/periods"),
    ({"overage": {"mode": "limit"}}, "/overage/limit"),
    ({"overage": {"mode": "deny", "limit": 1}}, "/overage/limit"),
    ({"overage": {"mode": "limit", "limit": None}}, "/overage/limit"),
    ({"rate_limits": {"get_credit": 5}}, "/rate_limits/get_credit"),
    ({"rate_limits": {"a/b~c": 5}}, "/rate_limits/a~1b~0c"),
    ({"rate_limits": {"create_organization": 5}}, "/rate_limits/create_organization"),
    ({"rate_limits": {"get_credits": -1}}, "/rate_limits/*"),
    ({"rate_limits": {"get_credits": 1_000_001}}, "/rate_limits/*"),
    ({"rate_limits": {"get_credits": 1.5}}, "/rate_limits/*"),
    ({"colour": "red"}, "/colour"),
]


@pytest.mark.parametrize(("terms", "pointer"), WRONG)
@in_world
async def test_what_is_wrong_with_terms_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    assert_invalid(await w.send("POST", PATH, w.admin, {"name": "Acme", **terms}), pointer)
    assert body_of(await w.send("GET", PATH, w.admin))["data"] == []


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


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("POST", "/suspend"), ("POST", "/resume"), ("POST", "/close")],
)
@in_world
async def test_an_organization_that_is_none_is_not_found(w: World, method: str, path: str) -> None:
    assert_not_found(await w.send(method, f"{PATH}/org_unknown{path}", w.admin, {}))
    assert_not_found(await w.send(method, f"{PATH}/%00{path}", w.admin, {}))


OPERATOR = [each for each in OPERATIONS if each.audience is Audience.OPERATOR]
TENANT = [each for each in OPERATIONS if each.audience is Audience.TENANT]


def path_of(operation: Operation, organization_id: str) -> str:
    filled = operation.path.replace("{organization_id}", organization_id)
    for name in ("teamspace_id", "key_id", "grant_id"):
        filled = filled.replace("{" + name + "}", "x")
    return filled


@pytest.mark.parametrize("operation", OPERATOR, ids=lambda each: each.name)
@in_world
async def test_an_operation_of_operators_is_for_their_keys_only(
    w: World, operation: Operation
) -> None:
    acme = await w.organization()
    tenant = await w.key(acme, scopes=["credits:read", "usage:write", "teamspaces:write"])
    path = path_of(operation, acme.id)
    assert_refused(await w.send(operation.method, path, tenant, {}), 403, "permission_denied")
    assert_refused(await w.send(operation.method, path, {}, {}), 401, "no_authentication")


@pytest.mark.parametrize("operation", TENANT, ids=lambda each: each.name)
@in_world
async def test_an_operation_of_tenants_is_not_for_operators(w: World, operation: Operation) -> None:
    answer = await w.send(operation.method, path_of(operation, ""), w.admin, {})
    assert_refused(answer, 403, "permission_denied")


@in_world
async def test_an_organization_is_found_by_the_callers_own_id(w: World) -> None:
    await create(w, name="Other", external_id="cus_1")
    acme = await create(w, name="Acme", external_id="cus_42")
    page = body_of(await w.send("GET", f"{PATH}?external_id=cus_42", w.admin))
    assert page == {"object": "list", "data": [acme], "has_more": False}
    page = body_of(await w.send("GET", f"{PATH}?external_id=cus_4", w.admin))
    assert page == {"object": "list", "data": [], "has_more": False}
