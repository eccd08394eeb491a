"""The terms of an organization as JSON: its billing period, rollover and overage.

What is left out when an organization is created takes the defaults of a calendar month in UTC,
without rollover and overage. A change of the billing period keeps what it leaves out; rollover and
overage are replaced whole, since their parts belong to their mode.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.periods import Interval, Schedule, load_zone
from tallystick.domain.plans import (
    CALENDAR_MONTH,
    MAX_ROLLOVER_PERIODS,
    Overage,
    OverageMode,
    Rollover,
    RolloverMode,
)
from tallystick.http.errors import invalid
from tallystick.http.shapes import Amount, Credits, Request, Response
from tallystick.http.wire import credits_field, credits_json, parse_field

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)
_A_MONDAY: Final = CALENDAR_MONTH.anchor.replace(day=3)

LocalTime = Annotated[
    str,
    Meta(
        description="A reading of the local clock, without an offset: 2026-01-31T00:00:00",
        extra_json_schema={"pattern": f"^{_LOCAL.pattern}$"},
    ),
]


class BillingPeriodTerms(Request, kw_only=True):
    interval: Interval | UnsetType = UNSET
    count: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    anchor: LocalTime | UnsetType = UNSET
    timezone: Annotated[str, Meta(description="An IANA time zone")] | UnsetType = UNSET


class RolloverTerms(Request, kw_only=True):
    mode: RolloverMode
    cap: (
        Annotated[Amount, Meta(description="Credits (amount), or 0 to 100 (percent)")] | UnsetType
    ) = UNSET
    periods: Annotated[int, Meta(ge=1, le=MAX_ROLLOVER_PERIODS)] = 1


class OverageTerms(Request, kw_only=True):
    mode: OverageMode
    limit: Annotated[Amount, Meta(description="Credits a period (limit)")] | UnsetType = UNSET


def new_schedule(terms: BillingPeriodTerms | UnsetType) -> Schedule:
    """The schedule of a new organization; weeks begin on Mondays unless they are anchored."""
    if isinstance(terms, UnsetType):
        return CALENDAR_MONTH
    default = CALENDAR_MONTH
    if terms.interval == Interval.WEEK:
        default = replace(default, anchor=_A_MONDAY)
    return parse_field("/billing_period/count", rescheduling(terms), default)


def rescheduling(terms: BillingPeriodTerms) -> Callable[[Schedule], Schedule]:
    """What turns a schedule into one with the parts that are given.

    Zone and anchor are judged here; what a schedule can still dislike (InvalidSchedule) is the
    count, which depends on the interval.
    """
    given: dict[str, Any] = {}
    if terms.timezone is not UNSET:
        parse_field("/billing_period/timezone", load_zone, terms.timezone)
        given["timezone"] = terms.timezone
    if terms.anchor is not UNSET:
        given["anchor"] = _anchor(terms.anchor)
    if terms.interval is not UNSET:
        given["interval"] = terms.interval
    if terms.count is not UNSET:
        given["count"] = terms.count
    return lambda before: replace(before, **given)


def _anchor(text: str) -> datetime:
    if _LOCAL.fullmatch(text) is None:
        message = "must be a local time without an offset, like 2026-01-31T00:00:00"
        raise invalid("/billing_period/anchor", message)
    return parse_field("/billing_period/anchor", datetime.fromisoformat, text)


def rollover(terms: RolloverTerms) -> Rollover:
    cap = None if terms.cap is UNSET else credits_field("/rollover/cap", terms.cap)
    periods = 1 if terms.mode is RolloverMode.NONE else terms.periods
    return parse_field(
        "/rollover/cap",
        lambda given: Rollover(mode=terms.mode, cap=given, periods=periods),
        cap,
    )


def overage(terms: OverageTerms) -> Overage:
    limit = None if terms.limit is UNSET else credits_field("/overage/limit", terms.limit)
    return parse_field("/overage/limit", lambda given: Overage(mode=terms.mode, limit=given), limit)


class BillingPeriod(Response, kw_only=True):
    interval: Literal["day", "week", "month", "year"]
    count: int
    anchor: LocalTime
    timezone: str


class RolloverView(Response, kw_only=True):
    """`cap` and `periods` are there where the mode has them."""

    mode: Literal["none", "all", "amount", "percent"]
    cap: Credits | UnsetType = UNSET
    periods: int | UnsetType = UNSET


class OverageView(Response, kw_only=True):
    """`limit` is there where the mode has one."""

    mode: Literal["deny", "limit", "allow"]
    limit: Credits | UnsetType = UNSET


def billing_period_view(schedule: Schedule) -> BillingPeriod:
    return BillingPeriod(
        interval=schedule.interval.value,
        count=schedule.count,
        anchor=schedule.anchor.isoformat(),
        timezone=schedule.timezone,
    )


def rollover_view(terms: Rollover) -> RolloverView:
    return RolloverView(
        mode=terms.mode.value,
        cap=UNSET if terms.cap is None else credits_json(terms.cap),
        periods=UNSET if terms.mode is RolloverMode.NONE else terms.periods,
    )


def overage_view(terms: Overage) -> OverageView:
    return OverageView(
        mode=terms.mode.value,
        limit=UNSET if terms.limit is None else credits_json(terms.limit),
    )
