"""The oracle's book: the stories of an organization, and the balances added up from them.

No balance is ever kept. What is kept is the story: for each lot of credits every movement since it
was granted, for each hold the parts it drew and what captures took of them, for each usage what was
undone since. A balance is added up from the stories whenever somebody asks.

A lot is known by its number, the place in the ledger of the fact that issued it; a hold, by that of
the fact that placed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from tests.oracle_words import (
    LARGEST_SUM,
    NOTHING,
    Drawn,
    Fact,
    Hold,
    Lot,
    Period,
    Refused,
    Repeated,
    Terms,
    Usage,
    Verdict,
    burns_before,
)


class Book:
    """What happened to one organization since its creation at `now`."""

    def __init__(self, terms: Terms, now: datetime) -> None:
        self.status = "active"
        self.wanted = terms
        """The terms as they were last set."""
        self.terms = terms
        """The terms of the present period."""
        self.facts: list[Fact] = []
        self.lots: list[Lot] = []
        self.usages: list[Usage] = []
        self.holds: list[Hold] = []
        self.caps: dict[str, Decimal] = {}
        """The budgets' limits, by teamspace or key."""
        self.period = Period(-1, now, now)
        self._seen: dict[tuple[str, ...], tuple[object, Fact]] = {}

    # ── balances: added up from the stories ──

    @property
    def remaining(self) -> Decimal:
        return sum((lot.left for lot in self.lots if lot.is_effective), NOTHING)

    @property
    def pending(self) -> Decimal:
        return sum((lot.left for lot in self.lots if not lot.is_effective), NOTHING)

    @property
    def consumed(self) -> Decimal:
        return sum((usage.left for usage in self._usages_of_this_period()), NOTHING)

    @property
    def overage(self) -> Decimal:
        return sum((usage.uncovered_left for usage in self._usages_of_this_period()), NOTHING)

    @property
    def held(self) -> Decimal:
        return sum((hold.held for hold in self.open_holds()), NOTHING)

    @property
    def available(self) -> Decimal:
        return self.remaining - self.held

    @property
    def total(self) -> Decimal:
        return self.remaining + self.consumed - self.overage

    @property
    def room(self) -> Decimal:
        return LARGEST_SUM - self.total - self.pending

    def _usages_of_this_period(self) -> Iterable[Usage]:
        return (usage for usage in self.usages if usage.period == self.period.index)

    def open_holds(self) -> list[Hold]:
        return [hold for hold in self.holds if not hold.ended]

    def held_of(self, lot: Lot) -> Decimal:
        return sum(
            (
                part
                for hold in self.open_holds()
                for number, part in hold.held_parts
                if number == lot.number
            ),
            NOTHING,
        )

    def free_of(self, lot: Lot) -> Decimal:
        """What of a lot is neither spent nor held."""
        return lot.left - self.held_of(lot)

    def used_by(self, subject: str) -> Decimal:
        """What a teamspace or a key used in this period, but for what was undone."""
        return sum(
            (
                usage.left
                for usage in self._usages_of_this_period()
                if subject in (usage.teamspace_id, usage.api_key_id)
            ),
            NOTHING,
        )

    def held_for(self, subject: str) -> Decimal:
        """What the open holds of a teamspace or a key set aside."""
        return sum(
            (
                hold.held
                for hold in self.open_holds()
                if subject in (hold.said.teamspace_id, hold.api_key_id)
            ),
            NOTHING,
        )

    def lot(self, number: int) -> Lot:
        (lot,) = (lot for lot in self.lots if lot.number == number)
        return lot

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

    def parts_of(self, wanted: Decimal) -> Drawn:
        """From which lots `wanted` would come, as far as they go (rule 3)."""
        parts = []
        for lot in self.lots_in_burn_order():
            part = min(self.free_of(lot), wanted)
            if part:
                wanted -= part
                parts.append((lot.number, part))
        return tuple(parts)

    # ── writing down ──

    def _again(self, name: tuple[str, ...], content: object) -> Verdict | None:
        """Rule 8: the same content gets the first answer again, any other is a conflict."""
        if name not in self._seen:
            return None
        seen_content, fact = self._seen[name]
        return Repeated(fact) if seen_content == content else Refused("ID_REUSED")

    def _issue_allowance(self, moment: datetime, amount: Decimal) -> None:
        if amount:
            self.period.allowance = self._issue(
                moment,
                "allowance",
                amount,
                effective=self.period.start,
                expires=self.period.end,
            )

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

    def _end_hold(self, hold: Hold, how: str, kind: str, now: datetime) -> Fact:
        """Lets go of what is still held; a part of a lot that has ended is gone with it."""
        let_go = hold.held_parts
        lapsed = tuple((number, part) for number, part in let_go if self.lot(number).ended)
        hold.ended = how
        for number, part in lapsed:
            self.lot(number).moves.append(-part)
        about: dict[str, object] = {**about_hold(hold), "status": how}
        if lapsed:
            about["lapsed"] = lapsed
        moved = sum((part for _, part in let_go), NOTHING)
        return self._note(kind, now, moved, drawn=let_go, about=about)

    def _note(
        self,
        kind: str,
        at: datetime,
        moved: Decimal = NOTHING,
        lot: Lot | None = None,
        drawn: Drawn = (),
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
            held=self.held,
            about=about or {},
        )
        self.facts.append(fact)
        return fact


def about_hold(hold: Hold) -> dict[str, object]:
    """What every fact about a hold says of it."""
    return {
        "event_id": None,
        "hold": hold.number,
        "teamspace_id": hold.said.teamspace_id,
        "api_key_id": hold.api_key_id,
        "meter": hold.said.meter,
        "occurred_at": None,
    }
