"""What the entries alone say: balances, grants, holds and plan, recomputed without the rules.

A fold makes no decision. It believes each entry, adds up, and complains when an entry contradicts
itself or those before it. What it arrives at must be what the core keeps.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tallystick.domain.entries import GENESIS, Entry, EntryKind, Sealed, seal

Detail = dict[str, Any]


@dataclass(kw_only=True)
class FoldedGrant:
    kind: str
    priority: int
    effective_at: int
    expires_at: int | None
    reference: str | None
    created_at: int
    issued: int
    amount: int
    left: int
    is_pending: bool
    ended: str | None = None

    @property
    def status(self) -> str:
        if self.ended:
            return self.ended
        if not self.left:
            return "exhausted"
        return "pending" if self.is_pending else "active"


@dataclass(kw_only=True)
class FoldedHold:
    """`parts` is what is still held, by grant, in the order drawn."""

    credits: int
    parts: dict[str, int]
    expires_at: int
    captured: int = 0
    ended: str | None = None

    @property
    def held(self) -> int:
        return sum(self.parts.values())

    @property
    def status(self) -> str:
        return self.ended or "open"


@dataclass(kw_only=True)
class FoldedUsage:
    entry: Entry
    period: int
    undone: int = 0


@dataclass
class Fold:
    organization_id: str
    grants: dict[str, FoldedGrant] = field(default_factory=dict)
    sequence: int = 0
    last_at: int = 0
    head: bytes = GENESIS
    consumed: int = 0
    overage: int = 0
    period: dict[str, Any] = field(default_factory=dict)
    plan_facts: dict[str, Any] = field(default_factory=dict)
    holds: dict[str, FoldedHold] = field(default_factory=dict)
    usages: dict[str, FoldedUsage] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    """Net usage of this period by teamspace and by key."""

    @property
    def remaining(self) -> int:
        return sum(grant.left for grant in self.grants.values() if not grant.is_pending)

    @property
    def pending(self) -> int:
        return sum(grant.left for grant in self.grants.values() if grant.is_pending)

    @property
    def held(self) -> int:
        return sum(hold.held for hold in self.holds.values())

    def held_of(self, grant_id: str) -> int:
        return sum(hold.parts.get(grant_id, 0) for hold in self.holds.values())

    def take(self, sealed: Sealed) -> None:
        """Takes in the next entry; fails where it does not follow from those before it."""
        entry = sealed.entry
        assert entry.organization_id == self.organization_id
        assert entry.sequence == self.sequence + 1, "the sequence has a gap"
        assert entry.booked_at >= self.last_at, "an entry was booked before the one before it"
        assert sealed.previous_hash == self.head, "the chain is broken"
        assert seal([entry], self.head) == [sealed], "the hash is not that of the entry"
        self.sequence, self.last_at, self.head = entry.sequence, entry.booked_at, sealed.hash
        self._apply(entry)
        assert entry.remaining_after == self.remaining
        assert entry.consumed_after == self.consumed
        assert entry.overage_after == self.overage
        assert entry.held_after == self.held

    def _apply(self, entry: Entry) -> None:
        detail = json.loads(entry.detail or "{}")
        assert entry.credits >= 0
        assert all(part > 0 for _, part in entry.drawn)
        takes = {
            EntryKind.PLAN_CHANGED: self._change_plan,
            EntryKind.PERIOD_STARTED: self._start_period,
            EntryKind.USAGE_BOOKED: self._use,
            EntryKind.USAGE_REVERSED: self._undo,
            EntryKind.GRANT_ISSUED: self._issue,
            EntryKind.GRANT_ACTIVATED: self._activate,
            EntryKind.GRANT_EXPIRED: self._expire,
            EntryKind.GRANT_VOIDED: self._take_back,
            EntryKind.HOLD_PLACED: self._hold,
            EntryKind.HOLD_EXTENDED: self._extend,
            EntryKind.HOLD_RELEASED: self._let_go,
            EntryKind.HOLD_EXPIRED: self._let_go,
        }
        takes[entry.kind](entry, detail)

    def _change_plan(self, entry: Entry, detail: Detail) -> None:
        self.plan_facts = detail

    def _start_period(self, entry: Entry, detail: Detail) -> None:
        self.period = detail
        self.consumed = self.overage = 0
        self.used.clear()

    def _grant(self, entry: Entry) -> FoldedGrant:
        assert entry.grant_id is not None
        return self.grants[entry.grant_id]

    def _free_of(self, grant_id: str) -> int:
        return self.grants[grant_id].left - self.held_of(grant_id)

    # ── usage ──

    def _use(self, entry: Entry, detail: Detail) -> None:
        assert entry.event_id is not None
        assert entry.event_id not in self.usages, "an id was charged twice"
        self.usages[entry.event_id] = FoldedUsage(entry=entry, period=self.period["index"])
        covered = sum(taken for _, taken in entry.drawn)
        assert covered <= entry.credits
        out_of_hold = self._capture(entry) if entry.hold_id is not None else 0
        for grant_id, taken in entry.drawn:
            held_part = min(taken, out_of_hold)
            out_of_hold -= held_part
            self._draw(grant_id, held_part, taken - held_part)
        assert not out_of_hold, "what was held was not drawn first"
        self.consumed += entry.credits
        self.overage += entry.credits - covered
        self._count(entry, entry.credits)

    def _draw(self, grant_id: str, held_part: int, free_part: int) -> None:
        grant = self.grants[grant_id]
        grant.left -= held_part
        assert grant.left >= self.held_of(grant_id) >= 0
        if free_part:
            assert grant.status == "active"
            grant.left -= free_part
            assert self._free_of(grant_id) >= 0, "more was drawn from a grant than was there"

    def _capture(self, entry: Entry) -> int:
        """What of a capture comes out of its hold, which no longer holds it."""
        hold = self._open_hold(entry)
        hold.captured += entry.credits
        taken = left = min(hold.held, entry.credits)
        for grant_id, part in list(hold.parts.items()):
            hold.parts[grant_id] -= min(part, left)
            left -= min(part, left)
            if not hold.parts[grant_id]:
                del hold.parts[grant_id]
        if not hold.parts:
            hold.ended = "captured"
        return taken

    def _count(self, entry: Entry, amount: int) -> None:
        for subject in (entry.teamspace_id, entry.api_key_id):
            if subject is not None:
                self.used[subject] += amount

    def _undo(self, entry: Entry, detail: Detail) -> None:
        assert entry.event_id is not None
        usage = self.usages[entry.event_id]
        usage.undone += entry.credits
        assert usage.undone <= usage.entry.credits, "more was given back than was booked"
        assert usage.entry.teamspace_id == entry.teamspace_id
        assert usage.entry.api_key_id == entry.api_key_id
        lapsed = sum(part for _, part in detail["lapsed"])
        returned = sum(part for _, part in entry.drawn)
        assert entry.credits == returned + lapsed + detail["overage"]
        assert detail["in_period"] == (usage.period == self.period["index"])
        for grant_id, part in entry.drawn:
            grant = self.grants[grant_id]
            assert grant.ended is None
            assert grant.expires_at is None or entry.booked_at < grant.expires_at
            grant.left += part
            assert grant.left <= grant.amount
        if detail["in_period"]:
            self.consumed -= entry.credits
            self.overage -= detail["overage"]
            self._count(entry, -entry.credits)

    # ── holds ──

    def _hold(self, entry: Entry, detail: Detail) -> None:
        assert entry.hold_id is not None
        assert entry.hold_id not in self.holds
        assert sum(part for _, part in entry.drawn) == entry.credits > 0
        for grant_id, part in entry.drawn:
            assert self.grants[grant_id].status == "active"
            assert self._free_of(grant_id) >= part, "more was held of a grant than was there"
        self.holds[entry.hold_id] = FoldedHold(
            credits=entry.credits, parts=dict(entry.drawn), expires_at=detail["expires_at"]
        )

    def _extend(self, entry: Entry, detail: Detail) -> None:
        hold = self._open_hold(entry)
        assert hold.expires_at < detail["expires_at"], "a hold was shortened"
        hold.expires_at = detail["expires_at"]

    def _open_hold(self, entry: Entry) -> FoldedHold:
        assert entry.hold_id is not None
        hold = self.holds[entry.hold_id]
        assert hold.ended is None, "a hold ended more than once"
        return hold

    def _let_go(self, entry: Entry, detail: Detail) -> None:
        hold = self._open_hold(entry)
        assert entry.drawn == tuple(hold.parts.items())
        assert entry.credits == hold.held
        has_expired = entry.kind is EntryKind.HOLD_EXPIRED
        assert has_expired == (hold.expires_at == entry.booked_at)
        assert has_expired == (detail["status"] == "expired")
        hold.parts, hold.ended = {}, detail["status"]
        lapsed = [(name, part) for name, part in entry.drawn if self.grants[name].ended]
        assert [tuple(part) for part in detail.get("lapsed", [])] == lapsed
        for grant_id, part in lapsed:
            self.grants[grant_id].left -= part

    # ── grants ──

    def _activate(self, entry: Entry, detail: Detail) -> None:
        grant = self._grant(entry)
        assert grant.is_pending
        assert grant.left == entry.credits
        assert grant.effective_at == entry.booked_at
        grant.is_pending = False

    def _expire(self, entry: Entry, detail: Detail) -> None:
        grant = self._grant(entry)
        assert self._free_of(entry.grant_id or "") == entry.credits, "not all that was not held"
        assert grant.expires_at == entry.booked_at
        grant.left -= entry.credits
        grant.ended = "expired"

    def _issue(self, entry: Entry, detail: Detail) -> None:
        assert entry.grant_id is not None
        assert entry.credits > 0
        if entry.grant_id in self.grants:
            grant = self._grant(entry)
            grant.amount += entry.credits
            grant.left += entry.credits
            assert grant.amount == detail["amount"]
            return
        self.grants[entry.grant_id] = FoldedGrant(
            kind=detail["kind"],
            priority=detail["priority"],
            effective_at=detail["effective_at"],
            expires_at=detail["expires_at"],
            reference=detail["reference"],
            created_at=entry.booked_at,
            issued=entry.sequence,
            amount=entry.credits,
            left=entry.credits,
            is_pending=detail["pending"],
        )

    def _take_back(self, entry: Entry, detail: Detail) -> None:
        grant = self._grant(entry)
        grant.left -= entry.credits
        assert self._free_of(entry.grant_id or "") >= 0
        if "amount" in detail:
            grant.amount -= entry.credits
            assert grant.amount == detail["amount"]
        elif detail["final"]:
            assert self._free_of(entry.grant_id or "") == 0, "not all that was not held"
            assert grant.ended is None
            grant.ended = "voided"
