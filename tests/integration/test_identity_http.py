"""Who a key is, and in which teamspace it acts."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tallystick.http.app import create_app
from tallystick.http.handlers.table import OPERATIONS
from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import ADDRESS_LIMIT, Limits
from tests.answers import assert_not_found, assert_refused, body_of
from tests.harness import Headers, World, bearer, in_world, world
from tests.official import official_client

PATH = "/v1/identity"


async def identity_of(w: World, key: Headers, teamspace: str | None = None) -> dict[str, Any]:
    return body_of(await w.send("GET", PATH, acting_in(key, teamspace)))


def acting_in(key: Headers, teamspace: str | None) -> Headers:
    return key if teamspace is None else {**key, "datagrid-teamspace": teamspace}


async def new_teamspace(w: World, organization_id: str) -> str:
    writer = await w.key(organization_id, scopes=["teamspaces:write"])
    answer = await w.send("POST", "/v1/organization/teamspaces", writer, {"name": "Two"})
    made: str = body_of(answer, 201)["id"]
    return made


@in_world
async def test_an_identity_names_the_key_and_its_teamspace(w: World) -> None:
    acme = await w.organization()
    await new_teamspace(w, acme.id)
    path = f"/v1/admin/organizations/{acme.id}/keys"
    made = body_of(await w.send("POST", path, w.admin, {"name": "Server"}), 201)
    assert await identity_of(w, bearer(made["secret"])) == {
        "object": "identity",
        "user_id": made["id"],
        "current_teamspace_id": acme.default_teamspace_id,
        "teamspaces": [
            {"teamspace_id": acme.default_teamspace_id, "permissions": {"role": "member"}}
        ],
    }


@in_world
async def test_who_may_write_teamspaces_is_an_admin(w: World) -> None:
    acme = await w.organization()
    identity = await identity_of(w, await w.key(acme, scopes=["teamspaces:write"]))
    assert [each["permissions"] for each in identity["teamspaces"]] == [{"role": "admin"}]


@in_world
async def test_a_key_of_the_account_may_act_in_every_teamspace(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    two = await new_teamspace(w, acme.id)
    await new_teamspace(w, other.id)
    key = await w.key(acme, level="account")
    identity = await identity_of(w, key)
    assert identity["current_teamspace_id"] == acme.default_teamspace_id
    ids = [each["teamspace_id"] for each in identity["teamspaces"]]
    assert ids == [acme.default_teamspace_id, two]
    assert (await identity_of(w, key, two))["current_teamspace_id"] == two


@in_world
async def test_an_identity_names_more_teamspaces_than_a_page_has(w: World) -> None:
    acme = await w.organization()
    made = [await new_teamspace(w, acme.id) for _ in range(205)]
    identity = await identity_of(w, await w.key(acme, level="account"))
    ids = [each["teamspace_id"] for each in identity["teamspaces"]]
    assert ids == [acme.default_teamspace_id, *made]


@in_world
async def test_a_key_of_the_organization_ignores_the_header(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    two = await new_teamspace(w, acme.id)
    key = await w.key(acme)
    for named in (two, other.default_teamspace_id, "ts_none", ""):
        identity = await identity_of(w, key, named)
        assert identity["current_teamspace_id"] == acme.default_teamspace_id


@pytest.mark.parametrize("path", [PATH, "/v1/organization/credits", "/v1/organization/teamspaces"])
@in_world
async def test_a_foreign_teamspace_is_not_found_like_one_that_is_none(w: World, path: str) -> None:
    acme, other = await w.organization(), await w.organization()
    key = await w.key(acme, level="account")
    foreign = await w.send("GET", path, acting_in(key, other.default_teamspace_id))
    missing = await w.send("GET", path, acting_in(key, "ts_none"))
    assert_not_found(foreign)
    assert {**foreign.json(), "request_id": ""} == {**missing.json(), "request_id": ""}


@in_world
async def test_a_teamspace_is_known_as_soon_as_it_is_made(w: World) -> None:
    acme = await w.organization()
    key = await w.key(acme, level="account")
    assert_not_found(await w.send("GET", PATH, acting_in(key, "ts_none")))
    two = await new_teamspace(w, acme.id)
    assert (await identity_of(w, key, two))["current_teamspace_id"] == two


@in_world
async def test_windows_are_those_of_the_teamspace_acted_in(w: World) -> None:
    acme = await w.organization()
    two = await new_teamspace(w, acme.id)
    key = await w.key(acme, level="account")

    async def left(teamspace: str | None) -> int:
        answer = await w.send("GET", PATH, acting_in(key, teamspace))
        return int(answer.headers["x-ratelimit-remaining"])

    assert [await left(None), await left(None), await left(two)] == [999, 998, 999]
    assert [await left(None), await left(two), await left(two)] == [997, 998, 997]


@in_world
async def test_nobody_has_no_identity(w: World) -> None:
    for headers in ({}, bearer("tsk_unknown"), {"authorization": "Basic eA=="}):
        assert_refused(await w.send("GET", PATH, headers), 401, "no_authentication")


@in_world
async def test_the_official_client_reads_every_field(w: World) -> None:
    acme = await w.organization()
    client = official_client(w, await w.key(acme, level="account"))
    identity = await client.identity.retrieve()
    assert identity.current_teamspace_id == acme.default_teamspace_id
    assert [each.permissions.role for each in identity.teamspaces] == ["member"]


@in_world
async def test_of_a_header_that_is_repeated_no_half_is_believed(w: World) -> None:
    acme = await w.organization()
    two = await new_teamspace(w, acme.id)
    key = list((await w.key(acme, level="account")).items())
    answer = await w.client.get(PATH, headers=[*key, *key])
    assert_refused(answer, 401, "no_authentication")
    assert "not known" in answer.json()["details"]["reason"]
    for other in (two, acme.default_teamspace_id):
        named = [("datagrid-teamspace", two), ("datagrid-teamspace", other)]
        assert_not_found(await w.client.get(PATH, headers=[*key, *named]))


@in_world
async def test_what_is_accepted_may_be_said_in_two_lines(w: World) -> None:
    accept = [("accept", "application/json"), ("accept", "application/problem+json")]
    answer = await w.client.get(PATH, headers=accept)
    assert answer.headers["content-type"] == "application/problem+json"


@in_world
async def test_what_is_accepted_least_of_all_is_not_sent(w: World) -> None:
    answer = await w.client.get(PATH, headers={"accept": "application/problem+json;q=0"})
    assert_refused(answer, 401, "no_authentication")
    assert answer.headers["content-type"] == "application/json"


@in_world
async def test_a_flood_of_strangers_shuts_out_strangers_only(w: World) -> None:
    """Beyond the addresses that have windows, newcomers share one; a key is good from anywhere."""
    w.service.strangers = MemoryLimiter(capacity=2)
    key = await w.key(await w.organization())
    statuses = [
        await status_from(w, f"2001:db8:{number:x}::1", {}) for number in range(ADDRESS_LIMIT + 3)
    ]
    assert statuses == [401] * (ADDRESS_LIMIT + 2) + [429]
    assert await status_from(w, "2001:db8:ffff::1", key) == 200
    assert await status_from(w, "2001:db8:1::1", {}) == 401


async def status_from(w: World, address: str, key: Headers) -> int:
    transport = httpx.ASGITransport(create_app(w.service, OPERATIONS), client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        return (await client.get(PATH, headers=key)).status_code


@pytest.mark.parametrize(("window_ms", "said"), [(60_000, "60"), (1_500, "1.5")])
def test_a_refusal_names_the_window_as_it_is(window_ms: int, said: str) -> None:
    async def scenario() -> None:
        async with world(limits=Limits(default=1, window_ms=window_ms)) as w:
            key = await w.key(await w.organization())
            await identity_of(w, key)
            answer = await w.send("GET", PATH, key)
            assert_refused(answer, 429, "rate_limit_exceeded")
            reason = answer.json()["details"]["reason"]
            assert reason.startswith(f"1 requests per {said} seconds are admitted here")

    asyncio.run(scenario())
