"""How the core's refusals are answered: with which status, what decided it, and what to do next.

What there is not, or is another organization's     404
what the key or the organization may not do         403
what is not covered                                 402
what the present state does not allow               409
what is wrong with the request itself               422, pointing at the field

Sending the same again mends none of them, so none is retryable.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.credits import format_credits
from tallystick.domain.errors import Reason, Refusal
from tallystick.http.errors import ApiError, FieldError, invalid
from tallystick.http.shapes import not_found
from tallystick.http.wire import credits_json, time_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Subject(enum.Enum):
    """What a request was about: the same reason does not read alike for everything."""

    USAGE = enum.auto()
    HOLD = enum.auto()
    CAPTURE = enum.auto()
    REVERSAL = enum.auto()
    ERASURE = enum.auto()
    TERMS = enum.auto()
    """Whatever operators ask for."""


class Asked(NamedTuple):
    """What was asked for: in which teamspace, and at which pointer of the body it stands."""

    about: Subject
    teamspace_id: str | None = None
    at: str = ""


USAGE: Final = Asked(Subject.USAGE)
TERMS: Final = Asked(Subject.TERMS)


_INSTANTS: Final = frozenset({"now", "resets_at", "latest_expiry"})
_SECOND: Final = 1_000_000
_MOST_NAMED: Final = 20
"""Names that an error lists."""


def refusal_error(refusal: Refusal, asked: Asked = USAGE, /, **details: object) -> ApiError:
    """The error that a refusal is; `details` are added to its own."""
    error = _ANSWERS[refusal.reason](refusal, asked)
    error.details = {**error.details, **details}
    return error


def _state(refusal: Refusal) -> dict[str, object]:
    """What decided it, as JSON."""
    figures = {name: _figure(name, value) for name, value in refusal.figures.items()}
    return {**figures, **refusal.facts}


def _figure(name: str, value: int) -> object:
    return time_json(value) if name in _INSTANTS else credits_json(value)


def _credits(refusal: Refusal, figure: str) -> str:
    return format_credits(refusal.figures[figure])


def _conflict(refusal: Refusal, reason: str, mitigation: str | None = None) -> ApiError:
    return ApiError("conflict", reason, details=_state(refusal), mitigation=mitigation)


# ── seen before, or not there ──

_NEW_EVENT: Final = "Use a new id for a new event; ids may be used once, for ever"
_REUSED: Final[Mapping[Subject, tuple[str, str]]] = {
    Subject.USAGE: ("an event with this id and other content has been booked", _NEW_EVENT),
    Subject.CAPTURE: ("an event with this id and other content has been booked", _NEW_EVENT),
    Subject.HOLD: (
        "a hold with this reference and other content has been placed",
        "Use a new reference for a new hold; references may be used once, for ever",
    ),
    Subject.REVERSAL: (
        "the event has been reversed under this reference (or without one), with other content",
        "Use a new reference to reverse a further part of the event",
    ),
    Subject.TERMS: (
        "the reference was used before, with other content",
        "Use a new reference for something new; references may be used once, for ever",
    ),
}


def _id_reused(refusal: Refusal, asked: Asked) -> ApiError:
    return _conflict(refusal, *_REUSED[asked.about])


def _missing(what: str) -> Callable[[Refusal, Asked], ApiError]:
    return lambda _refusal, _asked: not_found(what)


# ── not priced ──


def _no_such_meter(refusal: Refusal, asked: Asked) -> ApiError:
    known = {"known_meters": refusal.names}
    return invalid(asked.at + "/meter", "has no price", "unknown_meter", known)


def _no_price(refusal: Refusal, asked: Asked) -> ApiError:
    """Where other times have a price, it is the time that is wrong; else the dimensions are."""
    known: dict[str, object] = {
        name: time_json(instant) for name, instant in refusal.figures.items()
    }
    field = "/timestamp"
    if len(known) == 1:
        field, known["known_dimensions"] = "/dimensions", refusal.names[:_MOST_NAMED]
    message = "the meter has no price for these dimensions at that time"
    return invalid(asked.at + field, message, "no_price", known)


def _charge_limit(refusal: Refusal, asked: Asked) -> ApiError:
    message = f"comes to more than {_credits(refusal, 'most')} credits"
    return invalid(asked.at + "/quantity", message)


# ── not allowed ──


def _not_active(refusal: Refusal, asked: Asked) -> ApiError:
    state = refusal.reason.name.lower()
    if asked.about is Subject.TERMS:
        for_good = " for good" if refusal.reason is Reason.CLOSED else ""
        return _conflict(refusal, f"the organization is {state}{for_good}")
    return ApiError(
        "permission_denied",
        f"the organization is {state}: it may read, but spend nothing",
        details=_state(refusal),
        mitigation="Ask the operator of this service about the organization's status",
    )


def _other_teamspace(_: Refusal, asked: Asked) -> ApiError:
    what = "hold" if asked.about in {Subject.HOLD, Subject.CAPTURE} else "event"
    return ApiError(
        "permission_denied",
        f"the {what} is not of the teamspace {asked.teamspace_id}, for which this key acts",
        details={"teamspace_id": asked.teamspace_id},
        mitigation=f"Use a key of the {what}'s teamspace, or one of level account",
    )


# ── what the present state does not allow ──


def _grant_ended(refusal: Refusal, _: Asked) -> ApiError:
    message = "must lie in the future, and after effective_at"
    return ApiError(
        "validation_failed",
        f"/expires_at: {message}",
        details=_state(refusal),
        errors=[FieldError("/expires_at", "invalid", message)],
    )


def _hold_ended(refusal: Refusal, asked: Asked) -> ApiError:
    mitigation = "Place a new hold for further work"
    if asked.about is Subject.CAPTURE:
        mitigation = "Book what was used as usage of its own, or place a new hold for further work"
    return _conflict(refusal, f"the hold has ended: it is {refusal.facts['status']}", mitigation)


def _hold_too_long(refusal: Refusal, _: Asked) -> ApiError:
    latest, now = refusal.figures["latest_expiry"], refusal.figures["now"]
    seconds = max(0, latest - now) // _SECOND
    return _conflict(
        refusal,
        f"a hold lives at most 7 days in all, this one until {time_json(latest)}",
        f"Extend it by at most {seconds} seconds from now, or capture what was used and place a "
        "new hold",
    )


def _sum_limit(refusal: Refusal, asked: Asked) -> ApiError:
    room = f"there is room for {_credits(refusal, 'room')} credits"
    if asked.about in {Subject.USAGE, Subject.CAPTURE}:
        reason = "the billing period would hold more usage than can be counted exactly"
        return _conflict(
            refusal, f"{reason}; {room}", "Wait for the next billing period or book less"
        )
    reason = "the organization's sums would leave the range that clients read exactly"
    return _conflict(refusal, f"{reason}; {room}", "Ask for at most as much as there is room for")


def _takes_too_much(refusal: Refusal, _: Asked) -> ApiError:
    return _conflict(
        refusal,
        "more was to be taken back than is neither spent nor held; "
        f"that is {_credits(refusal, 'available')} credits",
        "Take back at most that, or leave credits out to take all of it",
    )


def _more_than_held(refusal: Refusal, _: Asked) -> ApiError:
    return _conflict(
        refusal,
        f"{_credits(refusal, 'required')} credits were to be captured, and "
        f"{_credits(refusal, 'held')} are held",
        'Capture at most what is held, or send "allow_excess": true to have what goes beyond it '
        "decided as usage",
    )


def _more_than_booked(refusal: Refusal, _: Asked) -> ApiError:
    return _conflict(
        refusal,
        f"of the event's {_credits(refusal, 'booked')} credits, "
        f"{_credits(refusal, 'left')} are left to be reversed",
        "Reverse at most what is left",
    )


# ── what is not covered ──

_OTHERWISE: Final[Mapping[Subject, str]] = {
    Subject.HOLD: "hold less",
    Subject.CAPTURE: 'record work that is done already with "on_insufficient": "overdraw"',
    Subject.USAGE: 'record work that is done already with "on_insufficient": "overdraw"',
}


def _not_covered(refusal: Refusal, asked: Asked) -> ApiError:
    reason = (
        f"{_credits(refusal, 'required')} credits are required, "
        f"{_credits(refusal, 'available')} available"
    )
    if refusal.figures["overage_headroom"]:
        reason += f", and {_credits(refusal, 'overage_headroom')} more may become overage"
    otherwise = _OTHERWISE[asked.about]
    mitigation = f"Top up, wait for the next billing period, or {otherwise}"
    return _exceeded(refusal, "organization", reason, mitigation)


def _over_budget(refusal: Refusal, asked: Asked) -> ApiError:
    reason = (
        f"{_credits(refusal, 'required')} credits are required, and the budget of "
        f"{refusal.facts['budget_id']} leaves {_credits(refusal, 'available')}"
    )
    otherwise = _OTHERWISE[asked.about]
    mitigation = f"Ask for a higher budget, wait for the next billing period, or {otherwise}"
    return _exceeded(refusal, "budget", reason, mitigation)


def _exceeded(refusal: Refusal, blocked_by: str, reason: str, mitigation: str) -> ApiError:
    details = {**_state(refusal), "blocked_by": blocked_by}
    details.pop("overage_headroom", None)
    return ApiError("credit_exceeded", reason, details=details, mitigation=mitigation)


_ANSWERS: Final[Mapping[Reason, Callable[[Refusal, Asked], ApiError]]] = {
    Reason.ID_REUSED: _id_reused,
    Reason.NO_SUCH_GRANT: _missing("grant"),
    Reason.NO_SUCH_HOLD: _missing("hold"),
    Reason.NO_SUCH_EVENT: _missing("usage event"),
    Reason.NO_SUCH_METER: _no_such_meter,
    Reason.NO_PRICE: _no_price,
    Reason.CHARGE_LIMIT: _charge_limit,
    Reason.CLOSED: _not_active,
    Reason.SUSPENDED: _not_active,
    Reason.OTHER_TEAMSPACE: _other_teamspace,
    Reason.GRANT_ENDED: _grant_ended,
    Reason.HOLD_ENDED: _hold_ended,
    Reason.HOLD_TOO_LONG: _hold_too_long,
    Reason.SUM_LIMIT: _sum_limit,
    Reason.TAKES_TOO_MUCH: _takes_too_much,
    Reason.MORE_THAN_HELD: _more_than_held,
    Reason.MORE_THAN_BOOKED: _more_than_booked,
    Reason.NOT_COVERED: _not_covered,
    Reason.OVER_BUDGET: _over_budget,
}
