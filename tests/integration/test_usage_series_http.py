"""`GET /v1/organization/credits/usage`: what was used when, and by whom."""

from __future__ import annotations

import csv
import io

import pytest

from tallystick.domain.directory import Organization
from tests.counted import DAY, series, spender, told, use
from tests.harness import World, in_world
from tests.spending import PATH, error_of, post
from tests.tenants import key_of, teamspace


@in_world
async def test_by_default_it_is_the_present_billing_period_by_days_of_utc(w: World) -> None:
    _, key = await spender(w)
    await use(w, key, "a", 0.1)
    await use(w, key, "b", 0.2)
    points = await series(w, key)
    assert len(points) == 31
    assert points[0]["start"] == "2026-03-01T00:00:00.000000Z"
    assert points[-1]["end"] == "2026-04-01T00:00:00.000000Z"
    assert points[9] == {
        "start": "2026-03-10T00:00:00.000000Z",
        "end": "2026-03-11T00:00:00.000000Z",
        "group": {},
        "credits": 0.3,
        "events": 2,
    }
    assert sum(point["events"] for point in points) == 2


@in_world
async def test_a_period_that_begins_between_quarters_is_shown_from_the_quarter(w: World) -> None:
    period = {"interval": "day", "anchor": "2026-01-01T06:37:11", "timezone": "UTC"}
    _, key = await spender(w, billing_period=period)
    points = await series(w, key, bucket="hour")
    assert points[0]["start"] == "2026-03-10T06:30:00.000000Z"
    assert points[-1]["end"] == "2026-03-11T06:45:00.000000Z"


@in_world
async def test_usage_counts_when_it_happened(w: World) -> None:
    _, key = await spender(w)
    await use(w, key, "a", 1, timestamp="2026-03-09T23:59:59.999999Z")
    await use(w, key, "b", 2, timestamp="2026-03-10T00:00:00Z")
    assert [point["credits"] for point in await series(w, key, **DAY)] == [2]
    paris = await series(w, key, **DAY, timezone="Europe/Paris")
    assert [(p["start"][8:13], p["credits"]) for p in paris] == [("10T00", 2), ("10T23", 0)]


@in_world
async def test_days_weeks_and_months_begin_where_the_zone_says(w: World) -> None:
    _, key = await spender(w)
    span = {"from": "2026-03-27T23:00:00Z", "to": "2026-03-30T22:00:00Z"}
    days = await series(w, key, bucket="day", timezone="Europe/Paris", **span)
    assert [p["start"][5:16] for p in days] == ["03-27T23:00", "03-28T23:00", "03-29T22:00"]
    hours = await series(w, key, bucket="hour", timezone="Europe/Paris", **span)
    assert len(hours) == 24 + 23 + 24
    weeks = await series(w, key, bucket="week", timezone="Europe/Paris", **span)
    assert [p["start"][5:16] for p in weeks] == ["03-27T23:00", "03-29T22:00"]
    months = await series(w, key, bucket="month", timezone="Asia/Kolkata")
    assert [p["start"][5:16] for p in months] == ["03-01T00:00", "03-31T18:30"]


@in_world
async def test_a_thousand_points_are_one_answer_in_order(w: World) -> None:
    _, key = await spender(w)
    await use(w, key, "a", 1)
    span = {"from": "2026-02-10T00:00:00Z", "to": "2026-03-23T16:00:00Z"}
    points = await series(w, key, bucket="hour", **span)
    starts = [point["start"] for point in points]
    assert (len(points), starts) == (1000, sorted(set(starts)))
    assert sum(point["events"] for point in points) == 1


@in_world
async def test_groups_are_told_apart_and_come_to_the_whole(w: World) -> None:
    acme, key = await spender(w)
    second = await teamspace(w, acme, "Second")
    other = await key_of(w, acme, teamspace_id=second["id"])
    there = {"authorization": f"Bearer {other['secret']}"}
    await use(w, key, "a", 1, meter="calls", dimensions={"model": "m-large", "x": "y"})
    await use(w, key, "b", 2, meter="tokens", dimensions={"model": "m-small"})
    await use(w, there, "c", 4, meter="calls", dimensions={"model": "m-large"})
    await use(w, there, "d", 8)
    home, away = acme["default_teamspace_id"], second["id"]
    expected = [([home], 3, 2), ([away], 12, 2)]
    assert await told(w, key, "teamspace") == sorted(expected, key=lambda each: str(each[0]))
    assert await told(w, key, "meter") == [(["calls"], 5, 2), (["tokens"], 2, 1), ([None], 8, 1)]
    assert {each[1] for each in await told(w, key, "key")} == {3, 12}
    models = [(["m-large"], 5, 2), (["m-small"], 2, 1), ([None], 8, 1)]
    assert await told(w, key, "dimension:model") == models
    both = [(["m-large", "calls"], 5, 2), (["m-small", "tokens"], 2, 1), ([None, None], 8, 1)]
    assert sorted(await told(w, key, "dimension:model,meter"), key=str) == sorted(both, key=str)
    assert [each[1] for each in await told(w, key, "meter,teamspace,dimension:model")] != []


@in_world
async def test_a_dimension_counts_from_its_declaration_on(w: World) -> None:
    acme, key = await spender(w, usage_dimensions=[])
    facts = {"dimensions": {"model": "m", "region": "eu"}}
    await use(w, key, "a", 1, **facts)
    path = f"/v1/admin/organizations/{acme['id']}"
    change = {"usage_dimensions": ["region", "model"]}
    changed = await w.client.patch(path, json=change, headers=w.admin)
    assert changed.json()["usage_dimensions"] == ["region", "model"]
    await use(w, key, "b", 2, **facts)
    assert await told(w, key, "dimension:model") == [(["m"], 2, 1), ([None], 1, 1)]
    assert await told(w, key, "dimension:region") == [(["eu"], 2, 1), ([None], 1, 1)]


@in_world
async def test_what_a_batch_takes_back_is_not_counted(w: World) -> None:
    _, key = await spender(w, allowance=3)
    events = [
        {"id": "a", "credits": 1, "dimensions": {"model": "m"}},
        {"id": "b", "credits": 9, "dimensions": {"model": "m"}},
    ]
    assert (await post(w, key, {"events": events, "atomic": True})).status_code == 402
    assert await told(w, key, "dimension:model") == []
    await use(w, key, "a", 2, dimensions={"model": "m"})
    assert await told(w, key, "dimension:model") == [(["m"], 2, 1)]


@in_world
async def test_it_is_a_file_for_who_likes_csv_better(w: World) -> None:
    _, key = await spender(w)
    await use(w, key, "a", 1.25, meter="=cmd()", dimensions={"model": "m, large"})
    query = {"group_by": "meter,dimension:model", **DAY}
    answer = await w.client.get(PATH, params=query, headers=key | {"accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    assert list(csv.reader(io.StringIO(answer.text, newline=""))) == [
        ["start", "end", "meter", "dimension:model", "credits", "events"],
        [
            *("2026-03-10T00:00:00.000000Z", "2026-03-11T00:00:00.000000Z"),
            *("'=cmd()", "m, large", "1.25", "1"),
        ],
    ]


WRONG = {
    "no instant": ({"from": "yesterday"}, "?from"),
    "between quarters": ({"from": "2026-03-10T00:10:00Z"}, "?from"),
    "between quarters by little": ({"to": "2026-03-10T00:15:00.000001Z"}, "?to"),
    "before there was usage": ({"from": "1999-12-31T00:00:00Z"}, "?from"),
    "backwards": ({"from": DAY["to"], "to": DAY["from"]}, "?to"),
    "nothing": ({"from": DAY["from"], "to": DAY["from"]}, "?to"),
    "before the period": ({"to": "2026-02-01T00:00:00Z"}, "?to"),
    "beyond the calendar": ({"to": "9999-12-31T00:00:00Z", "bucket": "month"}, "?bucket"),
    "another bucket": ({"bucket": "year"}, "?bucket"),
    "too many buckets": ({"bucket": "hour", "from": "2025-01-01T00:00:00Z"}, "?bucket"),
    "no zone": ({"timezone": "Mars/Olympus"}, "?timezone"),
    "an offset": ({"timezone": "+02:00"}, "?timezone"),
    "no group": ({"group_by": ""}, "?group_by"),
    "another group": ({"group_by": "teamspace,user"}, "?group_by"),
    "a group twice": ({"group_by": "meter,meter"}, "?group_by"),
    "a dimension without a name": ({"group_by": "dimension:"}, "?group_by"),
    "two dimensions": ({"group_by": "dimension:model,dimension:region"}, "?group_by"),
    "a dimension not declared": ({"group_by": "dimension:region"}, "?group_by"),
    "another parameter": ({"limit": "5"}, "?limit"),
}


@pytest.mark.parametrize("what", WRONG)
@in_world
async def test_what_cannot_be_answered_is_refused_and_named(w: World, what: str) -> None:
    _, key = await spender(w)
    query, pointer = WRONG[what]
    answer = await w.client.get(PATH, params=query, headers=key)
    code, _ = error_of(answer, 422)
    assert (code, answer.json()["errors"][0]["pointer"]) == ("validation_failed", pointer)


@in_world
async def test_a_dimension_that_is_not_declared_is_answered_with_those_that_are(w: World) -> None:
    _, key = await spender(w, usage_dimensions=["model", "region"])
    answer = await w.client.get(PATH, params={"group_by": "dimension:x"}, headers=key)
    assert "model, region" in error_of(answer, 422)[1]["reason"]


@pytest.mark.parametrize(
    "names", [["a"] * 2, [""], ["a\0"], ["a,b"], ["x" * 65], list("abcdef"), [1], "model"]
)
@in_world
async def test_dimensions_that_cannot_be_declared(w: World, names: object) -> None:
    body = {"name": "Acme", "usage_dimensions": names}
    answer = await w.client.post("/v1/admin/organizations", json=body, headers=w.admin)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/usage_dimensions")


@in_world
async def test_another_organization_is_not_seen(w: World) -> None:
    _, key = await spender(w)
    _, other = await spender(w)
    await use(w, key, "a", 1, dimensions={"model": "m"})
    assert await told(w, other, "dimension:model") == []
    assert [point["events"] for point in await series(w, other, **DAY)] == [0]


@in_world
async def test_it_needs_a_key_that_may_read(w: World) -> None:
    acme: Organization = await w.organization()
    writer = await w.key(acme, scopes=["usage:write"])
    assert (await w.client.get(PATH, headers=writer)).status_code == 403
    head = await w.client.head(PATH, headers=await w.key(acme))
    assert (head.status_code, head.content) == (200, b"")
