"""What an organization is entitled to: allowance, billing periods, rollover and overage."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tallystick.domain.credits import MAX_AMOUNT, MAX_SUM, MICRO
from tallystick.domain.periods import Interval, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ROLLOVER_PERIODS = 100


class InvalidPlan(ValueError):
    """A plan that contradicts itself; the message says what to do."""


class RolloverMode(enum.StrEnum):
    NONE = "none"
    ALL = "all"
    AMOUNT = "amount"
    PERCENT = "percent"


class OverageMode(enum.StrEnum):
    DENY = "deny"
    LIMIT = "limit"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollover:
    """What of an allowance survives its period, and for how many further periods.

    `cap` is in micro-credits (`amount`) or in millionths of a percent (`percent`).
    """

    mode: RolloverMode = RolloverMode.NONE
    cap: int | None = None
    periods: int = 1

    def __post_init__(self) -> None:
        if (self.cap is not None) != (self.mode in {RolloverMode.AMOUNT, RolloverMode.PERCENT}):
            raise InvalidPlan("a rollover has a cap exactly when its mode is amount or percent")
        if self.cap is not None and not 0 <= self.cap <= self._largest_cap():
            raise InvalidPlan(f"the rollover cap must be from 0 to {self._largest_cap() // MICRO}")
        if not 1 <= self.periods <= MAX_ROLLOVER_PERIODS:
            raise InvalidPlan(f"rollover periods must be from 1 to {MAX_ROLLOVER_PERIODS}")

    def _largest_cap(self) -> int:
        return 100 * MICRO if self.mode is RolloverMode.PERCENT else MAX_AMOUNT

    def carried(self, unspent: int) -> int:
        """How much of `unspent` micro-credits lives on; a percentage is rounded down."""
        match self.mode:
            case RolloverMode.NONE:
                return 0
            case RolloverMode.ALL:
                return unspent
            case RolloverMode.AMOUNT:
                return min(unspent, self.cap or 0)
            case RolloverMode.PERCENT:
                return unspent * (self.cap or 0) // (100 * MICRO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overage:
    """How far authorized usage may go beyond what grants cover, a period (micro-credits)."""

    mode: OverageMode = OverageMode.DENY
    limit: int | None = None

    def __post_init__(self) -> None:
        if (self.limit is not None) != (self.mode is OverageMode.LIMIT):
            raise InvalidPlan("an overage policy has a limit exactly when its mode is limit")
        if self.limit is not None and not 0 <= self.limit <= MAX_SUM:
            raise InvalidPlan(f"the overage limit must be from 0 to {MAX_SUM // MICRO}")

    def headroom(self, overage: int) -> int:
        """What may still go uncovered in a period that has `overage` already."""
        match self.mode:
            case OverageMode.DENY:
                return 0
            case OverageMode.LIMIT:
                return max(0, (self.limit or 0) - overage)
            case OverageMode.ALLOW:
                return MAX_SUM


CALENDAR_MONTH = Schedule(
    interval=Interval.MONTH,
    count=1,
    anchor=datetime(2000, 1, 1),  # noqa: DTZ001 - an anchor is local time by definition
    timezone="UTC",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    allowance: int = 0
    schedule: Schedule = CALENDAR_MONTH
    rollover: Rollover = Rollover()
    overage: Overage = Overage()

    def __post_init__(self) -> None:
        if not 0 <= self.allowance <= MAX_AMOUNT:
            raise InvalidPlan(f"the allowance must be from 0 to {MAX_AMOUNT // MICRO} credits")

    def to_facts(self) -> dict[str, object]:
        """The plan as plain JSON values: how entries and rows keep it."""
        return {
            "allowance": self.allowance,
            "anchor": self.schedule.anchor.isoformat(),
            "count": self.schedule.count,
            "interval": str(self.schedule.interval),
            "overage": str(self.overage.mode),
            "overage_limit": self.overage.limit,
            "rollover": str(self.rollover.mode),
            "rollover_cap": self.rollover.cap,
            "rollover_periods": self.rollover.periods,
            "timezone": self.schedule.timezone,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, object]) -> Plan:
        """The inverse of `to_facts`."""
        return cls(
            allowance=_integer(facts["allowance"]),
            schedule=Schedule(
                interval=Interval(str(facts["interval"])),
                count=_integer(facts["count"]),
                anchor=datetime.fromisoformat(str(facts["anchor"])),
                timezone=str(facts["timezone"]),
            ),
            rollover=Rollover(
                mode=RolloverMode(str(facts["rollover"])),
                cap=_optional(facts["rollover_cap"]),
                periods=_integer(facts["rollover_periods"]),
            ),
            overage=Overage(
                mode=OverageMode(str(facts["overage"])), limit=_optional(facts["overage_limit"])
            ),
        )


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise InvalidPlan(f"a whole number was expected, not {value!r}")
    return value


def _optional(value: object) -> int | None:
    return None if value is None else _integer(value)
