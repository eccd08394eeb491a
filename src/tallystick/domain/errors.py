"""How the core says no.

A refusal that callers must expect is a value (`Refusal`), never an exception. Exceptions that leave
the core mean a bug or a broken database:

    DomainError
    ├── CorruptLedger      stored rows contradict the rules
    └── (InvalidCredits, InvalidSchedule and InvalidPlan are ValueErrors of their own modules:
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
    CLOSED = 3
    """The organization is closed for good."""
    SUSPENDED = 4
    """The organization may read, but spend nothing."""
    GRANT_ENDED = 5
    """The new grant would have expired before it was issued."""
    SUM_LIMIT = 6
    """The organization's sums would leave the range that clients read exactly."""
    TAKES_TOO_MUCH = 7
    """More was to be taken back from a grant than is neither spent nor held."""
    NOT_COVERED = 8
    """Grants and overage policy do not cover the usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A command that changed nothing, and the figures that decided it (micro-credits)."""

    reason: Reason
    figures: Mapping[str, int] = field(default_factory=dict)
