"""Spending: usage that is booked, alone or out of a hold (rules 6 to 9).

Each decision checks everything first and only then changes the account.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tallystick.domain.budgets import note_used
from tallystick.domain.commands import (
    AccountStatus,
    Booked,
    Captured,
    capture_content,
    is_repeated,
    usage_content,
)
from tallystick.domain.dimensions import digest_again
from tallystick.domain.entries import Entry, EntryKind, canonical_json
from tallystick.domain.errors import Reason, Refusal
from tallystick.domain.grants import Drawn, draw
from tallystick.domain.holding import find_hold, refuse_hold
from tallystick.domain.holds import HoldStatus, close_hold, end_hold, take_held
from tallystick.domain.prices import rate
from tallystick.domain.quantities import format_quantity
from tallystick.domain.refusals import beyond_sums, not_active, unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.domain.account import Account
    from tallystick.domain.commands import BookUsage, CaptureHold, Earlier, Outcome
    from tallystick.domain.dimensions import KeptDimensions
    from tallystick.domain.holds import Hold
    from tallystick.domain.prices import PriceBook, Rated

# A NamedTuple's own constructor costs twice as much, and every event comes through here.
_new = tuple.__new__


def book_usage(
    account: Account, command: BookUsage, now: int, earlier: Earlier
) -> tuple[Outcome, list[Entry]]:
    if earlier.entry is not None:
        if not is_repeated(earlier.entry, command, earlier.dimensions):
            return Refusal(reason=Reason.ID_REUSED), []
        return Booked(earlier.entry, duplicate=True), []
    detail, quantity = None, command.quantity
    if quantity is not None:
        rated = rate_usage(command, now, earlier.prices)
        if isinstance(rated, Refusal):
            return rated, []
        command = command._replace(credits=rated.credits)
        facts = {"price_id": rated.price.id, "quantity": format_quantity(quantity)}
        detail = canonical_json(facts)
    if refusal := _usage_refusal(account, command):
        return refusal, []

    # ── decided: from here on, only changes ──
    used = command.credits
    drawn = _draw(account, used)
    account.consumed += used
    if account.budgets:
        note_used(account.budgets, command.teamspace_id, command.api_key_id, used)
    account.sequence += 1
    account.advanced_to = now
    entry = _new(
        Entry,
        (
            account.organization_id,
            account.sequence,
            EntryKind.USAGE_BOOKED,
            used,
            drawn,
            None,
            command.event_id,
            None,
            command.teamspace_id,
            command.api_key_id,
            command.meter,
            now if command.occurred_at is None else command.occurred_at,
            now,
            account.remaining,
            account.consumed,
            account.overage,
            account.held,
            detail,
            command.content,
        ),
    )
    return _new(Booked, (entry, False)), [entry]


def rate_usage(command: BookUsage, now: int, prices: PriceBook) -> Rated | Refusal:
    """What usage with a quantity costs, by the price of its own time."""
    at = now if command.occurred_at is None else command.occurred_at
    meter, quantity = command.meter, command.quantity
    if meter is None or quantity is None:
        raise ValueError("only a quantity of a meter can be rated")
    return rate(prices, meter, command.dimensions, quantity, at)


def _usage_refusal(account: Account, command: BookUsage) -> Refusal | None:
    if account.status is not AccountStatus.ACTIVE:
        return not_active(account)
    refusal = beyond_sums(account, command.credits)
    if refusal is None and not command.overdraw:
        refusal = unauthorized(account, command.credits, command.teamspace_id, command.api_key_id)
    return refusal


def _draw(account: Account, used: int) -> Drawn:
    """Spends what grants cover of `used`; the rest is overage."""
    covered = min(used, account.available)
    drawn = draw(account.burning, covered)
    if len(drawn) > 1 or (drawn and not account.grants[drawn[0][0]].remaining):
        account.burning = [grant for grant in account.burning if grant.remaining]
    account.remaining -= covered
    account.overage += used - covered
    return drawn


def capture_hold(
    account: Account, command: CaptureHold, now: int, earlier: Earlier
) -> tuple[Outcome, list[Entry]]:
    hold = find_hold(account, command.hold_id, earlier)
    if hold is None:
        reason = Reason.NO_SUCH_HOLD if earlier.entry is None else Reason.ID_REUSED
        return Refusal(reason=reason), []
    command = _like_hold(command, hold)
    content = _content(command, hold, earlier.dimensions)
    if earlier.entry is not None:
        if earlier.entry.content != content:
            return Refusal(reason=Reason.ID_REUSED), []
        return Captured(replace(hold), Booked(earlier.entry, duplicate=True)), []
    if refusal := _capture_refusal(account, command, hold):
        return refusal, []

    # ── decided: from here on, only changes ──
    used = command.credits
    taken = take_held(account, hold, used)
    drawn = _joined(taken, _draw(account, used - sum(part for _, part in taken)))
    account.consumed += used
    note_used(account.budgets, hold.teamspace_id, hold.api_key_id, used)
    hold.captured += used
    if not hold.parts:
        close_hold(account, hold, HoldStatus.CAPTURED)
    account.sequence += 1
    account.advanced_to = now
    entry = Entry(
        organization_id=account.organization_id,
        sequence=account.sequence,
        kind=EntryKind.USAGE_BOOKED,
        credits=used,
        drawn=drawn,
        grant_id=None,
        event_id=command.booked_as,
        hold_id=hold.id,
        teamspace_id=hold.teamspace_id,
        api_key_id=hold.api_key_id,
        meter=command.meter,
        occurred_at=now if command.occurred_at is None else command.occurred_at,
        booked_at=now,
        remaining_after=account.remaining,
        consumed_after=account.consumed,
        overage_after=account.overage,
        held_after=account.held,
        detail=None,
        content=content,
    )
    entries = [entry]
    if command.final and hold.parts:
        entries.append(end_hold(account, hold, HoldStatus.CAPTURED, EntryKind.HOLD_RELEASED, now))
    return Captured(replace(hold), Booked(entry)), entries


def _like_hold(command: CaptureHold, hold: Hold) -> CaptureHold:
    """The command with what it leaves out taken from the hold."""
    meter = hold.meter if command.meter is None else command.meter
    return replace(command, meter=meter, dimensions=captured_dimensions(command, hold))


def captured_dimensions(command: CaptureHold, hold: Hold) -> Mapping[str, str] | None:
    """Those of the capture, or of its hold where it names none."""
    if command.dimensions is None and hold.dimensions is not None:
        facts: dict[str, str] = json.loads(hold.dimensions)
        return facts
    return command.dimensions


def _content(command: CaptureHold, hold: Hold, kept: KeptDimensions | None) -> bytes:
    """As it was booked for, where the event is known; `kept` is what is kept of its dimensions."""
    dimensions = command.dimensions
    usage = usage_content(
        credits_used=command.credits,
        meter=command.meter,
        occurred_at=command.occurred_at,
        dimensions=dimensions,
        overdraw=command.overdraw,
        teamspace_id=hold.teamspace_id,
        salt=command.salt,
        digest=None if kept is None else digest_again(dimensions, kept.salt, kept.digest),
    )
    return capture_content(command, usage)


def _capture_refusal(account: Account, command: CaptureHold, hold: Hold) -> Refusal | None:
    if account.status is not AccountStatus.ACTIVE:
        return not_active(account)
    if refusal := refuse_hold(hold, command.acting_for):
        return refusal
    if refusal := beyond_sums(account, command.credits):
        return refusal
    excess = command.credits - hold.held
    if excess <= 0:
        return None
    if not command.allow_excess:
        figures = {"required": command.credits, "held": hold.held}
        return Refusal(reason=Reason.MORE_THAN_HELD, figures=figures)
    if command.overdraw:
        return None
    return unauthorized(account, excess, hold.teamspace_id, hold.api_key_id)


def _joined(held: Drawn, drawn: Drawn) -> Drawn:
    """Both, in the order drawn; a grant that comes twice in a row comes once."""
    if held and drawn and held[-1][0] == drawn[0][0]:
        name, part = held[-1]
        return (*held[:-1], (name, part + drawn[0][1]), *drawn[1:])
    return held + drawn
