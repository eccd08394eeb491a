"""The ledger: submits units to their lane, one transaction a batch, answers after the commit.

    submit(unit) → lane's coalescer → load → decide each → finish (seal) → append (commit) → answer

Organizations are spread over the store's lanes by name, so all that concerns one organization
passes through one lane, in the order it came.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any

from tallystick.ledger.coalesce import AGAIN, Coalescer, Failed
from tallystick.ledger.ports import OutcomeUnknown, Outrun, StoreUnavailable, Wanted
from tallystick.ledger.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tallystick.ledger.coalesce import Again
    from tallystick.ledger.ports import Changes, Lane, Snapshot, Store
    from tallystick.ledger.work import Unit

MAX_EVENTS = 256
"""Events in a batch, unless one unit has more by itself."""
BREATH = 64
"""Events that are decided without letting others have the event loop."""


class Ledger:
    """Writes to the store: everything that changes anything goes through `submit`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._listeners: list[Callable[[Changes], None]] = []
        self._lanes = [
            Coalescer[Any, Any](
                LaneBatch(lane, self._tell),
                weigh=lambda unit: unit.weight,
                max_weight=MAX_EVENTS,
                is_final=_concerns_all,
            )
            for lane in store.lanes
        ]

    def submit(self, organization_id: str, unit: Unit) -> asyncio.Future[Any]:
        """What becomes of `unit`, once that is durable.

        The future raises StoreUnavailable (nothing was changed) or OutcomeUnknown (the same ids
        find out); `Overloaded` is raised at once where too much waits.
        """
        lane = zlib.crc32(organization_id.encode()) % len(self._lanes)
        return self._lanes[lane].submit(unit)

    def listen(self, listener: Callable[[Changes], None]) -> None:
        """Calls `listener` with the changes of every batch, right after its commit, and with those
        of which it is not known whether they were made."""
        self._listeners.append(listener)

    async def drained(self) -> None:
        """Returns when all that was submitted is finished."""
        for lane in self._lanes:
            await lane.drained()

    async def close(self) -> None:
        """Finishes what was submitted and lets go of the store."""
        await self.drained()
        await self.store.close()

    def _tell(self, changes: Changes) -> None:
        for listener in self._listeners:
            listener(changes)


class LaneBatch:
    """Runs batches of units on one lane of the store."""

    def __init__(self, lane: Lane, tell: Callable[[Changes], None]) -> None:
        self._lane = lane
        self._tell = tell

    async def __call__(self, units: Sequence[Unit]) -> list[Any]:
        try:
            return await self._run(units)
        except Outrun:
            # Once more is enough: what was in the way is there to be found now.
            return await self._run(units)

    async def _run(self, units: Sequence[Unit]) -> list[Any]:
        wanted = Wanted()
        for unit in units:
            unit.wants(wanted)
        work = Work(await self._lane.load(wanted))
        try:
            outcomes = await _decide(units, work)
            changes = work.finish()
            if len(changes.entries) > BREATH:
                await asyncio.sleep(0)
        except BaseException:
            await self._lane.abandon()
            raise
        if changes.is_empty():
            # A repetition is told what was done before: as firmly as whoever did it.
            await self._lane.confirm()
        else:
            await self._append(changes)
        return outcomes

    async def _append(self, changes: Changes) -> None:
        try:
            await self._lane.append(changes)
        except OutcomeUnknown:
            # Whoever remembers what was there before must ask again: it may have been made, and
            # then a repetition finds nothing left to change, and nobody would be told.
            self._tell(changes)
            raise
        self._tell(changes)


async def _decide(units: Sequence[Unit], work: Work) -> list[Any]:
    """What becomes of each unit, in order; others are served in between."""
    outcomes: list[Any] = []
    weight = 0
    for unit in units:
        missing = _elsewhere(unit, work.snapshot) if work.snapshot.elsewhere else None
        if missing:
            outcomes.append(_postponed(missing, work.snapshot))
            continue
        if weight >= BREATH:
            weight = 0
            await asyncio.sleep(0)
        outcomes.append(unit.decide(work))
        weight += unit.weight
    return outcomes


def _elsewhere(unit: Unit, snapshot: Snapshot) -> set[str]:
    """The accounts that `unit` needs and another lane has just now."""
    wanted = Wanted()
    unit.wants(wanted)
    named = {snapshot.by_external_id.get(name, "") for name in wanted.external_ids}
    return snapshot.elsewhere & (wanted.organizations | named)


def _postponed(missing: set[str], snapshot: Snapshot) -> Again | Failed:
    given_up = missing & snapshot.given_up
    if not given_up:
        return AGAIN
    names = ", ".join(sorted(given_up))
    return Failed(StoreUnavailable(f"somebody has locked the account of {names} for too long"))


def _concerns_all(error: BaseException) -> bool:
    """Whether every unit of the batch fares the same, so that replaying singly is pointless."""
    return isinstance(error, StoreUnavailable | OutcomeUnknown)
