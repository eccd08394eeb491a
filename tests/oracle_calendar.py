"""The oracle's calendar: where billing periods begin and end (rule 5), in plain datetimes.

Instants are aware datetimes in UTC, readings of a local clock are naive ones. The one idea: a
boundary is the first instant at which the wall clock has reached the reading. The search for it
looks at the clock every quarter of an hour, as a person would; it knows nothing of folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

_QUARTER = timedelta(minutes=15)
_AHEAD_OF_UTC_AT_MOST = timedelta(hours=15)
_DAYS_ABOUT = {"day": 1, "week": 7, "month": 30, "year": 365}


@dataclass(frozen=True)
class Calendar:
    """Periods of `count` intervals, counted from `anchor` on the wall clock of `zone`."""

    interval: str
    count: int
    anchor: datetime
    zone: str

    def first_boundary_after(self, instant: datetime) -> datetime:
        index = self._guess(instant)
        while self._boundary(index) > instant:
            index -= 1
        while self._boundary(index) <= instant:
            index += 1
        return self._boundary(index)

    def last_boundary_until(self, instant: datetime) -> datetime:
        index = self._guess(instant)
        while self._boundary(index) <= instant:
            index += 1
        while self._boundary(index) > instant:
            index -= 1
        return self._boundary(index)

    def _guess(self, instant: datetime) -> int:
        """About which boundary lies near; walking from here finds the right one."""
        elapsed = instant.replace(tzinfo=None) - self.anchor
        return elapsed // timedelta(days=_DAYS_ABOUT[self.interval] * self.count)

    def _boundary(self, index: int) -> datetime:
        return first_instant_showing(self._reading(index), self.zone)

    def _reading(self, index: int) -> datetime:
        steps = index * self.count
        match self.interval:
            case "day":
                return self.anchor + timedelta(days=steps)
            case "week":
                return self.anchor + timedelta(weeks=steps)
            case "month":
                return _months_later(self.anchor, steps)
            case _:
                return _months_later(self.anchor, 12 * steps)


def _months_later(anchor: datetime, months: int) -> datetime:
    """The same day of a later month, or that month's last day where it is too short."""
    year, month = anchor.year, anchor.month + months
    while month > 12:
        year, month = year + 1, month - 12
    while month < 1:
        year, month = year - 1, month + 12
    day = anchor.day
    while True:
        try:
            return anchor.replace(year=year, month=month, day=day)
        except ValueError:
            day -= 1


@cache
def first_instant_showing(reading: datetime, zone: str) -> datetime:
    """The first instant at which the clock in `zone` shows `reading` or a later one.

    Clocks have been set on quarter hours of UTC since long before the instants in these tests: in
    between they run evenly.
    """
    instant = _whole_quarter(reading.replace(tzinfo=UTC) - _AHEAD_OF_UTC_AT_MOST)
    while _clock(instant + _QUARTER, zone) < reading:
        instant += _QUARTER
    shown_at = instant + (reading - _clock(instant, zone))
    return min(shown_at, instant + _QUARTER)


def _whole_quarter(instant: datetime) -> datetime:
    return instant.replace(minute=instant.minute // 15 * 15, second=0, microsecond=0)


def _clock(instant: datetime, zone: str) -> datetime:
    return instant.astimezone(_zone(zone)).replace(tzinfo=None)


@cache
def _zone(key: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath(f"zoneinfo/{key}").open("rb") as file:
        return ZoneInfo.from_file(file, key=key)
