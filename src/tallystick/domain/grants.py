"""Grants: lots of credits, and the one order in which they burn."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PRIORITY: Final = 50
NEVER: Final = 1 << 62
"""Later than every instant: how a grant without expiry compares."""

Drawn = tuple[tuple[str, int], ...]
"""Which grants credits came from, in the order drawn: (grant id, micro-credits)."""


class GrantKind(enum.StrEnum):
    """Kinds in the order they burn where priority and expiry are equal."""

    ROLLOVER = "rollover"
    ALLOWANCE = "allowance"
    PROMOTIONAL = "promotional"
    ADJUSTMENT = "adjustment"
    TOP_UP = "top_up"


class GrantStatus(enum.StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    VOIDED = "voided"


_KIND_RANK: Final = {kind: rank for rank, kind in enumerate(GrantKind)}


@dataclass(slots=True, kw_only=True)
class Grant:
    """One lot of credits (micro-credits; instants in microseconds).

    `remaining` is what has not been spent, what is held included; `issued` is the ledger sequence
    of its issue, which makes the order of issue exact. Grants change in place: they belong to the
    account that is being decided about and to nobody else.
    """

    id: str
    kind: GrantKind
    amount: int
    remaining: int
    held: int = 0
    priority: int = DEFAULT_PRIORITY
    effective_at: int
    expires_at: int | None = None
    status: GrantStatus
    issued: int
    reference: str | None = None
    created_at: int

    @property
    def unheld(self) -> int:
        return self.remaining - self.held

    @property
    def ends_at(self) -> int:
        return NEVER if self.expires_at is None else self.expires_at


def burn_key(grant: Grant) -> tuple[int, int, int, int, int]:
    """Sorts grants into the order in which usage draws from them."""
    return (
        grant.priority,
        grant.ends_at,
        _KIND_RANK[grant.kind],
        grant.effective_at,
        grant.issued,
    )


def draw(in_burn_order: Iterable[Grant], credits_wanted: int) -> Drawn:
    """Takes up to `credits_wanted` out of the grants and says from which."""
    drawn: list[tuple[str, int]] = []
    for grant in in_burn_order:
        if not credits_wanted:
            break
        taken = min(grant.remaining - grant.held, credits_wanted)
        if taken:
            grant.remaining -= taken
            credits_wanted -= taken
            drawn.append((grant.id, taken))
        if not grant.remaining:
            grant.status = GrantStatus.EXHAUSTED
    return tuple(drawn)


def set_aside(in_burn_order: Iterable[Grant], credits_wanted: int) -> Drawn:
    """Marks up to `credits_wanted` in the grants as held and says in which."""
    parts: list[tuple[str, int]] = []
    for grant in in_burn_order:
        if not credits_wanted:
            break
        part = min(grant.unheld, credits_wanted)
        if part:
            grant.held += part
            credits_wanted -= part
            parts.append((grant.id, part))
    return tuple(parts)
