"""Usage that says a quantity: rated when it is booked, by the price of its own time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.answers import assert_invalid, body_of
from tests.harness import Headers, World, in_world
from tests.pricing import PREVIEW, end, price_of
from tests.spending import PATH, credits_now, error_of, post, sequence

LARGE = {"model": "m-large"}
EVENT = {"id": "evt-1", "quantity": 1500, "meter": "llm.tokens"}


async def spender(w: World, allowance: str | int = 10_000) -> Headers:
    return await w.key(await w.organization(allowance=allowance))


async def preview(w: World, key: Headers, **terms: object) -> dict[str, Any]:
    return body_of(await w.send("POST", PREVIEW, key, terms))


@in_world
async def test_the_receipt_says_what_a_quantity_cost_and_by_which_price(w: World) -> None:
    key = await spender(w)
    price = await price_of(w, "llm.tokens", credits=3, per=1_000_000)
    receipt = body_of(await post(w, key, EVENT), 201)
    assert (receipt["credits"], receipt["quantity"]) == (0.0045, 1500)
    assert receipt["price_id"] == price["id"]
    assert await credits_now(w, key) == '{"remaining":9999.9955,"consumed":0.0045,"total":10000}'


@in_world
async def test_who_reads_the_event_back_learns_it_too(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens", credits=3, per=1_000_000)
    receipt = body_of(await post(w, key, EVENT), 201)
    found = body_of(await w.send("GET", f"{PATH}/evt-1", key))
    assert found == {**found, **receipt}


@in_world
async def test_the_receipt_of_plain_credits_says_nothing_of_prices(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens")
    receipt = body_of(await post(w, key, {"id": "e", "credits": 2, "meter": "llm.tokens"}), 201)
    assert receipt["credits"] == 2
    found = body_of(await w.send("GET", f"{PATH}/e", key))
    assert not {"quantity", "price_id"} & (receipt.keys() | found.keys())


@in_world
async def test_quantities_are_exact(w: World) -> None:
    key = await spender(w)
    await price_of(w, "bytes", per=1e14)
    for number, spelled in enumerate(("99999999999999.9", "0.123456789", "0", "1e-9")):
        body = f'{{"id": "e{number}", "quantity": {spelled}, "meter": "bytes"}}'
        headers = key | {"content-type": "application/json"}
        answer = await w.client.post(PATH, content=body, headers=headers)
        shown = spelled.replace("1e-9", "0.000000001")
        assert f'"quantity":{shown},' in answer.text


@in_world
async def test_the_price_that_names_the_most_dimensions_counts(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens", credits=1)
    await price_of(w, "llm.tokens", credits=2, dimensions=LARGE)
    await price_of(w, "llm.tokens", credits=3, dimensions=LARGE | {"tier": "pro"})
    for number, (dimensions, cost) in enumerate(
        [
            (None, 1),
            ({"model": "m-small"}, 1),
            ({"tier": "pro"}, 1),
            (LARGE, 2),
            (LARGE | {"tier": "free", "region": "eu"}, 2),
            (LARGE | {"tier": "pro", "region": "eu"}, 3),
        ]
    ):
        event = {"id": str(number), "quantity": 1, "meter": "llm.tokens", "dimensions": dimensions}
        assert (await post(w, key, event)).json()["credits"] == cost


@in_world
async def test_the_time_of_the_event_says_which_price_counts(w: World) -> None:
    key = await spender(w)
    await price_of(w, "calls", credits=1)
    await price_of(w, "calls", credits=2, effective_at="2026-03-10T12:00:00Z")
    await price_of(w, "calls", credits=3, effective_at="2026-03-10T13:00:00Z")
    for timestamp, cost in (
        ("2026-01-01T00:00:00Z", 1),
        ("2026-03-10T11:59:59.999999Z", 1),
        (None, 2),
        ("2026-03-10T13:00:00Z", 3),
    ):
        event = {"id": str(timestamp), "quantity": 1, "meter": "calls", "timestamp": timestamp}
        assert (await post(w, key, event)).json()["credits"] == cost


@in_world
async def test_a_repeated_event_gets_its_first_receipt_whatever_has_become_of_prices(
    w: World,
) -> None:
    key = await spender(w)
    price = await price_of(w, "llm.tokens", credits=1)
    first = body_of(await post(w, key, EVENT), 201)
    await price_of(w, "llm.tokens", credits=7, effective_at="2026-02-01T00:00:00Z")
    assert body_of(await post(w, key, EVENT), 200) == first | {"status": "duplicate"}
    await end(w, price, ends_at="2026-01-01T00:00:00Z")
    respelled = EVENT | {"quantity": 1500.0}
    assert body_of(await post(w, key, respelled), 200) == first | {"status": "duplicate"}


@pytest.mark.parametrize(
    "other",
    [{"quantity": 1501}, {"meter": "calls"}, {"quantity": None, "credits": 1500}],
)
@in_world
async def test_the_same_id_with_other_content_is_a_conflict(
    w: World, other: dict[str, Any]
) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens")
    await post(w, key, EVENT)
    changed = {name: value for name, value in (EVENT | other).items() if value is not None}
    code, _ = error_of(await post(w, key, changed), 409)
    assert code == "conflict"


@in_world
async def test_rated_usage_is_covered_in_full_or_refused(w: World) -> None:
    key = await spender(w, allowance=10)
    await price_of(w, "llm.tokens", credits=1, per=100)
    code, details = error_of(await post(w, key, EVENT), 402)
    assert (code, details["required"], details["available"]) == ("credit_exceeded", 15, 10)
    done = EVENT | {"on_insufficient": "overdraw"}
    assert (await post(w, key, done)).json()["overage"] == 5


# ── what cannot be rated ──


@in_world
async def test_an_unknown_meter_is_refused_with_those_that_are_known(w: World) -> None:
    key = await spender(w)
    for number in range(30):
        await price_of(w, f"meter-{number:02}")
    before = await sequence(w, key)
    answer = await post(w, key, EVENT)
    assert_invalid(answer, "/meter")
    known = answer.json()["details"]["known_meters"]
    assert known == [f"meter-{number:02}" for number in range(20)]
    assert await sequence(w, key) == before
    await price_of(w, "llm.tokens")
    assert (await post(w, key, EVENT)).status_code == 201


@in_world
async def test_where_there_are_no_prices_no_meter_is_known(w: World) -> None:
    answer = await post(w, await spender(w), EVENT)
    assert_invalid(answer, "/meter")
    assert answer.json()["details"]["known_meters"] == []


@in_world
async def test_a_time_without_a_price_is_refused_with_the_times_that_have_one(w: World) -> None:
    key = await spender(w)
    price = await price_of(w, "llm.tokens", effective_at="2026-03-01T00:00:00Z")
    await end(w, price, ends_at="2026-03-05T00:00:00Z")
    await price_of(w, "llm.tokens", effective_at="2026-03-11T00:00:00Z")
    before = await sequence(w, key)
    answer = await post(w, key, EVENT)
    assert_invalid(answer, "/timestamp")
    details = answer.json()["details"]
    assert details["at"] == "2026-03-10T12:00:00.000000Z"
    assert details["ended_at"] == "2026-03-05T00:00:00.000000Z"
    assert details["takes_effect_at"] == "2026-03-11T00:00:00.000000Z"
    assert await sequence(w, key) == before


@in_world
async def test_dimensions_without_a_price_are_refused(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens", dimensions=LARGE)
    answer = await post(w, key, EVENT)
    assert_invalid(answer, "/dimensions")
    assert answer.json()["details"]["known_dimensions"] == ["model"]


@in_world
async def test_a_quantity_that_comes_to_too_much_is_refused(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens", credits=1e9)
    assert_invalid(await post(w, key, EVENT), "/quantity")
    assert (await post(w, key, EVENT | {"quantity": 0})).json()["credits"] == 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"credits": 1}, "/quantity"),
        ({"quantity": None}, "/quantity"),
        ({"quantity": "1"}, "/quantity"),
        ({"quantity": [1]}, "/quantity"),
        ({"quantity": -1}, "/quantity"),
        ({"quantity": 1e15}, "/quantity"),
        ({"quantity": 1e-10}, "/quantity"),
        ({"quantity": 12345678.12345678}, "/quantity"),
        ({"meter": None}, "/meter"),
    ],
)
@pytest.mark.parametrize("many", [False, True])
@in_world
async def test_bad_input_says_where_and_books_nothing(
    w: World, change: dict[str, Any], pointer: str, many: bool
) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens")
    before = await sequence(w, key)
    event: dict[str, Any] = EVENT | change
    body = {"events": [EVENT | {"id": "good"}, event]} if many else event
    assert_invalid(await post(w, key, body), f"/events/1{pointer}" if many else pointer)
    assert await sequence(w, key) == before


# ── the other forms ──


@in_world
async def test_each_event_of_a_batch_is_rated_by_itself(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens", credits=1, per=1000)
    events = [EVENT, {"id": "p", "credits": 2}, EVENT | {"id": "u", "meter": "?"}, EVENT]
    answer = body_of(await post(w, key, {"events": events}))
    assert [item["status"] for item in answer["data"]] == [
        "booked",
        "booked",
        "rejected",
        "duplicate",
    ]
    assert (answer["data"][0]["credits"], answer["data"][0]["quantity"]) == (1.5, 1500)
    assert answer["data"][2]["error"]["errors"][0]["pointer"] == "/meter"
    assert answer["data"][2]["error"]["details"]["known_meters"] == ["llm.tokens"]


@in_world
async def test_an_atomic_batch_with_an_event_that_cannot_be_rated_books_nothing(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens")
    before = await sequence(w, key)
    events = [EVENT, EVENT | {"id": "u", "meter": "?"}]
    answer = await post(w, key, {"events": events, "atomic": True})
    assert_invalid(answer, "/events/1/meter")
    assert (answer.json()["details"]["index"], answer.json()["details"]["id"]) == (1, "u")
    assert await sequence(w, key) == before


@in_world
async def test_a_cloud_event_may_say_a_quantity(w: World) -> None:
    key = await spender(w)
    price = await price_of(w, "llm.tokens", credits=1, per=1000, dimensions=LARGE)
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "7",
        "source": "/agents",
        "type": "llm.tokens",
        "data": {"quantity": 1500, "dimensions": LARGE},
    }
    one = key | {"content-type": "application/cloudevents+json"}
    receipt = body_of(await w.client.post(PATH, json=event, headers=one), 201)
    assert (receipt["credits"], receipt["price_id"]) == (1.5, price["id"])
    unknown = event | {"id": "8", "type": "calls"}
    answer = await w.client.post(PATH, json=unknown, headers=one)
    assert_invalid(answer, "/type")
    assert answer.json()["details"]["known_meters"] == ["llm.tokens"]
    many = key | {"content-type": "application/cloudevents-batch+json"}
    answer = await w.client.post(PATH, json=[event, unknown], headers=many)
    duplicate, rejected = body_of(answer)["data"]
    assert duplicate == receipt | {"status": "duplicate"}
    assert rejected["error"]["errors"][0]["pointer"] == "/type"


@in_world
async def test_a_stream_may_say_quantities(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens", credits=1, per=1000)
    lines = (
        b'{"id": "a", "quantity": 1500, "meter": "llm.tokens"}\n'
        b'{"id": "b", "quantity": 1500, "meter": "?"}\n'
        b'{"id": "c", "quantity": 1500}\n'
    )
    headers = key | {"content-type": "application/x-ndjson"}
    answer = body_of(await w.client.post(PATH, content=lines, headers=headers))
    assert (answer["booked"], answer["rejected"]) == (1, 2)
    assert [error["line"] for error in answer["errors"]] == [2, 3]
    assert await credits_now(w, key) == '{"remaining":9998.5,"consumed":1.5,"total":10000}'


# ── previews ──


@in_world
async def test_a_preview_says_what_would_be_booked_and_books_nothing(w: World) -> None:
    key = await w.key(await w.organization(allowance=10), scopes=["credits:read"])
    price = await price_of(w, "llm.tokens", credits=1, per=1000)
    before = await sequence(w, key)
    assert await preview(w, key, quantity=1500, meter="llm.tokens") == {
        "object": "usage_preview",
        "status": "booked",
        "credits": 1.5,
        "quantity": 1500,
        "price": price,
        "available": 10,
        "overage": 0,
        "as_of": "2026-03-10T12:00:00.000000Z",
    }
    assert await sequence(w, key) == before
    assert await credits_now(w, key) == '{"remaining":10,"consumed":0,"total":10}'


@in_world
async def test_a_preview_says_why_usage_would_be_rejected(w: World) -> None:
    key = await spender(w, allowance=10)
    await price_of(w, "llm.tokens")
    shown = await preview(w, key, quantity=11, meter="llm.tokens")
    assert (shown["status"], shown["credits"], shown["available"]) == ("rejected", 11, 10)
    assert shown["error"]["error"] == "credit_exceeded"
    assert shown["error"]["details"]["required"] == 11
    done = await preview(w, key, quantity=11, meter="llm.tokens", on_insufficient="overdraw")
    assert (done["status"], done["overage"]) == ("booked", 1)


@in_world
async def test_plain_credits_can_be_previewed_too(w: World) -> None:
    shown = await preview(w, await spender(w, allowance=10), credits=2.5)
    assert (shown["status"], shown["credits"], shown["overage"]) == ("booked", 2.5, 0)
    assert not {"quantity", "price", "error"} & shown.keys()


@in_world
async def test_a_preview_knows_what_has_fallen_due(w: World) -> None:
    key = await spender(w, allowance=10)
    await post(w, key, {"id": "all", "credits": 10})
    assert (await preview(w, key, credits=1))["status"] == "rejected"
    w.clock.set("2026-04-01T00:00:00Z")
    assert (await preview(w, key, credits=1))["status"] == "booked"


@in_world
async def test_what_cannot_be_rated_cannot_be_previewed(w: World) -> None:
    key = await spender(w)
    await price_of(w, "llm.tokens")
    for body, pointer in (
        ({"quantity": 1, "meter": "?"}, "/meter"),
        ({"quantity": 1}, "/meter"),
        ({"meter": "llm.tokens"}, "/credits"),
        ({"quantity": 1, "credits": 1}, "/quantity"),
        ({"id": "e", "credits": 1}, "/id"),
    ):
        assert_invalid(await w.send("POST", PREVIEW, key, body), pointer)
