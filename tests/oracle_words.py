"""What the oracle speaks of: terms, facts, verdicts, and lots of credits with their stories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tests.oracle_calendar import Calendar

NOTHING = Decimal(0)
SMALLEST = Decimal("0.000001")
LARGEST_SUM = Decimal(8_000_000_000)

KINDS_IN_BURN_ORDER = ("rollover", "allowance", "promotional", "adjustment", "top_up")


@dataclass(frozen=True)
class Terms:
    """A plan. `rollover_cap` is in credits or in percent, as `rollover` has it."""

    allowance: Decimal
    calendar: Calendar
    rollover: str = "none"
    rollover_cap: Decimal | None = None
    rollover_periods: int = 1
    overage: str = "deny"
    overage_limit: Decimal | None = None


@dataclass(frozen=True)
class Said:
    """What a caller says of usage besides its id: repeated, all of it must be the same."""

    credits: Decimal
    overdraw: bool
    teamspace_id: str
    meter: str | None
    occurred: datetime | None
    dimensions: Mapping[str, str]


@dataclass(frozen=True)
class Fact:
    """What an entry must say. `about` is what only some kinds of entry say."""

    sequence: int
    kind: str
    at: datetime
    credits: Decimal
    lot: int | None
    drawn: tuple[tuple[int, Decimal], ...]
    remaining: Decimal
    consumed: Decimal
    overage: Decimal
    about: Mapping[str, object]


@dataclass(frozen=True)
class Refused:
    """No, by which rule, and with which figures (credits or an instant)."""

    reason: str
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Repeated:
    """Asked before: what was answered then."""

    fact: Fact


Verdict = list[Fact] | Refused | Repeated


@dataclass
class Lot:
    number: int
    kind: str
    priority: int
    effective: datetime
    expires: datetime | None
    created: datetime
    reference: str | None
    amount: Decimal
    is_effective: bool
    ended: str | None = None
    moves: list[Decimal] = field(default_factory=list)

    @property
    def left(self) -> Decimal:
        return sum(self.moves, NOTHING)

    @property
    def status(self) -> str:
        if self.ended:
            return self.ended
        if not self.left:
            return "exhausted"
        return "active" if self.is_effective else "pending"


@dataclass(frozen=True)
class Usage:
    period: int
    credits: Decimal
    uncovered: Decimal


@dataclass
class Period:
    index: int
    start: datetime
    end: datetime
    allowance: Lot | None = None


def burns_before(one: Lot, other: Lot) -> bool:
    """Rule 3, spelled out."""
    if one.priority != other.priority:
        return one.priority < other.priority
    if one.expires != other.expires:
        if one.expires is None or other.expires is None:
            return other.expires is None
        return one.expires < other.expires
    if one.kind != other.kind:
        rank = KINDS_IN_BURN_ORDER.index
        return rank(one.kind) < rank(other.kind)
    if one.effective != other.effective:
        return one.effective < other.effective
    return one.number < other.number
