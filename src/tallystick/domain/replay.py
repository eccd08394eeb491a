"""Replaying entries: an account's balances, grants and holds out of nothing but its entries.

`decide` and `advance` say what happens; this says what entries mean, and shares no arithmetic with
them. Whoever wants to know how things stood at an earlier instant replays from a place where it is
known, and whoever doubts a ledger replays from its beginning: each entry must then say the balances
that its own facts lead to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tallystick.domain.entries import EntryKind
from tallystick.domain.errors import CorruptLedger
from tallystick.domain.grants import Drawn, Grant, GrantKind, GrantStatus, burn_key
from tallystick.domain.holds import Hold, HoldStatus
from tallystick.domain.reversals import reversal_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.domain.account import Account
    from tallystick.domain.entries import Entry


@dataclass(slots=True, kw_only=True)
class Standing:
    """How an account stands after entry `sequence` (micro-credits; instants in microseconds).

    `grants` holds every grant that was replayed, `holds` every hold, ended ones too.
    """

    sequence: int = 0
    booked_at: int = 0
    remaining: int = 0
    consumed: int = 0
    overage: int = 0
    held: int = 0
    pending: int = 0
    period_index: int = -1
    period_start: int = 0
    period_end: int = 0
    timezone: str = ""
    grants: dict[str, Grant] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)

    @classmethod
    def of(cls, account: Account) -> Standing:
        """The place that an account has come to, with the grants and holds that still matter.

        What a caller said of a hold beyond what entries say is not in it.
        """
        return cls(
            sequence=account.sequence,
            booked_at=account.advanced_to,
            remaining=account.remaining,
            consumed=account.consumed,
            overage=account.overage,
            held=account.held,
            pending=account.pending,
            period_index=account.period_index,
            period_start=account.period_start,
            period_end=account.period_end,
            timezone=account.plan.schedule.timezone,
            grants={
                grant.id: replace(grant)
                for grant in account.grants.values()
                if grant.remaining or grant.id == account.allowance_grant_id
            },
            holds={
                hold.id: replace(hold, dimensions=None, salt=None, digest=None)
                for hold in account.open_holds
            },
        )

    @property
    def total(self) -> int:
        return self.remaining + self.consumed - self.overage

    @property
    def available(self) -> int:
        return self.remaining - self.held

    def grants_shown(self) -> list[Grant]:
        """Active grants with something left, and ended ones while something of them is held, in
        burn order."""
        shown = [
            grant
            for grant in self.grants.values()
            if grant.remaining and (grant.status is GrantStatus.ACTIVE or grant.held)
        ]
        return sorted(shown, key=burn_key)

    def take_in(self, grant: Grant) -> None:
        """Takes in a grant that was spent before this began and that an entry is going to name."""
        spent = replace(grant, remaining=0, held=0, status=GrantStatus.EXHAUSTED)
        self.grants.setdefault(grant.id, spent)

    def apply(self, entry: Entry) -> None:
        """Takes in the next entry. Raises CorruptLedger where it does not follow from the last."""
        if entry.sequence != self.sequence + 1:
            raise CorruptLedger(f"sequence {entry.sequence} follows {self.sequence}")
        if entry.booked_at < self.booked_at:
            raise CorruptLedger("it is dated before the entry before it")
        if self._is_overdue(entry):
            raise CorruptLedger("it is dated after its period's end, and no other has started")
        if entry.kind is EntryKind.USAGE_BOOKED and entry.hold_id is None:
            self._book(entry.credits, entry.drawn)
        else:
            _APPLY[entry.kind](self, entry)
        self.sequence = entry.sequence
        self.booked_at = entry.booked_at
        if (
            entry.remaining_after != self.remaining
            or entry.consumed_after != self.consumed
            or entry.overage_after != self.overage
            or entry.held_after != self.held
        ):
            raise CorruptLedger(self._balance_message(entry))

    def _is_overdue(self, entry: Entry) -> bool:
        """Whether a period should have started first. What lapses at its very end still belongs
        to it."""
        if entry.booked_at < self.period_end or entry.kind is EntryKind.PERIOD_STARTED:
            return False
        is_usage = entry.kind is EntryKind.USAGE_BOOKED
        return self.period_index >= 0 and (is_usage or entry.booked_at > self.period_end)

    def _balance_message(self, entry: Entry) -> str:
        for name in ("remaining", "consumed", "overage", "held"):
            said, found = getattr(entry, f"{name}_after"), getattr(self, name)
            if said != found:
                return f"{name}_after is {said}, the entries lead to {found}"
        raise LookupError("all balances agree")

    # ── usage ──

    def _book(self, used: int, drawn: Drawn) -> None:
        covered = 0
        for grant_id, part in drawn:
            grant = self._grant(grant_id)
            grant.remaining -= part
            covered += part
            if grant.remaining <= grant.held:
                _check_drawn(grant)
        if covered > used:
            raise CorruptLedger("more was drawn than was used")
        self.remaining -= covered
        self.consumed += used
        self.overage += used - covered

    def _book_any(self, entry: Entry) -> None:
        """Usage, which may come out of a hold: what was held goes first, in the order held."""
        if entry.hold_id is not None:
            hold = self._hold(entry.hold_id)
            self._let_go(hold, min(entry.credits, hold.held))
            hold.captured += entry.credits
            if not hold.parts:
                hold.status = HoldStatus.CAPTURED
        self._book(entry.credits, entry.drawn)

    def _let_go(self, hold: Hold, wanted: int) -> None:
        """Takes `wanted` out of what is held; the grants keep it."""
        left = []
        for grant_id, part in hold.parts:
            taken = min(part, wanted)
            wanted -= taken
            self._grant(grant_id).held -= taken
            self.held -= taken
            if part > taken:
                left.append((grant_id, part - taken))
        hold.parts = tuple(left)

    def _reverse(self, entry: Entry) -> None:
        facts = reversal_facts(entry)
        for grant_id, part in entry.drawn:
            grant = self._grant(grant_id)
            grant.remaining += part
            self.remaining += part
            if grant.status is GrantStatus.EXHAUSTED:
                grant.status = GrantStatus.ACTIVE
        if facts.in_period:
            self.consumed -= entry.credits
            self.overage -= facts.overage
        if _sum(entry.drawn) + facts.overage + _sum(facts.lapsed) != entry.credits:
            raise CorruptLedger("what was returned, overage and what lapsed do not add up")

    # ── holds ──

    def _place(self, entry: Entry) -> None:
        facts = _facts(entry)
        hold_id = _named(entry.hold_id)
        for grant_id, part in entry.drawn:
            grant = self._grant(grant_id)
            grant.held += part
            if grant.held > grant.remaining:
                raise CorruptLedger(f"more is held of {grant_id} than is left of it")
        if _sum(entry.drawn) != entry.credits:
            raise CorruptLedger("the parts of the hold do not add up")
        self.held += entry.credits
        self.holds[hold_id] = Hold(
            id=hold_id,
            credits=entry.credits,
            parts=entry.drawn,
            expires_at=facts["expires_at"],
            placed=entry.sequence,
            reference=facts["reference"],
            teamspace_id=_named(entry.teamspace_id),
            api_key_id=entry.api_key_id,
            meter=entry.meter,
            created_at=entry.booked_at,
        )

    def _extend(self, entry: Entry) -> None:
        self._hold(entry.hold_id).expires_at = _facts(entry)["expires_at"]

    def _end_hold(self, entry: Entry) -> None:
        facts, hold = _facts(entry), self._hold(entry.hold_id)
        if hold.parts != entry.drawn or hold.held != entry.credits:
            raise CorruptLedger(f"{hold.id} does not give back what it held")
        self._let_go(hold, entry.credits)
        for grant_id, part in facts.get("lapsed", ()):
            self._grant(grant_id).remaining -= part
            self.remaining -= part
        hold.status = HoldStatus(facts["status"])

    # ── grants and periods ──

    def _issue(self, entry: Entry) -> None:
        facts = _facts(entry)
        if "amount" in facts:
            self._raise_allowance(entry, facts["amount"])
            return
        grant_id = _named(entry.grant_id)
        is_pending = facts["pending"]
        self.grants[grant_id] = Grant(
            id=grant_id,
            kind=GrantKind(facts["kind"]),
            amount=entry.credits,
            remaining=entry.credits,
            priority=facts["priority"],
            effective_at=facts["effective_at"],
            expires_at=facts["expires_at"],
            status=GrantStatus.PENDING if is_pending else GrantStatus.ACTIVE,
            issued=entry.sequence,
            reference=facts["reference"],
            created_at=entry.booked_at,
        )
        if is_pending:
            self.pending += entry.credits
        else:
            self.remaining += entry.credits

    def _raise_allowance(self, entry: Entry, amount: int) -> None:
        grant = self._grant(entry.grant_id)
        grant.amount = amount
        grant.remaining += entry.credits
        grant.status = GrantStatus.ACTIVE
        self.remaining += entry.credits

    def _activate(self, entry: Entry) -> None:
        grant = self._grant(entry.grant_id)
        grant.status = GrantStatus.ACTIVE
        self.pending -= grant.remaining
        self.remaining += grant.remaining

    def _expire(self, entry: Entry) -> None:
        grant = self._grant(entry.grant_id)
        if grant.unheld != entry.credits:
            raise CorruptLedger(f"what lapsed of {grant.id} is not what was left of it")
        grant.remaining -= entry.credits
        grant.status = GrantStatus.EXPIRED
        self.remaining -= entry.credits

    def _void(self, entry: Entry) -> None:
        facts, grant = _facts(entry), self._grant(entry.grant_id)
        was_pending = grant.status is GrantStatus.PENDING
        grant.amount = facts.get("amount", grant.amount)
        grant.remaining -= entry.credits
        if was_pending:
            self.pending -= entry.credits
        else:
            self.remaining -= entry.credits
        if grant.unheld < 0:
            raise CorruptLedger(f"more was taken back of {grant.id} than was left of it")
        if not grant.remaining:
            grant.status = GrantStatus.EXHAUSTED
        if facts.get("final"):
            grant.status = GrantStatus.VOIDED

    def _start_period(self, entry: Entry) -> None:
        facts = _facts(entry)
        if facts["index"] != self.period_index + 1:
            raise CorruptLedger(f"period {facts['index']} follows {self.period_index}")
        self.period_index = facts["index"]
        self.period_start, self.period_end = facts["start"], facts["end"]
        self.timezone = facts["timezone"]
        self.consumed = self.overage = 0

    def _change_plan(self, entry: Entry) -> None:
        """Moves nothing: what it changes of the present allowance is an entry of its own."""

    # ── looking up ──

    def _grant(self, grant_id: str | None) -> Grant:
        grant = self.grants.get(grant_id or "")
        if grant is None:
            raise CorruptLedger(f"it names {grant_id}, which no entry issued")
        return grant

    def _hold(self, hold_id: str | None) -> Hold:
        hold = self.holds.get(hold_id or "")
        if hold is None or hold.status is not HoldStatus.OPEN:
            raise CorruptLedger(f"it names {hold_id}, which is no open hold")
        return hold


def _check_drawn(grant: Grant) -> None:
    """After a draw that leaves no more than is held."""
    if grant.remaining < grant.held:
        raise CorruptLedger(f"more was drawn from {grant.id} than was left of it")
    if not grant.remaining and grant.status is GrantStatus.ACTIVE:
        grant.status = GrantStatus.EXHAUSTED


def _facts(entry: Entry) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(entry.detail or "{}")
    return facts


def _named(name: str | None) -> str:
    if name is None:
        raise CorruptLedger("it names nothing")
    return name


def _sum(parts: Drawn) -> int:
    return sum(part for _, part in parts)


_APPLY: dict[EntryKind, Callable[[Standing, Entry], None]] = {
    EntryKind.PERIOD_STARTED: Standing._start_period,
    EntryKind.PLAN_CHANGED: Standing._change_plan,
    EntryKind.GRANT_ISSUED: Standing._issue,
    EntryKind.GRANT_ACTIVATED: Standing._activate,
    EntryKind.GRANT_EXPIRED: Standing._expire,
    EntryKind.GRANT_VOIDED: Standing._void,
    EntryKind.USAGE_BOOKED: Standing._book_any,
    EntryKind.USAGE_REVERSED: Standing._reverse,
    EntryKind.HOLD_PLACED: Standing._place,
    EntryKind.HOLD_EXTENDED: Standing._extend,
    EntryKind.HOLD_RELEASED: Standing._end_hold,
    EntryKind.HOLD_EXPIRED: Standing._end_hold,
}
