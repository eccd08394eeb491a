"""`GET /v1/organization/credits/periods`: past, present and to come."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Headers, World, in_world

PATH = "/v1/organization/credits/periods"
IN_MAY = "2026-05-10T12:00:00Z"


async def listed(w: World, headers: Headers, **query: str) -> list[dict[str, Any]]:
    answer = await w.client.get(PATH, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def indexes(w: World, headers: Headers, **query: str) -> list[int]:
    return [period["index"] for period in await listed(w, headers, **query)]


@in_world
async def test_a_period_to_the_field(w: World) -> None:
    reader = await w.key(await w.organization(allowance="12.5"))
    assert await listed(w, reader) == [
        {
            "object": "credits.period",
            "index": 0,
            "start": "2026-03-01T00:00:00.000000Z",
            "end": "2026-04-01T00:00:00.000000Z",
            "status": "current",
            "allowance": 12.5,
        }
    ]


@in_world
async def test_periods_to_come_stand_first_where_they_are_asked_for(w: World) -> None:
    reader = await w.key(await w.organization(allowance=5))
    w.clock.set(IN_MAY)
    found = await listed(w, reader, preview="2")
    assert [(period["index"], period["status"]) for period in found] == [
        (4, "future"),
        (3, "future"),
        (2, "current"),
        (1, "past"),
        (0, "past"),
    ]
    assert found[0]["end"] == "2026-08-01T00:00:00.000000Z"
    assert {period["allowance"] for period in found} == {5}


@in_world
async def test_each_period_starts_where_the_one_before_ends(w: World) -> None:
    reader = await w.key(await w.organization())
    w.clock.set(IN_MAY)
    found = await listed(w, reader, preview="100", limit="100", order="asc")
    assert [one["end"] for one in found[:-1]] == [one["start"] for one in found[1:]]
    assert len(found) == 100


@in_world
async def test_the_index_is_the_cursor(w: World) -> None:
    reader = await w.key(await w.organization())
    w.clock.set(IN_MAY)
    assert await indexes(w, reader, after="2") == [1, 0]
    assert await indexes(w, reader, after="2", preview="3", limit="1") == [1]
    assert await indexes(w, reader, before="1", preview="1") == [3, 2]
    assert await indexes(w, reader, after="1", order="asc") == [2]
    answer = await w.client.get(PATH, params={"limit": "2"}, headers=reader)
    assert answer.json()["has_more"] is True


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("preview=101", "preview"),
        ("preview=-1", "preview"),
        ("preview=", "preview"),
        ("preview=1.5", "preview"),
        ("after=3&preview=2", "after"),
        ("after=01", "after"),
        ("before=x", "before"),
        ("limit=101", "limit"),
    ],
)
@in_world
async def test_what_cannot_be_asked_is_named(w: World, query: str, parameter: str) -> None:
    reader = await w.key(await w.organization())
    answer = await w.client.get(f"{PATH}?{query}", headers=reader)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{parameter}"]


@in_world
async def test_reading_needs_its_scope(w: World) -> None:
    writer = await w.key(await w.organization(), scopes=["usage:write"])
    assert (await w.client.get(PATH, headers=writer)).status_code == 403
