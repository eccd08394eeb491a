"""Translation between the core's integers and the oracle's decimals and datetimes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from tallystick.domain.entries import Entry
from tallystick.domain.grants import Grant
from tallystick.domain.periods import Interval, Schedule
from tallystick.domain.plans import Overage, OverageMode, Plan, Rollover, RolloverMode
from tests.oracle_calendar import Calendar
from tests.oracle_words import Fact, Lot, Terms

T = TypeVar("T")
R = TypeVar("R")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANTS = {"start", "end", "effective_at", "expires_at", "resets_at", "now", "occurred_at"}
_AMOUNTS = {"allowance", "amount", "room", "available", "required", "overage_headroom"}


def to_micro(amount: Decimal) -> int:
    micro = int(amount.scaleb(6))
    assert to_decimal(micro) == amount, "finer than a micro-credit"
    return micro


def to_decimal(micro: int) -> Decimal:
    return Decimal(micro).scaleb(-6)


def to_instant(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(instant: int) -> datetime:
    return _EPOCH + timedelta(microseconds=instant)


def if_any(convert: Callable[[T], R], value: T | None) -> R | None:
    return None if value is None else convert(value)


def to_plan(terms: Terms) -> Plan:
    return Plan(
        allowance=to_micro(terms.allowance),
        schedule=to_schedule(terms.calendar),
        rollover=to_rollover(terms),
        overage=to_overage(terms),
    )


def to_schedule(calendar: Calendar) -> Schedule:
    return Schedule(
        interval=Interval(calendar.interval),
        count=calendar.count,
        anchor=calendar.anchor,
        timezone=calendar.zone,
    )


def to_rollover(terms: Terms) -> Rollover:
    return Rollover(
        mode=RolloverMode(terms.rollover),
        cap=if_any(to_micro, terms.rollover_cap),
        periods=terms.rollover_periods,
    )


def to_overage(terms: Terms) -> Overage:
    return Overage(mode=OverageMode(terms.overage), limit=if_any(to_micro, terms.overage_limit))


def figures_told(figures: Mapping[str, int]) -> dict[str, object]:
    """Figures of a refusal or an entry's detail in the oracle's language."""
    return {name: _told(name, figure) for name, figure in figures.items()}


def _told(name: str, figure: object) -> object:
    if not isinstance(figure, int):
        return figure
    if name in _INSTANTS:
        return to_datetime(figure)
    return to_decimal(figure) if name in _AMOUNTS else figure


def fact_told(entry: Entry, numbers: Mapping[str, int]) -> Fact:
    """What an entry says, in the oracle's language; `numbers` gives each grant id its lot's."""
    return Fact(
        sequence=entry.sequence,
        kind=str(entry.kind),
        at=to_datetime(entry.booked_at),
        credits=to_decimal(entry.credits),
        lot=if_any(numbers.__getitem__, entry.grant_id),
        drawn=tuple((numbers[grant_id], to_decimal(taken)) for grant_id, taken in entry.drawn),
        remaining=to_decimal(entry.remaining_after),
        consumed=to_decimal(entry.consumed_after),
        overage=to_decimal(entry.overage_after),
        about=_about_usage(entry) or _about(json.loads(entry.detail or "{}")),
    )


def _about_usage(entry: Entry) -> dict[str, object]:
    columns: dict[str, object] = {
        "event_id": entry.event_id,
        "teamspace_id": entry.teamspace_id,
        "meter": entry.meter,
        "occurred_at": if_any(to_datetime, entry.occurred_at),
    }
    return {} if set(columns.values()) == {None} else columns


def _about(detail: dict[str, Any]) -> dict[str, object]:
    if "anchor" not in detail:
        return figures_told(detail)
    terms = Terms(
        allowance=to_decimal(detail.pop("allowance")),
        calendar=Calendar(
            detail.pop("interval"),
            detail.pop("count"),
            datetime.fromisoformat(detail.pop("anchor")),
            detail.pop("timezone"),
        ),
        rollover=detail.pop("rollover"),
        rollover_cap=if_any(to_decimal, detail.pop("rollover_cap")),
        rollover_periods=detail.pop("rollover_periods"),
        overage=detail.pop("overage"),
        overage_limit=if_any(to_decimal, detail.pop("overage_limit")),
    )
    return {"terms": terms, **detail}


def lot_told(grant: Grant) -> Lot:
    """A grant as a lot whose story was forgotten, but for what is left."""
    status = str(grant.status)
    return Lot(
        number=grant.issued,
        kind=str(grant.kind),
        priority=grant.priority,
        effective=to_datetime(grant.effective_at),
        expires=if_any(to_datetime, grant.expires_at),
        created=to_datetime(grant.created_at),
        reference=grant.reference,
        amount=to_decimal(grant.amount),
        is_effective=status != "pending",
        ended=status if status in {"expired", "voided"} else None,
        moves=[to_decimal(grant.remaining)],
    )


def without_story(lot: Lot) -> Lot:
    """The lot as `lot_told` would tell it."""
    return replace(lot, is_effective=lot.status != "pending", moves=[lot.left])
