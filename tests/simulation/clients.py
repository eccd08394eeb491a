"""Clients: they ask, wait, lose answers, go away, and ask the same again until they know.

A client that was answered has a receipt, and from then on what it says must be there for good. One
that was not asks again, if it has the patience: after a refusal of the store, an outcome that
nobody knows, an answer that got lost, or a crash.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tallystick.domain.commands import Booked, Captured
from tallystick.domain.errors import Refusal
from tallystick.ledger.ports import StatementRejected, StoreError
from tests.simulation.audit import Receipts
from tests.simulation.loop import MICROSECOND
from tests.simulation.operations import Operation, operation
from tests.simulation.reads import brief, reading
from tests.simulation.script import Step
from tests.simulation.tenant import Tenant, Watch
from tests.simulation.witness import WitnessedUnit

if TYPE_CHECKING:
    from tests.simulation.postgres import PostgresProcess
    from tests.simulation.process import Process
    from tests.simulation.world import World

_NOT_KNOWN = object()
"""What a client has that got no answer."""


class Clients:
    """All of them: who does what is in the script's steps."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._looks: list[int] = []
        """What the clock showed when something was read."""
        self.receipts = Receipts()

    async def course(self, step: Step, tenant: Tenant) -> None:
        """All that comes of one step."""
        if step.what == "read":
            await self._read(step, tenant)
        else:
            await self._ask(step, tenant)

    async def _ask(self, step: Step, tenant: Tenant) -> None:
        world = self._world
        await world.up()
        asked = operation(step, tenant, world.clock(), world.kept)
        self.receipts.note_asked(tenant, step)
        for attempt in range(step.number("tries", 1)):
            if attempt:
                await world.pause(step.number("again", 500))
            process = await world.up()
            answer = await self._try(step, asked, process, attempt)
            if answer is not _NOT_KNOWN:
                self.receipts.take(tenant, answer)
                return

    async def _try(
        self, step: Step, asked: Operation, process: Process | PostgresProcess, attempt: int
    ) -> object:
        world = self._world
        unit = WitnessedUnit(asked.unit, asked, process)
        future = process.ledger.submit(asked.tenant.id, unit)
        for _ in range(step.number("copies", 1) - 1):
            # The same from another connection, whose answer nobody waits for.
            copy = WitnessedUnit(asked.unit, asked, process)
            process.ledger.submit(asked.tenant.id, copy)
        world.trace.operations += asked.unit.weight * step.number("copies", 1)
        leaves = step.number("leaves") if not attempt else 0
        await asyncio.wait(
            {future, process.ended},
            timeout=leaves * MICROSECOND or None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if process.is_over or not future.done():
            future.cancel()
            return self._tell(step, "has no answer")
        try:
            outcome = future.result()
        except StatementRejected:
            assert step.says("poison"), "the database refused what is well-formed"
            return self._tell(step, "was refused by the database")
        except StoreError as error:
            return self._tell(step, f"got {type(error).__name__}")
        if attempt < step.number("lost"):
            return self._tell(step, "lost its answer")
        self._check_answer(unit, outcome)
        self._tell(step, f"was answered {_brief(outcome)}")
        return outcome

    def _check_answer(self, unit: WitnessedUnit, outcome: object) -> None:
        assert unit.decisions, "answered before it was decided about"
        decision, batch = unit.decisions[-1]
        assert decision.outcome is outcome, "the answer is not what was decided"
        self._world.witness.answered(decision, batch)

    def _tell(self, step: Step, what: str) -> object:
        self._world.note(f"  {step.who} {step.what} {_named(step)}{what}")
        return _NOT_KNOWN

    async def _read(self, step: Step, tenant: Tenant) -> None:
        world = self._world
        process = await world.up()
        instant = self._instant(step)
        read, see = reading(step.text("of"), instant)
        self._looks.append(world.clock())
        world.trace.operations += 1
        watch = Watch(see)
        tenant.watches.append(watch)
        watch.note(tenant.oracle, world.clock())
        try:
            found = asyncio.ensure_future(read(process.reads, tenant))
            waiting: set[asyncio.Future[Any]] = {found, process.ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tenant.watches.remove(watch)
        if process.is_over:
            found.cancel()
            return
        said = found.result()
        world.note(f"  {step.who} read {step.text('of')}: {brief(said)}")
        assert said in watch.possible, f"read {said}, and it could only be {watch.possible}"

    def _instant(self, step: Step) -> int:
        """An instant at which somebody has read before."""
        earlier = self._looks or [self._world.clock()]
        return earlier[step.number("look") % len(earlier)]


def _named(step: Step) -> str:
    names = ("event", "hold", "grant", "subject", "to")
    return "".join(f"{step.text(name)} " for name in names if step.maybe(name))


def _brief(outcome: object) -> str:
    """An answer in few words, for the trace."""
    if isinstance(outcome, list):
        return "; ".join(map(_brief, outcome))
    if isinstance(outcome, Refusal):
        return f"{outcome.reason.name}"
    if isinstance(outcome, Booked):
        again = " again" if outcome.duplicate else ""
        return f"#{outcome.entry.sequence}: {outcome.entry.credits} micro-credits{again}"
    if isinstance(outcome, Captured):
        return _brief(outcome.booked)
    return type(outcome).__name__
