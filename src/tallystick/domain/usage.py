"""Statistics of usage: 15-minute roll-ups, and what the recent pace says of the future.

A quarter of an hour divides every zone's offset, so sums over hours and days of any zone are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.commands import DAY

if TYPE_CHECKING:
    from tallystick.domain.dimensions import KeptDimensions
    from tallystick.domain.entries import Entry

BUCKET: Final = 900_000_000
"""Fifteen minutes in microseconds."""
PACE_WINDOW: Final = 7 * DAY
"""How far back the burn rate looks."""
# A NamedTuple's own constructor costs twice as much.
_new: Final = tuple.__new__
_SHORTEST_PACE: Final = 3_600_000_000
_FARTHEST: Final = 36_525 * DAY
"""A pace of days says nothing about what is more than a century off."""


class RollupKey(NamedTuple):
    """What is counted together; each absent name is empty."""

    organization_id: str
    bucket: int
    teamspace_id: str
    meter: str
    api_key_id: str
    dimension: str = ""
    """Empty where all usage is counted; else only that with this dimension, by `value`."""
    value: str = ""


class PeriodUsageKey(NamedTuple):
    """Where net usage is counted by the billing period in which it was booked."""

    organization_id: str
    period_index: int
    teamspace_id: str
    meter: str
    api_key_id: str


def rollup_key(entry: Entry) -> RollupKey:
    """Where a usage entry is counted: at its own time, not when it was booked."""
    occurred_at = entry.booked_at if entry.occurred_at is None else entry.occurred_at
    return _new(
        RollupKey,
        (
            entry.organization_id,
            occurred_at - occurred_at % BUCKET,
            entry.teamspace_id or "",
            entry.meter or "",
            entry.api_key_id or "",
            "",
            "",
        ),
    )


def dimension_keys(entry: Entry, kept: KeptDimensions) -> list[RollupKey]:
    """Where a usage entry is counted once more, by each dimension that was declared in time."""
    if kept.dimensions is None:
        return []
    key = rollup_key(entry)
    return [key._replace(dimension=name, value=kept.dimensions[name]) for name in kept.counted]


def burn_rate_per_day(consumed: int, since: int, now: int) -> int:
    """Micro-credits a day at the pace of [since, now), rounded down; at least an hour counts."""
    return consumed * DAY // max(now - since, _SHORTEST_PACE)


def projected_exhaustion(available: int, rate_per_day: int, now: int) -> int | None:
    """When `available` runs out at that pace; None where it lasts for more than a century."""
    if available <= 0:
        return now
    lasts = available * DAY // rate_per_day if rate_per_day else _FARTHEST + 1
    return now + lasts if lasts <= _FARTHEST else None
