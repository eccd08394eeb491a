"""Examples of every rule about billing periods.

Boundaries are written as the UTC times that they must be, worked out from the zones' published
clock changes and not by the code under test.
"""

from __future__ import annotations

import copy
import pickle
import zoneinfo
from datetime import datetime

import pytest

from tallystick.domain import periods
from tallystick.domain.periods import (
    MAX_COUNT,
    Bounds,
    Interval,
    InvalidSchedule,
    Schedule,
    format_instant,
    parse_instant,
)

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR


def schedule(interval: str, anchor: str, timezone: str, count: int = 1) -> Schedule:
    return Schedule(
        interval=Interval(interval),
        count=count,
        anchor=datetime.fromisoformat(anchor),
        timezone=timezone,
    )


def at(text: str) -> int:
    """An instant from `2026-01-31 23:00`, in UTC."""
    return parse_instant(text.replace(" ", "T") + ":00Z")


def walked(plan: Schedule, first: str, boundaries: int) -> list[str]:
    """The start of the period that contains `first`, and the boundaries after it, in UTC."""
    instants = [plan.bounds_at(at(first)).start]
    while len(instants) < boundaries:
        instants.append(plan.boundary_after(instants[-1]))
    return [shown(instant) for instant in instants]


def shown(instant: int) -> str:
    return format_instant(instant).removesuffix(":00.000000Z").replace("T", " ")


class TestMonths:
    def test_an_anchor_on_the_31st_is_clamped_and_then_comes_back(self) -> None:
        plan = schedule("month", "2026-01-31", "UTC")
        assert walked(plan, "2026-02-01 00:00", 6) == [
            "2026-01-31 00:00",
            "2026-02-28 00:00",
            "2026-03-31 00:00",
            "2026-04-30 00:00",
            "2026-05-31 00:00",
            "2026-06-30 00:00",
        ]

    def test_february_has_a_29th_in_leap_years(self) -> None:
        plan = schedule("month", "2026-01-30", "UTC")
        assert walked(plan, "2028-02-01 00:00", 3)[1:] == ["2028-02-29 00:00", "2028-03-30 00:00"]
        assert walked(plan, "2100-02-01 00:00", 3)[1:] == ["2100-02-28 00:00", "2100-03-30 00:00"]

    def test_local_midnight_follows_the_zones_clock(self) -> None:
        plan = schedule("month", "2026-01-31", "Europe/Paris")
        assert walked(plan, "2026-02-01 00:00", 4) == [
            "2026-01-30 23:00",
            "2026-02-27 23:00",
            "2026-03-30 22:00",
            "2026-04-29 22:00",
        ]

    def test_several_months_count_from_the_anchor(self) -> None:
        plan = schedule("month", "2025-11-30", "UTC", count=3)
        assert walked(plan, "2025-12-01 00:00", 4) == [
            "2025-11-30 00:00",
            "2026-02-28 00:00",
            "2026-05-30 00:00",
            "2026-08-30 00:00",
        ]

    def test_the_day_before_a_clamped_boundary_belongs_to_the_period_before(self) -> None:
        plan = schedule("month", "2026-01-31 12:00", "UTC")
        boundary = at("2026-04-30 12:00")
        assert plan.bounds_at(boundary - 1) == Bounds(at("2026-03-31 12:00"), boundary)
        assert plan.bounds_at(boundary) == Bounds(boundary, at("2026-05-31 12:00"))


class TestYears:
    def test_an_anchor_on_29_february_is_the_28th_in_common_years(self) -> None:
        plan = schedule("year", "2024-02-29", "UTC")
        assert walked(plan, "2024-03-01 00:00", 5) == [
            "2024-02-29 00:00",
            "2025-02-28 00:00",
            "2026-02-28 00:00",
            "2027-02-28 00:00",
            "2028-02-29 00:00",
        ]

    def test_two_years_at_a_time(self) -> None:
        plan = schedule("year", "2024-02-29 18:30", "Asia/Kathmandu", count=2)
        assert walked(plan, "2026-01-01 00:00", 3) == [
            "2024-02-29 12:45",
            "2026-02-28 12:45",
            "2028-02-29 12:45",
        ]


class TestDaysAndWeeks:
    def test_weeks_keep_their_weekday_and_their_local_time(self) -> None:
        plan = schedule("week", "2026-03-16 09:00", "Europe/Paris", count=2)
        assert walked(plan, "2026-03-16 08:00", 3) == [
            "2026-03-16 08:00",
            "2026-03-30 07:00",
            "2026-04-13 07:00",
        ]

    def test_a_day_has_23_hours_in_spring_and_25_in_autumn(self) -> None:
        plan = schedule("day", "2020-01-01", "America/New_York")
        spring = plan.bounds_at(at("2026-03-08 12:00"))
        autumn = plan.bounds_at(at("2026-11-01 12:00"))
        assert spring.end - spring.start == 23 * HOUR
        assert autumn.end - autumn.start == 25 * HOUR

    def test_ninety_days_are_counted_from_the_anchor(self) -> None:
        plan = schedule("day", "2026-01-01", "UTC", count=90)
        assert walked(plan, "2026-01-01 00:00", 3) == [
            "2026-01-01 00:00",
            "2026-04-01 00:00",
            "2026-06-30 00:00",
        ]


class TestSkippedLocalTimes:
    def test_a_skipped_time_is_the_first_instant_after_the_gap(self) -> None:
        plan = schedule("day", "2026-01-01 02:30", "Europe/Paris")
        assert walked(plan, "2026-03-28 12:00", 3) == [
            "2026-03-28 01:30",
            "2026-03-29 01:00",
            "2026-03-30 00:30",
        ]

    def test_the_gap_begins_with_its_first_reading_and_ends_before_the_next_that_exists(
        self,
    ) -> None:
        gap_end = at("2026-03-29 01:00")
        for clock, expected in [
            ("01:59:59.999999", gap_end - 1),
            ("02:00:00", gap_end),
            ("02:00:00.000001", gap_end),
            ("02:59:59.999999", gap_end),
            ("03:00:00", gap_end),
            ("03:00:00.000001", gap_end + 1),
        ]:
            plan = schedule("month", f"2026-01-29 {clock}", "Europe/Paris")
            assert plan.boundary_after(at("2026-03-15 00:00")) == expected, clock

    def test_an_anchor_may_itself_be_skipped_and_keeps_its_reading_on_other_days(self) -> None:
        plan = schedule("day", "2026-03-29 02:30", "Europe/Paris")
        assert walked(plan, "2026-03-29 12:00", 2) == ["2026-03-29 01:00", "2026-03-30 00:30"]

    def test_a_gap_of_half_an_hour(self) -> None:
        plan = schedule("day", "2026-01-01 02:15", "Australia/Lord_Howe")
        assert walked(plan, "2026-10-03 00:00", 3) == [
            "2026-10-02 15:45",
            "2026-10-03 15:30",
            "2026-10-04 15:15",
        ]

    def test_a_gap_of_a_quarter_of_an_hour_at_the_turn_of_a_year(self) -> None:
        plan = schedule("year", "1980-01-01 00:10", "Asia/Kathmandu")
        assert walked(plan, "1985-06-01 00:00", 3) == [
            "1984-12-31 18:40",
            "1985-12-31 18:30",
            "1986-12-31 18:25",
        ]

    def test_a_gap_at_midnight(self) -> None:
        plan = schedule("day", "2020-01-01", "America/Santiago")
        assert walked(plan, "2026-09-05 12:00", 3) == [
            "2026-09-05 04:00",
            "2026-09-06 04:00",
            "2026-09-07 03:00",
        ]


class TestSkippedDays:
    def test_the_empty_day_that_apia_skipped_is_no_period(self) -> None:
        plan = schedule("day", "2011-01-01", "Pacific/Apia")
        assert walked(plan, "2011-12-29 12:00", 4) == [
            "2011-12-29 10:00",
            "2011-12-30 10:00",
            "2011-12-31 10:00",
            "2012-01-01 10:00",
        ]

    def test_a_boundary_within_a_skipped_day_cuts_where_the_day_was(self) -> None:
        plan = schedule("day", "2011-01-01 10:00", "Pacific/Apia")
        assert walked(plan, "2011-12-29 21:00", 4) == [
            "2011-12-29 20:00",
            "2011-12-30 10:00",
            "2011-12-30 20:00",
            "2011-12-31 20:00",
        ]

    def test_a_month_that_should_start_on_the_skipped_day_starts_after_it(self) -> None:
        plan = schedule("month", "2011-10-30", "Pacific/Apia")
        assert walked(plan, "2011-12-01 00:00", 3) == [
            "2011-11-30 10:00",
            "2011-12-30 10:00",
            "2012-01-29 10:00",
        ]

    @pytest.mark.parametrize("anchor", ["1990-05-05", "1993-08-21", "2020-02-02"])
    def test_kwajaleins_too_from_wherever_the_days_are_counted(self, anchor: str) -> None:
        plan = schedule("day", anchor, "Pacific/Kwajalein")
        assert walked(plan, "1993-08-21 00:00", 3) == [
            "1993-08-20 12:00",
            "1993-08-21 12:00",
            "1993-08-22 12:00",
        ]

    def test_a_preview_has_no_empty_period_either(self) -> None:
        plan = schedule("day", "2011-01-01", "Pacific/Apia")
        following = plan.following(at("2011-12-29 10:00"), 3)
        assert [end - start for start, end in following] == [DAY, DAY, DAY]


class TestRepeatedLocalTimes:
    def test_a_time_that_occurs_twice_is_its_first_occurrence(self) -> None:
        plan = schedule("day", "2026-01-01 01:30", "America/New_York")
        assert walked(plan, "2026-10-31 12:00", 3) == [
            "2026-10-31 05:30",
            "2026-11-01 05:30",
            "2026-11-02 06:30",
        ]

    def test_the_second_occurrence_changes_nothing(self) -> None:
        plan = schedule("day", "2026-01-01 01:30", "America/New_York")
        day = Bounds(at("2026-11-01 05:30"), at("2026-11-02 06:30"))
        for moment in ("2026-11-01 05:30", "2026-11-01 06:15", "2026-11-01 06:30"):
            assert plan.bounds_at(at(moment)) == day

    def test_half_an_hour_repeated(self) -> None:
        plan = schedule("day", "2026-01-01 01:45", "Australia/Lord_Howe")
        assert walked(plan, "2026-04-04 00:00", 3) == [
            "2026-04-03 14:45",
            "2026-04-04 14:45",
            "2026-04-05 15:15",
        ]

    def test_an_anchor_made_from_the_second_occurrence_is_the_same_anchor(self) -> None:
        plan = schedule("day", "2026-11-01 01:30", "America/New_York")
        second = Schedule(
            interval=Interval.DAY,
            count=1,
            anchor=plan.anchor.replace(fold=1),
            timezone="America/New_York",
        )
        moment = at("2026-11-01 12:00")
        assert (second, second.bounds_at(moment)) == (plan, plan.bounds_at(moment))


class TestAnywhereOnTheTimeLine:
    def test_an_anchor_in_the_future_counts_backwards(self) -> None:
        past = schedule("month", "2020-01-31 08:00", "Europe/Paris")
        future = schedule("month", "2040-01-31 08:00", "Europe/Paris")
        assert walked(future, "2026-01-31 12:00", 14) == walked(past, "2026-01-31 12:00", 14)

    @pytest.mark.parametrize("interval", Interval)
    @pytest.mark.parametrize("anchor", ["0002-07-31 00:30", "9998-07-31 00:30"])
    def test_the_distance_to_the_anchor_costs_nothing(
        self, interval: Interval, anchor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolved = 0
        resolve = periods._first_instant_at_or_past

        def count(reading: datetime, zone: zoneinfo.ZoneInfo) -> int:
            nonlocal resolved
            resolved += 1
            return resolve(reading, zone)

        monkeypatch.setattr(periods, "_first_instant_at_or_past", count)
        start, end = schedule(interval, anchor, "Europe/Paris").bounds_at(at("2026-07-01 00:00"))
        assert start <= at("2026-07-01 00:00") < end
        assert 2 <= resolved <= 4

    def test_microseconds_of_an_anchor_count(self) -> None:
        plan = schedule("day", "2026-01-01 00:00:00.000001", "UTC")
        midnight = at("2026-05-05 00:00")
        assert plan.bounds_at(midnight).start == midnight - DAY + 1
        assert plan.bounds_at(midnight + 1).start == midnight + 1

    def test_before_1970_too(self) -> None:
        plan = schedule("month", "2026-01-31", "UTC")
        assert walked(plan, "1968-02-15 00:00", 3) == [
            "1968-01-31 00:00",
            "1968-02-29 00:00",
            "1968-03-31 00:00",
        ]

    def test_a_schedule_can_be_copied_and_pickled(self) -> None:
        plan = schedule("month", "2026-01-31", "Europe/Paris")
        assert copy.deepcopy(plan) == pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301 - our own


class TestNextPeriod:
    def test_it_ends_at_the_first_boundary_after_its_start(self) -> None:
        plan = schedule("month", "2026-01-31", "UTC")
        assert plan.boundary_after(at("2026-02-28 00:00")) == at("2026-03-31 00:00")

    def test_after_a_change_it_ends_at_the_new_schedules_first_boundary(self) -> None:
        weekly = schedule("week", "2026-01-05", "Europe/Paris")
        monthly_end = at("2026-03-31 00:00")
        assert weekly.boundary_after(monthly_end) == at("2026-04-05 22:00")

    def test_the_periods_that_follow_start_where_the_present_one_ends(self) -> None:
        weekly = schedule("week", "2026-01-05", "UTC")
        assert weekly.following(at("2026-03-31 00:00"), 3) == [
            Bounds(at("2026-03-31 00:00"), at("2026-04-06 00:00")),
            Bounds(at("2026-04-06 00:00"), at("2026-04-13 00:00")),
            Bounds(at("2026-04-13 00:00"), at("2026-04-20 00:00")),
        ]

    def test_none_follow_when_none_are_asked_for(self) -> None:
        assert schedule("week", "2026-01-05", "UTC").following(0, 0) == []


class TestInvalidSchedules:
    @pytest.mark.parametrize(("interval", "most"), MAX_COUNT.items())
    def test_a_period_is_at_least_one_interval_and_at_most_ten_years(
        self, interval: Interval, most: int
    ) -> None:
        for count in (1, most):
            schedule(interval, "2026-01-01", "UTC", count)
        for count in (0, -1, most + 1, 10**30):
            with pytest.raises(
                InvalidSchedule, match=f"count must be 1 to {most} for .* {interval}"
            ):
                schedule(interval, "2026-01-01", "UTC", count)

    def test_an_anchor_has_no_offset_of_its_own(self) -> None:
        with pytest.raises(InvalidSchedule, match="without an offset"):
            schedule("month", "2026-01-01T00:00:00+01:00", "Europe/Paris")

    def test_an_unknown_zone_is_refused_when_the_schedule_is_made(self) -> None:
        with pytest.raises(InvalidSchedule, match="'Europe/Atlantis' is not an IANA time zone"):
            schedule("month", "2026-01-01", "Europe/Atlantis")

    @pytest.mark.parametrize("interval", Interval)
    @pytest.mark.parametrize("moment", ["0002-01-01 00:00", "9998-12-31 23:59"])
    def test_periods_end_with_the_calendar(self, interval: Interval, moment: str) -> None:
        plan = schedule(interval, "2026-06-15 12:00", "Pacific/Kiritimati", MAX_COUNT[interval])
        with pytest.raises(InvalidSchedule, match="years 2 to 9998"):
            plan.bounds_at(at(moment))
        with pytest.raises(InvalidSchedule, match="years 2 to 9998"):
            plan.following(at("9980-01-01 00:00"), 10_000)

    @pytest.mark.parametrize("instant", [-(10**30), -62_135_596_800_000_001, 2**63, 10**30])
    def test_an_instant_outside_the_calendar_is_refused(self, instant: int) -> None:
        plan = schedule("month", "2026-01-01", "UTC")
        with pytest.raises(InvalidSchedule, match="years 2 to 9998"):
            plan.bounds_at(instant)

    @pytest.mark.parametrize("anchor", ["0001-01-01", "9999-12-31T23:59:59.999999"])
    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
    def test_any_anchor_will_do_for_the_years_between(self, anchor: str, zone: str) -> None:
        start, end = schedule("month", anchor, zone).bounds_at(at("2026-06-15 00:00"))
        assert start <= at("2026-06-15 00:00") < end <= start + 31 * DAY
