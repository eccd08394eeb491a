"""Where the edges of the rules lie: names for the amounts, instants and terms of a random step.

Numbers drawn blindly never meet an edge. So amounts are named for where they lie (all that is
available, one micro-credit more), and so are instants (the moment at which something falls due,
just before, just after). The same names serve the random walks and the state machine.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from tests.property.asks import GrantAsk, UsageAsk
from tests.property.languages import to_instant, to_micro
from tests.property.twins import Twins

CREDIT = 1_000_000
LARGEST_AMOUNT = 10**9 * CREDIT
LARGEST_SUM = 8 * LARGEST_AMOUNT
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

STARTS = tuple(
    to_instant(datetime.fromisoformat(text).replace(tzinfo=UTC))
    for text in (
        "2011-12-28T10:00:00",  # Samoa is about to skip the 30th
        "2018-11-02T23:59:59.999999",  # midnight will not exist in São Paulo on the 4th
        "2023-10-27T00:00:00",  # Europe's long day is the 29th
        "2024-02-27T12:34:56.789012",  # a leap day is coming
        "2026-01-30T22:00:00",  # months of 31 and 28 days
        "2026-03-28T00:30:00",  # Europe's short day, then Lord Howe's half-hour change
    )
)
ZONES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
)
ANCHORS = tuple(
    datetime.fromisoformat(text)
    for text in (
        "2000-01-01T00:00:00",
        "2011-12-30T00:00:00",
        "2024-01-31T00:00:00",
        "2024-02-29T02:30:00",
        "2026-03-29T02:30:00",
        "2030-05-31T23:59:59.999999",
    )
)
INTERVALS = ("day", "week", "month", "year")
COUNTS = (1, 1, 1, 2, 3, 7)
ALLOWANCES = tuple(map(Decimal, ("0", "0.000001", "100", "33.333333", "1000", "1000000000")))
USED_BY_SPENDERS = (
    "largest",
    "largest",
    "smallest",
    "more than available",
    "all that sums allow",
    "more than sums allow",
)
RICH_ALLOWANCES = (Decimal(1_000_000_000), Decimal(1_000_000_000), Decimal(100))
ROLLOVERS: tuple[tuple[str, Decimal | None], ...] = (
    ("none", None),
    ("all", None),
    ("amount", Decimal(0)),
    ("amount", Decimal("12.5")),
    ("percent", Decimal("33.333333")),
    ("percent", Decimal(100)),
)
OVERAGES: tuple[tuple[str, Decimal | None], ...] = (
    ("deny", None),
    ("limit", Decimal(0)),
    ("limit", Decimal("20.5")),
    ("allow", None),
)
ROLLOVER_PERIODS = (1, 1, 2, 3)
PARTS = ("allowance", "schedule", "rollover", "overage")

AMOUNTS = (
    "zero",
    "smallest",
    "some",
    "first lot",
    "first lot and more",
    "available",
    "more than available",
    "as far as overage goes",
    "further than overage goes",
    "largest",
)
GRANTED = ("smallest", "some", "some", "more", "room")
GRANTED_TO_RICH = ("largest", "largest", "room", "more than room")
GRANT_KINDS = ("top_up", "promotional", "adjustment")
PRIORITIES = (0, 10, 50, 50, 50, 100)
EFFECTIVE = (
    "unsaid",
    "unsaid",
    "long ago",
    "now",
    "just after",
    "a day later",
    "at the period's end",
    "when something is due",
)
EXPIRES = (
    "unsaid",
    "unsaid",
    "now",
    "just after",
    "a day later",
    "two days later",
    "at the period's end",
    "at the period's end",
    "when something is due",
    "far in the future",
)
VOIDED = ("whole", "smallest", "half", "left", "more than left")
TEAMSPACES = ("ts_1", "ts_1", "ts_2")
KEYS = (None, "key_1", "key_2")
WAITS = (
    "not at all",
    "a microsecond",
    "an hour",
    "a day",
    "until just before something is due",
    "until something is due",
    "until just after something is due",
    "until just before the period's end",
    "until the period's end",
    "until a grant's time is up",
    "about a period",
    "a few periods",
)
SHORT_WAITS = ("not at all", "a microsecond", "an hour") * 5 + WAITS


def amount_of(name: str, twins: Twins) -> int:
    """An amount to use, which depends on what there is."""
    account, terms = twins.account, twins.oracle.terms
    burning = account.burning
    limit = to_micro(terms.overage_limit or Decimal(0))
    reach = account.available + max(0, limit - account.overage)
    amounts = {
        "zero": 0,
        "smallest": 1,
        "some": 7_250_001,
        "first lot": burning[0].unheld if burning else 1,
        "first lot and more": burning[0].unheld + 3 if burning else 2,
        "available": account.available,
        "more than available": account.available + 1,
        "as far as overage goes": reach,
        "further than overage goes": reach + 1,
        "all that sums allow": LARGEST_SUM - account.consumed,
        "more than sums allow": LARGEST_SUM - account.consumed + 1,
        "largest": LARGEST_AMOUNT,
    }
    return min(amounts[name], LARGEST_AMOUNT)


def granted_of(name: str, twins: Twins) -> int:
    amounts = {
        "smallest": 1,
        "some": 10 * CREDIT,
        "more": 50_333_333,
        "room": twins.account.room,
        "more than room": twins.account.room + 1,
        "largest": LARGEST_AMOUNT,
    }
    return max(1, min(amounts[name], LARGEST_AMOUNT))


def voided_of(name: str, twins: Twins, number: int) -> int | None:
    row = twins.archive.grants.get(twins.archive.grant_ids.get(number, ""))
    left = row.unheld if row else 0
    amounts = {"whole": None, "smallest": 1, "half": left // 2, "left": left}
    amount = amounts.get(name, left + 1)
    return None if amount is None else max(1, amount)


def instant_of(name: str, twins: Twins) -> int | None:
    clock, account = twins.clock, twins.account
    instants = {
        "unsaid": None,
        "long ago": clock - 400 * DAY,
        "now": clock,
        "just after": clock + 1,
        "a day later": clock + DAY,
        "two days later": clock + 2 * DAY,
        "far in the future": clock + 3000 * DAY,
        "at the period's end": account.period_end,
        "when something is due": account.next_due_at,
    }
    return instants[name]


def wait_until(name: str, twins: Twins) -> int:
    clock, account = twins.clock, twins.account
    length = account.period_end - account.period_start
    expiries = [grant.ends_at for grant in twins.archive.grants.values() if grant.ends_at > clock]
    instants = {
        "not at all": clock,
        "a microsecond": clock + 1,
        "an hour": clock + HOUR,
        "a day": clock + DAY,
        "until just before something is due": account.next_due_at - 1,
        "until something is due": account.next_due_at,
        "until just after something is due": account.next_due_at + 1,
        "until just before the period's end": account.period_end - 1,
        "until the period's end": account.period_end,
        "until a grant's time is up": min(expiries, default=clock),
        "about a period": clock + length,
        "a few periods": account.period_end + 3 * _length_of_next(twins) + HOUR,
    }
    # A period of years may be followed by periods of a day: thousands of them prove no more.
    latest = account.period_end + 5 * _length_of_next(twins)
    return max(clock, min(instants[name], latest))


def _length_of_next(twins: Twins) -> int:
    """About how long the next period will be."""
    calendar = twins.oracle.wanted.calendar
    return {"day": 1, "week": 7, "month": 30, "year": 365}[calendar.interval] * calendar.count * DAY


USE_ALTERATIONS = (
    "none",
    "amount",
    "overdraw",
    "meter",
    "no meter",
    "time",
    "no time",
    "dimensions",
    "teamspace",
    "key",
)


def altered_use(ask: UsageAsk, what: str) -> UsageAsk:
    """The same event again, or one that differs in one place (where it was not so already)."""
    altered = {
        "none": ask,
        "amount": ask._replace(amount=ask.amount + 1),
        "overdraw": ask._replace(overdraw=not ask.overdraw),
        "meter": ask._replace(meter=(ask.meter or "") + "x"),
        "no meter": ask._replace(meter=None),
        "time": ask._replace(occurred_at=(ask.occurred_at or 0) + 1),
        "no time": ask._replace(occurred_at=None),
        "dimensions": ask._replace(dimensions={"mode": "l"}),
        "teamspace": ask._replace(teamspace_id="ts_2"),
        "key": ask._replace(api_key_id="key_2"),
    }
    return altered[what]


GRANT_ALTERATIONS = ("none", "none", "amount", "kind", "priority", "effective", "expires")


def altered_grant(ask: GrantAsk, what: str) -> GrantAsk:
    altered = {
        "none": ask,
        "amount": ask._replace(amount=ask.amount + 1),
        "kind": ask._replace(kind="promotional"),
        "priority": ask._replace(priority=51),
        "effective": ask._replace(effective_at=(ask.effective_at or 0) + 1),
        "expires": ask._replace(expires_at=None),
    }
    return altered[what]
