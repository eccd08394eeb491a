"""Statistics of usage, read for any span and zone.

Usage is added up twice as it is booked: by quarters of an hour, which every bucket of every zone
consists of, and by days of UTC, which are a hundred times fewer and say how much there was before
each hour of theirs. So a bucket is

    the days that begin in it − what its first day had before it + what its last day has of it

however the zone's days lie across those of UTC. Where a bucket begins between two hours, up to
three quarters are read beside; a day of UTC in which several buckets begin (those of hours, the
short day when clocks change) is read by its quarters.

The server adds up: what comes back is of the size of the answer. It is read in one transaction, and
so as of one moment.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tallystick.domain.commands import DAY
from tallystick.domain.series import HOUR, Amounts, Group, Grouping
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tallystick.storage.postgres.connections import Connection, Row

_SQL: Final = load_statements("postgres", "usage")
_ALL: Final = ""
"""The dimension under which all usage is counted."""

_Names = tuple[str, str, str, str]
"""Value, teamspace, meter and key, as rows have them."""
_Found = dict[_Names, list[int]]
"""Micro-credits and events in a bucket."""


class _Days(NamedTuple):
    """Days of UTC, [start, stop), that lie in one bucket; or one day, cut once."""

    start: int
    stop: int
    cut_at: int
    """Since the day's beginning; 0: it is not cut."""


class _Quarters(NamedTuple):
    """Quarters of an hour, [start, stop); `moved_from` is an instant whose bucket they have been
    counted in with their day, and do not belong to."""

    start: int
    stop: int
    moved_from: int | None


class UsageSearch:
    """The usage between bounds, by group."""

    def __init__(self, organization_id: str, bounds: Sequence[int], grouping: Grouping) -> None:
        self._organization_id = organization_id
        self._bounds = bounds
        self._grouping = grouping
        self._days: list[_Days] = []
        self._quarters: list[_Quarters] = []
        self._buckets: dict[str, list[_Found]] = {
            name: [{} for _ in bounds[1:]] for name in self._dimensions()
        }
        self._cut()

    def _dimensions(self) -> tuple[str, ...]:
        name = self._grouping.dimension
        return (_ALL,) if name is None else (_ALL, name)

    def _cut(self) -> None:
        """What to read of which table."""
        for start, stop, cuts in _runs(self._bounds):
            if len(cuts) > 1:
                self._quarters.append(_Quarters(start, stop, None))
                continue
            cut_at = sum(cuts)
            self._days.append(_Days(start, stop, cut_at))
            if cut_at % HOUR:
                hour = start + cut_at - cut_at % HOUR
                self._quarters.append(_Quarters(hour, start + cut_at, start + cut_at))

    async def read(self, connection: Connection) -> tuple[list[Row], list[Row]]:
        """Rows of days and of quarters, in the open transaction."""
        key = (self._organization_id, self._dimensions())
        days = await self._fetch(
            connection,
            "read_days",
            *key,
            [run.start for run in self._days],
            [run.stop for run in self._days],
            [run.cut_at // HOUR for run in self._days],
        )
        quarters = await self._fetch(
            connection,
            "read_quarters",
            *key,
            [run.start for run in self._quarters],
            [run.stop for run in self._quarters],
            self._bounds,
        )
        return days, quarters

    async def _fetch(self, connection: Connection, statement: str, *key: object) -> list[Row]:
        return await connection.fetch(_SQL[statement], *key, *self._grouping[:3])

    def sums(self, days: Sequence[Row], quarters: Sequence[Row]) -> list[dict[Group, Amounts]]:
        """What was used in each bucket. Once only."""
        self._add_days(days)
        self._add_quarters(quarters)
        return [self._named(number) for number in range(len(self._bounds) - 1)]

    def _add_days(self, days: Sequence[Row]) -> None:
        places = [
            (self._place(run.start), self._place(run.start + run.cut_at)) for run in self._days
        ]
        for run, dimension, *names, used, events, used_before, events_before in days:
            before, after = places[run - 1]
            name = tuple(names)
            self._add(dimension, before, name, used_before, events_before)
            self._add(dimension, after, name, used - used_before, events - events_before)

    def _add_quarters(self, quarters: Sequence[Row]) -> None:
        for run, dimension, *names, used, events, bucket in quarters:
            name = tuple(names)
            self._add(dimension, bucket - 1, name, used, events)
            moved_from = self._quarters[run - 1].moved_from
            if moved_from is not None:
                self._add(dimension, self._place(moved_from), name, -used, -events)

    def _place(self, instant: int) -> int:
        """The number of the bucket that contains it; what belongs to none is outside."""
        return bisect_right(self._bounds, instant) - 1

    def _add(self, dimension: str, place: int, names: Any, used: int, events: int) -> None:  # noqa: ANN401 - four columns of a row
        buckets = self._buckets[dimension]
        if not (used or events) or not 0 <= place < len(buckets):
            return
        amounts = buckets[place].setdefault(names, [0, 0])
        amounts[0] += used
        amounts[1] += events

    def _named(self, number: int) -> dict[Group, Amounts]:
        named: dict[Group, Amounts] = {}
        for dimension, buckets in self._buckets.items():
            for names, amounts in buckets[number].items():
                value = None if dimension == _ALL else names[0]
                group = self._grouping.group(names[1:], value)
                named[group] = named.get(group, Amounts()).plus(*amounts)
                if dimension != _ALL:
                    # It has been counted among all usage, as without the dimension.
                    without = self._grouping.group(names[1:], None)
                    named[without] = named.get(without, Amounts()).plus(-amounts[0], -amounts[1])
        return named


def _runs(bounds: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """The days of UTC that the bounds span: runs that lie in one bucket, and single days with the
    distances from their beginning at which they are cut."""
    cuts: dict[int, list[int]] = {}
    edges: set[int] = set()
    for bound in bounds:
        within = bound % DAY
        day = bound - within
        edges.add(day)
        if within:
            edges.add(day + DAY)
            cuts.setdefault(day, []).append(within)
    for start, stop in pairwise(sorted(edges)):
        yield start, stop, cuts.get(start, [])
