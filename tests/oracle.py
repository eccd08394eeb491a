"""A second ledger, written for clarity and not for speed, to judge the first one by.

It follows the rules of the ledger and shares no code with the core. Where both could make the same
mistake it goes another way: credits are decimals, instants are datetimes, calendars are searched
by looking at the wall clock (`oracle_calendar`), and *no balance is ever kept*. What is kept is the
story: for each lot of credits every movement since it was granted, and each usage with what no lot
covered. A balance is added up from the stories whenever somebody asks.

A lot is known by its number: the place in the ledger of the fact that issued it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from tests.oracle_words import (
    LARGEST_SUM,
    NOTHING,
    SMALLEST,
    Fact,
    Lot,
    Period,
    Refused,
    Repeated,
    Said,
    Terms,
    Usage,
    Verdict,
    burns_before,
)


class Oracle:
    """One organization's ledger, from its creation at `now`."""

    def __init__(self, terms: Terms, now: datetime) -> None:
        self.status = "active"
        self.wanted = terms
        """The terms as they were last set."""
        self.terms = terms
        """The terms of the present period."""
        self.facts: list[Fact] = []
        self.lots: list[Lot] = []
        self.usages: list[Usage] = []
        self._seen_events: dict[str, tuple[object, Fact]] = {}
        self._seen_references: dict[str, tuple[object, Fact]] = {}
        calendar = terms.calendar
        self.period = Period(-1, now, now)
        self._note("plan.changed", now, about={"terms": terms})
        self._start_period(now, calendar.last_boundary_until(now))

    # ── balances: added up from the stories ──

    @property
    def remaining(self) -> Decimal:
        return sum((lot.left for lot in self.lots if lot.is_effective), NOTHING)

    @property
    def pending(self) -> Decimal:
        return sum((lot.left for lot in self.lots if not lot.is_effective), NOTHING)

    @property
    def consumed(self) -> Decimal:
        return sum((usage.credits for usage in self._usages_of_this_period()), NOTHING)

    @property
    def overage(self) -> Decimal:
        return sum((usage.uncovered for usage in self._usages_of_this_period()), NOTHING)

    @property
    def total(self) -> Decimal:
        return self.remaining + self.consumed - self.overage

    @property
    def room(self) -> Decimal:
        return LARGEST_SUM - self.total - self.pending

    def _usages_of_this_period(self) -> Iterable[Usage]:
        return (usage for usage in self.usages if usage.period == self.period.index)

    def lots_in_burn_order(self) -> list[Lot]:
        """The lots that usage may draw from, found one after the other by comparing."""
        unsorted = [lot for lot in self.lots if lot.status == "active"]
        in_order = []
        while unsorted:
            first = unsorted[0]
            for lot in unsorted:
                if burns_before(lot, first):
                    first = lot
            unsorted.remove(first)
            in_order.append(first)
        return in_order

    # ── time (rules 4, 5, 11) ──

    def settle(self, now: datetime) -> list[Fact]:
        """All that happens by itself up to and including `now`."""
        before = len(self.facts)
        while (moment := self._next_moment()) <= now:
            self._expire_lots(moment)
            if self.period.end == moment:
                self._start_period(moment, moment)
            self._activate_lots(moment)
        return self.facts[before:]

    def _next_moment(self) -> datetime:
        moments = [self.period.end]
        for lot in self.lots:
            if lot.status == "active" and lot.expires is not None:
                moments.append(lot.expires)
            if lot.status == "pending":
                moments.append(lot.effective)
        return min(moments)

    def _expire_lots(self, moment: datetime) -> None:
        for lot in list(self.lots):
            if lot.status == "active" and lot.expires == moment:
                lapsed = lot.left
                lot.moves.append(-lapsed)
                lot.ended = "expired"
                self._note("grant.expired", moment, lapsed, lot)
                if lot is self.period.allowance:
                    self._roll_over(lapsed, moment)

    def _roll_over(self, unspent: Decimal, moment: datetime) -> None:
        carried = self._carried(unspent)
        if carried:
            expires = moment
            for _ in range(self.terms.rollover_periods):
                expires = self.wanted.calendar.first_boundary_after(expires)
            self._issue(moment, "rollover", carried, effective=moment, expires=expires)

    def _carried(self, unspent: Decimal) -> Decimal:
        cap = self.terms.rollover_cap
        if self.terms.rollover == "all":
            return unspent
        if self.terms.rollover == "amount" and cap is not None:
            return min(unspent, cap)
        if self.terms.rollover == "percent" and cap is not None:
            return (unspent * cap / 100).quantize(SMALLEST, ROUND_DOWN)
        return NOTHING

    def _start_period(self, moment: datetime, start: datetime) -> None:
        """Starts the period that `start` begins; what was last set is now in force."""
        self.terms = self.wanted
        end = self.terms.calendar.first_boundary_after(moment)
        self.period = Period(self.period.index + 1, start, end)
        about = {
            "index": self.period.index,
            "start": start,
            "end": end,
            "allowance": self.terms.allowance,
            "timezone": self.terms.calendar.zone,
        }
        self._note("period.started", moment, about=about)
        self._issue_allowance(moment, min(self.terms.allowance, self.room))

    def _issue_allowance(self, moment: datetime, amount: Decimal) -> None:
        if amount:
            self.period.allowance = self._issue(
                moment,
                "allowance",
                amount,
                effective=self.period.start,
                expires=self.period.end,
            )

    def _activate_lots(self, moment: datetime) -> None:
        for lot in self.lots:
            if lot.status == "pending" and lot.effective == moment:
                lot.is_effective = True
                self._note("grant.activated", moment, lot.left, lot)

    # ── commands; each is asked after `settle(now)` ──

    def use(self, now: datetime, event_id: str, said: Said) -> Verdict:
        """Books usage (rules 3, 6, 7, 8)."""
        wanted = said.credits
        if event_id in self._seen_events:
            return _again(self._seen_events[event_id], said)
        if self.status != "active":
            return Refused(self.status.upper())
        if self.consumed + wanted > LARGEST_SUM:
            return Refused("SUM_LIMIT", {"room": LARGEST_SUM - self.consumed})
        if not said.overdraw and wanted > self.remaining + self._overage_headroom():
            return Refused("NOT_COVERED", self._why_not_covered(wanted))
        drawn = self._draw(wanted)
        covered = sum((part for _, part in drawn), NOTHING)
        self.usages.append(Usage(self.period.index, wanted, wanted - covered))
        about = {
            "event_id": event_id,
            "teamspace_id": said.teamspace_id,
            "meter": said.meter,
            "occurred_at": said.occurred or now,
        }
        fact = self._note("usage.booked", now, wanted, drawn=drawn, about=about)
        self._seen_events[event_id] = said, fact
        return [fact]

    def _overage_headroom(self) -> Decimal:
        limit = self.terms.overage_limit
        if self.terms.overage == "allow":
            return LARGEST_SUM
        if self.terms.overage == "limit" and limit is not None:
            return max(NOTHING, limit - self.overage)
        return NOTHING

    def _why_not_covered(self, wanted: Decimal) -> dict[str, object]:
        return {
            "required": wanted,
            "available": self.remaining,
            "overage_headroom": self._overage_headroom(),
            "resets_at": self.period.end,
        }

    def _draw(self, wanted: Decimal) -> tuple[tuple[int, Decimal], ...]:
        drawn = []
        for lot in self.lots_in_burn_order():
            part = min(lot.left, wanted)
            if part:
                lot.moves.append(-part)
                wanted -= part
                drawn.append((lot.number, part))
        return tuple(drawn)

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
        if reference is not None and reference in self._seen_references:
            return _again(self._seen_references[reference], content)
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
            self._seen_references[reference] = content, self.facts[-1]
        return self.facts[-1:]

    def void(self, now: datetime, number: int, part: Decimal | None) -> Verdict:
        """Takes back `part` of a lot, or all of it for good."""
        lots = [lot for lot in self.lots if lot.number == number]
        if not lots:
            return Refused("NO_SUCH_GRANT")
        (lot,) = lots
        if part is not None and part > lot.left:
            return Refused("TAKES_TOO_MUCH", {"available": lot.left})
        if part is None and lot.ended:
            return []
        taken = lot.left if part is None else part
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
        return -min(lot.amount - allowance, lot.left)

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

    # ── writing down ──

    def _issue(
        self,
        now: datetime,
        kind: str,
        amount: Decimal,
        *,
        effective: datetime,
        expires: datetime | None,
        priority: int = 50,
        reference: str | None = None,
    ) -> Lot:
        lot = Lot(
            number=len(self.facts) + 1,
            kind=kind,
            priority=priority,
            effective=effective,
            expires=expires,
            created=now,
            reference=reference,
            amount=amount,
            is_effective=effective <= now,
            moves=[amount],
        )
        self.lots.append(lot)
        about = {
            "kind": kind,
            "priority": priority,
            "effective_at": effective,
            "expires_at": expires,
            "pending": not lot.is_effective,
            "reference": reference,
        }
        self._note("grant.issued", now, amount, lot, about=about)
        return lot

    def _note(
        self,
        kind: str,
        at: datetime,
        moved: Decimal = NOTHING,
        lot: Lot | None = None,
        drawn: tuple[tuple[int, Decimal], ...] = (),
        about: Mapping[str, object] | None = None,
    ) -> Fact:
        fact = Fact(
            sequence=len(self.facts) + 1,
            kind=kind,
            at=at,
            credits=moved,
            lot=None if lot is None else lot.number,
            drawn=drawn,
            remaining=self.remaining,
            consumed=self.consumed,
            overage=self.overage,
            about=about or {},
        )
        self.facts.append(fact)
        return fact


def _again(seen: tuple[object, Fact], content: object) -> Verdict:
    """Rule 8: the same content gets the first answer again, any other is a conflict."""
    seen_content, fact = seen
    return Repeated(fact) if seen_content == content else Refused("ID_REUSED")
