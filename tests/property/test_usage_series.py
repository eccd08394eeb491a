"""Usage over time, against a calendar that walks through a span quarter by quarter of an hour.

The oracle lists every event and asks the local clock of each quarter of an hour what it shows. It
shares no code with the roll-ups, nor with how buckets are cut.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from tallystick.domain.series import BucketSize, Group, Grouping, cut, to_points
from tallystick.domain.usage import RollupKey
from tallystick.ledger.ports import Changes, Wanted
from tallystick.storage.sqlite import SqliteStore

QUARTER = timedelta(minutes=15)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORGANIZATION = "org_acme"
DIMENSION = "model"

# Every kind of offset and of change: half and quarter hours, a change of half an hour, of three
# hours, at midnight, a day that was skipped, a country that went over for good.
SPANS = [
    ("UTC", "2026-02-27"),
    ("Europe/Paris", "2026-03-27"),
    ("Europe/Paris", "2026-10-23"),
    ("America/New_York", "2026-10-30"),
    ("America/St_Johns", "2010-11-05"),
    ("Asia/Kolkata", "2026-12-29"),
    ("Asia/Kathmandu", "2026-01-30"),
    ("Asia/Pyongyang", "2018-05-03"),
    ("Australia/Lord_Howe", "2026-04-03"),
    ("Australia/Lord_Howe", "2026-10-02"),
    ("Pacific/Chatham", "2026-04-03"),
    ("Pacific/Apia", "2011-12-28"),
    ("Pacific/Kiritimati", "2026-02-27"),
    ("America/Sao_Paulo", "2018-11-02"),
    ("Antarctica/Troll", "2026-03-27"),
    ("Africa/Casablanca", "2026-02-13"),
]


class Event(NamedTuple):
    """`told_apart` are teamspace, meter, key and the dimension's value (None: without it)."""

    at: datetime
    used: int
    told_apart: tuple[str, str, str, str | None]


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def some_events(chance: random.Random, start: datetime, days: int) -> list[Event]:
    return [
        Event(
            start + timedelta(seconds=chance.randrange(days * 86_400)),
            chance.choice((0, 1, 7, 10**9)),
            (
                chance.choice(("ts_a", "ts_b")),
                chance.choice(("", "calls", "tokens")),
                chance.choice(("", "key_1")),
                chance.choice((None, "", "large", "größer")),
            ),
        )
        for _ in range(400)
    ]


def rollups(events: list[Event]) -> dict[RollupKey, tuple[int, int]]:
    found: dict[RollupKey, tuple[int, int]] = {}
    for at, used, (*names, value) in events:
        bucket = micros(at) - micros(at) % micros(EPOCH + QUARTER)
        for said in [("", "")] + ([(DIMENSION, value)] if value is not None else []):
            key = RollupKey._make((ORGANIZATION, bucket, *names, *said))
            before = found.get(key, (0, 0))
            found[key] = (before[0] + used, before[1] + 1)
    return found


def label(quarter: datetime, size: str, zone: ZoneInfo) -> object:
    """What all quarters of one bucket have in common."""
    local = quarter.astimezone(zone)
    day = (local.year, local.month, local.day)
    match size:
        case "hour":
            # The hour that is shown twice is two; a quarter belongs to the last full hour shown.
            while quarter.astimezone(zone).minute:
                quarter -= QUARTER
            return quarter
        case "day":
            return day
        case "week":
            return local.isocalendar()[:2]
        case _:
            return day[:2]


def labelled(
    start: datetime, end: datetime, size: str, zone: ZoneInfo
) -> Iterator[tuple[datetime, Any]]:
    """The quarters of a span and their labels. What has begun has begun: where clocks are set back
    over midnight, the day before does not come again."""
    latest: Any = None
    for quarter in quarters(start - timedelta(days=1), end):
        shown: Any = label(quarter, size, zone)
        latest = shown if latest is None else max(shown, latest)
        if quarter >= start:
            yield quarter, latest


def quarters(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += QUARTER


def expected(
    events: list[Event], start: datetime, end: datetime, size: str, zone: ZoneInfo, by: Grouping
) -> dict[tuple[datetime, Group], tuple[int, int]]:
    """By the first quarter of each bucket and the group."""
    bucket_of: dict[datetime, datetime] = {}
    for _, alike in itertools.groupby(labelled(start, end, size, zone), key=itemgetter(1)):
        bucket = [quarter for quarter, _ in alike]
        bucket_of.update(dict.fromkeys(bucket, bucket[0]))
    used: Counter[tuple[datetime, Group]] = Counter()
    count: Counter[tuple[datetime, Group]] = Counter()
    for at, amount, (teamspace, meter, key, value) in events:
        quarter = at - (at - EPOCH) % QUARTER
        if quarter in bucket_of:
            group = Group(
                teamspace if by.by_teamspace else None,
                (meter or None) if by.by_meter else None,
                (key or None) if by.by_key else None,
                value if by.dimension else None,
            )
            used[bucket_of[quarter], group] += amount
            count[bucket_of[quarter], group] += 1
    return {where: (used[where], count[where]) for where in count}


def groupings() -> list[Grouping]:
    return [
        Grouping._make((*flags, dimension))
        for flags in itertools.product((False, True), repeat=3)
        for dimension in (None, DIMENSION)
    ]


@pytest.mark.parametrize(("timezone", "first_day"), SPANS)
def test_sums_are_exact_in_every_zone(tmp_path: Path, timezone: str, first_day: str) -> None:
    chance = random.Random(f"{timezone} {first_day}")
    zone, days = ZoneInfo(timezone), 9
    first = datetime.fromisoformat(first_day).replace(tzinfo=UTC)
    events = some_events(chance, first, days)

    async def scenario() -> None:
        store = SqliteStore.open(tmp_path / "ledger.db", clock=lambda: 0)
        await store.lanes[0].load(Wanted())
        await store.lanes[0].append(Changes(rollups=rollups(events)))
        for size, by in itertools.product(BucketSize, groupings()):
            start = first + QUARTER * chance.randrange(-100, 300)
            end = start + QUARTER * chance.randrange(1, days * 96)
            bounds = cut(micros(start), micros(end), size, timezone)
            sums = await store.reader.usage_between(ORGANIZATION, bounds, by)
            found = {
                (EPOCH + timedelta(microseconds=point.start), point.group): tuple(point.amounts)
                for point in to_points(bounds, sums, by)
                if any(point.amounts)
            }
            assert found == expected(events, start, end, size, zone, by), (size, by, start, end)
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("timezone", "first_day"), SPANS)
@pytest.mark.parametrize("size", BucketSize)
def test_buckets_tile_the_span(timezone: str, first_day: str, size: BucketSize) -> None:
    first = datetime.fromisoformat(first_day).replace(tzinfo=UTC)
    start, end = micros(first + QUARTER), micros(first + timedelta(days=9))
    bounds = cut(start, end, size, timezone)
    assert (bounds[0], bounds[-1]) == (start, end)
    assert bounds == sorted(set(bounds))
    zone = ZoneInfo(timezone)
    shown = labelled(first + QUARTER, first + timedelta(days=9), size, zone)
    changes = [
        quarter for (_, before), (quarter, now) in itertools.pairwise(shown) if before != now
    ]
    assert bounds[1:-1] == [micros(quarter) for quarter in changes]
