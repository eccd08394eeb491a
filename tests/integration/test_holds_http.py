"""Holds over HTTP: placed, extended, released, listed, and by whom."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.answers import (
    assert_conflict,
    assert_invalid,
    assert_not_found,
    assert_refused,
    body_of,
)
from tests.harness import World, in_world
from tests.holding import (
    HOLDS,
    capture,
    entries,
    extend,
    figures,
    look_at,
    place,
    release,
    use,
)
from tests.tenants import command, tenant

DAY = 86_400


# ── placing ──


@in_world
async def test_a_hold_sets_credits_aside_that_stay_unspent(w: World) -> None:
    acme = await w.organization(allowance=100)
    key = await w.key(acme)
    terms = {"reference": "job/7", "meter": "agent.steps", "dimensions": {"agent": "triage"}}
    hold = await place(w, key, 30.25, expires_in=60, **terms)
    assert hold["id"].startswith("hold_")
    assert hold == {
        "object": "hold",
        "id": hold["id"],
        "status": "open",
        "credits": 30.25,
        "held": 30.25,
        "captured": 0,
        "expires_at": w.clock.text(seconds=60),
        **terms,
        "teamspace_id": acme.default_teamspace_id,
        "api_key_id": hold["api_key_id"],
        "created_at": w.clock.text(),
    }
    assert await look_at(w, key, hold) == hold
    expected = {"remaining": 100, "consumed": 0, "held": 30.25, "available": 69.75, "overage": 0}
    assert await figures(w, key) == expected
    report = body_of(await w.send("GET", "/v1/organization/credits", key))
    assert report == {"remaining": 100, "consumed": 0, "total": 100}


@in_world
async def test_a_hold_that_says_little_lives_for_a_quarter_of_an_hour(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key, 1)
    assert hold["expires_at"] == w.clock.text(seconds=900)
    assert (hold["reference"], hold["meter"], hold["dimensions"]) == (None, None, None)


@in_world
async def test_what_is_held_is_nobody_elses_to_spend(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    await place(w, key, 95)
    answer = await w.send("POST", "/v1/organization/credits/usage", key, {"id": "e", "credits": 6})
    details = assert_refused(answer, 402, "credit_exceeded")
    assert (details["required"], details["available"]) == (6, 5)
    await use(w, key, "e", 5)


@in_world
async def test_a_hold_needs_credits_that_are_available(w: World) -> None:
    acme = await tenant(w, "Acme", allowance=10, overage={"mode": "allow"})
    key = await w.key(acme["id"])
    before = await figures(w, key)
    answer = await w.send("POST", HOLDS, key, {"credits": 10.5})
    details = assert_refused(answer, 402, "credit_exceeded")
    assert details == {
        "reason": "10.5 credits are required, 10 available",
        "required": 10.5,
        "available": 10,
        "blocked_by": "organization",
        "resets_at": "2026-04-01T00:00:00.000000Z",
    }
    assert answer.headers["x-should-retry"] == "false"
    assert "overdraw" not in answer.json()["mitigation"]
    assert await figures(w, key) == before


@in_world
async def test_the_same_reference_and_content_give_the_first_hold_as_it_is_now(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    first = await place(w, key, 10, reference="job-7")
    body_of(await capture(w, key, first, id="step-1", credits=4))
    again = body_of(await w.send("POST", HOLDS, key, {"credits": 10.0, "reference": "job-7"}))
    assert again == {**first, "held": 6, "captured": 4}
    body_of(await release(w, key, first))
    again = body_of(await w.send("POST", HOLDS, key, {"credits": 10, "reference": "job-7"}))
    assert again["status"] == "released"
    assert (await figures(w, key))["held"] == 0


@pytest.mark.parametrize(
    "other",
    [{"credits": 11}, {"expires_in": 901}, {"meter": "m"}, {"dimensions": {"a": "b"}}],
)
@in_world
async def test_the_same_reference_with_other_content_is_a_conflict(
    w: World, other: dict[str, Any]
) -> None:
    key = await w.key(await w.organization(allowance=100))
    await place(w, key, 10, reference="job-7")
    body = {"credits": 10, "reference": "job-7", **other}
    assert_conflict(await w.send("POST", HOLDS, key, body))
    assert (await figures(w, key))["held"] == 10


@in_world
async def test_a_hold_without_reference_may_have_an_idempotency_key(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    headers = {**key, "idempotency-key": "once"}
    first = await w.send("POST", HOLDS, headers, {"credits": 10})
    again = await w.send("POST", HOLDS, headers, {"credits": 10})
    assert body_of(again, 201) == body_of(first, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert_conflict(await w.send("POST", HOLDS, headers, {"credits": 11}))
    assert (await figures(w, key))["held"] == 10


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"credits": 0}, "/credits"),
        ({"credits": -1}, "/credits"),
        ({"credits": "1"}, "/credits"),
        ({"credits": None}, "/credits"),
        ({"credits": 0.0000001}, "/credits"),
        ({"credits": 1_000_000_001}, "/credits"),
        ({"expires_in": 0}, "/expires_in"),
        ({"expires_in": DAY + 1}, "/expires_in"),
        ({"expires_in": 1.5}, "/expires_in"),
        ({"expires_in": "60"}, "/expires_in"),
        ({"expires_in": None}, "/expires_in"),
        ({"reference": ""}, "/reference"),
        ({"reference": "with space"}, "/reference"),
        ({"reference": "x" * 256}, "/reference"),
        ({"meter": ""}, "/meter"),
        ({"meter": "nul\0"}, "/meter"),
        ({"dimensions": {"a": 1}}, "/dimensions/a"),
        ({"dimensions": {"a": "\0"}}, "/dimensions/a"),
        ({"dimensions": {str(n): "" for n in range(17)}}, "/dimensions"),
        ({"timestamp": "2026-03-10T12:00:00Z"}, "/timestamp"),
    ],
)
@in_world
async def test_a_hold_that_is_not_one_is_refused(
    w: World, terms: dict[str, Any], pointer: str
) -> None:
    key = await w.key(await w.organization(allowance=100))
    assert_invalid(await w.send("POST", HOLDS, key, {"credits": 10, **terms}), pointer)
    assert (await figures(w, key))["held"] == 0


@in_world
async def test_a_key_that_occurs_twice_is_refused(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    for path in (HOLDS, f"{HOLDS}/{hold['id']}/capture"):
        content = b'{"credits": 1, "credits": 2, "id": "e"}'
        if path == HOLDS:
            content = b'{"credits": 1, "credits": 2}'
        headers = {**key, "content-type": "application/json"}
        answer = await w.client.post(path, headers=headers, content=content)
        assert_invalid(answer, "")
    assert (await figures(w, key))["held"] == 10


# ── extending ──


@in_world
async def test_an_extension_counts_from_now_and_never_shortens(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key, expires_in=600)
    w.clock.advance(seconds=300)
    assert body_of(await extend(w, key, hold, 60)) == hold
    longer = body_of(await extend(w, key, hold, 900))
    assert longer == {**hold, "expires_at": w.clock.text(seconds=900)}
    w.clock.advance(seconds=899)
    assert (await look_at(w, key, hold))["status"] == "open"
    w.clock.advance(seconds=1)
    assert (await look_at(w, key, hold))["status"] == "expired"


@in_world
async def test_a_hold_lives_for_seven_days_at_most(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key, expires_in=DAY)
    for _ in range(6):
        w.clock.advance(seconds=DAY - 1)
        body_of(await extend(w, key, hold, DAY))
    w.clock.advance(seconds=DAY - 1)
    answer = await extend(w, key, hold, 8)
    details = assert_conflict(answer)
    assert details["latest_expiry"] == w.clock.text(seconds=7)
    assert "at most 7 seconds" in answer.json()["mitigation"]
    body_of(await extend(w, key, hold, 7))


@pytest.mark.parametrize("seconds", [0, -1, DAY + 1, 1.5, "60", None])
@in_world
async def test_an_extension_that_is_not_one_is_refused(w: World, seconds: object) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    assert_invalid(await extend(w, key, hold, seconds), "/expires_in")


@pytest.mark.parametrize("verb", ["release", "extend"])
@in_world
async def test_release_and_extension_may_have_an_idempotency_key(w: World, verb: str) -> None:
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    headers = {**key, "idempotency-key": "once"}

    async def ask() -> httpx.Response:
        body = {"expires_in": DAY} if verb == "extend" else None
        return await w.send("POST", f"{HOLDS}/{hold['id']}/{verb}", headers, body)

    first = body_of(await ask())
    w.clock.advance(seconds=10)
    again = await ask()
    assert body_of(again) == first
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("ask", ["place", "extend", "release"])
@in_world
async def test_a_repetition_says_no_dimensions_for_they_may_have_been_erased(
    w: World, ask: str
) -> None:
    """What is kept for repetitions is out of the reach of erasing."""
    key = await w.key(await w.organization(allowance=100))
    headers = {**key, "idempotency-key": "once"}
    terms = {"credits": 10, "dimensions": {"user": "ann@example.org"}}
    path, body, status = HOLDS, terms, 201
    if ask != "place":
        hold = body_of(await w.send("POST", HOLDS, key, terms), 201)
        body = {"expires_in": 1800} if ask == "extend" else {}
        path, status = f"{HOLDS}/{hold['id']}/{ask}", 200
    first = body_of(await w.send("POST", path, headers, body), status)
    assert first["dimensions"] == terms["dimensions"]
    again = body_of(await w.send("POST", path, headers, body), status)
    assert again == {**first, "dimensions": None}


@pytest.mark.parametrize("body", ['{"credits": 5}', "[]", '{"final": true}', "all of it"])
@in_world
async def test_a_part_of_a_hold_cannot_be_released(w: World, body: str) -> None:
    """Who asks for it is told so, and does not lose the rest of the hold."""
    key = await w.key(await w.organization(allowance=100))
    hold = await place(w, key)
    path = f"{HOLDS}/{hold['id']}/release"
    headers = {**key, "content-type": "application/json"}
    answer = await w.client.post(path, headers=headers, content=body)
    assert answer.status_code == 422
    assert await look_at(w, key, hold) == hold


# ── lists ──


@in_world
async def test_holds_are_listed_by_status_as_they_are_now(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    soon = await place(w, key, 1, expires_in=60)
    done, left, still = [await place(w, key, 1, expires_in=600) for _ in range(3)]
    body_of(await capture(w, key, done, id="e", credits=1))
    body_of(await release(w, key, left))
    w.clock.advance(seconds=60)
    for status, hold in (
        ("open", still),
        ("captured", done),
        ("released", left),
        ("expired", soon),
    ):
        listed = body_of(await w.send("GET", f"{HOLDS}?status={status}", key))
        assert [one["id"] for one in listed["data"]] == [hold["id"]], status
        assert listed["data"][0]["status"] == status
    everything = body_of(await w.send("GET", HOLDS, key))["data"]
    assert [one["id"] for one in everything] == [one["id"] for one in (still, left, done, soon)]


@in_world
async def test_pages_of_holds_tile_the_list(w: World) -> None:
    key = await w.key(await w.organization(allowance=100))
    ids = [(await place(w, key, 1))["id"] for _ in range(5)]
    for query in ("", "&status=open"):
        found: list[str] = []
        path = f"{HOLDS}?limit=2&order=asc{query}"
        page = body_of(await w.send("GET", path, key))
        while True:
            found += [one["id"] for one in page["data"]]
            if not page["has_more"]:
                break
            page = body_of(await w.send("GET", f"{path}&after={found[-1]}", key))
        assert found == ids


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=ended", "?status"),
        ("status=", "?status"),
        ("status=open&after=hold_x", "?after"),
        ("status=released&before=hold_x", "?before"),
        ("after=hold_x", "?after"),
        ("limit=0", "?limit"),
        ("colour=red", "?colour"),
    ],
)
@in_world
async def test_a_list_that_there_is_not_is_refused(w: World, query: str, pointer: str) -> None:
    key = await w.key(await w.organization(allowance=100))
    await place(w, key)
    assert_invalid(await w.send("GET", f"{HOLDS}?{query}", key), pointer)


# ── who may ──


@in_world
async def test_another_organizations_hold_is_as_good_as_none(w: World) -> None:
    mine, theirs = [await w.key(await w.organization(allowance=100)) for _ in range(2)]
    foreign = await place(w, theirs)
    for hold in (foreign, {"id": "hold_nowhere"}, {"id": "%00"}, {"id": "%2F"}):
        assert_not_found(await w.send("GET", f"{HOLDS}/{hold['id']}", mine))
        assert_not_found(await capture(w, mine, hold, id="e", credits=1))
        assert_not_found(await release(w, mine, hold))
        assert_not_found(await extend(w, mine, hold, 60))
    assert_invalid(await w.send("GET", f"{HOLDS}?after={foreign['id']}", mine), "?after")
    assert await look_at(w, theirs, foreign) == foreign


@in_world
async def test_a_hold_is_changed_by_keys_of_its_teamspace_or_of_the_account(w: World) -> None:
    acme = await w.organization(allowance=100)
    elsewhere = body_of(
        await w.send(
            "POST",
            "/v1/organization/teamspaces",
            await w.key(acme, scopes=["teamspaces:write"]),
            {"name": "Elsewhere"},
        ),
        201,
    )["id"]
    hold = await place(w, await w.key(acme))
    foreign = await w.key(acme, teamspace_id=elsewhere)
    for answer in (
        await capture(w, foreign, hold, id="e", credits=1),
        await release(w, foreign, hold),
        await extend(w, foreign, hold, DAY),
    ):
        details = assert_refused(answer, 403, "permission_denied")
        assert details["teamspace_id"] == elsewhere
        assert elsewhere in details["reason"]
    assert await look_at(w, foreign, hold) == hold, "reading is for the whole organization"
    account = await w.key(acme, teamspace_id=elsewhere, level="account")
    done = body_of(await capture(w, account, hold, id="e", credits=1))
    assert done["captured"] == 1
    [entry] = await entries(w, account, event_id="e")
    assert entry["teamspace_id"] == acme.default_teamspace_id, "it is booked for who placed it"


@in_world
async def test_scopes_keep_readers_from_holding(w: World) -> None:
    acme = await w.organization(allowance=100)
    holder, reader = (
        await w.key(acme, scopes=["holds:write"]),
        await w.key(acme, scopes=["credits:read", "usage:write"]),
    )
    hold = await place(w, holder)
    for answer in (
        await w.send("POST", HOLDS, reader, {"credits": 1}),
        await capture(w, reader, hold, id="e", credits=1),
        await release(w, reader, hold),
        await extend(w, reader, hold, 60),
    ):
        assert assert_refused(answer, 403, "permission_denied")["required_scope"] == "holds:write"
    answer = await w.send("GET", HOLDS, holder)
    assert assert_refused(answer, 403, "permission_denied")["required_scope"] == "credits:read"


@in_world
async def test_who_is_suspended_may_release_and_nothing_else(w: World) -> None:
    acme = await tenant(w, "Acme")
    key = await w.key(acme["id"])
    hold = await place(w, key)
    await command(w, "POST", acme, "/suspend")
    for answer in (
        await w.send("POST", HOLDS, key, {"credits": 1}),
        await capture(w, key, hold, id="e", credits=1),
        await extend(w, key, hold, DAY),
    ):
        assert_refused(answer, 403, "permission_denied")
    assert body_of(await release(w, key, hold))["status"] == "released"
