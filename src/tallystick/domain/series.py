"""Usage over time: how a span is cut into buckets of a local clock, and what is counted in each.

Days, weeks and months start as billing periods do (see `periods`): at the first instant at which
the local clock shows their beginning, or has jumped past it. So a day has 23, 24 or 25 hours, and
one that a zone skipped has no bucket. An hour starts whenever the local clock shows a full one: the
hour that is repeated when clocks are set back is two buckets, and where they jump past a full hour
the bucket goes on to the next.

Since 2000 every zone's offset has been a multiple of fifteen minutes. So all these instants are,
and sums of quarter-hours are exact.
"""

from __future__ import annotations

import enum
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.periods import Interval, Schedule, local_offset
from tallystick.domain.usage import BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOUR: Final = 3_600_000_000
MAX_BUCKETS: Final = 1_000
MAX_POINTS: Final = 10_000
"""Buckets times the groups that have usage in them."""

# A Monday, as weeks begin with one (ISO 8601), and the first of a month.
_ANCHOR: Final = datetime.fromisoformat("2001-01-01T00:00:00")


class BucketSize(enum.StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class TooMuch(ValueError):
    """The answer would have more buckets, or more points, than one may have."""


class NoSpan(ValueError):
    """What was asked for ends before it begins."""


class Group(NamedTuple):
    """What the usage of a point has in common; None where it is not asked, or not said."""

    teamspace_id: str | None = None
    meter: str | None = None
    api_key_id: str | None = None
    value: str | None = None
    """Of the dimension that is asked for."""


class Grouping(NamedTuple):
    """By what usage is told apart, beside its time."""

    by_teamspace: bool = False
    by_meter: bool = False
    by_key: bool = False
    dimension: str | None = None

    def group(self, names: Sequence[str], value: str | None) -> Group:
        """The group of usage that is stored under these names: teamspace, meter and key, each empty
        where there is none."""
        teamspace_id, meter, api_key_id = names
        return Group(
            teamspace_id or None if self.by_teamspace else None,
            meter or None if self.by_meter else None,
            api_key_id or None if self.by_key else None,
            value,
        )


class Amounts(NamedTuple):
    """Micro-credits, net of what was reversed, and events."""

    credits: int = 0
    events: int = 0

    def plus(self, credits_used: int, events: int) -> Amounts:
        return Amounts(self.credits + credits_used, self.events + events)


_NOTHING: Final = Amounts()


class Point(NamedTuple):
    """The usage of one group in [start, end)."""

    start: int
    end: int
    group: Group
    amounts: Amounts


def cut(start: int, end: int, size: BucketSize, timezone: str) -> list[int]:
    """The bounds of the buckets of [start, end): the first begins at `start`, the last ends at
    `end`, and all others are where a local hour, day, week or month begins.

    Raises TooMuch, and InvalidSchedule for an unknown zone or instants that no calendar knows.
    """
    bounds = [start]
    for instant in _beginnings(start, size, timezone):
        if instant >= end:
            break
        if len(bounds) == MAX_BUCKETS:
            raise TooMuch(f"there would be more than {MAX_BUCKETS} buckets")
        bounds.append(instant)
    return [*bounds, end]


def _beginnings(start: int, size: BucketSize, timezone: str) -> Iterator[int]:
    if size is BucketSize.HOUR:
        return _full_hours(start, timezone)
    schedule = Schedule(interval=Interval(size.value), count=1, anchor=_ANCHOR, timezone=timezone)
    return schedule.boundaries_after(start)


def _full_hours(instant: int, timezone: str) -> Iterator[int]:
    offset = local_offset(instant, timezone)
    while True:
        instant += HOUR - (instant + offset) % HOUR
        before, offset = offset, local_offset(instant, timezone)
        if offset != before:
            instant -= HOUR - BUCKET
            while (instant + (offset := local_offset(instant, timezone))) % HOUR:
                instant += BUCKET
        yield instant


def to_points(
    bounds: Sequence[int], sums: Sequence[Mapping[Group, Amounts]], grouping: Grouping
) -> list[Point]:
    """The points in the order of time, and within a bucket of their groups; `sums` has what was
    used in each bucket.

    Ungrouped, every bucket has its point; otherwise those groups that have usage in it. Raises
    TooMuch.
    """
    spans = zip(pairwise(bounds), sums, strict=True)
    if grouping == Grouping():
        return [Point(*span, Group(), found.get(Group(), _NOTHING)) for span, found in spans]
    used = [[group for group, one in found.items() if one != _NOTHING] for found in sums]
    if (number := sum(map(len, used))) > MAX_POINTS:
        raise TooMuch(f"there would be {number} points, more than {MAX_POINTS}")
    # The same groups are in many buckets: comparing their names once is enough.
    place = {group: at for at, group in enumerate(sorted(set().union(*used), key=_place))}
    return [
        Point(start, end, group, found[group])
        for ((start, end), found), groups in zip(spans, used, strict=True)
        for group in sorted(groups, key=place.__getitem__)
    ]


def _place(group: Group) -> list[tuple[bool, str]]:
    """Where there is no name comes last."""
    return [(name is None, name or "") for name in group]
