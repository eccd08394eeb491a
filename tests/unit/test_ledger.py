"""Whom the ledger tells of what it wrote, or may have written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, cast

import pytest

from tallystick.ledger.directory import Housekeeping
from tallystick.ledger.ledger import BREATH, MAX_EVENTS, Ledger
from tallystick.ledger.ports import (
    Changes,
    Lane,
    OutcomeUnknown,
    Outrun,
    Snapshot,
    StatementRejected,
    Store,
    StoreError,
    StoreUnavailable,
    Wanted,
)
from tallystick.ledger.units import AdvanceUnit
from tallystick.ledger.work import Work

USED: dict[tuple[str | None, str], int] = {("org_a", "key_a"): 1}


class BrokenStore:
    """Its one lane loads nothing, and fails to append."""

    def __init__(self, failure: type[StoreError] | None) -> None:
        self._failure = failure

    @property
    def lanes(self) -> Sequence[Lane]:
        return [self]

    async def load(self, _: Wanted) -> Snapshot:
        return Snapshot(now=1)

    async def append(self, _: Changes) -> None:
        if self._failure is not None:
            raise self._failure

    async def confirm(self) -> None:
        """Nothing is ever open."""

    async def abandon(self) -> None:
        """Nothing is ever open."""


@pytest.mark.parametrize(
    ("failure", "told"), [(None, True), (OutcomeUnknown, True), (StoreUnavailable, False)]
)
def test_listeners_hear_of_what_was_or_may_have_been_written(
    failure: type[StoreError] | None, told: bool
) -> None:
    """A key whose revocation was committed, but not acknowledged, must not be remembered."""

    async def scenario() -> None:
        ledger = Ledger(cast("Store", BrokenStore(failure)))
        heard: list[Changes] = []
        ledger.listen(heard.append)
        future = ledger.submit("org_a", Housekeeping(keys_used=USED))
        await asyncio.wait([future])
        assert type(future.exception()) is (failure or type(None))
        assert [changes.keys_used for changes in heard] == [USED] * told

    asyncio.run(scenario())


class Turn(NamedTuple):
    """A unit with as many events as may be decided at once; it notes when its turn came."""

    heard: list[str]

    @property
    def weight(self) -> int:
        return BREATH

    def wants(self, wanted: Wanted) -> None:
        """Names nothing."""

    def decide(self, _: Work) -> None:
        self.heard.append("unit")


def test_others_are_served_while_a_large_batch_is_decided() -> None:
    async def scenario() -> list[str]:
        ledger = Ledger(cast("Store", BrokenStore(None)))
        heard: list[str] = []
        units = [ledger.submit("org_a", Turn(heard)) for _ in range(MAX_EVENTS // BREATH)]
        loop = asyncio.get_running_loop()

        def neighbour() -> None:
            heard.append("neighbour")
            if not units[-1].done():
                loop.call_soon(neighbour)

        loop.call_soon(neighbour)
        await asyncio.gather(*units)
        return heard

    heard = asyncio.run(scenario())
    first, last = heard.index("unit"), len(heard) - 1 - heard[::-1].index("unit")
    between = heard[first:last]
    assert between == ["unit", "neighbour"] * (MAX_EVENTS // BREATH - 1)


class RacedStore(BrokenStore):
    """Another writer is faster than this one, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(None)
        self._times = times
        self.loads = 0

    async def load(self, _: Wanted) -> Snapshot:
        self.loads += 1
        return Snapshot(now=1)

    async def append(self, _: Changes) -> None:
        if self.loads <= self._times:
            raise Outrun


@pytest.mark.parametrize(("times", "loads"), [(0, 1), (1, 2)])
def test_who_was_outrun_loads_again_and_finds_what_was_in_the_way(times: int, loads: int) -> None:
    async def scenario() -> None:
        store = RacedStore(times)
        await Ledger(cast("Store", store)).submit("", Housekeeping(keys_used=USED))
        assert store.loads == loads

    asyncio.run(scenario())


def test_who_is_outrun_again_and_again_is_told() -> None:
    async def scenario() -> None:
        store = RacedStore(9)
        with pytest.raises(StatementRejected):
            await Ledger(cast("Store", store)).submit("", Housekeeping(keys_used=USED))
        assert store.loads == 2

    asyncio.run(scenario())


class LockedStore(BrokenStore):
    """Somebody else has the account of `org_b`, and is waited for no more."""

    async def load(self, _: Wanted) -> Snapshot:
        return Snapshot(now=1, elsewhere={"org_b"}, given_up={"org_b"})


def test_an_account_that_is_given_up_fails_its_own_units_only() -> None:
    async def scenario() -> None:
        ledger = Ledger(cast("Store", LockedStore(None)))
        answers: list[object] = await asyncio.gather(
            ledger.submit("org_a", AdvanceUnit("org_a")),
            ledger.submit("org_b", AdvanceUnit("org_b")),
            return_exceptions=True,
        )
        assert answers[0] is None
        assert isinstance(answers[1], StoreUnavailable)
        assert "org_b" in str(answers[1])

    asyncio.run(scenario())
