"""What the ledger answers to an operator, as HTTP: the outcome that was hoped for, or an ApiError.

NoSuch…                                   404, the same for foreign ids and missing ones
what the present state does not allow     409
what is wrong with the request itself     422, pointing at the field
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from tallystick.domain.errors import Reason, Refusal
from tallystick.http.errors import ApiError, FieldError, invalid
from tallystick.http.shapes import not_found
from tallystick.http.wire import credits_json, time_json
from tallystick.ledger.directory import (
    ExpiresTooEarly,
    ExternalIdTaken,
    KeyEnded,
    NoSuchKey,
    NoSuchTeamspace,
    ScheduleRefused,
    SecretTaken,
)
from tallystick.ledger.units import NoSuchOrganization

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_INSTANTS: Final = frozenset({"now", "resets_at"})

_MISSING: Final[Mapping[type, str]] = {
    NoSuchOrganization: "organization",
    NoSuchTeamspace: "teamspace",
    NoSuchKey: "API key",
}
_CONFLICTS: Final[Mapping[Reason, str]] = {
    Reason.ID_REUSED: "the reference was used before, with other content",
    Reason.CLOSED: "the organization is closed for good",
    Reason.SUSPENDED: "the organization is suspended",
    Reason.SUM_LIMIT: "the organization's sums would leave the range that clients read exactly",
    Reason.TAKES_TOO_MUCH: "more was to be taken back than is neither spent nor held",
}


def expect(kind: type[T], outcome: object) -> T:
    """`outcome`, which is a `kind`, or the ApiError that it means instead."""
    if isinstance(outcome, kind):
        return outcome
    if type(outcome) in _MISSING:
        raise not_found(_MISSING[type(outcome)])
    match outcome:
        case Refusal():
            raise refused(outcome)
        case ExternalIdTaken(external_id):
            reason = f"another organization has the external_id {external_id!r}"
            raise ApiError("conflict", reason)
        case ScheduleRefused(message):
            raise invalid("/billing_period/count", message)
        case ExpiresTooEarly():
            raise invalid("/expires_at", "must lie in the future")
        case SecretTaken():
            raise ApiError("conflict", "there is a key with this secret already")
        case KeyEnded(key):
            ended = "has expired" if key.revoked_at is None else "was revoked"
            raise ApiError("conflict", f"the API key {ended}: make a new one")
    raise TypeError(f"the ledger answered {outcome!r}")


def refused(refusal: Refusal) -> ApiError:
    """The error that the core's refusal of an operator's command is."""
    details = {name: _figure(name, value) for name, value in refusal.figures.items()}
    if refusal.reason is Reason.NO_SUCH_GRANT:
        return not_found("grant")
    if refusal.reason is Reason.GRANT_ENDED:
        message = "must lie in the future, and after effective_at"
        return ApiError(
            "validation_failed",
            f"/expires_at: {message}",
            details=details,
            errors=[FieldError("/expires_at", "invalid", message)],
        )
    if refusal.reason not in _CONFLICTS:
        raise TypeError(f"no operator's command is refused for {refusal.reason!r}")
    return ApiError("conflict", _CONFLICTS[refusal.reason], details=details)


def _figure(name: str, value: int) -> object:
    return time_json(value) if name in _INSTANTS else credits_json(value)
