"""Holds: credits set aside for work whose cost is not known yet (rule 9).

A hold draws its credits as usage would, but they stay in their grants, marked as held: they are
unspent, so they count as remaining, and nobody else can spend them. That is why they outlive their
grant and the period: an expiry or a void takes only what is not held. A hold ends exactly once, as
captured, released or expired; what it still holds then goes back to its grants, and lapses at once
where the grant has ended in the meantime.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tallystick.domain.budgets import note_held
from tallystick.domain.entries import Entry, EntryKind, canonical_json
from tallystick.domain.grants import Drawn, Grant, GrantStatus

if TYPE_CHECKING:
    from tallystick.domain.account import Account

LONGEST_HOLD: Final = 7 * 86_400_000_000
"""A hold lives at most seven days in all, however often it is extended (microseconds)."""


class HoldStatus(enum.StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(slots=True, kw_only=True)
class Hold:
    """One hold (micro-credits; instants in microseconds).

    `parts` says what is still held of which grant, in the order drawn; `captured` what captures
    booked, excess included. `placed` is the ledger sequence of its first entry. `dimensions` is
    canonical JSON; it and `salt` go when they are erased, `digest` stays (see `dimensions`). Like
    grants, holds change in place and belong to the account decided about.
    """

    id: str
    credits: int
    parts: Drawn
    captured: int = 0
    status: HoldStatus = HoldStatus.OPEN
    expires_at: int
    placed: int
    reference: str | None = None
    teamspace_id: str
    api_key_id: str | None
    meter: str | None = None
    dimensions: str | None = None
    salt: bytes | None = None
    digest: bytes | None = None
    created_at: int

    @property
    def held(self) -> int:
        return sum(part for _, part in self.parts)

    @property
    def latest_expiry(self) -> int:
        return self.created_at + LONGEST_HOLD


def due_key(hold: Hold) -> tuple[int, int]:
    """Sorts holds into the order in which they expire."""
    return hold.expires_at, hold.placed


def add_open(open_holds: list[Hold], hold: Hold) -> None:
    insort(open_holds, hold, key=due_key)


def remove_open(open_holds: list[Hold], hold: Hold) -> None:
    """Takes `hold` out of the list; its expiry must be what it was when it came in."""
    del open_holds[bisect_left(open_holds, due_key(hold), key=due_key)]


def expire_holds(account: Account, at: int, entries: list[Entry]) -> None:
    """Ends the holds whose time is up at `at`."""
    while account.open_holds and account.open_holds[0].expires_at <= at:
        entries.append(
            end_hold(account, account.open_holds[0], HoldStatus.EXPIRED, EntryKind.HOLD_EXPIRED, at)
        )


def end_hold(account: Account, hold: Hold, status: HoldStatus, kind: EntryKind, at: int) -> Entry:
    """Gives back what `hold` still holds, and says so; it ends as `status`.

    The entry's `drawn` is what went back to which grant; its detail, what of that lapsed.
    """
    given_back, lapsed = hold.parts, _give_back(account, hold)
    close_hold(account, hold, status)
    facts: dict[str, object] = {"status": str(status)}
    if lapsed:
        facts["lapsed"] = lapsed
    return account.entry(
        kind,
        at,
        sum(part for _, part in given_back),
        hold=hold,
        drawn=given_back,
        detail=canonical_json(facts),
    )


def close_hold(account: Account, hold: Hold, status: HoldStatus) -> None:
    remove_open(account.open_holds, hold)
    hold.status = status


def _give_back(account: Account, hold: Hold) -> Drawn:
    lapsed = []
    for grant_id, part in hold.parts:
        grant = account.grants[grant_id]
        grant.held -= part
        if grant.status is not GrantStatus.ACTIVE:
            grant.remaining -= part
            account.remaining -= part
            lapsed.append((grant_id, part))
    _let_go(account, hold, hold.held)
    hold.parts = ()
    return tuple(lapsed)


def take_held(account: Account, hold: Hold, wanted: int) -> Drawn:
    """Spends up to `wanted` of what is held, in the order it was drawn, ended grants included."""
    taken, left = _split(hold.parts, wanted)
    for grant_id, part in taken:
        grant = account.grants[grant_id]
        grant.held -= part
        grant.remaining -= part
        if not grant.remaining:
            _exhaust(account, grant)
    spent = sum(part for _, part in taken)
    account.remaining -= spent
    _let_go(account, hold, spent)
    hold.parts = left
    return taken


def _split(parts: Drawn, wanted: int) -> tuple[Drawn, Drawn]:
    """The first `wanted` micro-credits of `parts`, and the others."""
    first, rest = [], []
    for grant_id, part in parts:
        taken = min(part, wanted)
        wanted -= taken
        if taken:
            first.append((grant_id, taken))
        if part > taken:
            rest.append((grant_id, part - taken))
    return tuple(first), tuple(rest)


def _exhaust(account: Account, grant: Grant) -> None:
    if grant.status is GrantStatus.ACTIVE:
        account.burning.remove(grant)
        grant.status = GrantStatus.EXHAUSTED


def _let_go(account: Account, hold: Hold, credits_moved: int) -> None:
    account.held -= credits_moved
    note_held(account.budgets, hold.teamspace_id, hold.api_key_id, -credits_moved)
