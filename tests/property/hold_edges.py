"""Where the edges of holds, reversals and budgets lie, by name as in `edges`."""

from __future__ import annotations

from tallystick.domain.entries import Entry, uncovered
from tallystick.domain.holds import Hold
from tests.property.asks import CaptureAsk, HoldAsk, ReversalAsk
from tests.property.edges import CREDIT, DAY, HOUR, LARGEST_AMOUNT, LARGEST_SUM
from tests.property.twins import Twins

HELD = (
    "smallest",
    "some",
    "first lot",
    "first lot and more",
    "first lot and more",
    "half",
    "available",
    "more than available",
    "all of the budget",
    "more than the budget",
)
LASTS = (
    "a microsecond",
    "an hour",
    "a day",
    "until the period's end",
    "beyond the period's end",
    "until something is due",
    "until a grant expires",
    "until a hold expires",
    "longest",
    "longer than that",
)
CAPTURED = (
    "zero",
    "smallest",
    "first part",
    "half",
    "held",
    "held",
    "more than held",
    "held and more",
    "held and available",
    "more than that",
    "as far as overage goes",
    "further than overage goes",
    "more than sums allow",
)
REVERSED = (
    "whole",
    "smallest",
    "half",
    "left",
    "left",
    "more than left",
    "overage",
    "more than overage",
    "last part",
)
LIMITS = ("zero", "used", "less than used", "smallest above", "some above", "plenty", "none")
SUBJECTS = ("ts_1", "ts_1", "ts_2", "key_1", "key_2")


def held_of(name: str, twins: Twins) -> int:
    """What a new hold sets aside, which depends on what there is."""
    account = twins.account
    first = account.burning[0].unheld if account.burning else 1
    budgets = [budget.available for budget in account.budgets.values()] or [account.available]
    amounts = {
        "smallest": 1,
        "some": 3_250_001,
        "first lot": first,
        "first lot and more": first + 3,
        "half": account.available // 2,
        "available": account.available,
        "more than available": account.available + 1,
        "all of the budget": min(budgets),
        "more than the budget": min(budgets) + 1,
    }
    return max(1, min(amounts[name], LARGEST_AMOUNT))


def lasts_of(name: str, twins: Twins, hold: Hold | None = None) -> int:
    """How long a hold lasts from now, one that is extended or (None) a new one."""
    account, now = twins.account, twins.now
    latest = (now if hold is None else hold.created_at) + 7 * DAY
    expiries = [grant.ends_at for grant in account.burning if now < grant.ends_at <= latest]
    instants = {
        "a microsecond": now + 1,
        "an hour": now + HOUR,
        "a day": now + DAY,
        "until the period's end": account.period_end,
        "beyond the period's end": account.period_end + DAY,
        "until something is due": account.next_due_at,
        "until a grant expires": expiries[-1] if expiries else now + HOUR,
        "until a hold expires": account.open_holds[-1].expires_at if account.open_holds else now,
        "longest": latest,
        "longer than that": latest + 1,
    }
    lasts = instants[name] - now
    return lasts if name == "longer than that" else max(1, min(lasts, latest - now))


def captured_of(name: str, twins: Twins, number: int) -> int:
    account = twins.account
    hold = twins.archive.hold_numbered(number)
    held = hold.held if hold else 1
    headroom = account.plan.overage.headroom(account.overage)
    amounts = {
        "zero": 0,
        "smallest": 1,
        "first part": hold.parts[0][1] if hold and hold.parts else 1,
        "half": held // 2,
        "held": held,
        "more than held": held + 1,
        "held and more": held + 2_000_001,
        "held and available": held + account.available,
        "more than that": held + account.available + 1,
        "as far as overage goes": held + account.available + headroom,
        "further than overage goes": held + account.available + headroom + 1,
        "more than sums allow": LARGEST_SUM - account.consumed + 1,
    }
    return min(amounts[name], LARGEST_AMOUNT)


def reversed_of(name: str, twins: Twins, event_id: str) -> int | None:
    entry = twins.archive.events.get(event_id)
    if name == "whole" or entry is None:
        return None
    left = entry.credits - _undone(twins, event_id)
    amounts = {
        "smallest": 1,
        "half": left // 2,
        "left": left,
        "more than left": left + 1,
        "overage": uncovered(entry),
        "more than overage": uncovered(entry) + 1,
        "last part": uncovered(entry) + (entry.drawn[-1][1] if entry.drawn else 0),
    }
    return max(1, amounts[name])


def _undone(twins: Twins, event_id: str) -> int:
    before: list[Entry] = twins.archive.reversals.get(event_id, [])
    return sum(entry.credits for entry in before)


def limit_of(name: str, twins: Twins, subject: str) -> int | None:
    """A budget's limit; None removes it."""
    held = sum(
        hold.held
        for hold in twins.account.open_holds
        if subject in {hold.teamspace_id, hold.api_key_id}
    )
    counted = twins.fold.used[subject] + held
    limits = {
        "none": None,
        "zero": 0,
        "used": counted,
        "less than used": max(0, counted - 1),
        "smallest above": counted + 1,
        "some above": counted + 7_250_001,
        "plenty": counted + 1000 * CREDIT,
    }
    return limits[name]


HOLD_ALTERATIONS = ("none", "none", "amount", "lasts", "meter", "dimensions", "teamspace", "key")


def altered_hold(ask: HoldAsk, what: str) -> HoldAsk:
    """The same hold again, or one that differs in one place (where it was not so already)."""
    altered = {
        "none": ask,
        "amount": ask._replace(amount=ask.amount + 1),
        "lasts": ask._replace(lasts=ask.lasts + 1),
        "meter": ask._replace(meter=(ask.meter or "") + "x"),
        "dimensions": ask._replace(dimensions={"mode": "l"}),
        "teamspace": ask._replace(teamspace_id="ts_2"),
        "key": ask._replace(api_key_id="key_2"),
    }
    return altered[what]


CAPTURE_ALTERATIONS = (
    *("none", "none", "amount", "final", "excess", "overdraw", "meter", "time", "dimensions"),
    *("no dimensions", "hold", "hold", "no hold"),
)


def altered_capture(ask: CaptureAsk, what: str, other_hold: int) -> CaptureAsk:
    altered = {
        "none": ask,
        "amount": ask._replace(amount=ask.amount + 1),
        "final": ask._replace(final=not ask.final),
        "excess": ask._replace(allow_excess=not ask.allow_excess),
        "overdraw": ask._replace(overdraw=not ask.overdraw),
        "meter": ask._replace(meter=(ask.meter or "") + "x"),
        "time": ask._replace(occurred_at=(ask.occurred_at or 0) + 1),
        "dimensions": ask._replace(dimensions={"mode": "l"}),
        "no dimensions": ask._replace(dimensions={}),
        "hold": ask._replace(hold=other_hold),
        "no hold": ask._replace(hold=999_999_999),
    }
    return altered[what]


REVERSAL_ALTERATIONS = ("none", "none", "amount", "whole", "reference", "note")


def altered_reversal(ask: ReversalAsk, what: str) -> ReversalAsk:
    altered = {
        "none": ask,
        "amount": ask._replace(amount=(ask.amount or 0) + 1),
        "whole": ask._replace(amount=None),
        "reference": ask._replace(reference=(ask.reference or "") + "x"),
        "note": ask._replace(note=(ask.note or "") + "x"),
    }
    return altered[what]
