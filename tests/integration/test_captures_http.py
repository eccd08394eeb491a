"""Captures over HTTP: usage that is booked out of a hold, once, and what ends with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.answers import assert_conflict, assert_invalid, assert_refused, body_of
from tests.harness import World, in_world
from tests.holding import HOLDS, capture, entries, extend, figures, look_at, place, release
from tests.moves import issue
from tests.spending import PATH as USAGE

DAY = 86_400


@in_world
async def test_a_capture_books_usage_out_of_the_hold(w: World) -> None:
    acme = await w.organization(allowance=100)
    key = await w.key(acme)
    hold = await place(w, key, 10, meter="agent.steps")
    answer = body_of(await capture(w, key, hold, id="step-1", credits=2.5))
    receipt = answer.pop("usage")
    assert answer == {**hold, "held": 7.5, "captured": 2.5}
    allowance = (await entries(w, key, kind="grant.issued"))[0]["grant_id"]
    assert receipt == {
        "object": "usage_event",
        "id": "step-1",
        "status": "booked",
        "credits": 2.5,
        "overage": 0,
        "drawn": [{"grant_id": allowance, "credits": 2.5}],
        "remaining": 97.5,
        "consumed": 2.5,
        "sequence": receipt["sequence"],
        "booked_at": w.clock.text(),
    }
    [entry] = await entries(w, key, event_id="step-1")
    assert (entry["kind"], entry["hold_id"]) == ("usage.booked", hold["id"])
    assert (entry["meter"], entry["held_after"]) == ("agent.steps", 7.5)


@in_world
async def test_a_capture_that_is_sent_again_gets_the_first_receipt(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    terms = {"id": "step-1", "credits": 2.5}
    first = body_of(await capture(w, key, hold, **terms))
    body_of(await capture(w, key, hold, id="step-2", credits=1))
    body_of(await release(w, key, hold))
    again = body_of(await capture(w, key, hold, **terms))
    assert again["usage"] == {**first["usage"], "status": "duplicate"}
    assert (again["status"], again["held"], again["captured"]) == ("released", 0, 3.5)
    assert (await figures(w, key))["consumed"] == 3.5


@pytest.mark.parametrize("other", [{"credits": 2}, {"final": True}, {"meter": "other"}])
@in_world
async def test_a_capture_with_the_same_id_and_other_content_is_a_conflict(
    w: World, other: dict[str, Any]
) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    terms = {"id": "step-1", "credits": 2.5}
    body_of(await capture(w, key, hold, **terms))
    assert_conflict(await capture(w, key, hold, **{**terms, **other}))
    assert (await figures(w, key))["consumed"] == 2.5


@in_world
async def test_the_last_capture_gives_the_rest_back_and_needs_no_id(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    answer = body_of(await capture(w, key, hold, credits=4, final=True))
    assert (answer["status"], answer["held"], answer["captured"]) == ("captured", 0, 4)
    assert answer["usage"]["id"] == hold["id"]
    again = body_of(await capture(w, key, hold, credits=4, final=True))
    assert again["usage"]["status"] == "duplicate"
    expected = {"remaining": 96, "consumed": 4, "held": 0, "available": 96, "overage": 0}
    assert await figures(w, key) == expected
    kinds = [entry["kind"] for entry in await entries(w, key)][-3:]
    assert kinds == ["hold.placed", "usage.booked", "hold.released"]


@in_world
async def test_to_capture_all_of_it_ends_a_hold(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    answer = body_of(await capture(w, key, hold, id="all", credits=10))
    assert answer["status"] == "captured"


@in_world
async def test_nothing_may_be_captured_too(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    answer = body_of(await capture(w, key, hold, id="nothing", credits=0))
    assert (answer["status"], answer["usage"]["credits"]) == ("open", 0)
    answer = body_of(await capture(w, key, hold, credits=0, final=True))
    assert (answer["status"], answer["captured"]) == ("captured", 0)


@in_world
async def test_more_than_is_held_is_a_conflict_that_changes_nothing(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    details = assert_conflict(await capture(w, key, hold, id="e", credits=10.5))
    assert (details["required"], details["held"]) == (10.5, 10)
    assert await look_at(w, key, hold) == hold


@in_world
async def test_excess_is_decided_as_usage(w: World) -> None:
    key = await w.key(await w.organization(allowance=12))
    hold = await place(w, key)
    terms = {"id": "e", "credits": 13, "allow_excess": True}
    answer = await capture(w, key, hold, **terms)
    details = assert_refused(answer, 402, "credit_exceeded")
    assert (details["required"], details["available"]) == (3, 2)
    assert (await look_at(w, key, hold))["status"] == "open"
    done = body_of(await capture(w, key, hold, **terms, on_insufficient="overdraw"))
    assert (done["status"], done["captured"], done["usage"]["overage"]) == ("captured", 13, 1)


@pytest.mark.parametrize("end", ["release", "expiry", "capture"])
@in_world
async def test_a_hold_ends_once(w: World, end: str) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key, expires_in=60)
    if end == "release":
        body_of(await release(w, key, hold))
    elif end == "capture":
        body_of(await capture(w, key, hold, credits=1, final=True))
    else:
        w.clock.advance(seconds=60)
    status = {"release": "released", "expiry": "expired", "capture": "captured"}[end]
    before = await figures(w, key)
    for answer in (
        await capture(w, key, hold, id="late", credits=1),
        await release(w, key, hold),
        await extend(w, key, hold, 60),
    ):
        details = assert_conflict(answer)
        assert details["status"] == status
    assert await figures(w, key) == before
    assert (await look_at(w, key, hold))["status"] == status


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({}, "/credits"),
        ({"credits": 1}, "/id"),
        ({"credits": 1, "id": None}, "/id"),
        ({"credits": 1, "final": False}, "/id"),
        ({"credits": 1, "id": ""}, "/id"),
        ({"credits": 1, "id": "é"}, "/id"),
        ({"credits": 1, "id": "x" * 256}, "/id"),
        ({"credits": 1, "id": 7}, "/id"),
        ({"credits": -1, "id": "e"}, "/credits"),
        ({"credits": "1", "id": "e"}, "/credits"),
        ({"credits": 1, "id": "e", "final": "yes"}, "/final"),
        ({"credits": 1, "id": "e", "allow_excess": 1}, "/allow_excess"),
        ({"credits": 1, "id": "e", "on_insufficient": "ignore"}, "/on_insufficient"),
        ({"credits": 1, "id": "e", "timestamp": "1999-12-31T23:59:59Z"}, "/timestamp"),
        ({"credits": 1, "id": "e", "timestamp": "2026-03-11T12:00:01Z"}, "/timestamp"),
        ({"credits": 1, "id": "e", "dimensions": {"a": None}}, "/dimensions/a"),
        ({"credits": 1, "id": "e", "quantity": 5}, "/quantity"),
    ],
)
@in_world
async def test_a_capture_that_is_not_one_is_refused(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    assert_invalid(await capture(w, key, hold, **terms), pointer)
    assert await look_at(w, key, hold) == hold


@in_world
async def test_a_capture_outlives_the_grant(w: World) -> None:
    """What is held of an expired grant is unspent until it is captured or given back."""
    acme = await w.organization()
    key = await w.key(acme)
    grant = await issue(w, acme, "10", expires_at="2026-03-10T13:00:00Z")
    hold = await place(w, key, 6, expires_in=DAY)
    w.clock.set("2026-03-10T13:00:00Z")
    balance = body_of(await w.send("GET", "/v1/organization/credits/balance", key))
    [shown] = balance["grants"]
    assert (shown["id"], shown["status"]) == (grant.id, "expired")
    assert (shown["remaining"], shown["held"], balance["remaining"]) == (6, 6, 6)
    answer = body_of(await capture(w, key, hold, id="e", credits=2))
    assert answer["usage"]["drawn"] == [{"grant_id": grant.id, "credits": 2}]
    body_of(await release(w, key, hold))
    balance = body_of(await w.send("GET", "/v1/organization/credits/balance", key))
    assert (balance["grants"], balance["remaining"]) == ([], 0)


@pytest.mark.parametrize("is_open", [True, False])
@in_world
async def test_what_a_captured_event_says_of_persons_is_erased_with_what_its_hold_says(
    w: World, is_open: bool
) -> None:
    key = await w.key(await w.organization(allowance=100))
    person = {"user": "ann"}
    terms: dict[str, Any] = {"reference": "job-1", "dimensions": person}
    hold = await place(w, key, **terms)
    step = {"id": "step-1", "credits": 2.5, "final": not is_open}
    first = body_of(await capture(w, key, hold, **step))["usage"]
    assert first["status"] == "booked"
    assert body_of(await capture(w, key, hold, **step))["usage"]["status"] == "duplicate"
    other = {**step, "dimensions": {"user": "bob"}}
    assert_conflict(await capture(w, key, hold, **other))

    erased = body_of(await w.send("DELETE", f"{USAGE}/step-1/dimensions", key))
    assert (erased["dimensions"], (await look_at(w, key, hold))["dimensions"]) == (None, None)
    # Nobody can tell any more who was meant, so all else decides whether it is the same.
    again = body_of(await capture(w, key, hold, **step))["usage"]
    assert again == {**first, "status": "duplicate"}
    assert body_of(await w.send("POST", HOLDS, key, {"credits": 10, **terms}))["id"] == hold["id"]
    assert_conflict(await w.send("POST", HOLDS, key, {"credits": 11, **terms}))
