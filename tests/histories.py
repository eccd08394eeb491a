"""Random lives of organizations, through the real ledger over SQLite, with everything in them.

    async with history(seed) as life:
        await life.go(steps=100)
        life.reads, life.clock

The same seed lives the same life. What is refused is as welcome as what is not.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from tallystick.domain.commands import (
    Booked,
    BookUsage,
    Captured,
    CaptureHold,
    ChangePlan,
    Command,
    CreateGrant,
    ExtendHold,
    Held,
    Issued,
    Outcome,
    PlaceHold,
    ReleaseHold,
    ReverseUsage,
    VoidGrant,
    usage_content,
)
from tallystick.domain.credits import MICRO
from tallystick.domain.grants import GrantKind
from tallystick.domain.periods import Interval, Schedule
from tallystick.domain.plans import Overage, OverageMode, Plan, Rollover, RolloverMode
from tallystick.ledger.budgets import BudgetUnit
from tallystick.ledger.directory import CreateOrganization
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.reads import Reads
from tallystick.ledger.units import AccountUnit
from tallystick.storage.sqlite import SqliteStore
from tests.harness import Clock

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
START = "2026-01-30T22:00:00Z"
TEAMSPACES = ("ts_home", "ts_lab")
KEYS = ("key_1", "key_2", None)
METERS = ("llm.tokens", "images", None)
_WAITS = (0, 0, 1, SECOND, 7 * 60 * SECOND, HOUR, 9 * HOUR, DAY, 4 * DAY)


@dataclass(kw_only=True)
class Life:
    """One organization under way."""

    organization_id: str
    random: Random
    ledger: Ledger
    store: SqliteStore
    clock: Clock
    grants: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    @property
    def now(self) -> int:
        return self.clock.now

    @property
    def reads(self) -> Reads:
        return Reads(self.store.reader, self.clock)

    async def go(self, steps: int, look: Callable[[Life], Awaitable[None]] | None = None) -> None:
        """Takes so many steps; `look` is called between them."""
        for _ in range(steps):
            self.clock.now += self.random.choice(_WAITS)
            await self.step()
            if look is not None:
                await look(self)

    async def step(self) -> None:
        (move,) = self.random.choices(_MOVES, _WEIGHTS)
        await move(self)

    async def do(self, *commands: Command) -> list[Outcome]:
        unit = AccountUnit(self.organization_id, list(commands))
        outcomes = await self.ledger.submit(self.organization_id, unit)
        assert isinstance(outcomes, list)
        for outcome in outcomes:
            match outcome:
                case Issued():
                    self.grants.append(outcome.grant.id)
                case Held():
                    self.holds.append(outcome.hold.id)
                case Captured():
                    self.events.append(outcome.booked.entry.event_id or "")
                case Booked():
                    self.events.append(outcome.entry.event_id or "")
                case _:
                    pass
        return outcomes

    def amount(self, most: int = 40) -> int:
        return self.random.choice((1, MICRO // 3, MICRO, self.random.randrange(1, most * MICRO)))

    def usage(self) -> BookUsage:
        random = self.random
        meter, teamspace_id = random.choice(METERS), random.choice(TEAMSPACES)
        used, overdraw = random.choice((0, self.amount())), random.random() < 0.4
        occurred_at = random.choice((None, None, self.now - random.randrange(5 * DAY)))
        return BookUsage(
            event_id=f"evt-{self.numbers()}",
            credits=used,
            meter=meter,
            occurred_at=occurred_at,
            dimensions=None,
            overdraw=overdraw,
            teamspace_id=teamspace_id,
            api_key_id=random.choice(KEYS),
            content=usage_content(
                credits_used=used,
                meter=meter,
                occurred_at=occurred_at,
                dimensions=None,
                overdraw=overdraw,
                teamspace_id=teamspace_id,
            ),
        )

    async def use(self) -> None:
        await self.do(*(self.usage() for _ in range(self.random.choice((1, 1, 3)))))

    async def grant(self) -> None:
        random = self.random
        effective_at = random.choice((None, None, self.now + random.randrange(3 * DAY)))
        start = self.now if effective_at is None else effective_at
        await self.do(
            CreateGrant(
                amount=self.amount(60),
                kind=random.choice((GrantKind.TOP_UP, GrantKind.PROMOTIONAL)),
                priority=random.choice((10, 50, 50, 90)),
                effective_at=effective_at,
                expires_at=random.choice((None, start + 1 + random.randrange(9 * DAY))),
                reference=random.choice((None, f"ref-{self.numbers()}")),
            )
        )

    async def void(self) -> None:
        if self.grants:
            part = self.random.choice((None, None, self.amount(10)))
            await self.do(VoidGrant(grant_id=self.random.choice(self.grants), credits=part))

    async def place(self) -> None:
        random = self.random
        await self.do(
            PlaceHold(
                credits=self.amount(30),
                expires_in=random.choice((SECOND, 20 * HOUR, 3 * DAY)),
                meter=random.choice(METERS),
                teamspace_id=random.choice(TEAMSPACES),
                api_key_id=random.choice(KEYS),
            )
        )

    async def end_hold(self) -> None:
        if not self.holds:
            return
        random, hold_id = self.random, self.random.choice(self.holds[-4:])
        command: Command = random.choice(
            (
                ReleaseHold(hold_id=hold_id),
                ExtendHold(hold_id=hold_id, expires_in=random.choice((HOUR, 5 * DAY))),
                CaptureHold(
                    hold_id=hold_id,
                    credits=self.amount(30),
                    event_id=f"evt-{self.numbers()}",
                    final=random.random() < 0.5,
                    allow_excess=random.random() < 0.7,
                    overdraw=random.random() < 0.5,
                ),
            )
        )
        await self.do(command)

    async def reverse(self) -> None:
        if self.events:
            random = self.random
            event_id = random.choice(self.events[-30:])
            part = random.choice((None, None, self.amount(3)))
            await self.do(
                ReverseUsage(event_id=event_id, credits=part, reference=f"rev-{self.numbers()}")
            )

    async def change(self) -> None:
        random = self.random
        await self.do(
            ChangePlan(
                allowance=random.choice((None, self.amount(200))),
                rollover=random.choice((None, *_ROLLOVERS)),
                overage=random.choice((None, Overage(), Overage(mode=OverageMode.ALLOW))),
                apply_now=random.random() < 0.6,
            )
        )

    async def budget(self) -> None:
        limit = self.random.choice((None, self.amount(300)))
        unit = BudgetUnit(self.organization_id, TEAMSPACES[0], limit)
        await self.ledger.submit(self.organization_id, unit)


_MONDAY = datetime(2026, 1, 5)  # noqa: DTZ001 - an anchor is local time by definition
_ROLLOVERS = (
    Rollover(),
    Rollover(mode=RolloverMode.ALL, periods=2),
    Rollover(mode=RolloverMode.PERCENT, cap=33 * MICRO),
)
_MOVES_AND_WEIGHTS = (
    (Life.use, 30),
    (Life.grant, 12),
    (Life.void, 7),
    (Life.place, 14),
    (Life.end_hold, 14),
    (Life.reverse, 12),
    (Life.change, 5),
    (Life.budget, 3),
)
_MOVES = [move for move, _ in _MOVES_AND_WEIGHTS]
_WEIGHTS = [weight for _, weight in _MOVES_AND_WEIGHTS]


@asynccontextmanager
async def history(seed: int, path: Path | str = ":memory:", also: int = 0) -> AsyncIterator[Life]:
    """An organization at `START` whose periods are weeks, and `also` further ones that rest."""
    random, clock = Random(seed), Clock(START)
    store = SqliteStore.open(path, clock=clock, owned=True)
    ledger = Ledger(store)
    plan = Plan(
        allowance=random.choice((0, 50 * MICRO, 120 * MICRO)),
        schedule=Schedule(
            interval=Interval.WEEK, count=1, anchor=_MONDAY, timezone="America/New_York"
        ),
        rollover=random.choice(_ROLLOVERS),
    )
    try:
        for name in (f"org_{number:026d}" for number in range(also + 1)):
            await ledger.submit("", _founding(name, plan))
        yield Life(
            organization_id=f"org_{0:026d}",
            random=random,
            ledger=ledger,
            store=store,
            clock=clock,
        )
    finally:
        await ledger.close()


def _founding(organization_id: str, plan: Plan) -> CreateOrganization:
    return CreateOrganization(
        organization_id=organization_id,
        teamspace_id=TEAMSPACES[0],
        name="Acme",
        external_id=None,
        plan=plan,
        rate_limits={},
        content=bytes(32),
    )
