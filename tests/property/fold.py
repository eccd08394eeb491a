"""What the entries alone say: balances, grants and plan, recomputed without the rules.

A fold makes no decision. It believes each entry, adds up, and complains when an entry contradicts
itself or those before it. What it arrives at must be what the core keeps.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tallystick.domain.entries import GENESIS, Entry, EntryKind, Sealed, seal


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
    event_ids: set[str] = field(default_factory=set)

    @property
    def remaining(self) -> int:
        return sum(grant.left for grant in self.grants.values() if not grant.is_pending)

    @property
    def pending(self) -> int:
        return sum(grant.left for grant in self.grants.values() if grant.is_pending)

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
        assert entry.held_after == 0

    def _apply(self, entry: Entry) -> None:
        detail = json.loads(entry.detail or "{}")
        assert entry.credits >= 0
        match entry.kind:
            case EntryKind.PLAN_CHANGED:
                self.plan_facts = detail
            case EntryKind.PERIOD_STARTED:
                self.period = detail
                self.consumed = self.overage = 0
            case EntryKind.USAGE_BOOKED:
                self._use(entry)
            case EntryKind.GRANT_ISSUED:
                self._issue(entry, detail)
            case EntryKind.GRANT_ACTIVATED:
                grant = self._grant(entry)
                assert grant.is_pending
                assert grant.left == entry.credits
                assert grant.effective_at == entry.booked_at
                grant.is_pending = False
            case EntryKind.GRANT_EXPIRED:
                grant = self._grant(entry)
                assert grant.left == entry.credits, "a grant expires with all that is left of it"
                assert grant.expires_at == entry.booked_at
                grant.left, grant.ended = 0, "expired"
            case EntryKind.GRANT_VOIDED:
                self._take_back(entry, detail)

    def _grant(self, entry: Entry) -> FoldedGrant:
        assert entry.grant_id is not None
        return self.grants[entry.grant_id]

    def _use(self, entry: Entry) -> None:
        assert entry.event_id is not None
        assert entry.event_id not in self.event_ids, "an id was charged twice"
        self.event_ids.add(entry.event_id)
        assert len({grant_id for grant_id, _ in entry.drawn}) == len(entry.drawn)
        for grant_id, taken in entry.drawn:
            assert taken > 0
            grant = self.grants[grant_id]
            assert grant.status == "active"
            grant.left -= taken
            assert grant.left >= 0, "more was drawn from a grant than was left"
        uncovered = entry.credits - sum(taken for _, taken in entry.drawn)
        assert uncovered >= 0
        self.consumed += entry.credits
        self.overage += uncovered

    def _issue(self, entry: Entry, detail: dict[str, Any]) -> None:
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

    def _take_back(self, entry: Entry, detail: dict[str, Any]) -> None:
        grant = self._grant(entry)
        grant.left -= entry.credits
        assert grant.left >= 0
        if "amount" in detail:
            grant.amount -= entry.credits
            assert grant.amount == detail["amount"]
        elif detail["final"]:
            assert grant.left == 0, "a grant is voided with all that is left of it"
            assert grant.ended is None
            grant.ended = "voided"
