"""What can be asked of an account, and what it answers.

Commands carry facts that were checked for form already; whether they may happen is for `decide`.
Amounts are micro-credits, instants microseconds since 1970 (UTC).
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.dimensions import digest_again, dimensions_digest
from tallystick.domain.entries import canonical_json
from tallystick.domain.errors import Refusal
from tallystick.domain.grants import DEFAULT_PRIORITY, GrantKind
from tallystick.domain.prices import NO_PRICES, PriceBook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tallystick.domain.budgets import Budget
    from tallystick.domain.dimensions import KeptDimensions
    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold
    from tallystick.domain.periods import Schedule
    from tallystick.domain.plans import Overage, Plan, Rollover

DAY: Final = 86_400_000_000
EARLIEST: Final = 946_684_800_000_000
"""2000-01-01T00:00:00Z: no instant that a caller names lies before it."""


class AccountStatus(enum.StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class BookUsage(NamedTuple):
    """Usage that happened (`overdraw`) or is asked for (otherwise: covered in full, or refused).

    It says how many credits or, with a meter, a `quantity` (billionths of a unit) that `decide`
    rates; `credits` are 0 until then. `content` comes from `usage_content` over the same fields.
    """

    event_id: str
    credits: int
    meter: str | None
    occurred_at: int | None
    dimensions: Mapping[str, str] | None
    overdraw: bool
    teamspace_id: str
    api_key_id: str | None
    content: bytes
    quantity: int | None = None
    salt: bytes = b""
    """Random where there are dimensions: what is kept of them must not let anybody guess them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    """Sets credits aside for `expires_in` microseconds."""

    credits: int
    expires_in: int
    reference: str | None = None
    meter: str | None = None
    dimensions: Mapping[str, str] | None = None
    teamspace_id: str
    api_key_id: str | None
    salt: bytes = b""
    """Random where there are dimensions, as that of usage."""

    def content(self, digest: bytes | None) -> bytes:
        """The digest by which a repeated `reference` is told from a changed one; `digest` is that
        of the dimensions, None where there are none."""
        return _digest(
            {
                "credits": self.credits,
                "dimensions": None if digest is None else digest.hex(),
                "expires_in": self.expires_in,
                "meter": self.meter,
                "teamspace_id": self.teamspace_id,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureHold:
    """Books usage out of a hold, for the teamspace and the key that placed it.

    `event_id` is the hold's id where None; meter and dimensions are the hold's where None. `final`
    gives back what is then still held. What goes beyond the hold needs `allow_excess`, and is
    decided as usage is. `acting_for` is the teamspace for which the caller may act, None: any.
    """

    hold_id: str
    credits: int
    event_id: str | None = None
    final: bool = False
    allow_excess: bool = False
    overdraw: bool = False
    meter: str | None = None
    occurred_at: int | None = None
    dimensions: Mapping[str, str] | None = None
    acting_for: str | None = None
    salt: bytes = b""
    """Random, for the dimensions: those that it names, or its hold's."""

    @property
    def booked_as(self) -> str:
        """The usage event's id."""
        return self.hold_id if self.event_id is None else self.event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold:
    """Gives back all that is still held."""

    hold_id: str
    acting_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendHold:
    """Lets a hold live for `expires_in` microseconds from now; never shortens its life."""

    hold_id: str
    expires_in: int
    acting_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseUsage:
    """Gives `credits` of a usage event back, or, where None, all that is left of it."""

    event_id: str
    credits: int | None = None
    reference: str | None = None
    note: str | None = None
    acting_for: str | None = None

    def content(self) -> bytes:
        """The digest by which a repeated reversal is told from a changed one."""
        return _digest({"credits": self.credits, "note": self.note})


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBudget:
    """Caps a teamspace's or key's consumption; `used` is its net usage in the present period."""

    subject_id: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBudget:
    subject_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGrant:
    amount: int
    kind: GrantKind
    priority: int = DEFAULT_PRIORITY
    effective_at: int | None = None
    expires_at: int | None = None
    reference: str | None = None

    def content(self) -> dict[str, object]:
        """What makes a repeated `reference` the same grant."""
        return {
            "amount": self.amount,
            "effective_at": self.effective_at,
            "expires_at": self.expires_at,
            "kind": str(self.kind),
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidGrant:
    """Takes back `credits` of a grant, or, where None, all that is left, for good."""

    grant_id: str
    credits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlan:
    """New terms; None leaves a term as it is."""

    allowance: int | None = None
    schedule: Schedule | None = None
    rollover: Rollover | None = None
    overage: Overage | None = None
    apply_now: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatus:
    """Suspends, resumes or closes an organization."""

    status: AccountStatus


Command = (
    BookUsage
    | PlaceHold
    | CaptureHold
    | ReleaseHold
    | ExtendHold
    | ReverseUsage
    | SetBudget
    | RemoveBudget
    | CreateGrant
    | VoidGrant
    | ChangePlan
    | SetStatus
)


class Booked(NamedTuple):
    """A receipt: the entry, and whether it had been written before."""

    entry: Entry
    duplicate: bool = False


class Held(NamedTuple):
    """The hold as it is now, and whether the same had been placed before."""

    hold: Hold
    duplicate: bool = False


class Captured(NamedTuple):
    """The hold afterwards, and the receipt of what was booked."""

    hold: Hold
    booked: Booked


class Reversed(NamedTuple):
    """The entry that gave credits back, and whether it had been written before.

    `entry.drawn` is what went back to which grant; `reversal_facts` reads the rest.
    """

    entry: Entry
    duplicate: bool = False


class BudgetSet(NamedTuple):
    """The budget as it is now; None where it was removed."""

    budget: Budget | None


class Issued(NamedTuple):
    """The grant as it was when this was decided, and whether it had been issued before."""

    grant: Grant
    duplicate: bool = False


class Voided(NamedTuple):
    """The grant afterwards, and what was taken back of it."""

    grant: Grant
    credits: int


class Changed(NamedTuple):
    """The terms as they were last set, and when the last of them takes effect (None: has)."""

    plan: Plan
    takes_effect_at: int | None
    status: AccountStatus


Outcome = Booked | Held | Captured | Reversed | BudgetSet | Issued | Voided | Changed | Refusal


class Earlier(NamedTuple):
    """What the ledger knows of what a command names."""

    entry: Entry | None = None
    """The usage entry with the command's event id, or the first one with its reference."""
    grant: Grant | None = None
    """The grant that the command or `entry` names."""
    hold: Hold | None = None
    """The hold that the command or `entry` names."""
    reversals: Sequence[Entry] = ()
    """What has been reversed of the usage event, in order."""
    drawn_from: Mapping[str, Grant] = MappingProxyType({})
    """The grants that the usage event drew from, by id."""
    prices: PriceBook = NO_PRICES
    """The prices of the meter whose quantity is to be rated."""
    dimensions: KeptDimensions | None = None
    """What is kept of the usage event's dimensions; None where it has none."""


NOTHING_EARLIER: Final = Earlier()


def usage_content(
    *,
    credits_used: int,
    meter: str | None,
    occurred_at: int | None,
    dimensions: Mapping[str, str] | None,
    overdraw: bool,
    teamspace_id: str,
    quantity: int | None = None,
    salt: bytes = b"",
    digest: bytes | None = None,
) -> bytes:
    """The digest by which a repeated event is told from a changed one (rule 8).

    Defaults count as named; no timestamp differs from any timestamp. Where a `quantity` was sent it
    stands in place of the credits, so a new price makes no other event of it. Dimensions enter by
    a digest of their own, so that they can be erased and the rest still be compared: `digest`, or
    what their salt makes of them.
    """
    if digest is None:
        digest = dimensions_digest(dimensions, salt) if dimensions else b""
    moment = -1 if occurred_at is None else occurred_at
    parts = _two_parts(teamspace_id, meter)
    said = b"%d|%d|%d|%b" % (credits_used, moment, overdraw, parts)
    if quantity is not None:
        said = b"quantity|%d|%d|%d|%b" % (quantity, moment, overdraw, parts)
    return hashlib.sha256(said + digest).digest()


def is_repeated(entry: Entry, command: BookUsage, kept: KeptDimensions | None) -> bool:
    """Whether `command` says what `entry` was booked for.

    A command's salt is a new one each time, so its dimensions are digested again with the first.
    """
    if kept is None:
        return entry.content == command.content
    digest = digest_again(command.dimensions, kept.salt, kept.digest)
    return entry.content == usage_content(
        credits_used=command.credits,
        meter=command.meter,
        occurred_at=command.occurred_at,
        dimensions=None,
        overdraw=command.overdraw,
        teamspace_id=command.teamspace_id,
        quantity=command.quantity,
        digest=digest,
    )


# Which teamspace uses which meter is the same in event after event.
@lru_cache(maxsize=4096)
def _two_parts(first: str | None, second: str | None) -> bytes:
    return _part(first) + _part(second)


def capture_content(command: CaptureHold, usage: bytes) -> bytes:
    """The digest by which a repeated capture is told from a changed one.

    `usage` is the `usage_content` of what it books. Plain usage never has the same digest.
    """
    flags = b"capture|%d|%d|" % (command.final, command.allow_excess)
    return hashlib.sha256(flags + _part(command.hold_id) + usage).digest()


def _digest(facts: Mapping[str, object]) -> bytes:
    return hashlib.sha256(canonical_json(facts).encode()).digest()


def _part(text: str | None) -> bytes:
    if text is None:
        return b"-1:"
    encoded = text.encode()
    return b"%d:%b" % (len(encoded), encoded)


def grant_content(command: CreateGrant) -> bytes:
    """The digest by which a repeated grant reference is told from a changed one."""
    return _digest(command.content())


def is_too_early(instant: int) -> bool:
    return instant < EARLIEST


def is_too_late(occurred_at: int, now: int) -> bool:
    """Whether usage is dated further ahead than clocks may differ."""
    return occurred_at > now + DAY
