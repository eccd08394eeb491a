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
    Snapshot,
    Store,
    StoreError,
    StoreUnavailable,
    Wanted,
)
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
