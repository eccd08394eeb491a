"""`Idempotency-Key`: a request that is sent again changes nothing and gets the first answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tallystick.domain.directory import Scope
from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.operations import Operation
from tallystick.ledger.ports import Changes, Lane, StoreUnavailable
from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_refused,
    body_of,
)
from tests.harness import Headers, World, bearer, in_world
from tests.moves import place
from tests.pricing import price_of

ORGANIZATIONS = "/v1/admin/organizations"
TEAMSPACES = "/v1/organization/teamspaces"
DAY = 86_400

IDEMPOTENT = [each for each in OPERATIONS if each.idempotent]


async def post(
    w: World, path: str, headers: Headers, json: object = None, *, key: str = "key-1"
) -> httpx.Response:
    return await w.send("POST", path, {**headers, "idempotency-key": key}, json)


def is_replay(answer: httpx.Response) -> bool:
    return ("idempotent-replayed", "true") in answer.headers.items()


async def teamspaces_of(w: World, key: Headers) -> list[str]:
    page = body_of(await w.send("GET", f"{TEAMSPACES}?order=asc", key))
    return [each["name"] for each in page["data"]]


def test_every_post_takes_a_key_unless_it_names_an_event_or_changes_nothing() -> None:
    posts = {each.name for each in OPERATIONS if each.method == "POST"}
    assert posts - {each.name for each in IDEMPOTENT} <= {
        "book_usage",
        "capture_hold",
        "preview_usage",
        "reverse_usage",
    }
    assert {each.method for each in IDEMPOTENT} == {"POST"}


class Place:
    """An organization with objects to act on, and the requests that do so."""

    def __init__(self, w: World, **ids: str) -> None:
        self._w = w
        self._ids = ids

    @classmethod
    async def make(cls, w: World, operation: Operation) -> Place:
        acme = await w.organization(allowance=100)
        base = f"{ORGANIZATIONS}/{acme.id}"
        grant = await w.send("POST", f"{base}/grants", w.admin, {"amount": 50, "kind": "top_up"})
        keys = "/v1/admin/keys" if "operator" in operation.name else f"{base}/keys"
        key = await w.send("POST", keys, w.admin, {"name": "First"})
        return cls(
            w,
            organization_id=acme.id,
            grant_id=body_of(grant, 201)["id"],
            key_id=body_of(key, 201)["id"],
            hold_id=(await place(w, acme, "5")).id,
            price_id=(await price_of(w, "llm.tokens", credits=3))["id"],
        )

    def path(self, operation: Operation) -> str:
        return operation.path.format(**self._ids)

    async def headers(self, operation: Operation) -> Headers:
        if operation.path.startswith("/v1/admin"):
            return self._w.admin
        return await self._w.key(self._ids["organization_id"], scopes=list(Scope))


BODIES: dict[str, dict[str, Any]] = {
    "create_organization": {"name": "Acme"},
    "create_teamspace": {"name": "Research"},
    "issue_grant": {"amount": 5, "kind": "top_up"},
    "void_grant": {"credits": 5},
    "create_key": {"name": "Server"},
    "create_operator_key": {"name": "Ops"},
    "add_prices": {"meter": "m", "credits": 1, "effective_at": "2026-01-01T00:00:00Z"},
    "end_price": {},
    "place_hold": {"credits": 5},
    "extend_hold": {"expires_in": 3600},
}


@pytest.mark.parametrize("operation", IDEMPOTENT, ids=lambda each: each.name)
@in_world
async def test_a_repetition_gets_the_first_answer_without_its_secret(
    w: World, operation: Operation
) -> None:
    there = await Place.make(w, operation)
    headers, path = await there.headers(operation), there.path(operation)
    body = BODIES.get(operation.name)
    first = await post(w, path, headers, body)
    assert first.is_success, first.text
    assert not is_replay(first)
    w.clock.advance(seconds=30)
    again = await post(w, path, headers, body)
    assert is_replay(again)
    assert again.status_code == first.status_code
    assert again.headers["content-type"] == "application/json"
    expected = first.json()
    if "secret" in expected:
        expected["secret"] = None
    assert again.json() == expected


@pytest.mark.parametrize("operation", IDEMPOTENT, ids=lambda each: each.name)
@in_world
async def test_a_repetition_changes_nothing(w: World, operation: Operation) -> None:
    there = await Place.make(w, operation)
    headers, path = await there.headers(operation), there.path(operation)
    changes: list[Changes] = []
    w.service.ledger.listen(changes.append)
    await post(w, path, headers, BODIES.get(operation.name))
    assert len(changes) == 1
    await post(w, path, headers, BODIES.get(operation.name))
    assert len(changes) == 1


@in_world
async def test_the_secret_of_the_first_answer_is_the_one_that_works(w: World) -> None:
    acme = await w.organization()
    path = f"{ORGANIZATIONS}/{acme.id}/keys"
    first = body_of(await post(w, path, w.admin, {"name": "Server"}), 201)
    await post(w, path, w.admin, {"name": "Server"})
    body_of(await w.send("GET", "/v1/identity", bearer(first["secret"])))
    rotate = f"{path}/{first['id']}/rotate"
    rotated = body_of(await post(w, rotate, w.admin))
    assert body_of(await post(w, rotate, w.admin))["secret"] is None
    body_of(await w.send("GET", "/v1/identity", bearer(rotated["secret"])))


@in_world
async def test_without_the_header_every_request_counts(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    for _ in range(2):
        body_of(await w.send("POST", TEAMSPACES, writer, {"name": "Two"}), 201)
    assert await teamspaces_of(w, writer) == ["Default", "Two", "Two"]


@in_world
async def test_the_same_key_with_another_body_is_a_conflict(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    body_of(await post(w, TEAMSPACES, writer, {"name": "Two"}), 201)
    assert_conflict(await post(w, TEAMSPACES, writer, {"name": "Three"}))
    assert_conflict(await post(w, TEAMSPACES, writer, {"name": "Two", "access": "closed"}))
    assert await teamspaces_of(w, writer) == ["Default", "Two"]


@in_world
async def test_the_same_key_with_another_path_is_a_conflict(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    body_of(await post(w, f"{ORGANIZATIONS}/{acme.id}/suspend", w.admin))
    assert_conflict(await post(w, f"{ORGANIZATIONS}/{other.id}/suspend", w.admin))


@in_world
async def test_a_body_is_the_same_however_it_is_laid_out(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    headers = {**writer, "idempotency-key": "key-1", "content-type": "application/json"}
    layouts = [b'{"name":"Two","access":"open"}', b'{ "access": "open", "name": "\\u0054wo" }']
    answers = [
        await w.client.post(TEAMSPACES, headers=headers, content=layout) for layout in layouts
    ]
    assert [is_replay(answer) for answer in answers] == [False, True]


@in_world
async def test_no_body_and_an_empty_object_are_the_same(w: World) -> None:
    acme = await w.organization()
    path = f"{ORGANIZATIONS}/{acme.id}/suspend"
    assert not is_replay(await post(w, path, w.admin))
    assert is_replay(await post(w, path, w.admin, {}))


@in_world
async def test_a_key_counts_for_one_api_key_and_one_operation(w: World) -> None:
    acme, other = await w.organization(), await w.organization()
    writers = [await w.key(each, scopes=["teamspaces:write"]) for each in (acme, acme, other)]
    for writer in writers:
        answer = await post(w, TEAMSPACES, writer, {"name": "Two"})
        assert not is_replay(answer)
        body_of(answer, 201)
    for path in ("/v1/admin/keys", f"{ORGANIZATIONS}/{acme.id}/keys"):
        answer = await post(w, path, w.admin, {"name": "Two"})
        assert not is_replay(answer)
        body_of(answer, 201)


@in_world
async def test_a_key_counts_for_a_day(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    await post(w, TEAMSPACES, writer, {"name": "Two"})
    w.clock.advance(seconds=DAY - 1)
    assert is_replay(await post(w, TEAMSPACES, writer, {"name": "Two"}))
    w.clock.advance(seconds=1)
    assert not is_replay(await post(w, TEAMSPACES, writer, {"name": "Three"}))
    assert is_replay(await post(w, TEAMSPACES, writer, {"name": "Three"}))
    assert await teamspaces_of(w, writer) == ["Default", "Two", "Three"]


@in_world
async def test_a_refusal_keeps_nothing(w: World) -> None:
    acme = await w.organization()
    path = f"{ORGANIZATIONS}/{acme.id}/grants"
    grants = [
        body_of(await w.send("POST", path, w.admin, {"amount": 10**9, "kind": "top_up"}), 201)
        for _ in range(8)
    ]
    body = {"amount": 1, "kind": "top_up"}
    assert_conflict(await post(w, path, w.admin, body))
    await w.send("POST", f"{path}/{grants[0]['id']}/void", w.admin)
    answer = await post(w, path, w.admin, body)
    body_of(answer, 201)
    assert not is_replay(answer)


@in_world
async def test_what_was_refused_as_invalid_keeps_nothing(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    assert_invalid(await post(w, TEAMSPACES, writer, {"name": ""}), "/name")
    body_of(await post(w, TEAMSPACES, writer, {"name": "Two"}), 201)


@in_world
async def test_a_repetition_comes_before_any_state_is_judged(w: World) -> None:
    acme = await w.organization()
    base = f"{ORGANIZATIONS}/{acme.id}"
    key = {"name": "Server", "expires_at": w.clock.text(seconds=5)}
    first = body_of(await post(w, f"{base}/keys", w.admin, key), 201)
    grant = {"amount": 5, "kind": "top_up"}
    issued = body_of(await post(w, f"{base}/grants", w.admin, grant), 201)
    await w.send("POST", f"{base}/close", w.admin)
    w.clock.advance(seconds=10)
    assert body_of(await post(w, f"{base}/keys", w.admin, key), 201)["id"] == first["id"]
    assert body_of(await post(w, f"{base}/grants", w.admin, grant), 201) == issued


@in_world
async def test_a_request_still_on_its_way_asks_to_come_back(w: World) -> None:
    body = {"name": "Acme"}
    answers = await asyncio.gather(*(post(w, ORGANIZATIONS, w.admin, body) for _ in range(5)))
    first, *others = sorted(answers, key=lambda answer: answer.status_code)
    made = body_of(first, 201)
    for answer in others:
        assert_refused(answer, 409, "conflict")
        assert answer.headers["x-should-retry"] == "true"
        assert answer.json()["retryable"]
    assert body_of(await post(w, ORGANIZATIONS, w.admin, body), 201) == made
    assert not w.service.replays_in_flight


@in_world
async def test_two_processes_that_know_nothing_of_each_other_make_one(w: World) -> None:
    class Blind(set[Any]):
        def __contains__(self, _: object) -> bool:
            return False

    w.service.replays_in_flight = Blind()
    body = {"name": "Acme"}
    answers = await asyncio.gather(*(post(w, ORGANIZATIONS, w.admin, body) for _ in range(5)))
    assert sorted(is_replay(answer) for answer in answers) == [False] + [True] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1


@in_world
async def test_answer_and_change_are_written_together_or_not_at_all(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])

    async def fail(lane: Lane, _: Changes) -> None:
        await lane.abandon()
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(w.service.ledger.store.lanes[0]), "append", fail)
        answer = await post(w, TEAMSPACES, writer, {"name": "Two"})
    assert_refused(answer, 503, "service_unavailable")
    answer = await post(w, TEAMSPACES, writer, {"name": "Two"})
    body_of(answer, 201)
    assert not is_replay(answer)
    assert await teamspaces_of(w, writer) == ["Default", "Two"]


@pytest.mark.parametrize("key", ["", "with space", "tab\t", "x" * 256, "ä"])
@in_world
async def test_a_key_is_visible_ascii_of_at_most_255_bytes(w: World, key: str) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    headers = [*((name.encode(), value.encode()) for name, value in writer.items())]
    named = [*headers, (b"idempotency-key", key.encode("latin-1"))]
    answer = await w.client.post(TEAMSPACES, headers=named, json={"name": "Two"})
    assert_invalid(answer, "Idempotency-Key")
    assert await teamspaces_of(w, writer) == ["Default"]


@in_world
async def test_a_key_of_255_bytes_is_fine_and_two_keys_are_not(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["teamspaces:write"])
    body_of(await post(w, TEAMSPACES, writer, {"name": "Two"}, key="!~" + "x" * 253), 201)
    twice = [*writer.items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
    answer = await w.client.post(TEAMSPACES, headers=twice, json={"name": "Three"})
    assert_invalid(answer, "Idempotency-Key")


@in_world
async def test_the_header_means_nothing_where_nothing_is_posted(w: World) -> None:
    acme = await w.organization()
    writer = await w.key(acme, scopes=["teamspaces:write"])
    path = f"{TEAMSPACES}/{acme.default_teamspace_id}"
    headers = {**writer, "idempotency-key": "key 1"}
    for name in ("One", "Two"):
        renamed = body_of(await w.send("PATCH", path, headers, {"name": name}))
        assert renamed["name"] == name
