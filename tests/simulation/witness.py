"""Stands between the ledger and its store, and tells what was decided, in which order, and became
of it.

The order in which a ledger decides is one that could have been sent one after the other. So the
oracle is asked in that order, batch by batch, at the moment at which a batch is settled: when its
commit stands in the file, which is found out by looking. Each batch therefore carries a mark, a row
that is written in its own transaction and holds the batch's number. A batch whose mark is not there
was given up, unless the store said that it did not know: then it may still come to light when the
file is opened anew, until a later one is settled.

A batch that changes nothing is settled when the first of its answers arrives.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tallystick.domain.entries import Sealed
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import (
    Changes,
    Lane,
    OutcomeUnknown,
    Replay,
    ReplayKey,
    Snapshot,
    Store,
    StoreError,
    Wanted,
)
from tallystick.ledger.reading import Reader
from tallystick.ledger.work import Unit, Work


class Fate(enum.StrEnum):
    OPEN = "open"
    UNDER_WAY = "under way"
    IN_DOUBT = "in doubt"
    SETTLED = "settled"
    GIVEN_UP = "given up"


class Judge(Protocol):
    """An operation that knows what the oracle says of its outcome; `decide` wrote `outcome`."""

    def judge(self, outcome: object, now: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Decision:
    unit: WitnessedUnit
    outcome: object


@dataclass(slots=True, eq=False)
class Batch:
    number: int
    now: int
    decisions: list[Decision] = field(default_factory=list)
    entries: list[Sealed] = field(default_factory=list)
    fate: Fate = Fate.OPEN


class Witness:
    """What is known of batches, across all lives of the process.

    `settle` is called with each batch that has come to stand in the file, or has changed nothing.
    """

    def __init__(self, settle: Callable[[Batch], None], note: Callable[[str], None]) -> None:
        self._settle = settle
        self._note = note
        self._batches = 0
        self._settled = 0
        self._under_way: Batch | None = None
        self._in_doubt: list[Batch] = []

    def open(self, now: int) -> Batch:
        self._batches += 1
        return Batch(self._batches, now)

    def begin(self, batch: Batch, changes: Changes) -> None:
        """The batch's changes are about to be written; its mark is added to them."""
        body = str(batch.number).encode()
        mark = ReplayKey("", "", "simulation", str(batch.number))
        changes.replays[mark] = Replay(mark, b"", 200, body, batch.now)
        batch.entries = list(changes.entries)
        batch.fate = Fate.UNDER_WAY
        self._under_way = batch

    def look(self, mark: int) -> None:
        """Finds out from the mark in the file whether a batch has come to stand there."""
        candidates = [*self._in_doubt, *([self._under_way] if self._under_way else [])]
        for batch in candidates:
            if batch.number == mark:
                if batch is self._under_way:
                    self._under_way = None
                self._give_up_doubts(but=batch)
                self.settle(batch)
        assert mark == self._settled, (
            f"batch {self._settled} was settled, and the file is now at batch {mark}"
        )

    def settle(self, batch: Batch) -> None:
        if batch.fate is not Fate.OPEN:
            self._settled = batch.number
        batch.fate = Fate.SETTLED
        for decision in batch.decisions:
            assert not decision.unit.is_settled, "what was asked once was done twice"
            decision.unit.is_settled = True
        self._settle(batch)

    def _give_up_doubts(self, but: Batch | None = None) -> None:
        for batch in self._in_doubt:
            if batch is not but:
                batch.fate = Fate.GIVEN_UP
        self._in_doubt.clear()

    def failed(self, batch: Batch, error: BaseException) -> None:
        """The store said that it could not write the batch, or that it does not know."""
        self._note(f"batch {batch.number} failed: {type(error).__name__}")
        if batch.fate is Fate.SETTLED:
            assert isinstance(error, OutcomeUnknown), "a batch that failed stands in the file"
            return
        self._under_way = None
        if isinstance(error, OutcomeUnknown):
            batch.fate = Fate.IN_DOUBT
            self._in_doubt.append(batch)
        else:
            batch.fate = Fate.GIVEN_UP

    def opened_again(self, mark: int) -> None:
        """After a crash: what was under way is there now, or never will be."""
        if self._under_way is not None:
            self._under_way.fate = Fate.IN_DOUBT
            self._in_doubt.append(self._under_way)
            self._under_way = None
        self.look(mark)
        self._give_up_doubts()

    def answered(self, decision: Decision, batch: Batch) -> None:
        """A client has its answer: what it says must be there for good."""
        if batch.fate is Fate.OPEN:
            self.settle(batch)
        assert batch.fate is Fate.SETTLED, f"answered while its batch was {batch.fate}"
        assert decision in batch.decisions


class WitnessedUnit:
    """A unit; `decisions` has what was decided about it, each time that it was tried."""

    def __init__(self, unit: Unit, operation: Judge, life: Life) -> None:
        self._unit = unit
        self.operation = operation
        self.is_settled = False
        self._life = life
        self.decisions: list[tuple[Decision, Batch]] = []

    @property
    def weight(self) -> int:
        return self._unit.weight

    def wants(self, wanted: Wanted) -> None:
        self._unit.wants(wanted)

    def decide(self, work: Work) -> object:
        outcome = self._unit.decide(work)
        if self._life.is_over:
            return outcome
        decision = Decision(self, outcome)
        batch = self._life.batch
        batch.decisions.append(decision)
        self.decisions.append((decision, batch))
        return outcome


class WitnessedLane:
    def __init__(self, lane: Lane, life: Life) -> None:
        self._lane = lane
        self._life = life

    async def load(self, wanted: Wanted) -> Snapshot:
        snapshot = await self._lane.load(wanted)
        if not self._life.is_over:
            self._life.batch = self._life.witness.open(snapshot.now)
        return snapshot

    async def append(self, changes: Changes) -> None:
        life = self._life
        if life.is_over:
            await self._lane.append(changes)
            return
        batch = life.batch
        life.witness.begin(batch, changes)
        try:
            await self._lane.append(changes)
        except StoreError as error:
            if not life.is_over:
                life.look()
                life.witness.failed(batch, error)
            raise
        if not life.is_over:
            life.look()
            assert batch.fate is Fate.SETTLED, "said to be durable, and not in the file"

    async def confirm(self) -> None:
        await self._lane.confirm()

    async def abandon(self) -> None:
        await self._lane.abandon()


class WitnessedStore:
    """A store whose lane is looked at."""

    def __init__(self, store: Store, life: Life) -> None:
        self._store = store
        self.reader: Reader = store.reader
        self.lanes = [WitnessedLane(lane, life) for lane in store.lanes]

    async def check(self) -> None:
        await self._store.check()

    async def close(self) -> None:
        await self._store.close()


class WitnessedLedger(Ledger):
    """A ledger that tells of units which nobody witnesses yet: the sweeper's."""

    def __init__(self, store: WitnessedStore, witnessed: Callable[[Unit], WitnessedUnit]) -> None:
        super().__init__(store)
        self._witnessed = witnessed

    def submit(self, organization_id: str, unit: Unit) -> asyncio.Future[Any]:
        if not isinstance(unit, WitnessedUnit):
            unit = self._witnessed(unit)
        return super().submit(organization_id, unit)


class Life:
    """What of a process's life the witness needs: its batch under way, and a look at its file.

    `mark` finds the number of the last batch that stands there, 0 where none does.
    """

    def __init__(self, witness: Witness, mark: Callable[[], int]) -> None:
        self.witness = witness
        self.is_over = False
        self.batch = Batch(0, 0)
        self.mark = mark

    def look(self) -> None:
        if not self.is_over:
            self.witness.look(self.mark())
