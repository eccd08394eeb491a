"""API keys over HTTP: made, imported, rotated and revoked, and in force at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tallystick.domain.keys import has_valid_checksum
from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_not_found,
    assert_refused,
    body_of,
)
from tests.harness import Headers, World, bearer, in_world, world

NOW = "2026-03-10T12:00:00.000000Z"
OPERATORS = "/v1/admin/keys"


def keys_of(organization_id: str) -> str:
    return f"/v1/admin/organizations/{organization_id}/keys"


async def make(w: World, path: str, **terms: object) -> dict[str, Any]:
    return body_of(await w.send("POST", path, w.admin, {"name": "Server", **terms}), 201)


async def status_of(w: World, key: Headers) -> int:
    """What the key gets where any key of a tenant may read."""
    return (await w.send("GET", "/v1/identity", key)).status_code


async def admin_status_of(w: World, key: Headers) -> int:
    return (await w.send("GET", OPERATORS, key)).status_code


@in_world
async def test_a_key_is_made_with_its_secret_shown_once(w: World) -> None:
    acme = await w.organization()
    key = await make(w, keys_of(acme.id))
    assert key["id"].startswith("key_")
    assert has_valid_checksum(key["secret"])
    assert key == {
        "object": "api_key",
        "id": key["id"],
        "name": "Server",
        "secret": key["secret"],
        "teamspace_id": acme.default_teamspace_id,
        "level": "organization",
        "scopes": ["credits:read", "usage:write", "holds:write"],
        "imported": False,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "created_at": NOW,
    }
    listed = body_of(await w.send("GET", keys_of(acme.id), w.admin))
    assert listed["data"] == [{name: key[name] for name in key if name != "secret"}]
    assert await status_of(w, bearer(key["secret"])) == 200


@in_world
async def test_a_key_has_what_it_is_given(w: World) -> None:
    acme = await w.organization()
    writer = await w.key(acme, scopes=["teamspaces:write"])
    teamspace = body_of(
        await w.send("POST", "/v1/organization/teamspaces", writer, {"name": "Two"}), 201
    )
    key = await make(
        w,
        keys_of(acme.id),
        teamspace_id=teamspace["id"],
        level="account",
        scopes=["usage:write", "credits:read", "usage:write"],
        expires_at="2026-03-10T14:00:00+01:00",
    )
    assert key["teamspace_id"] == teamspace["id"]
    assert key["level"] == "account"
    assert key["scopes"] == ["credits:read", "usage:write"]
    assert key["expires_at"] == "2026-03-10T13:00:00.000000Z"


@in_world
async def test_a_key_without_scopes_knows_who_it_is_and_no_more(w: World) -> None:
    acme = await w.organization()
    key = bearer((await make(w, keys_of(acme.id), scopes=[]))["secret"])
    assert await status_of(w, key) == 200
    answer = await w.send("GET", "/v1/organization/credits", key)
    details = assert_refused(answer, 403, "permission_denied")
    assert details["required_scope"] == "credits:read"


@in_world
async def test_a_key_works_until_the_instant_it_expires(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id), expires_at="2026-03-10T12:00:01Z")
    key = bearer(made["secret"])
    w.clock.set("2026-03-10T12:00:00.999999Z")
    assert await status_of(w, key) == 200
    w.clock.set("2026-03-10T12:00:01Z")
    assert await status_of(w, key) == 401


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"),
    ({"name": "nul\0"}, "/name"),
    ({"name": 5}, "/name"),
    ({"expires_at": NOW}, "/expires_at"),
    ({"expires_at": "2026-03-10T12:00:01"}, "/expires_at"),
    ({"secret_sha256": "ab"}, "/secret_sha256"),
    ({"secret_sha256": "g" * 64}, "/secret_sha256"),
    ({"secret_sha256": "a" * 64 + "\n"}, "/secret_sha256"),
    ({"secret": "mine"}, "/secret"),
]


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        *WRONG,
        ({"level": "operator"}, "/level"),
        ({"level": None}, "/level"),
        ({"scopes": None}, "/scopes"),
        ({"scopes": "credits:read"}, "/scopes"),
        ({"scopes": ["credits:read", "admin"]}, "/scopes/1"),
        ({"scopes": ["admin:write"]}, "/scopes/0"),
        ({"is_operator": True}, "/is_operator"),
    ],
)
@in_world
async def test_what_is_wrong_with_a_key_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    acme = await w.organization()
    body = {"name": "Server", **terms}
    assert_invalid(await w.send("POST", keys_of(acme.id), w.admin, body), pointer)
    assert body_of(await w.send("GET", keys_of(acme.id), w.admin))["data"] == []


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [*WRONG, ({"scopes": []}, "/scopes"), ({"teamspace_id": "ts_1"}, "/teamspace_id")],
)
@in_world
async def test_what_is_wrong_with_an_operator_key_is_pointed_at(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    body = {"name": "Ops", **terms}
    assert_invalid(await w.send("POST", OPERATORS, w.admin, body), pointer)
    assert body_of(await w.send("GET", OPERATORS, w.admin))["data"] == []


@in_world
async def test_an_operator_key_operates_and_is_no_tenant(w: World) -> None:
    made = await make(w, OPERATORS)
    assert made == {
        "object": "api_key",
        "id": made["id"],
        "name": "Server",
        "secret": made["secret"],
        "teamspace_id": None,
        "level": None,
        "scopes": [],
        "imported": False,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "created_at": NOW,
    }
    key = bearer(made["secret"])
    assert await admin_status_of(w, key) == 200
    assert await status_of(w, key) == 403


@pytest.mark.parametrize("pepper", [None, b"a pepper"])
def test_an_imported_secret_goes_on_working(pepper: bytes | None) -> None:
    async def scenario() -> None:
        async with world(pepper=pepper) as w:
            acme = await w.organization()
            secret = "sk live/older than this service"
            sha256 = hashlib.sha256(secret.encode()).hexdigest()
            key = await make(w, keys_of(acme.id), secret_sha256=sha256.upper())
            assert "secret" not in key
            assert key["imported"]
            assert await status_of(w, bearer(secret)) == 200
            body = {"name": "Twice", "secret_sha256": sha256}
            assert_conflict(await w.send("POST", keys_of(acme.id), w.admin, body))
            assert_conflict(await w.send("POST", OPERATORS, w.admin, body))

    asyncio.run(scenario())


@in_world
async def test_a_rotation_ends_the_old_secret_at_once(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id))
    rotated = body_of(await w.send("POST", f"{keys_of(acme.id)}/{made['id']}/rotate", w.admin))
    assert rotated["secret"] != made["secret"]
    assert rotated == {**made, "secret": rotated["secret"]}
    assert await status_of(w, bearer(made["secret"])) == 401
    assert await status_of(w, bearer(rotated["secret"])) == 200


@in_world
async def test_an_old_secret_works_as_long_as_the_overlap(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id))
    old = bearer(made["secret"])
    assert await status_of(w, old) == 200
    path = f"{keys_of(acme.id)}/{made['id']}/rotate"
    new = bearer(body_of(await w.send("POST", path, w.admin, {"overlap_seconds": 60}))["secret"])
    w.clock.set("2026-03-10T12:00:59.999999Z")
    assert (await status_of(w, old), await status_of(w, new)) == (200, 200)
    w.clock.set("2026-03-10T12:01:00Z")
    assert (await status_of(w, old), await status_of(w, new)) == (401, 200)


@in_world
async def test_a_second_rotation_never_lengthens_an_overlap(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id))
    path = f"{keys_of(acme.id)}/{made['id']}/rotate"
    await w.send("POST", path, w.admin, {"overlap_seconds": 60})
    second = body_of(await w.send("POST", path, w.admin, {"overlap_seconds": 3600}))
    w.clock.set("2026-03-10T12:01:00Z")
    assert await status_of(w, bearer(made["secret"])) == 401
    assert await status_of(w, bearer(second["secret"])) == 200


@in_world
async def test_an_imported_key_that_is_rotated_is_imported_no_more(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id), secret_sha256=hashlib.sha256(b"old").hexdigest())
    rotated = body_of(await w.send("POST", f"{keys_of(acme.id)}/{made['id']}/rotate", w.admin))
    assert not rotated["imported"]
    assert await status_of(w, bearer("old")) == 401
    assert await status_of(w, bearer(rotated["secret"])) == 200


@pytest.mark.parametrize("overlap", [-1, 2_592_001, 1.5, "60", None])
@in_world
async def test_an_overlap_is_whole_seconds_up_to_thirty_days(w: World, overlap: object) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id))
    path = f"{keys_of(acme.id)}/{made['id']}/rotate"
    answer = await w.send("POST", path, w.admin, {"overlap_seconds": overlap})
    assert_invalid(answer, "/overlap_seconds")
    assert await status_of(w, bearer(made["secret"])) == 200
    body_of(await w.send("POST", path, w.admin, {"overlap_seconds": 2_592_000}))


@in_world
async def test_a_revoked_key_stops_at_once_and_for_good(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id))
    key, path = bearer(made["secret"]), f"{keys_of(acme.id)}/{made['id']}"
    assert await status_of(w, key) == 200
    revoked = body_of(await w.send("DELETE", path, w.admin))
    assert "secret" not in revoked
    assert revoked["revoked_at"] == NOW
    answer = await w.send("GET", "/v1/identity", key)
    assert_refused(answer, 401, "no_authentication")
    w.clock.advance(seconds=5)
    assert body_of(await w.send("DELETE", path, w.admin)) == revoked
    assert_conflict(await w.send("POST", f"{path}/rotate", w.admin))
    assert await status_of(w, key) == 401


@in_world
async def test_a_key_that_is_revoked_while_a_body_arrives_changes_nothing(w: World) -> None:
    acme = await w.organization(allowance=10)
    made = await make(w, keys_of(acme.id))
    key = bearer(made["secret"])
    reader = await w.key(acme)

    async def body() -> AsyncIterator[bytes]:
        yield b'{"id": "evt-1",'
        revoked = await w.send("DELETE", f"{keys_of(acme.id)}/{made['id']}", w.admin)
        assert revoked.status_code == 200
        w.clock.advance(seconds=1)
        yield b'"credits": 1}'

    usage = "/v1/organization/credits/usage"
    headers = {**key, "content-type": "application/json"}
    answer = await w.client.post(usage, headers=headers, content=body())
    assert_refused(answer, 401, "no_authentication")
    report = await w.send("GET", "/v1/organization/credits", reader)
    assert body_of(report)["consumed"] == 0


@in_world
async def test_revoking_ends_the_secrets_of_an_overlap_too(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id))
    path = f"{keys_of(acme.id)}/{made['id']}"
    rotated = body_of(await w.send("POST", f"{path}/rotate", w.admin, {"overlap_seconds": 60}))
    await w.send("DELETE", path, w.admin)
    assert await status_of(w, bearer(made["secret"])) == 401
    assert await status_of(w, bearer(rotated["secret"])) == 401


@in_world
async def test_an_expired_key_cannot_be_rotated(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id), expires_at="2026-03-10T12:00:01Z")
    w.clock.advance(seconds=1)
    assert_conflict(await w.send("POST", f"{keys_of(acme.id)}/{made['id']}/rotate", w.admin))


@in_world
async def test_operator_keys_are_rotated_and_revoked_in_the_same_way(w: World) -> None:
    made = await make(w, OPERATORS)
    rotated = body_of(await w.send("POST", f"{OPERATORS}/{made['id']}/rotate", w.admin))
    old, new = bearer(made["secret"]), bearer(rotated["secret"])
    assert (await admin_status_of(w, old), await admin_status_of(w, new)) == (401, 200)
    revoked = body_of(await w.send("DELETE", f"{OPERATORS}/{made['id']}", new))
    assert revoked["revoked_at"] == NOW
    assert await admin_status_of(w, new) == 401
    assert await admin_status_of(w, w.admin) == 200


@in_world
async def test_the_last_use_shows_before_it_is_written(w: World) -> None:
    acme = await w.organization()
    made = await make(w, keys_of(acme.id))
    w.clock.advance(seconds=90)
    await status_of(w, bearer(made["secret"]))
    (listed,) = body_of(await w.send("GET", keys_of(acme.id), w.admin))["data"]
    assert listed["last_used_at"] == "2026-03-10T12:01:30.000000Z"


@pytest.mark.parametrize("family", ["organization", "operators"])
@in_world
async def test_keys_are_listed_newest_first_in_pages(w: World, family: str) -> None:
    path = OPERATORS if family == "operators" else keys_of((await w.organization()).id)
    ids = [(await make(w, path, name=f"No. {number}"))["id"] for number in range(3)]
    page = body_of(await w.send("GET", f"{path}?limit=2", w.admin))
    assert (page["object"], page["has_more"]) == ("list", True)
    assert [each["id"] for each in page["data"]] == ids[:0:-1]
    page = body_of(await w.send("GET", f"{path}?after={ids[1]}", w.admin))
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:1], False)
    assert_invalid(await w.send("GET", f"{path}?before=key_x", w.admin), "?before")
    assert "secret" not in (await w.send("GET", path, w.admin)).text


@in_world
async def test_a_key_is_made_in_a_teamspace_of_its_organization_only(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    for teamspace_id in (other.default_teamspace_id, "ts_none"):
        body = {"name": "Server", "teamspace_id": teamspace_id}
        assert_not_found(await w.send("POST", keys_of(acme.id), w.admin, body))
    assert_not_found(await w.send("POST", keys_of("org_none"), w.admin, {"name": "Server"}))
    assert_not_found(await w.send("GET", keys_of("org_none"), w.admin))


@pytest.mark.parametrize(("method", "rest"), [("POST", "/rotate"), ("DELETE", "")])
@in_world
async def test_a_key_is_found_where_it_belongs_only(w: World, method: str, rest: str) -> None:
    acme, other = await w.organization(), await w.organization()
    tenant = await make(w, keys_of(other.id))
    operator = await make(w, OPERATORS)
    answers = [
        await w.send(method, f"{path}/{key_id}{rest}", w.admin)
        for path in (keys_of(acme.id), keys_of("org_none"), OPERATORS)
        for key_id in (tenant["id"], operator["id"], "key_none")
        if (path, key_id) != (OPERATORS, operator["id"])
    ]
    for answer in answers:
        assert_not_found(answer)
    assert len({str({**answer.json(), "request_id": ""}) for answer in answers}) == 1
    assert await status_of(w, bearer(tenant["secret"])) == 200
    assert await admin_status_of(w, bearer(operator["secret"])) == 200
