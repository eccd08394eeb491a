"""Storage that fails while usage is being booked: a 503, and the ids find out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.ports import OutcomeUnknown, StoreUnavailable
from tests.harness import World, in_world
from tests.spending import credits_now, error_of, failing_after, post


@pytest.mark.parametrize("failure", [StoreUnavailable, Overloaded])
@in_world
async def test_a_batch_that_storage_fails_half_way_can_be_sent_again(
    w: World, failure: Callable[[], Exception]
) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    batch = {"events": [{"id": f"e{number}", "credits": 1} for number in range(600)]}
    with failing_after(w, 2, failure):
        answer = await post(w, key, batch)
    code, _ = error_of(answer, 503)
    assert code == "outcome_unknown"
    assert "x-should-retry" not in answer.headers
    assert await credits_now(w, key) == '{"remaining":488,"consumed":512,"total":1000}'
    body = (await post(w, key, batch)).json()
    assert (body["booked"], body["duplicates"], body["rejected"]) == (88, 512, 0)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (StoreUnavailable, "service_unavailable"),
        (Overloaded, "service_unavailable"),
        (OutcomeUnknown, "outcome_unknown"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        {"id": "a", "credits": 1},
        {"events": [{"id": "a", "credits": 1}]},
        {"events": [{"id": "a", "credits": 1}], "atomic": True},
    ],
)
@in_world
async def test_storage_that_fails_at_once_is_a_503(
    w: World, body: object, failure: Callable[[], Exception], expected: str
) -> None:
    key = await w.key(await w.organization(allowance=1))
    with failing_after(w, 0, failure):
        code, _ = error_of(await post(w, key, body), 503)
    assert code == expected
