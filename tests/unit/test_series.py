"""Buckets of time, and how many of them one answer may have."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tallystick.domain.periods import InvalidSchedule, parse_instant
from tallystick.domain.series import (
    HOUR,
    MAX_BUCKETS,
    MAX_POINTS,
    Amounts,
    BucketSize,
    Group,
    Grouping,
    TooMuch,
    cut,
    to_points,
)

START = parse_instant("2026-01-01T00:00:00Z")


def hours(first: str, last: str, timezone: str) -> list[int]:
    """How long the buckets are, in quarters of an hour."""
    bounds = cut(parse_instant(first), parse_instant(last), BucketSize.HOUR, timezone)
    return [4 * (end - start) // HOUR for start, end in pairwise(bounds)]


def test_a_thousand_buckets_and_no_more() -> None:
    end = START + MAX_BUCKETS * HOUR
    assert len(cut(START, end, BucketSize.HOUR, "UTC")) == MAX_BUCKETS + 1
    with pytest.raises(TooMuch, match="1000 buckets"):
        cut(START, end + 1, BucketSize.HOUR, "UTC")


def test_the_repeated_hour_is_two_and_the_skipped_one_none() -> None:
    assert hours("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "Europe/Paris") == [4] * 25
    assert hours("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "Europe/Paris") == [4] * 23


def test_where_clocks_change_by_half_an_hour_a_bucket_is_longer() -> None:
    assert hours("2026-04-04T13:00:00Z", "2026-04-04T17:30:00Z", "Australia/Lord_Howe") == [
        *(4, 6, 4, 4)
    ]
    assert hours("2026-10-03T13:30:00Z", "2026-10-03T17:00:00Z", "Australia/Lord_Howe") == [
        *(4, 6, 4)
    ]


def test_a_day_that_was_skipped_has_no_bucket() -> None:
    first, last = parse_instant("2011-12-29T10:00:00Z"), parse_instant("2011-12-31T10:00:00Z")
    bounds = cut(first, last, BucketSize.DAY, "Pacific/Apia")
    assert [(end - start) // HOUR for start, end in pairwise(bounds)] == [24, 24]


def test_no_calendar_goes_on_for_ever() -> None:
    last = parse_instant("9999-06-01T00:00:00Z")
    for size in BucketSize:
        with pytest.raises(InvalidSchedule):
            cut(parse_instant("9998-12-30T00:00:00Z"), last, size, "Asia/Tokyo")


def test_an_empty_bucket_is_shown_where_nothing_is_told_apart() -> None:
    bounds = [0, 1, 2]
    sums = [{}, {Group(): Amounts(5, 1)}]
    assert [point.amounts for point in to_points(bounds, sums, Grouping())] == [(0, 0), (5, 1)]
    grouped = to_points(bounds, sums, Grouping(by_meter=True))
    assert [(point.start, point.amounts) for point in grouped] == [(1, (5, 1))]


def test_groups_that_cancel_out_are_none() -> None:
    sums = [{Group(meter="a"): Amounts(0, 0), Group(meter="b"): Amounts(0, 1)}]
    [point] = to_points([0, 1], sums, Grouping(by_meter=True))
    assert point.group.meter == "b"


def test_points_go_by_time_then_by_names_and_where_there_is_none_comes_last() -> None:
    one = Amounts(1, 1)
    groups = [Group("ts_2", "a"), Group("ts_1", None), Group("ts_1", ""), Group(None, "a")]
    sums = [dict.fromkeys(reversed(groups), one), {Group("ts_1", "b"): one}]
    points = to_points([0, 1, 2], sums, Grouping(by_teamspace=True, by_meter=True))
    assert [(point.start, *point.group[:2]) for point in points] == [
        (0, "ts_1", ""),
        (0, "ts_1", None),
        (0, "ts_2", "a"),
        (0, None, "a"),
        (1, "ts_1", "b"),
    ]


def test_more_points_than_one_answer_may_have() -> None:
    found = {Group(meter=f"{number:05}"): Amounts(1, 1) for number in range(MAX_POINTS + 1)}
    with pytest.raises(TooMuch, match="10001 points"):
        to_points([0, 1], [found], Grouping(by_meter=True))
    found.popitem()
    assert len(to_points([0, 1], [found], Grouping(by_meter=True))) == MAX_POINTS
