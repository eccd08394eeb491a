"""A balance at an instant is what a read at that instant said, however long ago that was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tallystick.ledger import work
from tallystick.ledger.reads import Balance
from tests.histories import DAY, Life, history

SEEDS = range(16)
STEPS = 70


@pytest.fixture(autouse=True)
def _milestones_near() -> Iterator[None]:
    """So that lives of a hundred entries pass some of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "MILESTONE_DISTANCE", 16)
        yield


@pytest.mark.parametrize("seed", SEEDS)
def test_the_past_is_what_was_read_then(seed: int) -> None:
    asyncio.run(scenario(seed))


async def scenario(seed: int) -> None:
    said: dict[int, Balance] = {}

    async def look(life: Life) -> None:
        """At the microsecond of the last entry, and at one between it and the next."""
        for wait in (0, life.random.choice((0, 1, 40_000_000))):
            life.clock.now += wait
            balance = await life.reads.balance(life.organization_id)
            assert balance is not None
            said[balance.as_of] = balance

    async with history(seed) as life:
        await look(life)
        await life.go(STEPS, look)
        # Nobody has written what fell due since: the past is no other for it.
        for wait in (0, 10 * DAY):
            life.clock.now += wait
            for instant, balance in said.items():
                again = await life.reads.balance_at(life.organization_id, instant)
                assert isinstance(again, Balance)
                assert shown(again) == shown(balance), (seed, instant)


def shown(balance: Balance) -> dict[str, object]:
    """All that a balance shows but for its pace, which counts usage that was booked later."""
    state = balance.state
    names = ("remaining", "consumed", "total", "overage", "held", "available", "sequence")
    period = ("period_index", "period_start", "period_end", "timezone")
    figures = {name: getattr(state, name) for name in (*names, *period)}
    return {**figures, "as_of": balance.as_of, "grants": state.grants_shown()}
