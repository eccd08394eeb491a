"""The price book over HTTP: added to, listed, ended, and kept free of contradictions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.answers import assert_conflict, assert_invalid, assert_not_found, body_of
from tests.harness import World, in_world
from tests.pricing import PRICES, SINCE, book_now, end, price_of

NOW = "2026-03-10T12:00:00.000000Z"
APRIL = "2026-04-01T00:00:00Z"


@in_world
async def test_a_price_is_added_on_its_terms(w: World) -> None:
    terms: dict[str, Any] = {
        "meter": "llm.tokens",
        "dimensions": {"tier": "pro", "model": "m-large"},
        "credits": 0.123456,
        "per": 1000000.5,
        "rounding": "up",
    }
    added = await price_of(w, **terms, effective_at="2026-04-01T02:00:00+02:00")
    assert added["id"].startswith("price_")
    assert added == {
        "object": "price",
        **terms,
        "id": added["id"],
        "effective_at": "2026-04-01T00:00:00.000000Z",
        "ends_at": None,
        "created_at": NOW,
    }
    path = f"{PRICES}/{added['id']}"
    assert body_of(await w.send("GET", path, w.admin)) == added
    assert body_of(await w.send("GET", PRICES, w.admin))["data"] == [added]


@in_world
async def test_one_unit_and_half_even_are_what_is_meant_where_nothing_is_said(w: World) -> None:
    added = await price_of(w, "calls")
    assert (added["per"], added["rounding"], added["dimensions"]) == (1, "half_even", {})


@in_world
async def test_the_same_content_again_is_the_first_price_as_it_is_now(w: World) -> None:
    first = await price_of(w, "calls", dimensions={"a": "1", "b": "2"})
    again = {"dimensions": {"b": "2", "a": "1"}, "per": 1.0, "effective_at": "2026-01-01T00:00:00Z"}
    assert await price_of(w, "calls", status=200, **again) == first
    ended = await end(w, first, ends_at=APRIL)
    assert await price_of(w, "calls", status=200, **again) == ended


@in_world
async def test_a_whole_book_is_added_or_nothing_of_it(w: World) -> None:
    book: dict[str, Any] = {
        "prices": [
            {"meter": "calls", "credits": 1, "effective_at": SINCE},
            {"meter": "bytes", "credits": 2, "per": 1e9, "effective_at": SINCE},
        ]
    }
    answer = body_of(await w.send("POST", PRICES, w.admin, book), 201)
    assert (answer["added"], answer["unchanged"]) == (2, 0)
    assert [price["meter"] for price in answer["data"]] == ["calls", "bytes"]
    book["prices"].append({"meter": "bytes", "credits": 1, "per": 1e9, "effective_at": APRIL})
    longer = body_of(await w.send("POST", PRICES, w.admin, book), 201)
    assert (longer["added"], longer["unchanged"]) == (1, 2)
    assert longer["data"][:2] == answer["data"]
    again = body_of(await w.send("POST", PRICES, w.admin, book), 200)
    assert (again["added"], again["unchanged"]) == (0, 3)
    before = await book_now(w)
    book["prices"] += [
        {"meter": "seconds", "credits": 1, "effective_at": SINCE},
        {"meter": "calls", "credits": 3, "effective_at": SINCE},
    ]
    details = assert_conflict(await w.send("POST", PRICES, w.admin, book))
    assert details["pointer"] == "/prices/4"
    assert details["price"] == answer["data"][0]
    assert await book_now(w) == before


@in_world
async def test_another_price_for_the_same_events_and_time_is_a_conflict(w: World) -> None:
    first = await price_of(w, "calls", dimensions={"model": "m"})
    before = await book_now(w)
    for other in ({"credits": 2}, {"per": 2}, {"rounding": "down"}):
        terms = {"meter": "calls", "dimensions": {"model": "m"}, "credits": 1} | other
        body = {**terms, "effective_at": SINCE}
        assert assert_conflict(await w.send("POST", PRICES, w.admin, body))["price"] == first
    assert await book_now(w) == before


@in_world
async def test_prices_between_which_an_event_could_not_choose_are_refused(w: World) -> None:
    first = await price_of(w, "calls", dimensions={"model": "m"})
    before = await book_now(w)
    body = {
        "meter": "calls",
        "dimensions": {"tier": "pro"},
        "credits": 2,
        "effective_at": "2026-05-01T00:00:00Z",
    }
    assert assert_conflict(await w.send("POST", PRICES, w.admin, body))["price"] == first
    assert await book_now(w) == before
    await end(w, first, ends_at="2026-05-01T00:00:00Z")
    assert body_of(await w.send("POST", PRICES, w.admin, body), 201)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"credits": 2, "dimensions": {"model": "m"}}, "repeated_price"),
        ({"dimensions": {"tier": "pro"}}, "ambiguous_price"),
    ],
)
@in_world
async def test_a_book_that_contradicts_itself_is_malformed(
    w: World, other: dict[str, Any], code: str
) -> None:
    one = {"meter": "calls", "credits": 1, "effective_at": SINCE, "dimensions": {"model": "m"}}
    answer = await w.send("POST", PRICES, w.admin, {"prices": [one, one | other]})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["code"] == code
    assert {error["pointer"], error["message"].rpartition(" ")[2]} == {"/prices/0", "/prices/1"}
    assert body_of(await w.send("GET", PRICES, w.admin))["data"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"effective_at": None}, "/effective_at"),
        ({"effective_at": "2026-01-01"}, "/effective_at"),
        ({"effective_at": "2026-01-01T00:00:00"}, "/effective_at"),
        ({"effective_at": "1999-12-31T23:59:59Z"}, "/effective_at"),
        ({"meter": None}, "/meter"),
        ({"meter": ""}, "/meter"),
        ({"meter": "a\x00"}, "/meter"),
        ({"credits": None}, "/credits"),
        ({"credits": -1}, "/credits"),
        ({"credits": 0.0000001}, "/credits"),
        ({"credits": "1"}, "/credits"),
        ({"per": 0}, "/per"),
        ({"per": 1e15}, "/per"),
        ({"per": 0.0000000001}, "/per"),
        ({"rounding": "half_down"}, "/rounding"),
        ({"dimensions": {"a": 1}}, "/dimensions/*"),
        ({"dimensions": {"a": "\x00"}}, "/dimensions/a"),
        ({"dimensions": {str(n): "" for n in range(17)}}, "/dimensions"),
        ({"price": 1}, "/price"),
    ],
)
@pytest.mark.parametrize("many", [False, True])
@in_world
async def test_bad_input_says_where_and_changes_nothing(
    w: World, change: dict[str, Any], pointer: str, many: bool
) -> None:
    body: dict[str, Any] = {"meter": "calls", "credits": 1, "effective_at": SINCE} | change
    body = {name: value for name, value in body.items() if value is not None}
    if many:
        body = {"prices": [{"meter": "good", "credits": 1, "effective_at": SINCE}, body]}
        pointer = f"/prices/1{pointer}"
    assert_invalid(await w.send("POST", PRICES, w.admin, body), pointer)
    assert body_of(await w.send("GET", PRICES, w.admin))["data"] == []


@in_world
async def test_a_request_is_one_price_or_several(w: World) -> None:
    one = {"meter": "calls", "credits": 1, "effective_at": SINCE}
    both = one | {"prices": [one]}
    answer = await w.send("POST", PRICES, w.admin, both)
    assert answer.json()["errors"][0]["message"].startswith("cannot stand beside 'prices'")
    assert_invalid(await w.send("POST", PRICES, w.admin, {"prices": []}), "/prices")
    assert_invalid(await w.send("POST", PRICES, w.admin, {}), "/meter")
    assert_invalid(await w.send("POST", PRICES, w.admin, {"prices": [one] * 1001}), "/prices")


@in_world
async def test_an_end_comes_now_or_when_it_is_said(w: World) -> None:
    price = await price_of(w, "calls")
    assert await end(w, price, ends_at=APRIL) == price | {"ends_at": "2026-04-01T00:00:00.000000Z"}
    ended = await end(w, price)
    assert ended == price | {"ends_at": NOW}
    w.clock.advance(seconds=60)
    assert await end(w, price) == ended
    assert await end(w, price, ends_at=NOW) == ended
    assert body_of(await w.send("GET", f"{PRICES}/{price['id']}", w.admin)) == ended


@in_world
async def test_an_end_cannot_be_put_off(w: World) -> None:
    price = await price_of(w, "calls")
    ended = await end(w, price)
    before = await book_now(w)
    answer = await w.send("POST", f"{PRICES}/{price['id']}/end", w.admin, {"ends_at": APRIL})
    assert assert_conflict(answer)["price"] == ended
    assert await book_now(w) == before


@in_world
async def test_a_price_that_never_took_effect_makes_room_for_another(w: World) -> None:
    wrong = await price_of(w, "calls", effective_at=APRIL)
    await end(w, wrong, ends_at=APRIL)
    right = await price_of(w, "calls", effective_at=APRIL, credits=2)
    assert right["id"] != wrong["id"]


@in_world
async def test_what_is_not_there_cannot_be_read_or_ended(w: World) -> None:
    assert_not_found(await w.send("GET", f"{PRICES}/price_none", w.admin))
    assert_not_found(await w.send("POST", f"{PRICES}/price_none/end", w.admin, {}))
    price = await price_of(w, "calls")
    for body, pointer in (({"ends_at": "soon"}, "/ends_at"), ({"at": APRIL}, "/at")):
        answer = await w.send("POST", f"{PRICES}/{price['id']}/end", w.admin, body)
        assert_invalid(answer, pointer)


@in_world
async def test_the_book_is_for_operators(w: World) -> None:
    key = await w.key(await w.organization())
    body = {"meter": "calls", "credits": 1, "effective_at": SINCE}
    assert (await w.send("POST", PRICES, key, body)).status_code == 403
    assert (await w.send("GET", PRICES, key)).status_code == 403


@in_world
async def test_a_meter_has_at_most_5000_prices(w: World) -> None:
    def part(number: int) -> dict[str, Any]:
        prices = [
            {
                "meter": "calls",
                "credits": 1,
                "effective_at": SINCE,
                "dimensions": {"model": str(1000 * number + n)},
            }
            for n in range(1000)
        ]
        return {"prices": prices}

    for number in range(5):
        body_of(await w.send("POST", PRICES, w.admin, part(number)), 201)
    extra = {"meter": "calls", "credits": 1, "effective_at": APRIL}
    details = assert_conflict(await w.send("POST", PRICES, w.admin, extra))
    assert (details["meter"], details["most"]) == ("calls", 5000)
    assert body_of(await w.send("POST", PRICES, w.admin, extra | {"meter": "bytes"}), 201)
