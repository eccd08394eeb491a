"""How the core says no.

A refusal that callers must expect is a value (`Refusal`), never an exception. Exceptions that leave
the core mean a bug or a broken database:

    DomainError
    ├── CorruptLedger      stored rows contradict the rules
    └── (InvalidNumber, InvalidSchedule and InvalidPlan are ValueErrors of their own modules:
         they concern input that has not become a command yet)
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class DomainError(Exception):
    """Root of what the core raises; never caused by a caller's input alone."""


class CorruptLedger(DomainError):
    """Stored rows contradict the rules of the ledger."""


class Reason(enum.IntEnum):
    """Why a command was refused, in order of precedence: the lowest that applies is reported."""

    ID_REUSED = 1
    """The id or reference was used before, with other content."""
    NO_SUCH_GRANT = 2
    """No grant of the organization has this id."""
    NO_SUCH_HOLD = 3
    """No hold of the organization has this id."""
    NO_SUCH_EVENT = 4
    """No usage event with this id was booked in the organization."""
    NO_SUCH_METER = 5
    """The price book has no price of this meter."""
    NO_PRICE = 6
    """The meter has prices, but none for these dimensions at that time."""
    CHARGE_LIMIT = 7
    """The quantity comes to more than one amount can be."""
    CLOSED = 8
    """The organization is closed for good."""
    SUSPENDED = 9
    """The organization may read, but spend nothing."""
    OTHER_TEAMSPACE = 10
    """The hold or the event belongs to a teamspace for which the key may not act."""
    GRANT_ENDED = 11
    """The new grant would have expired before it was issued."""
    HOLD_ENDED = 12
    """The hold was captured, released or has expired."""
    HOLD_TOO_LONG = 13
    """The hold would live longer than a hold may."""
    SUM_LIMIT = 14
    """The organization's sums would leave the range that clients read exactly."""
    TAKES_TOO_MUCH = 15
    """More was to be taken back from a grant than is neither spent nor held."""
    MORE_THAN_HELD = 16
    """More was to be captured than is held, without leave to."""
    MORE_THAN_BOOKED = 17
    """More was to be reversed than is left of the usage event."""
    NOT_COVERED = 18
    """Grants and overage policy do not cover the usage, or grants the hold."""
    OVER_BUDGET = 19
    """A budget does not cover the usage or the hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A command that changed nothing, and what decided it.

    `figures` are micro-credits and instants, `facts` ids and states. `names` are some of those that
    would have been known, where an unknown one decided it.
    """

    reason: Reason
    figures: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
