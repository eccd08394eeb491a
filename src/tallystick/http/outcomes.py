"""What the ledger answers, as HTTP: the outcome that was hoped for, or an ApiError.

NoSuch…                                   404, the same for foreign ids and missing ones
what the present state does not allow     409
what is wrong with the request itself     422, pointing at the field
a refusal of the core                     see `refusals`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from tallystick.domain.errors import Refusal
from tallystick.http.errors import ApiError, invalid
from tallystick.http.refusals import TERMS, Asked, refusal_error
from tallystick.http.shapes import not_found
from tallystick.ledger.budgets import NoSuchSubject
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

_MISSING: Final[Mapping[type, str]] = {
    NoSuchOrganization: "organization",
    NoSuchTeamspace: "teamspace",
    NoSuchKey: "API key",
    NoSuchSubject: "teamspace or API key",
}


def expect(kind: type[T], outcome: object, asked: Asked = TERMS) -> T:
    """`outcome`, which is a `kind`, or the ApiError that it means instead."""
    if isinstance(outcome, kind):
        return outcome
    if type(outcome) in _MISSING:
        raise not_found(_MISSING[type(outcome)])
    match outcome:
        case Refusal():
            raise refusal_error(outcome, asked)
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


def expect_alone(kind: type[T], outcome: object, asked: Asked = TERMS) -> T:
    """The same of a unit with one command."""
    (decided,) = expect(list, outcome, asked)
    return expect(kind, decided, asked)
