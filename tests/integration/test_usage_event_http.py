"""One usage event: read back, and its dimensions erased without breaking the proof."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tallystick.domain.commands import ReverseUsage
from tallystick.ledger.units import AccountUnit, EraseDimensions
from tests.counted import spender, told
from tests.harness import Headers, World, in_world
from tests.spending import PATH, error_of, post
from tests.tenants import command

EVENT: dict[str, Any] = {
    "id": "evt/1 %41?".replace(" ", "+"),
    "credits": 1.25,
    "meter": "llm.tokens",
    "timestamp": "2026-03-10T11:00:00+01:00",
    "dimensions": {"model": "m-large", "user": "ann@example.org"},
    "on_insufficient": "overdraw",
}
ONE = PATH + "/evt%2F1+%2541%3F"


async def erase(w: World, key: Headers, path: str = ONE) -> dict[str, Any]:
    answer = await w.client.delete(path + "/dimensions", headers=key)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@in_world
async def test_an_event_says_everything_that_was_booked(w: World) -> None:
    acme, key = await spender(w, allowance=1)
    receipt = (await post(w, key, EVENT)).json()
    identity = (await w.client.get("/v1/identity", headers=key)).json()
    answer = await w.client.get(ONE, headers=key)
    assert answer.json() == {
        **receipt,
        "reversed": 0,
        "meter": "llm.tokens",
        "timestamp": "2026-03-10T10:00:00.000000Z",
        "dimensions": EVENT["dimensions"],
        "dimensions_erased_at": None,
        "on_insufficient": "overdraw",
        "teamspace_id": acme["default_teamspace_id"],
        "api_key_id": identity["user_id"],
        "hold_id": None,
    }
    assert (answer.json()["overage"], answer.json()["remaining"]) == (0.25, 0)


@in_world
async def test_an_event_that_says_little(w: World) -> None:
    _, key = await spender(w)
    await post(w, key, {"id": "e", "credits": 0})
    found = (await w.client.get(PATH + "/e", headers=key)).json()
    assert found["timestamp"] == found["booked_at"]
    assert (found["meter"], found["dimensions"], found["on_insufficient"]) == (None, None, "reject")


@pytest.mark.parametrize("name", ["evt-2", "%FF", "%00", "a%20b", "%C3%A9", "x" * 256])
@in_world
async def test_an_event_that_is_not_there(w: World, name: str) -> None:
    _, key = await spender(w)
    _, other = await spender(w)
    await post(w, other, {"id": "evt-2", "credits": 1, "dimensions": {"a": "b"}})
    assert error_of(await w.client.get(f"{PATH}/{name}", headers=key), 404)
    assert error_of(await w.client.delete(f"{PATH}/{name}/dimensions", headers=key), 404)
    kept = (await w.client.get(PATH + "/evt-2", headers=other)).json()
    assert kept["dimensions"] == {"a": "b"}


@in_world
async def test_erased_dimensions_are_gone_and_the_rest_stays(w: World) -> None:
    _, key = await spender(w)
    await post(w, key, EVENT)
    before = (await w.client.get(ONE, headers=key)).json()
    w.clock.advance(seconds=5)
    erased = await erase(w, key)
    assert erased == {**before, "dimensions": None, "dimensions_erased_at": w.clock.text()}
    w.clock.advance(seconds=5)
    assert await erase(w, key) == erased
    assert (await w.client.get(ONE, headers=key)).json() == erased


@in_world
async def test_erasing_where_there_is_nothing_does_nothing(w: World) -> None:
    _, key = await spender(w)
    await post(w, key, {"id": "e", "credits": 1})
    assert (await erase(w, key, PATH + "/e"))["dimensions_erased_at"] is None


@in_world
async def test_an_erased_event_is_counted_as_one_without_dimensions(w: World) -> None:
    _, key = await spender(w)
    await post(w, key, EVENT)
    await post(w, key, EVENT | {"id": "b", "credits": 2})
    assert await told(w, key, "dimension:model") == [(["m-large"], 3.25, 2)]
    await erase(w, key)
    await erase(w, key)
    assert await told(w, key, "dimension:model") == [(["m-large"], 2, 1), ([None], 1.25, 1)]
    await erase(w, key, PATH + "/b")
    assert await told(w, key, "dimension:model") == [([None], 3.25, 2)]


@in_world
async def test_only_what_was_counted_is_taken_out(w: World) -> None:
    acme, key = await spender(w, usage_dimensions=["model"])
    await post(w, key, EVENT)
    await command(w, "PATCH", acme, "", usage_dimensions=["user"])
    await post(w, key, EVENT | {"id": "b"})
    await erase(w, key)
    assert await told(w, key, "dimension:user") == [
        (["ann@example.org"], 1.25, 1),
        ([None], 1.25, 1),
    ]


@in_world
async def test_dimensions_that_are_not_counted_are_erased_too(w: World) -> None:
    _, key = await spender(w, usage_dimensions=[])
    await post(w, key, EVENT)
    assert (await erase(w, key))["dimensions"] is None


@pytest.mark.parametrize("order", ["reverse first", "erase first", "at once"])
@in_world
async def test_what_was_reversed_is_known_and_taken_out_once(w: World, order: str) -> None:
    acme, key = await spender(w)
    await post(w, key, EVENT)
    await post(w, key, EVENT | {"id": "b"})
    part = ReverseUsage(event_id=EVENT["id"], credits=1_000_000, reference="r")
    reverse = AccountUnit(acme["id"], [part])
    units: list[Any] = [reverse, EraseDimensions(acme["id"], EVENT["id"])]
    if order == "erase first":
        units.reverse()
    if order == "at once":
        await asyncio.gather(*(w.service.ledger.submit(acme["id"], unit) for unit in units))
    else:
        for unit in units:
            await w.service.ledger.submit(acme["id"], unit)
    assert (await w.client.get(ONE, headers=key)).json()["reversed"] == 1
    assert await told(w, key, "dimension:model") == [(["m-large"], 1.25, 1), ([None], 0.25, 1)]


SENT_AGAIN: dict[str, tuple[dict[str, Any], int, int]] = {
    "the same": ({}, 200, 200),
    "other credits": ({"credits": 1}, 409, 409),
    "another meter": ({"meter": "calls"}, 409, 409),
    "another time": ({"timestamp": None}, 409, 409),
    "other insistence": ({"on_insufficient": "reject"}, 409, 409),
    "another value": ({"dimensions": {"model": "m-small", "user": "ann@example.org"}}, 409, 200),
    "a dimension less": ({"dimensions": {"model": "m-large"}}, 409, 200),
    "no dimensions": ({"dimensions": None}, 409, 200),
}


@pytest.mark.parametrize("what", SENT_AGAIN)
@in_world
async def test_sent_again_before_and_after_it_is_erased(w: World, what: str) -> None:
    """Once they are gone, nobody can say whether dimensions are the same: all else decides."""
    changed, before, after = SENT_AGAIN[what]
    _, key = await spender(w)
    await post(w, key, EVENT)
    assert (await post(w, key, EVENT | changed)).status_code == before
    await erase(w, key)
    assert (await post(w, key, EVENT | changed)).status_code == after


@in_world
async def test_a_batch_knows_the_dimensions_of_its_own_events(w: World) -> None:
    _, key = await spender(w)
    other = EVENT | {"dimensions": {"model": "m-small"}}
    answer = (await post(w, key, {"events": [EVENT, EVENT, other]})).json()
    assert (answer["booked"], answer["duplicates"], answer["rejected"]) == (1, 1, 1)


@in_world
async def test_an_event_without_dimensions_is_not_repeated_by_one_with_them(w: World) -> None:
    _, key = await spender(w)
    await post(w, key, {"id": "e", "credits": 1})
    event = {"id": "e", "credits": 1, "dimensions": {"a": "b"}}
    assert (await post(w, key, event)).status_code == 409


@in_world
async def test_erasing_needs_a_key_that_may_write(w: World) -> None:
    acme = await w.organization()
    reader = await w.key(acme, scopes=["credits:read"])
    assert (await w.client.delete(ONE + "/dimensions", headers=reader)).status_code == 403
    writer = await w.key(acme, scopes=["usage:write"])
    assert (await w.client.get(ONE, headers=writer)).status_code == 403


@in_world
async def test_an_event_is_erased_by_keys_of_its_teamspace_or_of_the_account(w: World) -> None:
    """As it is reversed: what cannot be undone is not for the keys of another team."""
    acme, key = await spender(w)
    await post(w, key, EVENT)
    maker = await w.key(acme["id"], scopes=["teamspaces:write"])
    made = await w.send("POST", "/v1/organization/teamspaces", maker, {"name": "Elsewhere"})
    elsewhere = made.json()["id"]
    foreign = await w.key(acme["id"], teamspace_id=elsewhere)
    code, details = error_of(await w.client.delete(ONE + "/dimensions", headers=foreign), 403)
    assert (code, details["teamspace_id"]) == ("permission_denied", elsewhere)
    found = (await w.client.get(ONE, headers=foreign)).json()
    assert found["dimensions"] == EVENT["dimensions"]
    account = await w.key(acme["id"], teamspace_id=elsewhere, level="account")
    assert (await erase(w, account))["dimensions"] is None
