"""Billing periods, and the instants they are made of.

An instant is an integer of microseconds since 1970-01-01 UTC. A schedule's boundary number k is a
reading of the local clock, the anchor plus k × count intervals, counted from the anchor itself and
never from the boundary before: an anchor on 31 January gives 28 February and then 31 March again.

A reading becomes an instant by one rule: **the first instant at which the local clock shows it, or
has jumped past it**. A reading that occurs twice is therefore its first occurrence, and one that a
clock change skips is the first instant after the gap. The rule never turns back (a later reading is
never an earlier instant), so the periods between boundaries tile the time line. Where a zone
skipped a whole day, two boundaries fall on one instant; the empty period between them is dropped.

`zoneinfo` answers both halves. For a reading that exists, `fold=0` is its first occurrence. For a
skipped one `fold=0` counts with the offset before the gap and so lands after it, `fold=1` with the
offset after and lands before it; between the two, in the running of real time, lies the gap's end.

To find the period of an instant, k is computed from what the local clock shows at that instant.
That is off by a day of the month or by a clock that was set back, so by a step or two, which are
taken singly; the distance to the anchor costs nothing.
"""

from __future__ import annotations

import enum
import itertools
import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from itertools import chain, islice, pairwise
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?P<second>[0-5]\d|60)"
    r"(?:\.(?P<fraction>\d+))?(?P<offset>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?",
    re.ASCII,
)


class InvalidInstant(ValueError):
    """The text or number is no instant; the message says what to do about it."""


class InvalidSchedule(ValueError):
    """No periods can be computed; the message says what is wrong with which part."""


class Interval(enum.StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


MAX_COUNT: Mapping[Interval, int] = MappingProxyType(
    {Interval.DAY: 3650, Interval.WEEK: 520, Interval.MONTH: 120, Interval.YEAR: 10}
)
"""The most intervals in one period: ten years of each. Whoever asks for more has mistaken the unit
far more often than not, and would learn of it when the second allowance failed to come."""

_DAYS: Mapping[Interval, int] = MappingProxyType({Interval.DAY: 1, Interval.WEEK: 7})
_MONTHS: Mapping[Interval, int] = MappingProxyType({Interval.MONTH: 1, Interval.YEAR: 12})


class Bounds(NamedTuple):
    """A half-open period: it contains `start` and all before `end`, both instants."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How an organization's time is cut into billing periods, without beginning or end.

    `anchor` is a reading of the local clock in `timezone` (an IANA key), with no offset of its own;
    it may lie before or after the instants asked about. Raises `InvalidSchedule` when a part is
    wrong, and from every method when the answer would leave the years 2 to 9998.
    """

    interval: Interval
    count: int
    anchor: datetime
    timezone: str

    def __post_init__(self) -> None:
        most = MAX_COUNT[self.interval]
        if not 1 <= self.count <= most:
            raise InvalidSchedule(f"count must be 1 to {most} for interval {self.interval}")
        if self.anchor.tzinfo is not None:
            raise InvalidSchedule("anchor must be a local time without an offset")
        # A reading that occurs twice is its first occurrence, whichever the anchor was made from.
        object.__setattr__(self, "anchor", self.anchor.replace(fold=0))
        load_zone(self.timezone)

    def bounds_at(self, instant: int) -> Bounds:
        """The period that contains `instant`."""
        _, bounds = self._locate(instant)
        return bounds

    def boundary_after(self, instant: int) -> int:
        """The first boundary later than `instant`.

        That is where the period ends that starts at `instant`, whether or not `instant` is a
        boundary of this schedule: it is not when the schedule has just been changed.
        """
        return self.bounds_at(instant).end

    def following(self, instant: int, count: int) -> list[Bounds]:
        """The next `count` periods when the present one ends at `instant`."""
        ends = islice(self.boundaries_after(instant), count)
        return [Bounds(start, end) for start, end in pairwise(chain([instant], ends))]

    def boundaries_after(self, instant: int) -> Iterator[int]:
        """All boundaries later than `instant`, in order."""
        index, (_, latest) = self._locate(instant)
        yield latest
        for later in itertools.count(index + 2):
            boundary = self._boundary(later)
            if boundary > latest:
                latest = boundary
                yield boundary

    def _locate(self, instant: int) -> tuple[int, Bounds]:
        index = self._estimate(instant)
        start, end = self._boundary(index), self._boundary(index + 1)
        while instant < start:
            index -= 1
            start, end = self._boundary(index), start
        while end <= instant:
            index += 1
            start, end = end, self._boundary(index + 1)
        return index, Bounds(start, end)

    def _estimate(self, instant: int) -> int:
        if not _FIRST_INSTANT <= instant < _END_INSTANT:
            raise _out_of_range()
        reading = _reading_at(instant, load_zone(self.timezone))
        if self.interval in _MONTHS:
            months = (reading.year - self.anchor.year) * 12 + reading.month - self.anchor.month
            return months // (self.count * _MONTHS[self.interval])
        return (reading - self.anchor) // timedelta(days=self.count * _DAYS[self.interval])

    def _boundary(self, index: int) -> int:
        zone = load_zone(self.timezone)
        reading = datetime.combine(self._date(index), self.anchor.time(), zone)
        return _first_instant_at_or_past(reading, zone)

    def _date(self, index: int) -> date:
        if self.interval in _MONTHS:
            return _month_date(self.anchor, index * self.count * _MONTHS[self.interval])
        ordinal = self.anchor.toordinal() + index * self.count * _DAYS[self.interval]
        if not _FIRST_DATE.toordinal() <= ordinal <= _LAST_DATE.toordinal():
            raise _out_of_range()
        return date.fromordinal(ordinal)


class Calendar:
    """The boundaries of a schedule for whoever walks along time: each is computed once.

    Catching up on years asks for the same boundaries again and again, to see how long a grant of
    each period lives.
    """

    def __init__(self) -> None:
        self._schedule: Schedule | None = None
        self._start = 0
        self._known: list[int] = []
        self._more: Iterator[int] = iter(())

    def boundary_after(self, schedule: Schedule, instant: int, count: int = 1) -> int:
        """The boundary number `count` later than `instant`."""
        if schedule is not self._schedule or instant < self._start:
            self._schedule, self._start, self._known = schedule, instant, []
            self._more = schedule.boundaries_after(instant)
        index = bisect_right(self._known, instant) + count - 1
        while index >= len(self._known):
            self._known.append(next(self._more))
        return self._known[index]


def load_zone(key: str) -> ZoneInfo:
    """The zone of that IANA key, from the packaged data and never from the machine's own.

    Raises `InvalidSchedule`, which names the key, unless the package lists it exactly so.
    """
    # The list is asked before the key touches a path: `../` and its kin are simply not listed.
    if key not in _zone_keys():
        raise InvalidSchedule(f"timezone {key[:64]!r} is not an IANA time zone")
    return _packaged_zone(key)


def local_offset(instant: int, timezone: str) -> int:
    """By how many microseconds the zone's clock is ahead of UTC at `instant`.

    Raises `InvalidSchedule` for an unknown zone, and outside the years 2 to 9998.
    """
    if not _FIRST_INSTANT <= instant < _END_INSTANT:
        raise _out_of_range()
    reading = _reading_at(instant, load_zone(timezone))
    return (reading - _EPOCH.replace(tzinfo=None)) // _MICROSECOND - instant


def to_instant(moment: datetime) -> int:
    """The instant of an aware datetime, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def parse_instant(text: str) -> int:
    """The instant that an RFC 3339 time with an offset stands for, exactly.

    Raises `InvalidInstant`, also for what a microsecond cannot hold: a seventh fraction digit, a
    leap second.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidInstant("must be a time like 2026-11-22T10:00:00Z (RFC 3339)")
    second, fraction, offset = match.groups()
    if offset is None:
        raise InvalidInstant("must end with an offset, such as Z or +01:00")
    if second == "60":
        raise InvalidInstant("must not be a leap second: use second 59 or the next minute")
    if fraction is not None and len(fraction) > 6:
        raise InvalidInstant("round to 6 fraction digits")
    return _calendar_instant(text.upper())


def format_instant(instant: int) -> str:
    """RFC 3339 in UTC with six fraction digits: `2026-11-22T10:00:00.000000Z`.

    Raises `InvalidInstant` outside the years 1 to 9999.
    """
    second, microsecond = divmod(instant, _SECOND)
    return f"{_format_second(second)}.{microsecond:06d}Z"


_FIRST_DATE, _LAST_DATE = date(2, 1, 1), date(9998, 12, 31)
_FIRST_INSTANT = to_instant(datetime(2, 1, 1, tzinfo=UTC))
_END_INSTANT = to_instant(datetime(9999, 1, 1, tzinfo=UTC))
_LEAST = to_instant(datetime.min.replace(tzinfo=UTC))
_MOST = to_instant(datetime.max.replace(tzinfo=UTC))


def _out_of_range() -> InvalidSchedule:
    return InvalidSchedule("periods are known for the years 2 to 9998 only")


def _month_date(anchor: datetime, months: int) -> date:
    """The anchor's date some months on, on the month's last day where the anchor's is too high."""
    year, month0 = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    if not _FIRST_DATE.year <= year <= _LAST_DATE.year:
        raise _out_of_range()
    _, days = monthrange(year, month0 + 1)
    return date(year, month0 + 1, min(anchor.day, days))


def _first_instant_at_or_past(reading: datetime, zone: ZoneInfo) -> int:
    first, second = to_instant(reading), to_instant(reading.replace(fold=1))
    return first if first <= second else _gap_end(reading, zone, second, first)


def _gap_end(reading: datetime, zone: ZoneInfo, before: int, after: int) -> int:
    # Clocks change on whole seconds, so those are what is searched.
    seconds = range(before // _SECOND, after // _SECOND)
    skipped = reading.replace(tzinfo=None)
    passed = bisect_left(seconds, skipped, key=lambda s: _reading_at(s * _SECOND, zone))
    return (seconds.start + passed) * _SECOND


def _reading_at(instant: int, zone: ZoneInfo) -> datetime:
    """What the zone's clock shows at an instant."""
    moment = _EPOCH + timedelta(microseconds=instant)
    return moment.astimezone(zone).replace(tzinfo=None)


@cache
def _zone_keys() -> frozenset[str]:
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(listed.split())


@cache
def _packaged_zone(key: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath(f"zoneinfo/{key}").open("rb") as file:
        return ZoneInfo.from_file(file, key=key)


def _calendar_instant(text: str) -> int:
    try:
        instant = to_instant(datetime.fromisoformat(text))
    except ValueError:
        raise InvalidInstant("must be a date that exists, in the years 1 to 9999") from None
    if not _LEAST <= instant <= _MOST:
        raise InvalidInstant("must lie in the years 1 to 9999 in UTC")
    return instant


# A batch's receipts carry one instant and neighbouring requests one second: the date part is a
# memo of a pure function, bounded because the past is asked about too.
@lru_cache(maxsize=1024)
def _format_second(second: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()
    except OverflowError:
        raise InvalidInstant("must lie in the years 1 to 9999 in UTC") from None
