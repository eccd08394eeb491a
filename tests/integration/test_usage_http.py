"""`POST /v1/organization/credits/usage`: one event, and batches of them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from tallystick.domain.commands import AccountStatus, SetStatus
from tallystick.domain.directory import Access, CloudProvider, Organization
from tallystick.domain.plans import Overage, OverageMode, Plan
from tallystick.http.handlers.receipts import Receipt, UsageImport, UsageResults
from tallystick.ledger.directory import CreateTeamspace
from tallystick.ledger.units import AccountUnit
from tests.harness import World, in_world
from tests.moves import issue
from tests.spending import PATH, credits_now, error_of, post, sequence

NOW = "2026-03-10T12:00:00.000000Z"
NEXT_PERIOD = "2026-04-01T00:00:00.000000Z"


async def set_status(w: World, organization: Organization, status: AccountStatus) -> None:
    unit = AccountUnit(organization.id, [SetStatus(status=status)])
    await w.service.ledger.submit(organization.id, unit)


# ── One event ──


@in_world
async def test_an_event_is_answered_with_its_receipt(w: World) -> None:
    key = await w.key(await w.organization(allowance="10.5"))
    answer = await post(w, key, {"id": 'evt"1', "credits": 0.3, "meter": "llm.tokens"})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    grant_id = answer.json()["drawn"][0]["grant_id"]
    assert answer.text == (
        '{"object":"usage_event","id":"evt\\"1","status":"booked","credits":0.3,"overage":0,'
        f'"drawn":[{{"grant_id":"{grant_id}","credits":0.3}}],'
        f'"remaining":10.2,"consumed":0.3,"sequence":4,"booked_at":"{NOW}"}}'
    )


@in_world
async def test_a_repeated_event_gets_the_first_receipt_and_costs_nothing(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    event = {"id": "evt-1", "credits": 1, "dimensions": {"b": "2", "a": "1"}}
    first = await post(w, key, event)
    await post(w, key, {"id": "evt-2", "credits": 2})
    w.clock.advance(seconds=100_000)
    again = await post(w, key, event | {"dimensions": {"a": "1", "b": "2"}, "meter": None})
    assert again.status_code == 200
    assert again.json() == first.json() | {"status": "duplicate"}
    assert await credits_now(w, key) == '{"remaining":7,"consumed":3,"total":10}'


@in_world
async def test_an_id_with_other_content_is_a_conflict(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    await post(w, key, {"id": "evt-1", "credits": 1})
    answer = await post(w, key, {"id": "evt-1", "credits": 1, "meter": "m"})
    code, _ = error_of(answer, 409)
    assert code == "conflict"
    assert answer.headers["x-should-retry"] == "false"


@in_world
async def test_another_teamspace_is_other_content(w: World) -> None:
    acme = await w.organization(allowance=10)
    teamspace = CreateTeamspace(
        organization_id=acme.id,
        teamspace_id="ts_other",
        name="Other",
        access=Access.OPEN,
        cloud_provider=CloudProvider.GCP,
    )
    await w.service.ledger.submit(acme.id, teamspace)
    key = await w.key(acme, level="account")
    event = {"id": "evt-1", "credits": 1}
    assert (await post(w, key, event)).status_code == 201
    there = key | {"datagrid-teamspace": "ts_other"}
    assert (await post(w, there, event)).status_code == 409
    assert (await post(w, there, event | {"id": "evt-2"})).status_code == 201
    assert (await post(w, there, event | {"id": "evt-2"})).status_code == 200


@in_world
async def test_what_is_not_covered_is_refused_and_its_id_stays_free(w: World) -> None:
    acme = await w.organization(allowance=1)
    key = await w.key(acme)
    before = await sequence(w, key)
    answer = await post(w, key, {"id": "evt-1", "credits": 1.5})
    code, details = error_of(answer, 402)
    assert code == "credit_exceeded"
    assert answer.headers["x-should-retry"] == "false"
    assert details == {
        "reason": "1.5 credits are required, 1 available",
        "required": 1.5,
        "available": 1,
        "blocked_by": "organization",
        "resets_at": NEXT_PERIOD,
    }
    assert await sequence(w, key) == before
    await issue(w, acme, "1")
    assert (await post(w, key, {"id": "evt-1", "credits": 1.5})).status_code == 201


@in_world
async def test_a_refusal_says_what_the_overage_policy_leaves(w: World) -> None:
    overage = Overage(mode=OverageMode.LIMIT, limit=2_000_000)
    key = await w.key(await w.organization(plan=Plan(allowance=1_000_000, overage=overage)))
    within = await post(w, key, {"id": "evt-1", "credits": 2.5})
    assert within.json()["overage"] == 1.5
    _, details = error_of(await post(w, key, {"id": "evt-2", "credits": 1}), 402)
    assert details["reason"] == (
        "1 credits are required, 0 available, and 0.5 more may become overage"
    )


@in_world
async def test_work_that_is_done_is_booked_whatever_is_left(w: World) -> None:
    acme = await w.organization(allowance=1)
    await issue(w, acme, "2")
    key = await w.key(acme)
    answer = await post(w, key, {"id": "e", "credits": 5, "on_insufficient": "overdraw"})
    receipt = answer.json()
    assert answer.status_code == 201
    assert (receipt["credits"], receipt["overage"]) == (5, 2)
    assert [part["credits"] for part in receipt["drawn"]] == [1, 2]
    assert (receipt["remaining"], receipt["consumed"]) == (0, 5)


@pytest.mark.parametrize("status", [AccountStatus.SUSPENDED, AccountStatus.CLOSED])
@in_world
async def test_an_organization_that_may_not_spend_still_finds_its_receipts(
    w: World, status: AccountStatus
) -> None:
    acme = await w.organization(allowance=10)
    key = await w.key(acme)
    await post(w, key, {"id": "evt-1", "credits": 1})
    await set_status(w, acme, status)
    code, details = error_of(await post(w, key, {"id": "evt-2", "credits": 1}), 403)
    assert code == "permission_denied"
    assert status.value in details["reason"]
    assert (await post(w, key, {"id": "evt-1", "credits": 1})).status_code == 200


@in_world
async def test_usage_stays_within_what_can_be_counted_exactly(w: World) -> None:
    key = await w.key(await w.organization())
    events = [
        {"id": f"evt-{number}", "credits": 1_000_000_000, "on_insufficient": "overdraw"}
        for number in range(8)
    ]
    assert (await post(w, key, {"events": events, "atomic": True})).status_code == 200
    more = {"id": "more", "credits": 0.000001, "on_insufficient": "overdraw"}
    answer = await post(w, key, more)
    code, details = error_of(answer, 409)
    assert (code, details["room"]) == ("conflict", 0)
    assert answer.headers["x-should-retry"] == "false"
    assert await credits_now(w, key) == '{"remaining":0,"consumed":8000000000,"total":0}'


@in_world
async def test_booking_needs_its_scope(w: World) -> None:
    key = await w.key(await w.organization(allowance=1), scopes=["credits:read"])
    code, details = error_of(await post(w, key, {"not": "read"}), 403)
    assert (code, details["required_scope"]) == ("permission_denied", "usage:write")


@in_world
async def test_fifty_requests_with_one_id_book_once(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    event = {"id": "evt-1", "credits": 1}
    answers = await asyncio.gather(*(post(w, key, event) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["sequence"] for answer in answers}) == 1
    assert await credits_now(w, key) == '{"remaining":9,"consumed":1,"total":10}'


@in_world
async def test_a_race_for_the_last_credit_spends_exactly_what_is_there(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    answers = await asyncio.gather(
        *(post(w, key, {"id": f"evt-{number}", "credits": 1}) for number in range(64))
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [402] * 54
    assert await credits_now(w, key) == '{"remaining":0,"consumed":10,"total":10}'


# ── Batches ──

MIXED = [
    {"id": "a", "credits": 1},
    {"id": "b", "credits": 100},
    {"id": "a", "credits": 1},
    {"id": "a", "credits": 2},
    {"id": "c", "credits": 100, "on_insufficient": "overdraw"},
    {"id": "b", "credits": 0},
]


@in_world
async def test_a_batch_fares_as_if_its_events_were_sent_singly(w: World) -> None:
    singly = await w.key(await w.organization(allowance=10))
    together = await w.key(await w.organization(allowance=10))
    answers = [await post(w, singly, event) for event in MIXED]
    result = await post(w, together, {"events": MIXED})
    assert result.status_code == 200
    body = result.json()
    assert list(body) == ["object", "data", "booked", "duplicates", "rejected"]
    assert (body["object"], body["booked"], body["duplicates"], body["rejected"]) == (
        ("list", 3, 1, 2)
    )
    for event, answer, item in zip(MIXED, answers, body["data"], strict=True):
        assert _without_ids(item) == _without_ids(_as_item(event, answer))


def _as_item(event: dict[str, object], answer: httpx.Response) -> dict[str, Any]:
    """What a batch should say where a single event was answered so."""
    body: dict[str, Any] = answer.json()
    if answer.is_success:
        return body
    del body["request_id"]
    return {"id": event["id"], "status": "rejected", "error": body}


def _without_ids(item: dict[str, Any]) -> dict[str, Any]:
    """`item` without the ids of grants, which no two organizations share."""
    return item | {"drawn": [part["credits"] for part in item.get("drawn", [])]}


@in_world
async def test_a_malformed_event_anywhere_refuses_the_whole_batch(w: World) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    before = await sequence(w, key)
    events: list[dict[str, object]] = [{"id": f"e{n}", "credits": 1} for n in range(999)]
    for at in (0, 3, 998):
        wrong = [*events]
        wrong[at] = {"id": "wrong", "credits": -1}
        answer = await post(w, key, {"events": wrong})
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"/events/{at}/credits"]
    assert await sequence(w, key) == before


@in_world
async def test_a_batch_may_be_larger_than_a_transaction(w: World) -> None:
    key = await w.key(await w.organization(allowance=600))
    events = [{"id": f"e{number % 700}", "credits": 1} for number in range(1_000)]
    body = (await post(w, key, {"events": events})).json()
    assert (body["booked"], body["duplicates"], body["rejected"]) == (600, 300, 100)
    assert [item["status"] for item in body["data"]] == (
        ["booked"] * 600 + ["rejected"] * 100 + ["duplicate"] * 300
    )
    first = body["data"][0]["sequence"]
    assert [item["sequence"] for item in body["data"][:600]] == [*range(first, first + 600)]
    assert body["data"][700:] == [item | {"status": "duplicate"} for item in body["data"][:300]]


@in_world
async def test_an_atomic_batch_books_all(w: World) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    await post(w, key, {"id": "e7", "credits": 1})
    events = [{"id": f"e{number}", "credits": 1} for number in range(1_000)]
    body = (await post(w, key, {"events": events, "atomic": True})).json()
    assert (body["booked"], body["duplicates"], body["rejected"]) == (999, 1, 0)
    assert body["data"][7]["status"] == "duplicate"
    assert await credits_now(w, key) == '{"remaining":0,"consumed":1000,"total":1000}'


@in_world
async def test_an_atomic_batch_books_nothing_where_one_is_refused(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    before = await sequence(w, key)
    events = [{"id": "a", "credits": 6}, {"id": "b", "credits": 6}, {"id": "c", "credits": 60}]
    code, details = error_of(await post(w, key, {"events": events, "atomic": True}), 402)
    assert code == "credit_exceeded"
    assert (details["index"], details["id"]) == (1, "b")
    assert (details["required"], details["available"]) == (6, 4)
    assert await sequence(w, key) == before
    assert await credits_now(w, key) == '{"remaining":10,"consumed":0,"total":10}'
    assert (await post(w, key, {"id": "a", "credits": 1})).status_code == 201


@in_world
async def test_an_atomic_batch_that_contradicts_itself_is_a_conflict(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    events = [{"id": "a", "credits": 1}, {"id": "a", "credits": 1}, {"id": "a", "credits": 2}]
    answer = await post(w, key, {"events": events, "atomic": True})
    code, details = error_of(answer, 409)
    assert (code, details["index"], details["id"]) == ("conflict", 2, "a")
    assert answer.headers["x-should-retry"] == "false"
    assert await credits_now(w, key) == '{"remaining":10,"consumed":0,"total":10}'


# ── What the reference promises ──


@in_world
async def test_every_result_is_of_the_type_that_the_reference_shows(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    kinds = msgspec.json.Decoder(Receipt | UsageResults | UsageImport, strict=True)
    one = await post(w, key, {"id": "a", "credits": 1})
    several = await post(w, key, {"events": MIXED})
    lines = await w.client.post(
        PATH, headers=key | {"content-type": "application/x-ndjson"}, content=b"{}\nx"
    )
    found = [kinds.decode(answer.content) for answer in (one, several, lines)]
    assert list(map(type, found)) == [Receipt, UsageResults, UsageImport]
