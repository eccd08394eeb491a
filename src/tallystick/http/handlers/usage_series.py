"""Usage over time: totals by hours, days, weeks or months of any zone."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from tallystick.domain.commands import is_too_early
from tallystick.domain.credits import format_credits
from tallystick.domain.directory import Scope
from tallystick.domain.periods import InvalidSchedule, format_instant, load_zone
from tallystick.domain.series import (
    MAX_BUCKETS,
    MAX_POINTS,
    BucketSize,
    Grouping,
    NoSpan,
    TooMuch,
)
from tallystick.domain.usage import BUCKET
from tallystick.http.accept import preferred
from tallystick.http.exports import CSV, JSON, PART, file_answer, in_csv, safe
from tallystick.http.operations import Answer, Call, Operation, Parameter
from tallystick.http.shapes import (
    Credits,
    Response,
    Time,
    bad_parameter,
    instant_parameter,
    list_type,
    not_found,
)
from tallystick.http.wire import credits_json, encode, shorten
from tallystick.ledger.reads import NotDeclared, SeriesAsked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

    from tallystick.domain.series import Group, Point

_SIZES: Final = ", ".join(BucketSize)
_DIMENSION: Final = "dimension:"
_AT_ONCE: Final = 500
"""Points that are shown in JSON at once: a millisecond or two."""
_NAMES: Final = ("teamspace", "meter", "key")


class UsagePoint(Response, kw_only=True):
    """What one group used in [start, end), net of what was reversed since."""

    start: Time
    end: Time
    group: Annotated[
        dict[str, str | None],
        Meta(
            description="A value for each name in group_by; null where usage has none: no meter "
            "was named, or the dimension was not, or before it was declared, or has been erased"
        ),
    ]
    credits: Credits
    events: Annotated[int, Meta(ge=0, description="Events that were booked")]


UsageSeries = list_type(UsagePoint, "UsageSeries")


async def get_usage(call: Call) -> Answer:
    names = _group_names(call.query)
    asked = SeriesAsked(
        _bound(call.query, "from"),
        _bound(call.query, "to"),
        _size(call.query),
        _timezone(call.query),
        _grouping(names),
    )
    points = await _points(call, asked)
    if preferred(call.header(b"accept"), (JSON, CSV)) == CSV:
        header = ["start", "end", *names, "credits", "events"]
        lines = in_csv(header, _parts(points, PART), lambda point: _cells(point, names))
        return file_answer(CSV, "usage", lines)
    view = _viewer(names)
    shown = [encode(list(map(view, part)))[1:-1] async for part in _parts(points, _AT_ONCE)]
    return Answer(200, b'{"object":"list","data":[%b],"has_more":false}' % b",".join(shown))


async def _points(call: Call, asked: SeriesAsked) -> Sequence[Point]:
    try:
        found = await call.service.reads.usage_series(call.organization_id, asked)
    except TooMuch as error:
        advice = "choose larger buckets, fewer groups or a shorter time"
        raise bad_parameter("bucket", f"is too small: {error}; {advice}") from None
    except (NoSpan, InvalidSchedule) as error:
        raise bad_parameter("to", str(error)) from None
    if found is None:
        raise not_found("organization")
    if isinstance(found, NotDeclared):
        raise bad_parameter("group_by", _not_declared(asked, found))
    return found


def _not_declared(asked: SeriesAsked, found: NotDeclared) -> str:
    declared = ", ".join(found.declared) or "none"
    name = shorten(asked.grouping.dimension or "")
    return f"names {name!r}, which is not among the organization's usage_dimensions: {declared}"


async def _parts(points: Sequence[Point], at_once: int) -> AsyncGenerator[Sequence[Point], None]:
    """A few points at a time; others get their turn in between."""
    for start in range(0, len(points), at_once):
        yield points[start : start + at_once]
        await asyncio.sleep(0)


def _bound(query: Mapping[str, str], name: str) -> int | None:
    instant = instant_parameter(query, name)
    if instant is None:
        return None
    if instant % BUCKET:
        raise bad_parameter(name, "must be a multiple of 15 minutes: usage is counted by those")
    if is_too_early(instant):
        raise bad_parameter(name, "must not be before the year 2000")
    return instant


def _size(query: Mapping[str, str]) -> BucketSize:
    try:
        return BucketSize(query.get("bucket", BucketSize.DAY))
    except ValueError:
        raise bad_parameter("bucket", f"must be one of {_SIZES}") from None


def _timezone(query: Mapping[str, str]) -> str:
    name = query.get("timezone", "UTC")
    try:
        load_zone(name)
    except InvalidSchedule:
        raise bad_parameter("timezone", "must be an IANA time zone such as Europe/Paris") from None
    return name


def _group_names(query: Mapping[str, str]) -> list[str]:
    """The names in group_by, each once, in the order given."""
    names = query["group_by"].split(",") if "group_by" in query else []
    for number, name in enumerate(names):
        if name not in _NAMES and not (name.startswith(_DIMENSION) and len(name) > len(_DIMENSION)):
            raise bad_parameter(
                "group_by", "must be a list of teamspace, meter, key and dimension:<name>"
            )
        if name in names[:number]:
            raise bad_parameter("group_by", f"names {shorten(name)!r} twice")
    if sum(name.startswith(_DIMENSION) for name in names) > 1:
        raise bad_parameter("group_by", "can name one dimension at a time")
    return names


def _grouping(names: Sequence[str]) -> Grouping:
    dimensions = [name.removeprefix(_DIMENSION) for name in names if name not in _NAMES]
    by_teamspace, by_meter, by_key = (name in names for name in _NAMES)
    return Grouping(by_teamspace, by_meter, by_key, *dimensions)


def _values(group: Group, names: Sequence[str]) -> Iterator[str | None]:
    known = dict(zip(_NAMES, group, strict=False))
    for name in names:
        yield known.get(name, group.value)


def _viewer(names: Sequence[str]) -> Callable[[Point], UsagePoint]:
    """How a point is shown; what many points have in common is made once."""
    time = cache(format_instant)
    named = cache(lambda group: dict(zip(names, _values(group, names), strict=True)))

    def view(point: Point) -> UsagePoint:
        start, end, group, (used, events) = point
        return UsagePoint(
            start=time(start),
            end=time(end),
            group=named(group),
            credits=credits_json(used),
            events=events,
        )

    return view


def _cells(point: Point, names: Sequence[str]) -> Iterator[object]:
    yield format_instant(point.start)
    yield format_instant(point.end)
    yield from map(safe, _values(point.group, names))
    yield format_credits(point.amounts.credits)
    yield point.amounts.events


_TIME: Final = {"type": "string", "format": "date-time"}
OPERATIONS = (
    Operation(
        name="get_usage",
        method="GET",
        path="/v1/organization/credits/usage",
        handle=get_usage,
        scope=Scope.CREDITS_READ,
        query=(
            Parameter(
                "from",
                _TIME,
                "Used at this time or later; default: the present billing period's start",
            ),
            Parameter(
                "to", _TIME, "Used before this time; default: the present billing period's end"
            ),
            Parameter(
                "bucket",
                {"type": "string", "enum": list(BucketSize), "default": "day"},
                "What is added up; weeks begin on Monday",
            ),
            Parameter(
                "timezone",
                {"type": "string", "default": "UTC"},
                "The IANA time zone in which buckets begin",
            ),
            Parameter(
                "group_by",
                {"type": "string"},
                "Tell apart by these: teamspace, meter, key, dimension:<name>, with commas between",
            ),
        ),
        response=UsageSeries,
        files=(CSV,),
        summary="Usage over time",
        description=(
            "Exact totals, oldest first, by when usage happened. The first bucket begins at `from` "
            "and the last one ends at `to`, which are multiples of 15 minutes; all others are "
            "whole, so a day has 23, 24 or 25 hours. Ungrouped, every bucket is there; otherwise "
            f"those groups that have usage in it. At most {MAX_BUCKETS} buckets and {MAX_POINTS} "
            "points. With `Accept: text/csv` it is a file."
        ),
    ),
)
