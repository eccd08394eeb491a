"""Statistics of usage in an SQLite file: kept with each batch, read for any span and zone.

Theory of operation. What is used is added up twice: by quarters of an hour, which every bucket of
every zone consists of, and by days of UTC, which are a hundred times fewer. A row of a day says how
much there was before each hour of it. So a bucket is

    the days that begin in it − what its first day had before it + what its last day has of it

however the zone's days lie across those of UTC, and a year by days is one pass over its days' rows.
Where a bucket begins between two hours, up to three quarters are read beside; a day of UTC in which
several buckets begin (those of hours, the short day when clocks change) is read by its quarters.

A series is read on a connection of its own, in one transaction and so as of one moment, a stretch
of time in a step: the lists of others, which share the thread, get their turn in between.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tallystick.domain.commands import DAY
from tallystick.domain.series import HOUR, Amounts, Group, Grouping
from tallystick.storage import rows
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw

    from tallystick.ledger.ports import Changes

_SQL: Final = load_statements("sqlite", "reader", "usage")
_ALL: Final = ""
"""The dimension under which all usage is counted."""
STRETCH: Final = 32
"""Days that are read in one step: a few milliseconds where there are a hundred rows a day."""


def write_usage(connection: apsw.Connection, changes: Changes) -> None:
    """Writes the roll-ups of a batch and what it says of dimensions, in the open transaction."""
    run = connection.executemany
    if changes.rollups:
        added = changes.rollups.items()
        run(_SQL["add_to_rollup"], [(*key, *amounts) for key, amounts in added])
        run(_SQL["add_to_day"], [day_row(key, amounts) for key, amounts in added])
    if changes.dimensions:
        kept = changes.dimensions.items()
        run(_SQL["add_dimensions"], [rows.dimensions_row(*name, one) for name, one in kept])
    if changes.erasures:
        _erase(connection, changes)


def day_row(key: Sequence[Any], amounts: tuple[int, int]) -> rows.Row:
    """What `add_to_day` takes for what is added to a quarter of an hour."""
    organization_id, bucket, *names = key
    within = bucket % DAY
    return (organization_id, bucket - within, *names, *amounts, within // HOUR)


def _erase(connection: apsw.Connection, changes: Changes) -> None:
    connection.execute(_SQL["overwrite_what_is_deleted"]).fetchall()
    try:
        erasures = changes.erasures.items()
        connection.executemany(_SQL["erase_dimensions"], [(*name, at) for name, at in erasures])
        connection.executemany(_SQL["erase_hold"], changes.hold_erasures)
        emptied = [key for key in changes.rollups if key.dimension != _ALL]
        connection.executemany(_SQL["drop_empty_rollup"], emptied)
        days = [(key[0], key.bucket - key.bucket % DAY, *key[2:]) for key in emptied]
        connection.executemany(_SQL["drop_empty_day"], days)
    finally:
        connection.execute(_SQL["overwrite_what_costs_nothing"]).fetchall()


_Names = tuple[str, str, str, str]
"""Value, teamspace, meter and key, as rows have them."""
_Found = dict[_Names, list[int]]
"""Micro-credits and events in a bucket."""


class _Statements(NamedTuple):
    """How usage is read, as far as it is told apart."""

    days: str
    quarters: str


_TOGETHER: Final = _Statements(_SQL["read_days_together"], _SQL["read_quarters_together"])
_BY_TEAMSPACE: Final = _Statements(
    _SQL["read_days_by_teamspace"], _SQL["read_quarters_by_teamspace"]
)
_BY_ANY: Final = _Statements(_SQL["read_days_by_any"], _SQL["read_quarters_by_any"])


class _Run(NamedTuple):
    """Days of UTC, [start, end), each cut at the same distance from its beginning: 0 is not cut;
    None: cut more than once."""

    start: int
    end: int
    cut_at: int | None


class _Groups(dict[_Names, Group]):
    """Groups by the names in rows; each is made once, however many buckets have it."""

    def __init__(self, grouping: Grouping, *, valued: bool) -> None:
        super().__init__()
        self._grouping = grouping
        self._valued = valued

    def __missing__(self, names: _Names) -> Group:
        value, *others = names
        group = self[names] = self._grouping.group(others, value if self._valued else None)
        return group


class UsageSearch:
    """The usage between bounds, added up step by step."""

    def __init__(
        self,
        connection: apsw.Connection,
        organization_id: str,
        bounds: Sequence[int],
        grouping: Grouping,
    ) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._bounds = bounds
        self._grouping = grouping
        self._flags: tuple[bool, ...] = ()
        self._statements = _BY_TEAMSPACE if grouping.by_teamspace else _TOGETHER
        if grouping.by_meter or grouping.by_key:
            self._statements, self._flags = _BY_ANY, grouping[:3]
        self._whole: list[_Found] = [{} for _ in bounds[1:]]
        self._valued: list[_Found] = [{} for _ in bounds[1:]]
        self._outside: _Found = {}
        self._without_value = _Groups(grouping, valued=False)
        self._with_value = _Groups(grouping, valued=True)
        self._work = self._read()

    def begin(self) -> None:
        """Begins the transaction in which all is read."""
        self._connection.execute(_SQL["series_settings"]).fetchall()
        self._connection.execute(_SQL["begin_reading"]).fetchall()

    def step(self) -> bool:
        """Reads the next stretch; whether there is none."""
        return next(self._work, self) is self

    def sums(self) -> list[dict[Group, Amounts]]:
        """What was found, bucket by bucket; complete when a step has said so. Once only."""
        return list(map(self._named, self._whole, self._valued))

    def _named(self, whole: _Found, valued: _Found) -> dict[Group, Amounts]:
        for names, (used, events) in valued.items():
            # It has been counted among all usage, as without the dimension.
            _add(whole, ("", *names[1:]), -used, -events)
        without, with_value = self._without_value, self._with_value
        named = {without[names]: Amounts._make(found) for names, found in whole.items()}
        named.update((with_value[names], Amounts._make(found)) for names, found in valued.items())
        return named

    def _read(self) -> Iterator[None]:
        yield from self._read_dimension(_ALL, self._whole)
        if self._grouping.dimension is not None:
            yield from self._read_dimension(self._grouping.dimension, self._valued)

    def _read_dimension(self, dimension: str, buckets: list[_Found]) -> Iterator[None]:
        for run in self._runs():
            if run.cut_at is None:
                self._add_quarters(dimension, buckets, run)
            else:
                self._add_days(dimension, buckets, run, run.cut_at)
            yield

    def _runs(self) -> Iterator[_Run]:
        """The days of UTC that the bounds span, those alike together, in stretches."""
        first, last = self._bounds[0], self._bounds[-1]
        run: _Run | None = None
        for day in range(first - first % DAY, last, DAY):
            cut_at = self._cut_of(day)
            if run is None or run.cut_at != cut_at or run.end - run.start >= STRETCH * DAY:
                if run is not None:
                    yield run
                run = _Run(day, day, cut_at)
            run = run._replace(end=day + DAY)
        if run is not None:
            yield run

    def _cut_of(self, day: int) -> int | None:
        first = bisect_right(self._bounds, day)
        inside = [cut - day for cut in self._bounds[first : first + 2] if cut < day + DAY]
        return None if len(inside) > 1 else sum(inside)

    def _add_days(self, dimension: str, buckets: list[_Found], run: _Run, cut_at: int) -> None:
        hour = cut_at // HOUR
        before = after = self._outside
        present = -1
        found = self._rows(self._statements.days, dimension, run.start, run.end, hour)
        # Row by row: at each of them SQLite lets go of the interpreter, and the loop can go on.
        for day, value, teamspace, meter, key, used, events, used_before, events_before in found:
            if day != present:
                present = day
                before, after = self._at(buckets, day), self._at(buckets, day + cut_at)
            names = value, teamspace, meter, key
            if used_before or events_before:
                _add(before, names, used_before, events_before)
            _add(after, names, used - used_before, events - events_before)
        if cut_at % HOUR:
            for day in range(run.start, run.end, DAY):
                self._move_quarters(dimension, buckets, day + hour * HOUR, day + cut_at)

    def _move_quarters(
        self, dimension: str, buckets: list[_Found], start: int, cut_at: int
    ) -> None:
        """They were counted as after the cut, and lie before it."""
        before, after = self._at(buckets, start), self._at(buckets, cut_at)
        found = self._rows(self._statements.quarters, dimension, start, cut_at)
        for _, value, teamspace, meter, key, used, events in found:
            names = value, teamspace, meter, key
            _add(before, names, used, events)
            _add(after, names, -used, -events)

    def _add_quarters(self, dimension: str, buckets: list[_Found], run: _Run) -> None:
        found = self._rows(self._statements.quarters, dimension, run.start, run.end)
        for at, value, teamspace, meter, key, used, events in found:
            _add(self._at(buckets, at), (value, teamspace, meter, key), used, events)

    def _rows(self, statement: str, dimension: str, *span: int) -> apsw.Cursor:
        key = (self._organization_id, dimension, *span, *self._flags)
        return self._connection.execute(statement, key)

    def _at(self, buckets: list[_Found], instant: int) -> _Found:
        """The bucket that contains it; what belongs to none is put outside."""
        number = bisect_right(self._bounds, instant) - 1
        return buckets[number] if 0 <= number < len(buckets) else self._outside


def _add(bucket: _Found, names: _Names, used: int, events: int) -> None:
    amounts = bucket.get(names)
    if amounts is None:
        bucket[names] = [used, events]
    else:
        amounts[0] += used
        amounts[1] += events
