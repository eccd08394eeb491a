"""CloudEvents to `POST …/usage`, one and several."""

from __future__ import annotations

import httpx
import msgspec

from tests.harness import Headers, World, in_world
from tests.refusals import CLOUD, CLOUDS
from tests.spending import PATH, credits_now, error_of, post

EVENT = {
    "specversion": "1.0",
    "id": "7",
    "source": "https://agents.example/run|5",
    "type": "llm.tokens",
    "time": "2026-03-10T11:00:00Z",
    "data": {"credits": 0.3, "dimensions": {"model": "m-large"}},
}
EVENT_ID = "https://agents.example/run%7C5|7"


async def post_cloud(w: World, key: Headers, body: object) -> httpx.Response:
    kind = CLOUDS if isinstance(body, list) else CLOUD
    headers = key | {"content-type": f"{kind}; charset=utf-8"}
    return await w.client.post(PATH, content=msgspec.json.encode(body), headers=headers)


@in_world
async def test_a_cloud_event_is_answered_like_any_event(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    first = await post_cloud(w, key, EVENT)
    assert first.status_code == 201
    receipt = first.json()
    assert (receipt["id"], receipt["status"], receipt["credits"]) == (EVENT_ID, "booked", 0.3)
    again = await post_cloud(w, key, EVENT | {"traceparent": "00-2"})
    assert again.status_code == 200
    assert again.json() == receipt | {"status": "duplicate"}
    code, _ = error_of(await post_cloud(w, key, EVENT | {"type": "llm.calls"}), 409)
    assert code == "conflict"


@in_world
async def test_the_same_event_sent_in_our_own_words_is_a_duplicate(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    await post_cloud(w, key, EVENT)
    answer = await post(
        w,
        key,
        {
            "id": EVENT_ID,
            "credits": 0.3,
            "meter": "llm.tokens",
            "timestamp": "2026-03-10T12:00:00+01:00",
            "dimensions": {"model": "m-large"},
        },
    )
    assert answer.status_code == 200


@in_world
async def test_a_cloud_event_that_is_not_covered_is_a_402(w: World) -> None:
    key = await w.key(await w.organization(allowance=1))
    dear = EVENT | {"data": {"credits": 2}}
    code, _ = error_of(await post_cloud(w, key, dear), 402)
    assert code == "credit_exceeded"
    done = EVENT | {"data": {"credits": 2, "on_insufficient": "overdraw"}}
    assert (await post_cloud(w, key, done)).json()["overage"] == 1


@in_world
async def test_each_cloud_event_of_a_batch_fares_by_itself(w: World) -> None:
    key = await w.key(await w.organization(allowance=200))
    batch = [EVENT | {"id": str(number % 300), "data": {"credits": 1}} for number in range(600)]
    batch[1] = EVENT | {"id": "dear", "data": {"credits": 1_000}}
    body = (await post_cloud(w, key, batch)).json()
    assert (body["booked"], body["duplicates"], body["rejected"]) == (200, 200, 200)
    assert [item["status"] for item in body["data"][:3]] == ["booked", "rejected", "booked"]
    assert body["data"][1]["error"]["error"] == "credit_exceeded"
    assert await credits_now(w, key) == '{"remaining":0,"consumed":200,"total":200}'


@in_world
async def test_a_batch_of_no_cloud_events_is_one(w: World) -> None:
    key = await w.key(await w.organization())
    answer = await post_cloud(w, key, [])
    assert answer.status_code == 200
    assert answer.text == '{"object":"list","data":[],"booked":0,"duplicates":0,"rejected":0}'
