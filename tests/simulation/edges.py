"""What the names in a script stand for, in a world as it is at that moment.

Numbers drawn blindly never meet an edge, so a script names the edges instead (compare
`tests.property.edges`, which does the same for one account without a ledger around it).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.oracle import Oracle
from tests.oracle_calendar import Calendar
from tests.oracle_words import LARGEST_SUM, NOTHING, SMALLEST, Hold, Terms
from tests.property import languages as say
from tests.simulation.script import Step

MICROSECOND = timedelta(microseconds=1)

SPENT = (
    *("some",) * 10,
    *("zero", "smallest", "smallest", "half", "first-lot", "first-lot-and-more"),
    *("available", "more-than-available", "as-far-as-overage-goes"),
)
HELD = (*("some",) * 6, "smallest", "half", "first-lot-and-more", "available", "budget")
CAPTURED = ("zero", "smallest", "half", "half", "held", "held", "more-than-held", "much-more")
REVERSED = ("all", "all", "smallest", "half", "left", "more-than-left")
GRANTED = ("smallest", "some", "much", "much", "much")
VOIDED = ("all", "all", "half", "smallest", "more-than-left")
LIMITS = ("none", "zero", "less-than-used", "used", "smallest-above", "some-above", "plenty")
WAITS = (
    *("microsecond",) * 4,
    *("second", "second", "hour", "hour", "day", "until-due", "until-due", "just-before-due"),
    *("just-after-due", "until-period", "just-before-period", "period", "periods"),
)
WHENS = ("now", "just-after", "hour", "day", "due", "period", "never")
LASTS = ("microsecond", "second", "hour", "day", "due", "period", "longest")
ZONES = (
    *("UTC", "Europe/Paris", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe"),
    *("Pacific/Apia", "Asia/Kathmandu", "America/Havana"),
)
STARTS = (
    "2011-12-28T10:00:00",  # Samoa is about to skip the 30th
    "2018-11-03T01:00:00",  # midnight does not exist in São Paulo on the 4th
    "2023-10-28T21:00:00",  # Europe's long day is the 29th
    "2024-02-28T12:34:56.789012",  # a leap day is coming
    "2026-01-30T22:00:00",  # months of 31 and 28 days
    "2026-03-28T20:30:00",  # Europe's short day, then Lord Howe's half hour
)
ANCHORS = (
    *("2000-01-01T00:00:00", "2024-01-31T00:00:00", "2024-02-29T02:30:00"),
    *("2026-03-29T02:30:00", "2011-12-30T00:00:00"),
)
_SPANS = {"day": 1, "week": 7, "month": 31, "year": 366}


def spent(name: str, oracle: Oracle) -> int:
    lots = oracle.lots_in_burn_order()
    first = oracle.free_of(lots[0]) if lots else SMALLEST
    headroom = max(NOTHING, (oracle.terms.overage_limit or NOTHING) - oracle.overage)
    amounts = {
        "zero": NOTHING,
        "smallest": SMALLEST,
        "some": Decimal("7.250001"),
        "half": (oracle.available / 2).quantize(SMALLEST),
        "first-lot": first,
        "first-lot-and-more": first + 3 * SMALLEST,
        "available": oracle.available,
        "more-than-available": oracle.available + SMALLEST,
        "as-far-as-overage-goes": oracle.available + headroom,
    }
    return _micro(amounts[name])


def held(name: str, oracle: Oracle, subjects: tuple[str, ...]) -> int:
    if name != "budget":
        return max(1, spent(name, oracle))
    left = [
        oracle.caps[one] - oracle.used_by(one) - oracle.held_for(one)
        for one in subjects
        if one in oracle.caps
    ]
    return max(1, _micro(min(left, default=SMALLEST)))


def captured(name: str, hold: Hold | None) -> int:
    there = NOTHING if hold is None else hold.held
    amounts = {
        "zero": NOTHING,
        "smallest": SMALLEST,
        "half": (there / 2).quantize(SMALLEST),
        "held": there,
        "more-than-held": there + SMALLEST,
        "much-more": there + Decimal("12.5"),
    }
    return _micro(amounts[name])


def undone(name: str, oracle: Oracle, event_id: str) -> int | None:
    left = sum((usage.left for usage in oracle.usages if usage.event_id == event_id), NOTHING)
    return _part(name, left)


def voided(name: str, oracle: Oracle, number: int | None) -> int | None:
    free = sum((oracle.free_of(lot) for lot in oracle.lots if lot.number == number), NOTHING)
    return _part(name, free)


def _part(name: str, left: Decimal) -> int | None:
    if name == "all":
        return None
    amounts = {
        "smallest": SMALLEST,
        "half": (left / 2).quantize(SMALLEST),
        "left": left,
        "more-than-left": left + SMALLEST,
    }
    return max(1, _micro(amounts[name]))


def granted(name: str) -> int:
    amounts = {
        "smallest": SMALLEST,
        "some": Decimal(10),
        "much": Decimal("450.333333"),
    }
    return max(1, _micro(amounts[name]))


def limit(name: str, oracle: Oracle, subject: str) -> int | None:
    counted = oracle.used_by(subject) + oracle.held_for(subject)
    limits = {
        "zero": NOTHING,
        "less-than-used": max(NOTHING, counted - SMALLEST),
        "used": counted,
        "smallest-above": counted + SMALLEST,
        "some-above": counted + Decimal("7.250001"),
        "plenty": counted + 1000,
    }
    return None if name == "none" else say.to_micro(limits[name])


def when(name: str, oracle: Oracle, clock: int) -> int | None:
    """An instant that a grant is to begin or end at; none where it is never."""
    now = say.to_datetime(clock)
    instants = {
        "now": now,
        "just-after": now + MICROSECOND,
        "hour": now + timedelta(hours=1),
        "day": now + timedelta(days=1),
        "due": oracle._next_moment(),
        "period": oracle.period.end,
    }
    return None if name == "never" else say.to_instant(instants[name])


def lasts(name: str, oracle: Oracle, clock: int) -> int:
    """How long a hold is to last, seven days at most."""
    now = say.to_datetime(clock)
    spans = {
        "microsecond": MICROSECOND,
        "second": timedelta(seconds=1),
        "hour": timedelta(hours=1),
        "day": timedelta(days=1),
        "due": oracle._next_moment() - now,
        "period": oracle.period.end - now,
        "longest": timedelta(days=7),
    }
    span = max(MICROSECOND, min(spans[name], timedelta(days=7)))
    return span // MICROSECOND


def wait(name: str, oracle: Oracle, clock: int) -> int:
    """What the clock is to show; never farther off than a few periods."""
    now = say.to_datetime(clock)
    due = oracle._next_moment()
    length = timedelta(days=_SPANS[oracle.wanted.calendar.interval] * oracle.wanted.calendar.count)
    instants = {
        "microsecond": now + MICROSECOND,
        "second": now + timedelta(seconds=1),
        "hour": now + timedelta(hours=1),
        "day": now + timedelta(days=1),
        "until-due": due,
        "just-before-due": due - MICROSECOND,
        "just-after-due": due + MICROSECOND,
        "until-period": oracle.period.end,
        "just-before-period": oracle.period.end - MICROSECOND,
        "period": now + length,
        "periods": now + 3 * length,
    }
    return max(clock, say.to_instant(instants[name]))


def terms(step: Step) -> Terms:
    """The terms that a step names; what it leaves out is as usual."""
    cap, limit_ = step.maybe("rollover-cap"), step.maybe("overage-limit")
    return Terms(
        allowance=Decimal(step.text("allowance", "100")),
        calendar=Calendar(
            step.text("interval", "month"),
            step.number("count", 1),
            datetime.fromisoformat(step.text("anchor", ANCHORS[0])),
            step.text("zone", "UTC"),
        ),
        rollover=step.text("rollover", "none"),
        rollover_cap=None if cap is None else Decimal(cap),
        rollover_periods=step.number("rollover-periods", 1),
        overage=step.text("overage", "deny"),
        overage_limit=None if limit_ is None else Decimal(limit_),
    )


def start(text: str) -> int:
    return say.to_instant(datetime.fromisoformat(text).replace(tzinfo=UTC))


def _micro(amount: Decimal) -> int:
    return min(say.to_micro(amount), 10**15, say.to_micro(LARGEST_SUM))
