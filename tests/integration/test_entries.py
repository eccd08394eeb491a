"""`GET /v1/organization/credits/entries`: the ledger, to the field."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.domain.entries import GENESIS
from tallystick.domain.ids import entry_id
from tests.harness import START, Headers, World, in_world
from tests.moves import book, issue

PATH = "/v1/organization/credits/entries"
SOON = "2026-03-10T13:00:00Z"
NEXT_MONTH = "2026-04-01T00:00:00Z"


async def listed(w: World, headers: Headers, **query: str) -> list[dict[str, Any]]:
    answer = await w.client.get(PATH, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def sequences(w: World, headers: Headers, **query: str) -> list[int]:
    return [entry["sequence"] for entry in await listed(w, headers, **query)]


@in_world
async def test_an_entry_says_everything_to_the_field(w: World) -> None:
    acme = await w.organization(allowance="10.5")
    entry = await book(w, acme, "evt-1", "0.3", meter="llm.tokens")
    [shown, before, *_] = await listed(w, await w.key(acme))
    assert shown == {
        "object": "credits.entry",
        "id": entry_id(acme.id, entry.sequence),
        "sequence": entry.sequence,
        "kind": "usage.booked",
        "credits": 0.3,
        "drawn": [{"grant_id": before["grant_id"], "credits": 0.3}],
        "grant_id": None,
        "event_id": "evt-1",
        "hold_id": None,
        "teamspace_id": acme.default_teamspace_id,
        "api_key_id": "key_of_tests",
        "meter": "llm.tokens",
        "occurred_at": "2026-03-10T12:00:00.000000Z",
        "booked_at": "2026-03-10T12:00:00.000000Z",
        "remaining_after": 10.2,
        "consumed_after": 0.3,
        "overage_after": 0,
        "held_after": 0,
        "previous_hash": before["hash"],
        "hash": shown["hash"],
    }


@in_world
async def test_the_chain_can_be_followed_back_to_its_beginning(w: World) -> None:
    acme = await w.organization(allowance=1)
    await book(w, acme, "evt-1", "1")
    entries = await listed(w, await w.key(acme), order="asc")
    assert entries[0]["previous_hash"] == GENESIS.hex()
    assert [entry["previous_hash"] for entry in entries[1:]] == [
        entry["hash"] for entry in entries[:-1]
    ]
    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4]


@in_world
async def test_conditions_are_combined(w: World) -> None:
    acme = await w.organization(allowance=5)
    reader = await w.key(acme)
    first = await book(w, acme, "evt-1", "1")
    w.clock.set(SOON)
    second = await book(w, acme, "evt-2", "1")
    assert await sequences(w, reader, kind="usage.booked") == [second.sequence, first.sequence]
    assert await sequences(w, reader, event_id="evt-1") == [first.sequence]
    assert await sequences(w, reader, event_id="evt-1", kind="grant.issued") == []
    assert await sequences(w, reader, event_id="evt-3") == []


@in_world
async def test_times_are_half_open_on_the_time_of_booking(w: World) -> None:
    acme = await w.organization(allowance=5)
    reader = await w.key(acme)
    w.clock.set(SOON)
    entry = await book(w, acme, "evt-1", "1")
    assert await sequences(w, reader, **{"from": SOON}) == [entry.sequence]
    assert await sequences(w, reader, to=SOON, limit="1") == [entry.sequence - 1]
    assert await sequences(w, reader, **{"from": SOON, "to": SOON}) == []
    assert await sequences(w, reader, **{"from": START, "to": SOON, "kind": "usage.booked"}) == []


@in_world
async def test_a_plus_that_was_not_encoded_is_read_as_one(w: World) -> None:
    acme = await w.organization()
    reader = await w.key(acme)
    answer = await w.client.get(f"{PATH}?from=2026-03-10T13:00:00+01:00", headers=reader)
    assert [entry["sequence"] for entry in answer.json()["data"]] == [2, 1]


@in_world
async def test_a_grant_finds_what_is_about_it_and_what_drew_from_it(w: World) -> None:
    acme = await w.organization(allowance=2)
    reader = await w.key(acme)
    top_up = await issue(w, acme, "5", priority=60)
    first = await book(w, acme, "evt-1", "1")
    second = await book(w, acme, "evt-2", "2")
    third = await book(w, acme, "evt-3", "1")
    assert await sequences(w, reader, grant_id=top_up.id) == [
        third.sequence,
        second.sequence,
        top_up.issued,
    ]
    [allowance] = {grant_id for grant_id, _ in first.drawn}
    assert await sequences(w, reader, grant_id=allowance, order="asc") == [
        3,
        first.sequence,
        second.sequence,
    ]
    assert await sequences(w, reader, grant_id=top_up.id, kind="usage.booked", limit="1") == [
        third.sequence
    ]
    assert await sequences(w, reader, grant_id=top_up.id, kind="grant.issued") == [top_up.issued]


@in_world
async def test_a_grant_that_fell_due_finds_what_is_not_written_yet(w: World) -> None:
    acme = await w.organization()
    top_up = await issue(w, acme, "5", expires_at=SOON)
    w.clock.set(SOON)
    [expired, issued] = await listed(w, await w.key(acme), grant_id=top_up.id)
    assert (expired["kind"], expired["credits"]) == ("grant.expired", 5)
    assert issued["sequence"] == top_up.issued


@in_world
async def test_another_organizations_grant_and_event_find_nothing(w: World) -> None:
    acme, other = await w.organization(allowance=1), await w.organization("Other", allowance=1)
    entry = await book(w, other, "evt-1", "1")
    reader = await w.key(acme)
    assert await sequences(w, reader, event_id="evt-1") == []
    assert await sequences(w, reader, grant_id=entry.drawn[0][0]) == []


@in_world
async def test_pages_follow_each_other_in_both_orders(w: World) -> None:
    acme = await w.organization(allowance=5)
    reader = await w.key(acme)
    for number in range(4):
        await book(w, acme, f"evt-{number}", "1")
    w.clock.set(NEXT_MONTH)  # expired allowance, new period and its allowance: due, not written
    everything = list(range(10, 0, -1))
    for order, expected in (("desc", everything), ("asc", everything[::-1])):
        page = await listed(w, reader, order=order, limit="3")
        found = list(page)
        while page:
            page = await listed(w, reader, order=order, limit="3", after=page[-1]["id"])
            found += page
        assert [entry["sequence"] for entry in found] == expected


@in_world
async def test_before_turns_back_and_has_more_looks_that_way(w: World) -> None:
    acme = await w.organization(allowance=5)
    reader = await w.key(acme)
    await book(w, acme, "evt-1", "1")
    query = {"before": entry_id(acme.id, 1), "limit": "2"}
    answer = (await w.client.get(PATH, params=query, headers=reader)).json()
    assert [entry["sequence"] for entry in answer["data"]] == [3, 2]
    assert answer["has_more"] is True
    query = {"before": entry_id(acme.id, 2), "limit": "2"}
    answer = (await w.client.get(PATH, params=query, headers=reader)).json()
    assert [entry["sequence"] for entry in answer["data"]] == [4, 3]
    assert answer["has_more"] is False


@in_world
async def test_a_cursor_may_name_an_entry_that_the_conditions_leave_out(w: World) -> None:
    """Also one that is not written yet: whoever reads with two filters uses one set of cursors."""
    acme = await w.organization(allowance=5)
    reader = await w.key(acme)
    w.clock.set(NEXT_MONTH)
    newest = (await listed(w, reader))[0]
    assert newest["kind"] == "grant.issued"
    found = await listed(w, reader, after=newest["id"], kind="period.started")
    assert [entry["sequence"] for entry in found] == [newest["sequence"] - 1, 2]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("kind=usage", "kind"),
        ("kind=", "kind"),
        ("from=yesterday", "from"),
        ("to=2026-03-10T12:00:00", "to"),
        ("from=2026-03-11T00:00:00Z&to=2026-03-10T00:00:00Z", "to"),
        ("after=entry_x_000000000001", "after"),
        ("before=1", "before"),
        ("after=a&before=b", "before"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("order=newest", "order"),
        ("meter=x", "meter"),
    ],
)
@in_world
async def test_what_cannot_be_asked_is_named(w: World, query: str, parameter: str) -> None:
    reader = await w.key(await w.organization())
    answer = await w.client.get(f"{PATH}?{query}", headers=reader)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{parameter}"]


@in_world
async def test_another_organizations_entry_is_no_cursor(w: World) -> None:
    acme, other = await w.organization(), await w.organization("Other")
    reader = await w.key(acme)
    answer = await w.client.get(f"{PATH}?after={entry_id(other.id, 1)}", headers=reader)
    assert answer.status_code == 422


@in_world
async def test_reading_needs_its_scope(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["usage:write"])
    assert (await w.client.get(PATH, headers=writer)).status_code == 403
