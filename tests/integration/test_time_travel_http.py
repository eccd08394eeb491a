"""`GET …/balance?at=` over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import World, in_world

BALANCE = "/v1/organization/credits/balance"


@in_world
async def test_the_balance_at_an_instant(w: World) -> None:
    acme = await w.organization(allowance=100)
    key = await w.key(acme)
    w.clock.advance(seconds=60)
    await w.spend(acme, "30")
    booked_at = w.clock.text()
    w.clock.set("2026-04-20T00:00:00Z")
    shown: dict[str, Any] = {}
    asked = {"2026-03-10T12:00:59.999999Z": 100, booked_at: 70, "2026-04-01T00:00:00Z": 100}
    for at, remaining in asked.items():
        shown = (await w.client.get(BALANCE, headers=key, params={"at": at})).json()
        assert (shown["remaining"], shown["total"]) == (remaining, 100), at
    assert shown["period"]["index"] == 1


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2026-03-10T12:00:00.000001Z", "lies ahead: it is 2026-03-10T12:00:00.000000Z now"),
        ("2026-03-10T11:59:59.999999Z", "lies before the organization"),
        ("yesterday", ""),
        ("2026-03-10T12:00:00", ""),
        ("", ""),
    ],
)
@in_world
async def test_an_instant_that_cannot_be_answered_is_named(w: World, at: str, says: str) -> None:
    key = await w.key(await w.organization(allowance=100))
    answer = await w.client.get(BALANCE, headers=key, params={"at": at})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["pointer"] == "?at"
    assert says in answer.text
