"""What the oracle speaks of: terms, facts, verdicts; lots, holds and usage with their stories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

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


Drawn = tuple[tuple[int, Decimal], ...]
"""Which lots credits came from or went to, by number, in that order."""


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
class SaidOfHold:
    """What a caller says of a hold besides its reference."""

    credits: Decimal
    lasts: timedelta
    teamspace_id: str
    meter: str | None
    dimensions: Mapping[str, str]


@dataclass(frozen=True)
class SaidOfCapture:
    """What a caller says of a capture besides the event's id; None is as the hold has it."""

    credits: Decimal
    final: bool
    allow_excess: bool
    overdraw: bool
    meter: str | None
    occurred: datetime | None
    dimensions: Mapping[str, str] | None


@dataclass(frozen=True)
class SaidOfReversal:
    """What a caller says of a reversal besides its reference; without credits, all that is left."""

    credits: Decimal | None
    note: str | None


@dataclass(frozen=True)
class Fact:
    """What an entry must say. `about` is what only some kinds of entry say."""

    sequence: int
    kind: str
    at: datetime
    credits: Decimal
    lot: int | None
    drawn: Drawn
    remaining: Decimal
    consumed: Decimal
    overage: Decimal
    held: Decimal
    about: Mapping[str, object]


@dataclass(frozen=True)
class Refused:
    """No, by which rule, with which figures (credits or an instant) and which ids or states."""

    reason: str
    figures: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


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


@dataclass
class Usage:
    """What was used, from which lots, and the amounts that were undone since."""

    event_id: str
    about: Mapping[str, object]
    teamspace_id: str
    api_key_id: str | None
    period: int
    credits: Decimal
    drawn: Drawn
    undone: list[Decimal] = field(default_factory=list)

    @property
    def uncovered(self) -> Decimal:
        return self.credits - sum((part for _, part in self.drawn), NOTHING)

    @property
    def left(self) -> Decimal:
        """What has not been undone."""
        return self.credits - sum(self.undone, NOTHING)

    @property
    def uncovered_left(self) -> Decimal:
        """What no lot covered is undone first."""
        return max(NOTHING, self.uncovered - sum(self.undone, NOTHING))


@dataclass
class Hold:
    """`parts` stay as they were drawn; `taken` is what each capture took of them, in turn."""

    number: int
    said: SaidOfHold
    api_key_id: str | None
    reference: str | None
    parts: Drawn
    created: datetime
    expires: datetime
    taken: list[Decimal] = field(default_factory=list)
    booked: list[Decimal] = field(default_factory=list)
    ended: str | None = None

    @property
    def held_parts(self) -> Drawn:
        """What is still held, by lot."""
        if self.ended:
            return ()
        return stretch(self.parts, sum(self.taken, NOTHING), self.said.credits)

    @property
    def held(self) -> Decimal:
        return sum((part for _, part in self.held_parts), NOTHING)


@dataclass
class Period:
    index: int
    start: datetime
    end: datetime
    allowance: Lot | None = None


Name = TypeVar("Name")


def stretch(
    pieces: Iterable[tuple[Name, Decimal]], start: Decimal, end: Decimal
) -> tuple[tuple[Name, Decimal], ...]:
    """What lies from `start` to `end` on the line that the pieces make, laid end to end."""
    found = []
    begins = NOTHING
    for name, length in pieces:
        ends = begins + length
        part = min(ends, end) - max(begins, start)
        if part > 0:
            found.append((name, part))
        begins = ends
    return tuple(found)


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
