"""What operators do: grants, plans, states (rules 11, 12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from tests.oracle_book import Book
from tests.oracle_words import NOTHING, Refused, Terms, Verdict


class Granting(Book):
    def grant(
        self,
        now: datetime,
        kind: str,
        amount: Decimal,
        priority: int,
        effective: datetime | None,
        expires: datetime | None,
        reference: str | None,
    ) -> Verdict:
        content = (kind, amount, priority, effective, expires)
        if reference and (seen := self._again(("grant", reference), content)):
            return seen
        if self.status == "closed":
            return Refused("CLOSED")
        starts = now if effective is None else effective
        if expires is not None and (expires <= now or expires <= starts):
            return Refused("GRANT_ENDED", {"now": now})
        if amount > self.room:
            return Refused("SUM_LIMIT", {"room": self.room})
        self._issue(
            now,
            kind,
            amount,
            priority=priority,
            effective=starts,
            expires=expires,
            reference=reference,
        )
        if reference is not None:
            self._seen["grant", reference] = content, self.facts[-1]
        return self.facts[-1:]

    def void(self, now: datetime, number: int, part: Decimal | None) -> Verdict:
        """Takes back `part` of a lot, or all of it for good; what is held stays."""
        lots = [lot for lot in self.lots if lot.number == number]
        if not lots:
            return Refused("NO_SUCH_GRANT")
        (lot,) = lots
        free = self.free_of(lot)
        if part is not None and part > free:
            return Refused("TAKES_TOO_MUCH", {"available": free})
        if part is None and lot.ended:
            return []
        taken = free if part is None else part
        lot.moves.append(-taken)
        if part is None:
            lot.ended = "voided"
        return [self._note("grant.voided", now, taken, lot, about={"final": part is None})]

    def change(self, now: datetime, wanted: Terms, *, apply_now: bool) -> Verdict:
        """Sets new terms (rule 12); `wanted` is the last set with what was asked changed."""
        if self.status == "closed":
            return Refused("CLOSED")
        change = self._allowance_change(wanted.allowance) if apply_now else NOTHING
        if change > self.room:
            return Refused("SUM_LIMIT", {"room": self.room})
        terms = replace(self.terms, overage=wanted.overage, overage_limit=wanted.overage_limit)
        if apply_now:
            terms = replace(terms, allowance=wanted.allowance)
        if (wanted, terms) == (self.wanted, self.terms) and not change:
            return []
        self.wanted, self.terms = wanted, terms
        before = len(self.facts)
        self._note("plan.changed", now, about={"terms": wanted, "apply_now": apply_now})
        self._change_allowance(now, change)
        return self.facts[before:]

    def _allowance_change(self, allowance: Decimal) -> Decimal:
        """What the present allowance gains, or (below zero) gives up."""
        lot = self.period.allowance
        if lot is None:
            return allowance
        if lot.ended:
            return NOTHING
        if allowance >= lot.amount:
            return allowance - lot.amount
        return -min(lot.amount - allowance, self.free_of(lot))

    def _change_allowance(self, now: datetime, change: Decimal) -> None:
        lot = self.period.allowance
        if lot is None:
            self._issue_allowance(now, change)
        elif change:
            lot.amount += change
            lot.moves.append(change)
            kind = "grant.issued" if change > 0 else "grant.voided"
            self._note(kind, now, abs(change), lot, about={"amount": lot.amount})

    def set_status(self, status: str) -> Verdict:
        if self.status == "closed" and status != "closed":
            return Refused("CLOSED")
        self.status = status
        return []
