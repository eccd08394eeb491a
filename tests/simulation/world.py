"""A simulated world: one process of the ledger, its disk and clock, and many clients.

    trace = run(script)         the same script gives the same trace, byte for byte
    trace.failure               None, or what was wrong

The script's steps happen at their moments of virtual time; what clients ask goes on beside them.
The trace has every step and what came of it, in the order in which things happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from tallystick.domain.periods import format_instant
from tallystick.ledger.sweeper import sweep
from tallystick.ledger.units import AdvanceUnit
from tests.simulation import edges
from tests.simulation.audit import audit
from tests.simulation.clients import Clients
from tests.simulation.founding import found
from tests.simulation.loop import MICROSECOND, VirtualLoop
from tests.simulation.operations import Kept, sweeping
from tests.simulation.postgres import PostgresProcess
from tests.simulation.process import DiskMachine, Doom, Process
from tests.simulation.script import Script, Step
from tests.simulation.tenant import Tenant, settled
from tests.simulation.threads import Noting, Pace
from tests.simulation.witness import Batch, Witness, WitnessedUnit

_PATIENCE = 60.0
"""Virtual seconds after the last step, by which everybody has had an answer or given up."""


class Failed(AssertionError):
    """The world is not as it ought to be."""


@dataclass
class Trace:
    """What happened; `operations` counts what was asked of the ledger, each event of a batch and
    each further try, and what was read."""

    lines: list[str] = field(default_factory=list)
    operations: int = 0
    failure: BaseException | None = None

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


class Machine(Protocol):
    """What processes run on, one after the other; each finds what the one before left."""

    def start(
        self,
        clock: Callable[[], int],
        witness: Witness,
        pace: Pace,
        attempt: Callable[[Callable[[], None]], None],
    ) -> Process | PostgresProcess: ...

    def close(self) -> None: ...


def run(script: Script, machine: Callable[[], Machine] = DiskMachine) -> Trace:
    """Lets the script happen in a world of its own."""
    trace = Trace()
    runs_on = machine()
    loop = VirtualLoop()
    try:
        loop.run_until_complete(_live(script, runs_on, loop, trace))
    finally:
        loop.close()
        runs_on.close()
    return trace


async def _live(script: Script, machine: Machine, loop: VirtualLoop, trace: Trace) -> None:
    world = World(machine, loop, trace)
    try:
        await world.live(script)
    except Failed as failure:
        trace.failure = failure.__cause__
        world.note(f"FAILED: {type(failure.__cause__).__name__}: {failure.__cause__}")
    finally:
        await world.end()


class Clock:
    """What the ledger's clock shows: only steps of the script turn it."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.shows = edges.start(edges.STARTS[0])
        self._changed = changed

    def __call__(self) -> int:
        return self.shows

    def turn(self, to: int) -> None:
        self.shows = to
        self._changed()


class World:
    def __init__(self, machine: Machine, loop: VirtualLoop, trace: Trace) -> None:
        self.trace = trace
        self.tenants: dict[str, Tenant] = {}
        """By the number that the script gives them."""
        self.kept = Kept()
        self.clock = Clock(self._clock_was_turned)
        self.witness = Witness(self._settle, self.note)
        self.process: Process | PostgresProcess
        self._machine = machine
        self._loop = loop
        self._lives = 0
        self._pace = Pace()
        self._failed: asyncio.Future[None] = loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_up = asyncio.Event()
        self._clients = Clients(self)

    # ── what everybody in it uses ──

    def note(self, text: str) -> None:
        self.trace.lines.append(f"{self._loop.now:>9} {text}")

    def attempt(self, check: Callable[[], None]) -> None:
        """Runs a check; one that fails ends the world."""
        with Noting(self._fail):
            check()

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            failed = Failed()
            failed.__cause__ = error
            self._failed.set_exception(failed)

    async def up(self) -> Process | PostgresProcess:
        """The process, as soon as there is one that runs."""
        await self._is_up.wait()
        return self.process

    async def pause(self, microseconds: int) -> None:
        await asyncio.sleep(microseconds * MICROSECOND)

    # ── its course ──

    async def live(self, script: Script) -> None:
        self._open()
        steps = self._start(self._take_steps(script))
        while not steps.done() or self._tasks:
            waiting: list[asyncio.Future[None]] = [*self._tasks, self._failed]
            done, _ = await asyncio.wait(
                waiting,
                timeout=_PATIENCE if steps.done() else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._failed.done():
                self._failed.result()
            if not done:
                raise Failed from TimeoutError("somebody waits for ever")
        self.attempt(self.audit)
        if self._failed.done():
            self._failed.result()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.process.bury()

    def _start(self, course: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(course)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _take_steps(self, script: Script) -> None:
        for step in script:
            if step.pause:
                await self.pause(step.pause)
            self.note(str(step))
            await self._take(step)
        self.process.calm()

    async def _take(self, step: Step) -> None:
        if step.what == "found":
            await found(self, step)
        elif step.who == "clock":
            self._turn_clock(step)
        elif step.who == "disk":
            self._disturb(step)
        elif step.who == "process":
            self._doom(step)
        elif step.who == "sweeper":
            self._start(self._sweep())
        elif step.who == "auditor":
            self.audit()
        elif step.text("org") in self.tenants:
            self._start(self._clients.course(step, self.tenants[step.text("org")]))

    # ── time, disk, process ──

    def _turn_clock(self, step: Step) -> None:
        if step.what == "set":
            self.clock.turn(edges.start(step.text("to")))
        elif step.what == "back":
            self.clock.turn(self.clock() - step.number("seconds") * 1_000_000)
        elif step.what == "ahead":
            self.clock.turn(self.clock() + step.number("seconds") * 1_000_000)
        elif step.text("org") in self.tenants:
            oracle = settled(self.tenants[step.text("org")].oracle, self.clock())
            self.clock.turn(edges.wait(step.what, oracle, self.clock()))
        self.note(f"  the clock shows {format_instant(self.clock())}")

    def _clock_was_turned(self) -> None:
        for tenant in self.tenants.values():
            tenant.note(self.clock())

    def _disturb(self, step: Step) -> None:
        if step.what == "pace":
            self._pace.begins_after = step.number("begins")
            self._pace.known_after = step.number("known")
            return
        self.process.disturb(
            step.what,
            at=step.text("at"),
            file=step.text("file"),
            after=step.number("after"),
            times=step.number("times", 1),
        )

    def _doom(self, step: Step) -> None:
        process = self.process
        if process.is_over:
            return
        chance = Random(step.number("chance"))
        if step.maybe("after") is None:
            process.crash(step.what, chance)
        else:
            process.doom = Doom(step.what, step.number("after"), chance)

    def _open(self) -> None:
        """Starts the process on what there is, and sees to it that it starts again."""
        self._lives += 1
        self.process = self._machine.start(self.clock, self.witness, self._pace, self.attempt)
        self.process.run(self._witnessed)
        self.witness.opened_again(self.process.mark())
        if self._lives > 1:
            self.note(f"  the process runs again ({self._lives})")
            self.audit()
        self._is_up.set()
        self.process.ended.add_done_callback(lambda _: self._crashed())

    def _crashed(self) -> None:
        if self._failed.done():
            return
        self.note("  the process crashed")
        self._is_up.clear()
        self._start(self._start_again(self.process))

    async def _start_again(self, crashed: Process | PostgresProcess) -> None:
        await crashed.bury()
        self._open()

    # ── what is checked ──

    def audit(self) -> None:
        if not self.process.is_over:
            with self.process.ledger_file() as path:
                audit(path, self.tenants.values(), self._clients.receipts)
            self.note("  audited")

    def _settle(self, batch: Batch) -> None:
        """Asks the oracle about everything that the batch decided, in that order."""
        before = {name: len(tenant.entries) for name, tenant in self.tenants.items()}
        for tenant in self.tenants.values():
            tenant.is_about_to_change()
            tenant.file(batch.entries)
        for decision in batch.decisions:
            decision.unit.operation.judge(decision.outcome, batch.now)
        for name, tenant in self.tenants.items():
            if name not in before:
                tenant.file(batch.entries)
            tenant.compare_stories(before.get(name, 0))
        self._clock_was_turned()
        written = ", ".join(
            f"{tenant.name} #{before.get(name, 0) + 1}…{len(tenant.entries)}"
            for name, tenant in self.tenants.items()
            if len(tenant.entries) > before.get(name, 0)
        )
        self.note(
            f"  batch {batch.number} of {len(batch.decisions)} settled"
            + (f": {written}" if written else "")
        )

    async def _sweep(self) -> None:
        process = await self.up()
        sweeping_now = asyncio.ensure_future(
            sweep(process.ledger, self.clock(), lambda error: self.note(f"  sweeping: {error!r}"))
        )
        waiting: set[asyncio.Future[Any]] = {sweeping_now, process.ended}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if process.is_over:
            sweeping_now.cancel()
        else:
            self.note(f"  swept {sweeping_now.result()}")

    def _witnessed(self, unit: object) -> WitnessedUnit:
        """What the sweeper does is nobody's request."""
        assert isinstance(unit, AdvanceUnit)
        (tenant,) = (one for one in self.tenants.values() if one.id == unit.organization_id)
        return WitnessedUnit(unit, sweeping(tenant, unit), self.process)
