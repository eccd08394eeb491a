"""Teamspaces over HTTP, in Datagrid's shape, and the limits that operators set on them."""

from __future__ import annotations

from typing import Any

import pytest
from datagrid_ai import NotFoundError, PermissionDeniedError

from tests.answers import assert_invalid, assert_not_found, assert_refused, body_of
from tests.harness import Headers, World, in_world
from tests.official import official_client

PATH = "/v1/organization/teamspaces"
NOW = "2026-03-10T12:00:00.000000Z"


async def create(w: World, writer: Headers, **terms: object) -> dict[str, Any]:
    return body_of(await w.send("POST", PATH, writer, {"name": "Research", **terms}), 201)


@in_world
async def test_a_teamspace_has_exactly_the_fields_of_datagrid(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    made = await create(w, writer, access="closed", cloud_provider="aws")
    assert made["id"].startswith("ts_")
    assert made == {
        "id": made["id"],
        "name": "Research",
        "access": "closed",
        "cloud_provider": "aws",
        "created_at": NOW,
    }
    assert body_of(await w.send("GET", f"{PATH}/{made['id']}", writer)) == made


@pytest.mark.parametrize("given", [{}, {"cloud_provider": None}])
@in_world
async def test_only_a_name_is_needed(w: World, given: dict[str, Any]) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    made = await create(w, writer, **given)
    assert (made["access"], made["cloud_provider"]) == ("open", "gcp")


@in_world
async def test_an_organization_begins_with_one_teamspace(w: World) -> None:
    acme = await w.organization()
    page = body_of(await w.send("GET", PATH, await w.key(acme, scopes=[])))
    assert page == {
        "object": "list",
        "data": [
            {
                "id": acme.default_teamspace_id,
                "name": "Default",
                "access": "open",
                "cloud_provider": "gcp",
                "created_at": NOW,
            }
        ],
        "has_more": False,
    }


@in_world
async def test_teamspaces_are_listed_newest_first_in_pages(w: World) -> None:
    acme = await w.organization()
    writer = await w.key(acme, scopes=["teamspaces:write"])
    ids = [acme.default_teamspace_id, *[(await create(w, writer))["id"] for _ in range(3)]]
    page = body_of(await w.send("GET", f"{PATH}?limit=3", writer))
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    page = body_of(await w.send("GET", f"{PATH}?limit=3&after={ids[1]}", writer))
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:1], False)
    page = body_of(await w.send("GET", f"{PATH}?limit=1&before={ids[1]}", writer))
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([ids[2]], True)
    assert_invalid(await w.send("GET", f"{PATH}?after=ts_none", writer), "?after")
    assert_invalid(await w.send("GET", f"{PATH}?colour=red", writer), "?colour")


@in_world
async def test_a_change_leaves_the_rest_as_it_is(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    made = await create(w, writer, cloud_provider="aws")
    path = f"{PATH}/{made['id']}"
    renamed = {**made, "name": "Search"}
    assert body_of(await w.send("PATCH", path, writer, {"name": "Search"})) == renamed
    closed = {**renamed, "access": "closed"}
    assert body_of(await w.send("PATCH", path, writer, {"access": "closed"})) == closed
    assert body_of(await w.send("PATCH", path, writer, {})) == closed


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"),
    ({"name": "x" * 256}, "/name"),
    ({"name": "nul\0"}, "/name"),
    ({"name": None}, "/name"),
    ({"access": "ajar"}, "/access"),
    ({"access": None}, "/access"),
    ({"rate_limits": {"get_credits": 9}}, "/rate_limits"),
    ({"id": "ts_mine"}, "/id"),
]


@pytest.mark.parametrize(
    ("terms", "pointer"), [*WRONG, ({"cloud_provider": "azure"}, "/cloud_provider")]
)
@in_world
async def test_what_is_wrong_with_a_teamspace_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    assert_invalid(await w.send("POST", PATH, writer, {"name": "Research", **terms}), pointer)


@pytest.mark.parametrize(
    ("terms", "pointer"), [*WRONG, ({"cloud_provider": "aws"}, "/cloud_provider")]
)
@in_world
async def test_what_is_wrong_with_a_change_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    acme = await w.organization()
    writer = await w.key(acme, scopes=["teamspaces:write"])
    path = f"{PATH}/{acme.default_teamspace_id}"
    assert_invalid(await w.send("PATCH", path, writer, terms), pointer)
    assert body_of(await w.send("GET", path, writer))["name"] == "Default"


@in_world
async def test_writing_needs_the_scope_and_reading_any_key(w: World) -> None:
    acme = await w.organization()
    reader = await w.key(acme, scopes=["credits:read", "usage:write", "webhooks:write"])
    path = f"{PATH}/{acme.default_teamspace_id}"
    for method, target in (("POST", PATH), ("PATCH", path)):
        answer = await w.send(method, target, reader, {"name": "Mine"})
        details = assert_refused(answer, 403, "permission_denied")
        assert details["required_scope"] == "teamspaces:write"
    assert body_of(await w.send("GET", path, reader))["name"] == "Default"


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@in_world
async def test_a_foreign_teamspace_is_not_found_like_one_that_is_none(
    w: World, method: str
) -> None:
    acme, other = await w.organization(), await w.organization()
    writer = await w.key(acme, scopes=["teamspaces:write"])
    foreign = await w.send(method, f"{PATH}/{other.default_teamspace_id}", writer, {"name": "Mine"})
    missing = await w.send(method, f"{PATH}/ts_none", writer, {"name": "Mine"})
    assert_not_found(foreign)
    assert {**foreign.json(), "request_id": ""} == {**missing.json(), "request_id": ""}
    page = body_of(await w.send("GET", PATH, await w.key(other)))
    assert [each["name"] for each in page["data"]] == ["Default"]


@in_world
async def test_operators_see_and_set_the_limits_of_a_teamspace(w: World) -> None:
    acme = await w.organization()
    path = f"/v1/admin/organizations/{acme.id}/teamspaces"
    page = body_of(await w.send("GET", path, w.admin))
    (shown,) = page["data"]
    assert (page["object"], shown["rate_limits"]) == ("list", {})
    limits = {"rate_limits": {"get_credits": 7}}
    limited = body_of(await w.send("PATCH", f"{path}/{shown['id']}", w.admin, limits))
    assert limited == {**shown, **limits}
    assert body_of(await w.send("GET", path, w.admin))["data"] == [limited]


@in_world
async def test_the_limit_of_a_teamspace_wins_and_is_in_force_at_once(w: World) -> None:
    acme = await w.organization()
    base = f"/v1/admin/organizations/{acme.id}"
    reader = await w.key(acme)

    async def limit() -> str:
        answer = await w.send("GET", "/v1/organization/credits", reader)
        return answer.headers["x-ratelimit-limit"]

    async def set_limits(path: str, limits: dict[str, int]) -> None:
        body_of(await w.send("PATCH", f"{base}{path}", w.admin, {"rate_limits": limits}))

    await set_limits("", {"get_credits": 50})
    assert await limit() == "50"
    await set_limits(f"/teamspaces/{acme.default_teamspace_id}", {"get_credits": 70})
    assert await limit() == "70"
    await set_limits(f"/teamspaces/{acme.default_teamspace_id}", {})
    assert await limit() == "50"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/rate_limits"),
        ({"rate_limits": None}, "/rate_limits"),
        ({"rate_limits": {"get_credit": 1}}, "/rate_limits/get_credit"),
        ({"rate_limits": {"get_credits": -1}}, "/rate_limits/*"),
        ({"rate_limits": {}, "name": "x"}, "/name"),
    ],
)
@in_world
async def test_what_is_wrong_with_limits_is_pointed_at(
    w: World, body: dict[str, Any], pointer: str
) -> None:
    acme = await w.organization()
    path = f"/v1/admin/organizations/{acme.id}/teamspaces/{acme.default_teamspace_id}"
    assert_invalid(await w.send("PATCH", path, w.admin, body), pointer)


@in_world
async def test_operators_find_a_teamspace_in_its_own_organization_only(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    base = "/v1/admin/organizations"
    body: dict[str, Any] = {"rate_limits": {}}
    answers = [
        await w.send("PATCH", f"{base}/{organization}/teamspaces/{teamspace}", w.admin, body)
        for organization, teamspace in (
            (acme.id, other.default_teamspace_id),
            (acme.id, "ts_none"),
            ("org_none", acme.default_teamspace_id),
        )
    ]
    for answer in answers:
        assert_not_found(answer)
    assert len({str({**answer.json(), "request_id": ""}) for answer in answers}) == 1
    assert_not_found(await w.send("GET", f"{base}/org_none/teamspaces", w.admin))


@in_world
async def test_the_official_client_reads_every_field_and_every_page(w: World) -> None:
    acme = await w.organization()
    client = official_client(w, await w.key(acme, scopes=["teamspaces:write"]))
    teamspaces = client.organization.teamspaces
    made = await teamspaces.create(name="Research", access="closed")
    assert (made.name, made.access, made.cloud_provider) == ("Research", "closed", "gcp")
    assert made.created_at is not None
    assert made.created_at.isoformat() == "2026-03-10T12:00:00+00:00"
    assert (await teamspaces.patch(made.id, name="Search")).name == "Search"
    assert (await teamspaces.retrieve(made.id)).name == "Search"
    found = [teamspace.id async for teamspace in teamspaces.list(limit=1)]
    assert found == [made.id, acme.default_teamspace_id]


@in_world
async def test_the_official_client_raises_what_it_should(w: World) -> None:
    client = official_client(w, await w.key(await w.organization()))
    with pytest.raises(NotFoundError):
        await client.organization.teamspaces.retrieve("ts_none")
    with pytest.raises(PermissionDeniedError):
        await client.organization.teamspaces.create(name="Research", access="open")
