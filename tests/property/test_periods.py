"""Billing periods against an oracle that is slow and plain.

The oracle knows the calendar from a table of month lengths, walks from boundary to boundary one at
a time, and finds clock changes by asking a zone, hour by hour, what its clock shows. Of the code
under test it uses the zones alone, and neither `fold` nor any estimate.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib import resources
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tallystick.domain.periods import (
    MAX_COUNT,
    Bounds,
    Interval,
    InvalidInstant,
    Schedule,
    format_instant,
    load_zone,
    parse_instant,
    to_instant,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
EPOCH = date(1970, 1, 1).toordinal()

ZONES = (resources.files("tzdata") / "zones").read_text().split()

MONTH_LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def month_length(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if leap and month == 2 else MONTH_LENGTHS[month - 1]


def onward(plan: Schedule, direction: int) -> Iterator[datetime]:
    """The readings at which periods begin, from the anchor on (1) or back (-1), one at a time."""
    reading, day = plan.anchor, plan.anchor.day
    while True:
        yield reading
        for _ in range(plan.count):
            if plan.interval in {"day", "week"}:
                reading += direction * timedelta(days=7 if plan.interval == "week" else 1)
                continue
            for _ in range(12 if plan.interval == "year" else 1):
                reading = neighbouring_month(reading, day, direction)


def neighbouring_month(reading: datetime, day: int, direction: int) -> datetime:
    year, month = reading.year, reading.month + direction
    if month == 13:
        year, month = year + 1, 1
    if month == 0:
        year, month = year - 1, 12
    return reading.replace(year=year, month=month, day=min(day, month_length(year, month)))


def period_by_walking(plan: Schedule, instant: int) -> Bounds:
    zone = load_zone(plan.timezone)
    direction = 1 if utc(plan.anchor) <= instant else -1
    # A clock is at most a day or so from UTC: boundaries further away than four need no resolving.
    near: list[datetime] = []
    beyond = 0
    for reading in onward(plan, direction):
        near.append(reading)
        beyond += (utc(reading) - instant) * direction > 0
        if beyond == 5:
            break
    backwards = islice(onward(plan, -direction), 5)
    found = {first_instant(reading, zone) for reading in [*near[-10:], *backwards]}
    return Bounds(
        max(boundary for boundary in found if boundary <= instant),
        min(boundary for boundary in found if boundary > instant),
    )


def first_instant(reading: datetime, zone: ZoneInfo) -> int:
    """When the zone's clock first shows a reading; where it never does, the end of the gap."""
    pieces = list(steady_pieces(utc(reading) - 3 * DAY, utc(reading) + 3 * DAY, zone))
    for start, end, ahead in pieces:
        if start <= utc(reading) - ahead < end:
            return utc(reading) - ahead
    for (_, gap, before), (_, _, after) in pairwise(pieces):
        if gap + before <= utc(reading) < gap + after:
            return gap
    raise AssertionError(f"{reading} neither exists nor is skipped in {zone}")


def steady_pieces(start: int, end: int, zone: ZoneInfo) -> Iterator[tuple[int, int, int]]:
    """The stretches of time between clock changes, with the clock's offset in each."""
    start -= start % SECOND
    piece = start
    for at in range(start, end, HOUR):
        if offset(at, zone) != offset(at + HOUR, zone):
            change = when_it_changes(at, at + HOUR, zone)
            yield piece, change, offset(at, zone)
            piece = change
    yield piece, end, offset(end - end % SECOND, zone)


def when_it_changes(before: int, after: int, zone: ZoneInfo) -> int:
    while after - before > SECOND:
        middle = before + (after - before) // SECOND // 2 * SECOND
        if offset(middle, zone) == offset(before, zone):
            before = middle
        else:
            after = middle
    return after


def offset(instant: int, zone: ZoneInfo) -> int:
    return utc(shows(instant, zone)) - instant


def shows(instant: int, zone: ZoneInfo) -> datetime:
    at = datetime.fromtimestamp(instant // SECOND, zone)
    return at.replace(microsecond=instant % SECOND, tzinfo=None)


def utc(reading: datetime) -> int:
    """The instant of a reading of a clock that shows UTC, from the count of its days."""
    seconds = (reading.hour * 60 + reading.minute) * 60 + reading.second
    return (reading.toordinal() - EPOCH) * DAY + seconds * SECOND + reading.microsecond


# Clocks that change, so that examples do not have to find the two hours of a year by chance: the
# zone and the hour (UTC) in which its clock is set.
CHANGES = [
    ("Europe/Paris", "2026-03-29T01"),
    ("Europe/Paris", "2026-10-25T01"),
    ("Europe/Dublin", "2025-03-30T01"),
    ("America/New_York", "2026-03-08T07"),
    ("America/New_York", "2026-11-01T06"),
    ("America/Santiago", "2026-09-06T04"),
    ("America/Santiago", "2026-04-05T03"),
    ("America/St_Johns", "2007-03-11T03"),
    ("Australia/Lord_Howe", "2026-10-03T15"),
    ("Australia/Lord_Howe", "2026-04-04T15"),
    ("Antarctica/Troll", "2026-03-29T01"),
    ("Antarctica/Troll", "2026-10-25T01"),
    ("Africa/Casablanca", "2026-02-15T02"),
    ("Africa/Casablanca", "2026-03-22T02"),
    ("Asia/Kathmandu", "1985-12-31T18"),
    ("Asia/Pyongyang", "2018-05-04T15"),
    ("America/Caracas", "2007-12-09T07"),
    ("Pacific/Apia", "2011-12-30T10"),
    ("Pacific/Kwajalein", "1993-08-21T12"),
    ("Pacific/Enderbury", "1994-12-31T11"),
    ("Asia/Manila", "1844-12-31T15"),
    ("America/Juneau", "1867-10-19T00"),
    ("Africa/Monrovia", "1972-01-07T00"),
    ("Europe/Paris", "2090-03-26T01"),
]

intervals = st.sampled_from(Interval)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    interval = draw(intervals)
    return Schedule(
        interval=interval,
        count=draw(st.integers(1, 3) | st.integers(1, MAX_COUNT[interval])),
        anchor=draw(readings(1900, 2150)),
        timezone=draw(st.sampled_from(ZONES)),
    )


def readings(first_year: int, last_year: int) -> st.SearchStrategy[datetime]:
    """Readings of a clock: to the microsecond, at whole hours, and at the ends of months."""
    exact = st.datetimes(in_year(first_year), in_year(last_year))
    whole = exact.map(lambda reading: reading.replace(minute=0, second=0, microsecond=0))
    month_end = exact.map(lambda reading: reading.replace(day=1) - timedelta(days=1))
    return exact | whole | month_end


def in_year(year: int) -> datetime:
    return datetime.fromisoformat(f"{year}-01-01")


def instants(first_year: int, last_year: int) -> st.SearchStrategy[int]:
    return st.integers(utc(in_year(first_year)), utc(in_year(last_year)))


@st.composite
def changing_clocks(draw: st.DrawFn) -> tuple[Schedule, int]:
    """A schedule with a boundary at or near a clock change, and an instant near it too."""
    zone, hour = draw(st.sampled_from(CHANGES))
    change = utc(datetime.fromisoformat(hour))
    near = st.integers(-26 * HOUR, 26 * HOUR) | st.integers(-100, 100).map(lambda q: q * HOUR // 4)
    reading = shows(change + draw(near), load_zone(zone)) + timedelta(
        microseconds=draw(st.integers(-2 * HOUR, 2 * HOUR) | st.sampled_from([0, -1, HOUR, -HOUR]))
    )
    interval = draw(intervals)
    count = draw(st.integers(1, 3))
    away = timedelta(days=count * {"day": 1, "week": 7}.get(interval, 0))
    plan = Schedule(
        interval=interval,
        count=count,
        anchor=reading + draw(st.integers(-60, 60)) * away,
        timezone=zone,
    )
    return plan, change + draw(near | st.integers(-3, 3))


cases = st.tuples(schedules(), instants(1900, 2150)) | changing_clocks()


class TestTheOracle:
    """The oracle must be right before it may judge."""

    def test_it_finds_the_end_of_a_gap_and_the_first_of_two(self) -> None:
        paris = load_zone("Europe/Paris")
        spring = datetime.fromisoformat("2026-03-29T02:30")
        autumn = datetime.fromisoformat("2026-10-25T02:30")
        assert first_instant(spring, paris) == utc(datetime.fromisoformat("2026-03-29T01:00"))
        assert first_instant(autumn, paris) == utc(datetime.fromisoformat("2026-10-25T00:30"))

    def test_the_listed_clocks_do_change_then(self) -> None:
        for zone, hour in CHANGES:
            change = utc(datetime.fromisoformat(hour))
            offsets = {offset(at, load_zone(zone)) for at in (change - HOUR, change + HOUR)}
            assert len(offsets) == 2, (zone, hour)


@settings(max_examples=600, deadline=None)
@given(cases)
def test_every_instant_is_in_exactly_one_period_and_periods_tile(
    case: tuple[Schedule, int],
) -> None:
    plan, instant = case
    period = plan.bounds_at(instant)
    assert period.start <= instant < period.end
    assert plan.bounds_at(period.start) == period
    assert plan.bounds_at(period.end - 1) == period
    assert plan.bounds_at(period.end).start == period.end
    assert plan.bounds_at(period.start - 1).end == period.start


@settings(max_examples=400, deadline=None)
@given(cases, st.integers(0, 8))
def test_the_periods_that_follow_are_those_found_one_by_one(
    case: tuple[Schedule, int], many: int
) -> None:
    plan, instant = case
    expected, start = [], instant
    for _ in range(many):
        end = plan.boundary_after(start)
        assert end == plan.bounds_at(start).end
        expected.append(Bounds(start, end))
        start = end
    assert plan.following(instant, many) == expected


@settings(max_examples=600, deadline=None)
@given(changing_clocks())
def test_periods_agree_with_the_oracle_where_clocks_change(case: tuple[Schedule, int]) -> None:
    plan, instant = case
    assert plan.bounds_at(instant) == period_by_walking(plan, instant)


@settings(max_examples=300, deadline=None)
@given(schedules(), st.integers(-1500 * DAY, 1500 * DAY))
def test_periods_agree_with_the_oracle_everywhere(plan: Schedule, from_anchor: int) -> None:
    instant = utc(plan.anchor) + from_anchor
    assert plan.bounds_at(instant) == period_by_walking(plan, instant)


@settings(max_examples=300, deadline=None)
@given(schedules(), instants(1900, 2150), st.integers(1, 40))
def test_an_anchor_moved_by_whole_periods_gives_the_same_periods(
    plan: Schedule, instant: int, moved: int
) -> None:
    assume(plan.anchor.day <= 28)
    anchor = next(islice(onward(plan, 1), moved, None))
    shifted = Schedule(
        interval=plan.interval, count=plan.count, anchor=anchor, timezone=plan.timezone
    )
    assert shifted.bounds_at(instant) == plan.bounds_at(instant)


calendar = st.integers(
    utc(datetime.fromisoformat("0001-01-01")), utc(in_year(9999)) + 365 * DAY - 1
)


@settings(max_examples=500, deadline=None)
@given(calendar)
@example(253_402_300_799_999_999)
def test_what_was_printed_is_the_same_instant_again(instant: int) -> None:
    text = format_instant(instant)
    assert parse_instant(text) == instant
    assert utc(datetime.fromisoformat(text).replace(tzinfo=None)) == instant


@settings(max_examples=500, deadline=None)
@given(
    readings(1900, 2150),
    st.text("0123456789", max_size=6),
    st.sampled_from("Tt"),
    st.integers(-(24 * 60) + 1, 24 * 60 - 1) | st.sampled_from("Zz"),
)
def test_every_spelling_of_a_time_is_its_exact_instant(
    reading: datetime, fraction: str, letter: str, ahead: int | str
) -> None:
    text = reading.strftime(f"%Y-%m-%d{letter}%H:%M:%S") + (f".{fraction}" if fraction else "")
    minutes = 0 if isinstance(ahead, str) else ahead
    if isinstance(ahead, str):
        text += ahead
    else:
        text += f"{'-' if ahead < 0 else '+'}{abs(ahead) // 60:02d}:{abs(ahead) % 60:02d}"
    whole = utc(reading.replace(microsecond=0))
    assert parse_instant(text) == whole + int(fraction.ljust(6, "0")) - minutes * 60 * SECOND


@settings(max_examples=500, deadline=None)
@given(st.text("0129-+:.TZtz ", max_size=30) | st.text(max_size=30))
def test_nothing_but_a_refusal_comes_of_other_text(text: str) -> None:
    try:
        instant = parse_instant(text)
    except InvalidInstant:
        return
    assert parse_instant(format_instant(instant)) == instant


@given(calendar)
def test_a_datetime_is_its_exact_instant(instant: int) -> None:
    assert to_instant(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)) == instant
