"""How instants are read, printed, and told from what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tallystick.domain.periods import (
    InvalidInstant,
    format_instant,
    parse_instant,
    to_instant,
)

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01t00:00:01z", SECOND),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T18:15:00-05:45", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T23:59:00+23:59", 0),
        ("2000-02-29T00:00:00Z", 951_782_400 * SECOND),
        ("2026-11-22T10:00:00.123456Z", 1_795_341_600_123_456),
        ("2026-11-22T11:00:00.123456+01:00", 1_795_341_600_123_456),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_800 * SECOND - 1),
    ],
)
def test_an_rfc_3339_time_is_an_exact_instant(text: str, instant: int) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2026-11-22T10:00:00", "must end with an offset"),
        ("2026-11-22T10:00:00.5", "must end with an offset"),
        ("2016-12-31T23:59:60Z", "must not be a leap second"),
        ("2026-11-22T10:00:00.1234567Z", "round to 6 fraction digits"),
        ("2026-11-22T10:00:00." + "9" * 1_000_000 + "Z", "round to 6 fraction digits"),
        ("2026-02-29T10:00:00Z", "must be a date that exists"),
        ("2026-13-01T10:00:00Z", "must be a date that exists"),
        ("2026-00-01T10:00:00Z", "must be a date that exists"),
        ("2026-04-31T10:00:00Z", "must be a date that exists"),
        ("0000-01-01T00:00:00Z", "must be a date that exists"),
        ("0001-01-01T00:00:00+00:01", "must lie in the years 1 to 9999"),
        ("9999-12-31T23:59:59-00:01", "must lie in the years 1 to 9999"),
        *(
            (text, "must be a time like 2026-11-22T10:00:00Z")
            for text in (
                *("", "now", "1795341600", "2026-11-22", "2026-11-22 10:00:00Z", "10:00:00Z"),
                *("2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z", "2026-11-22T10:00:61Z"),
                *("2026-11-22T10:00:00.Z", "2026-11-22T10:00:00,5Z", "2026-11-22T10:00Z"),
                *("2026-11-22T10:00:00+0100", "2026-11-22T10:00:00+01", "20261122T100000Z"),
                *("2026-11-22T10:00:00+24:00", "2026-11-22T10:00:00+01:60", "2026-W47-7T10Z"),
                *("2026-11-22T10:00:00Z ", " 2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z\n"),
                *("2026-11-22T10:00:00ZZ", "+2026-11-22T10:00:00Z", "-001-11-22T10:00:00Z"),
                *("２026-11-22T10:00:00Z", "2026-11-22T10:00:00Z\x00", "2026-1-22T10:00:00Z"),
                *("\ud800", "12026-11-22T10:00:00Z", "2026-11-22T10:00:00+01:00[Europe/Paris]"),
            )
        ),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_a_refusal_says_what_to_do(text: str, advice: str) -> None:
    with pytest.raises(InvalidInstant, match=f"^{advice}"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_795_341_600_000_000, "2026-11-22T10:00:00.000000Z"),
        (1_795_341_600_123_000, "2026-11-22T10:00:00.123000Z"),
        (-62_135_596_800 * SECOND, "0001-01-01T00:00:00.000000Z"),
        (253_402_300_800 * SECOND - 1, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_an_instant_prints_in_utc_with_six_fraction_digits(instant: int, text: str) -> None:
    assert format_instant(instant) == text


@pytest.mark.parametrize(
    "instant", [-62_135_596_800 * SECOND - 1, 253_402_300_800 * SECOND, -(10**30), 10**30]
)
def test_an_instant_outside_the_calendar_cannot_be_printed(instant: int) -> None:
    with pytest.raises(InvalidInstant, match="years 1 to 9999"):
        format_instant(instant)


def test_a_datetime_is_an_exact_instant_whatever_its_offset() -> None:
    east = timezone(timedelta(hours=5, minutes=45))
    assert to_instant(datetime(1970, 1, 1, 5, 45, 0, 1, tzinfo=east)) == 1
    assert to_instant(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == (
        253_402_300_799_999_999
    )
