"""Translation between the core's integers and the oracle's decimals and datetimes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from tallystick.domain.entries import Entry
from tallystick.domain.grants import Grant
from tallystick.domain.holds import Hold
from tallystick.domain.periods import Interval, Schedule
from tallystick.domain.plans import Overage, OverageMode, Plan, Rollover, RolloverMode
from tests.oracle_calendar import Calendar
from tests.oracle_words import Fact, Lot, Terms
from tests.oracle_words import Hold as OracleHold

T = TypeVar("T")
R = TypeVar("R")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANTS = {
    *("start", "end", "effective_at", "expires_at", "resets_at", "now", "occurred_at"),
    "latest_expiry",
}
_AMOUNTS = {
    *("allowance", "amount", "room", "available", "required", "overage_headroom"),
    *("held", "booked", "left", "overage"),
}


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


def figures_told(figures: Mapping[str, int]) -> dict[str, Any]:
    """Figures of a refusal or an entry's detail in the oracle's language."""
    return {name: _told(name, figure) for name, figure in figures.items()}


def _told(name: str, figure: object) -> object:
    if not isinstance(figure, int):
        return figure
    if name in _INSTANTS:
        return to_datetime(figure)
    return to_decimal(figure) if name in _AMOUNTS else figure


def event_told(event_id: str, numbers: Mapping[str, int]) -> str:
    """The event's id, or, where it is a hold's, one that names the hold by its number."""
    return f"hold-{numbers[event_id]}" if event_id in numbers else event_id


def fact_told(entry: Entry, numbers: Mapping[str, int]) -> Fact:
    """What an entry says, in the oracle's language; `numbers` has those of grants and holds."""
    detail = _about(json.loads(entry.detail or "{}"))
    if "lapsed" in detail:
        detail["lapsed"] = drawn_told(detail["lapsed"], numbers)
    return Fact(
        sequence=entry.sequence,
        kind=str(entry.kind),
        at=to_datetime(entry.booked_at),
        credits=to_decimal(entry.credits),
        lot=if_any(numbers.__getitem__, entry.grant_id),
        drawn=drawn_told(entry.drawn, numbers),
        remaining=to_decimal(entry.remaining_after),
        consumed=to_decimal(entry.consumed_after),
        overage=to_decimal(entry.overage_after),
        held=to_decimal(entry.held_after),
        about={**_about_spending(entry, numbers), **detail},
    )


def drawn_told(
    drawn: Iterable[tuple[str, int]], numbers: Mapping[str, int]
) -> tuple[tuple[int, Decimal], ...]:
    return tuple((numbers[grant_id], to_decimal(part)) for grant_id, part in drawn)


def _about_spending(entry: Entry, numbers: Mapping[str, int]) -> dict[str, object]:
    """What only entries about usage and holds say."""
    columns: dict[str, object] = {
        "event_id": if_any(lambda event_id: event_told(event_id, numbers), entry.event_id),
        "hold": if_any(numbers.__getitem__, entry.hold_id),
        "teamspace_id": entry.teamspace_id,
        "api_key_id": entry.api_key_id,
        "meter": entry.meter,
        "occurred_at": if_any(to_datetime, entry.occurred_at),
    }
    return {} if set(columns.values()) == {None} else columns


def _about(detail: dict[str, Any]) -> dict[str, Any]:
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


def hold_told(hold: Hold, numbers: Mapping[str, int]) -> dict[str, object]:
    """All that a hold says of itself."""
    return {
        "number": hold.placed,
        "credits": to_decimal(hold.credits),
        "held": to_decimal(hold.held),
        "parts": drawn_told(hold.parts, numbers),
        "captured": to_decimal(hold.captured),
        "status": str(hold.status),
        "created": to_datetime(hold.created_at),
        "expires": to_datetime(hold.expires_at),
        "reference": hold.reference,
        "teamspace_id": hold.teamspace_id,
        "api_key_id": hold.api_key_id,
        "meter": hold.meter,
        "dimensions": json.loads(hold.dimensions or "{}"),
    }


def hold_of_oracle(hold: OracleHold) -> dict[str, object]:
    """The same as the oracle has it."""
    return {
        "number": hold.number,
        "credits": hold.said.credits,
        "held": hold.held,
        "parts": hold.held_parts,
        "captured": sum(hold.booked, Decimal(0)),
        "status": hold.ended or "open",
        "created": hold.created,
        "expires": hold.expires,
        "reference": hold.reference,
        "teamspace_id": hold.said.teamspace_id,
        "api_key_id": hold.api_key_id,
        "meter": hold.said.meter,
        "dimensions": hold.said.dimensions,
    }


def with_parts(terms: Terms, parts: Terms, names: frozenset[str]) -> Terms:
    """The terms with those called `names` (as a plan calls them) taken from `parts`."""
    if "allowance" in names:
        terms = replace(terms, allowance=parts.allowance)
    if "schedule" in names:
        terms = replace(terms, calendar=parts.calendar)
    if "rollover" in names:
        terms = replace(
            terms,
            rollover=parts.rollover,
            rollover_cap=parts.rollover_cap,
            rollover_periods=parts.rollover_periods,
        )
    if "overage" in names:
        terms = replace(terms, overage=parts.overage, overage_limit=parts.overage_limit)
    return terms
