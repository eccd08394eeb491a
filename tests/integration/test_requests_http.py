"""Why was it refused? What a tenant is told later of requests, whichever lane they came down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import httpx
import pytest

from tallystick.http.app import create_app
from tallystick.http.handlers.table import OPERATIONS
from tallystick.ledger.refused import KEPT_FOR, RefusedRequests
from tests.answers import assert_conflict, assert_not_found, assert_refused, body_of
from tests.harness import Headers, World, in_world
from tests.holding import HOLDS, cap, capture, place, release
from tests.lanes import Connection, Side, common_side, express_side, is_express
from tests.messages import HOST, USAGE, message
from tests.spending import error_of, post
from tests.tenants import command, key_of, tenant

REQUESTS: Final = "/v1/organization/credits/requests"
Json = dict[str, Any]
both_lanes = pytest.mark.parametrize("lane", ["express", "common"])


class Answered(NamedTuple):
    status: int
    request_id: str
    body: Json


async def ask(w: World, key: Headers, request_id: str) -> Json:
    """What is told of a request."""
    return body_of(await w.send("GET", f"{REQUESTS}/{request_id}", key))


async def is_known(w: World, key: Headers, request_id: str) -> bool:
    answer = await w.send("GET", f"{REQUESTS}/{request_id}", key)
    if answer.status_code != 200:
        assert_not_found(answer)
    return answer.status_code == 200


class Sender:
    """Posts usage down one of the lanes."""

    def __init__(self, w: World, lane: str) -> None:
        self._lane = lane
        self._side: Side = express_side(w) if lane == "express" else common_side(w)
        self._connection: Connection = self._side.connect()

    async def post(self, key: Headers, body: object) -> Answered:
        content = json.dumps(body).encode()
        fields = [
            HOST,
            *((name.encode(), value.encode()) for name, value in key.items()),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(content)),
        ]
        heard = await self._connection.say(message(b"POST", USAGE, fields, content))
        assert is_express(self._connection) == (self._lane == "express")
        head, _, answer = heard.answers.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        return Answered(int(head.split()[1]), headers["x-request-id"], json.loads(answer))


async def new_tenant(w: World, **terms: object) -> tuple[Json, Headers]:
    acme = await tenant(w, "Acme", **{"allowance": 10, **terms})
    return acme, bearer_of(await key_of(w, acme))


def bearer_of(key: Json) -> Headers:
    return {"authorization": f"Bearer {key['secret']}"}


# ── what is told ──


@both_lanes
@in_world
async def test_credits_that_were_missing_are_told_with_the_figures(w: World, lane: str) -> None:
    acme = await tenant(w, "Acme", allowance=10)
    key = await key_of(w, acme)
    status, request_id, body = await Sender(w, lane).post(
        bearer_of(key), {"id": "evt-1", "credits": 10.5, "meter": "calls"}
    )
    at = w.clock.text()
    w.clock.advance(seconds=5)
    assert status == 402
    assert await ask(w, bearer_of(key), request_id) == {
        "object": "credits.request",
        "id": request_id,
        "operation": "book_usage",
        "method": "POST",
        "path": "/v1/organization/credits/usage",
        "at": at,
        "status": 402,
        "error": "credit_exceeded",
        "message": "Not enough credits",
        "details": body["details"],
        "teamspace_id": acme["default_teamspace_id"],
        "api_key_id": key["id"],
        "event_ids": ["evt-1"],
        "rejected": 1,
    }
    assert body["details"]["required"] == 10.5
    assert body["details"]["available"] == 10
    assert body["details"]["blocked_by"] == "organization"


@both_lanes
@in_world
async def test_a_budget_that_was_in_the_way_is_named(w: World, lane: str) -> None:
    acme, key = await new_tenant(w)
    home = acme["default_teamspace_id"]
    await cap(w, acme["id"], home, 2.5)
    status, request_id, body = await Sender(w, lane).post(key, {"id": "evt-1", "credits": 3})
    told = await ask(w, key, request_id)
    assert (status, told["status"], told["details"]) == (402, 402, body["details"])
    assert (told["details"]["blocked_by"], told["details"]["budget_id"]) == ("budget", home)


@both_lanes
@in_world
async def test_every_kind_of_refusal_is_told(w: World, lane: str) -> None:
    acme, key = await new_tenant(w)
    reader = bearer_of(await key_of(w, acme, scopes=["credits:read"]))
    sender, event = Sender(w, lane), {"id": "evt-1", "credits": 1}
    assert (await sender.post(key, event)).status == 201
    expected = [
        (reader, event, 403, [], 0),
        (key, event | {"credits": 2}, 409, ["evt-1"], 1),
        (key, {"id": "evt-2", "credits": 1e-7}, 422, ["evt-2"], 1),
        (key, {"id": "no good", "credits": 1}, 422, [], 0),
        (key, {"id": "evt-2"} | {"credits": 1, "more": 1}, 422, [], 0),
    ]
    await command(w, "POST", acme, "/suspend")
    expected.append((key, {"id": "evt-3", "credits": 1}, 403, ["evt-3"], 1))
    for sent_with, body, status, event_ids, rejected in expected:
        answer = await sender.post(sent_with, body)
        told = await ask(w, key, answer.request_id)
        assert (answer.status, told["status"]) == (status, status)
        assert (told["error"], told["message"]) == (answer.body["error"], answer.body["message"])
        assert told["details"] == answer.body["details"]
        assert (told["event_ids"], told["rejected"]) == (event_ids, rejected)


@both_lanes
@in_world
async def test_a_batch_is_told_by_the_events_that_were_rejected(w: World, lane: str) -> None:
    _, key = await new_tenant(w)
    events = [
        {"id": "good", "credits": 4},
        {"id": "too-much", "credits": 7},
        {"id": "good", "credits": 5},
        {"id": "last", "credits": 6.5},
    ]
    status, request_id, body = await Sender(w, lane).post(key, {"events": events})
    told = await ask(w, key, request_id)
    assert (status, body["rejected"], told["status"]) == (200, 3, 200)
    assert told["error"] == "credit_exceeded"
    assert told["details"] == body["data"][1]["error"]["details"]
    assert (told["event_ids"], told["rejected"]) == (["too-much", "good", "last"], 3)


@both_lanes
@in_world
async def test_of_many_rejected_events_a_hundred_are_named(w: World, lane: str) -> None:
    _, key = await new_tenant(w)
    events = [{"id": f"evt-{number}", "credits": 11} for number in range(300)]
    told = await ask(w, key, (await Sender(w, lane).post(key, {"events": events})).request_id)
    assert told["event_ids"] == [event["id"] for event in events[:100]]
    assert told["rejected"] == 300


@both_lanes
@in_world
async def test_an_atomic_batch_is_told_as_a_whole(w: World, lane: str) -> None:
    _, key = await new_tenant(w)
    events = [{"id": "good", "credits": 4}, {"id": "too-much", "credits": 7}]
    answer = await Sender(w, lane).post(key, {"events": events, "atomic": True})
    told = await ask(w, key, answer.request_id)
    assert (answer.status, told["status"]) == (402, 402)
    assert (told["details"]["index"], told["details"]["id"]) == (1, "too-much")
    assert (told["event_ids"], told["rejected"]) == (["good", "too-much"], 2)


@in_world
async def test_lines_of_a_stream_that_were_rejected_are_told(w: World) -> None:
    _, key = await new_tenant(w)
    lines = [b'{"id": "good", "credits": 4}', b"nonsense", b'{"id": "too-much", "credits": 7}']
    headers = key | {"content-type": "application/x-ndjson"}
    answer = await w.client.post(USAGE.decode(), content=b"\n".join(lines), headers=headers)
    body = body_of(answer)
    told = await ask(w, key, answer.headers["x-request-id"])
    assert (told["status"], told["details"]) == (200, body["errors"][0]["error"]["details"])
    assert (told["event_ids"], told["rejected"]) == (["too-much"], 2)


@in_world
async def test_requests_for_other_things_are_told_by_their_path_with_its_names(w: World) -> None:
    _, key = await new_tenant(w)
    hold = await place(w, key, 4)
    await release(w, key, hold)
    gone = await w.send("POST", f"{HOLDS}/{hold['id']}/release", key)
    missing = await w.send("GET", f"{HOLDS}/hold_none", key)
    for answer, operation, path in (
        (gone, "release_hold", f"{HOLDS}/{{hold_id}}/release"),
        (missing, "get_hold", f"{HOLDS}/{{hold_id}}"),
    ):
        told = await ask(w, key, answer.headers["x-request-id"])
        assert (told["operation"], told["path"]) == (operation, path)
        assert (told["status"], told["error"]) == (answer.status_code, answer.json()["error"])
        assert told["details"] == answer.json()["details"]
        assert (told["event_ids"], told["rejected"]) == ([], 0)


@pytest.mark.parametrize("named", [True, False])
@in_world
async def test_a_refused_capture_names_its_event(w: World, named: bool) -> None:
    """The last one of a hold may go by the hold's own id."""
    _, key = await new_tenant(w)
    hold = await place(w, key, 4)
    terms = {"id": "job-7-step-3"} if named else {"final": True}
    answer = await capture(w, key, hold, credits=5, **terms)
    assert_conflict(answer)
    told = await ask(w, key, answer.headers["x-request-id"])
    event_id = "job-7-step-3" if named else hold["id"]
    assert (told["event_ids"], told["rejected"]) == ([event_id], 1)


# ── what is not ──


@both_lanes
@in_world
async def test_nothing_is_kept_of_what_succeeded(w: World, lane: str) -> None:
    _, key = await new_tenant(w)
    sender, event = Sender(w, lane), {"id": "evt-1", "credits": 1}
    for body in (event, event, {"events": [event, {"id": "evt-2", "credits": 1}]}):
        answer = await sender.post(key, body)
        assert answer.status in {200, 201}
        assert not await is_known(w, key, answer.request_id)


@both_lanes
@in_world
async def test_nothing_is_kept_of_what_the_window_or_the_key_refused(w: World, lane: str) -> None:
    _, key = await new_tenant(w, rate_limits={"book_usage": 1})
    sender, event = Sender(w, lane), {"id": "evt-1", "credits": 1}
    stranger = await sender.post({"authorization": "Bearer nobody"}, event)
    assert (await sender.post(key, event)).status == 201
    beyond = await sender.post(key, event)
    assert (stranger.status, beyond.status) == (401, 429)
    assert not await is_known(w, key, stranger.request_id)
    assert not await is_known(w, key, beyond.request_id)


@in_world
async def test_what_operators_were_refused_is_not_the_tenants(w: World) -> None:
    """Not even where they act for the organization, as the one beside the database may."""
    acme, key = await new_tenant(w)
    beside = httpx.ASGITransport(create_app(w.service, OPERATIONS, local=True))
    async with httpx.AsyncClient(transport=beside, base_url="http://tallystick.test") as local:
        acting_for = {"tallystick-organization": acme["id"]}
        event = {"id": "evt-1", "credits": 11}
        answer = await local.post(USAGE.decode(), json=event, headers=acting_for)
    assert answer.status_code == 402
    assert not await is_known(w, key, answer.headers["x-request-id"])


@in_world
async def test_names_that_the_sender_chose_are_not_kept(w: World) -> None:
    """A dimension may be called after a person."""
    _, key = await new_tenant(w)
    headers = key | {"content-type": "application/json"}
    start = '{"id": "evt-1", "credits": 1, "dimensions": '
    for dimensions in ('{"ada": "\\u0000"}', '{"ada": 1}', '{"ada": "x", "ada": "y"}'):
        content = f"{start}{dimensions}}}"
        answer = await w.client.post(USAGE.decode(), content=content, headers=headers)
        error, details = error_of(answer, 422)
        told = await ask(w, key, answer.headers["x-request-id"])
        assert (told["error"], "ada" in details["reason"]) == (error, True)
        assert "ada" not in json.dumps(told)
    for groups in ("dimension:ada", "dimension:ada,dimension:ada", "ada,ada"):
        answer = await w.client.get(f"{USAGE.decode()}?group_by={groups}", headers=key)
        error_of(answer, 422)
        told = await ask(w, key, answer.headers["x-request-id"])
        assert "ada" not in json.dumps(told)
        assert "group_by" in told["details"]["reason"]


# ── who is told, and for how long ──


@in_world
async def test_a_foreign_request_is_not_there(w: World) -> None:
    _, key = await new_tenant(w)
    _, other = await new_tenant(w)
    refused = await post(w, key, {"id": "evt-1", "credits": 11})
    request_id = refused.headers["x-request-id"]
    answers = [
        await w.send("GET", f"{REQUESTS}/{name}", other) for name in (request_id, "req_none")
    ]
    for answer in answers:
        assert_not_found(answer)
    assert answers[0].json()["details"] == answers[1].json()["details"]
    assert await is_known(w, key, request_id)


@in_world
async def test_it_takes_a_key_that_may_read(w: World) -> None:
    acme, key = await new_tenant(w)
    refused = await post(w, key, {"id": "evt-1", "credits": 11})
    writer = bearer_of(await key_of(w, acme, scopes=["usage:write"]))
    path = f"{REQUESTS}/{refused.headers['x-request-id']}"
    details = assert_refused(await w.send("GET", path, writer), 403, "permission_denied")
    assert details["required_scope"] == "credits:read"


async def refuse(w: World, key: Headers, numbers: Sequence[int]) -> list[str]:
    """Ids of requests that were refused, one after the other."""
    found = []
    for number in numbers:
        answer = await post(w, key, {"id": f"evt-{number}", "credits": 11})
        found.append(answer.headers["x-request-id"])
    return found


@pytest.mark.parametrize("is_written", [False, True])
@in_world
async def test_a_request_is_told_for_seven_days(w: World, is_written: bool) -> None:
    _, key = await new_tenant(w)
    [request_id] = await refuse(w, key, [1])
    told = await ask(w, key, request_id)
    if is_written:
        await w.service.refused.write()
    w.clock.now += KEPT_FOR
    assert await ask(w, key, request_id) == told
    w.clock.now += 1
    assert not await is_known(w, key, request_id)


@in_world
async def test_the_latest_of_each_organization_are_kept(w: World) -> None:
    w.service.refused = RefusedRequests(w.service.ledger, w.clock, latest=3)
    _, key = await new_tenant(w)
    _, other = await new_tenant(w)
    ids, [others] = await refuse(w, key, range(2)), await refuse(w, other, [0])
    await w.service.refused.write()
    ids += await refuse(w, key, range(2, 5))
    await w.service.refused.write()
    assert await is_known(w, other, others)
    # Each that is not there is noted in its turn, and so asked about last.
    assert [await is_known(w, key, name) for name in reversed(ids)] == [True] * 3 + [False] * 2
