"""What happens by itself as time passes (rules 4, 5, 11)."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from tests.oracle_book import Book
from tests.oracle_words import NOTHING, SMALLEST, Fact, Period


class Time(Book):
    def settle(self, now: datetime) -> list[Fact]:
        """All that happens by itself up to and including `now`."""
        before = len(self.facts)
        while (moment := self._next_moment()) <= now:
            self._expire_holds(moment)
            self._expire_lots(moment)
            if self.period.end == moment:
                self._start_period(moment, moment)
            self._activate_lots(moment)
        return self.facts[before:]

    def _next_moment(self) -> datetime:
        moments = [self.period.end]
        moments += [hold.expires for hold in self.open_holds()]
        for lot in self.lots:
            if lot.status == "active" and lot.expires is not None:
                moments.append(lot.expires)
            if lot.status == "pending":
                moments.append(lot.effective)
        return min(moments)

    def _expire_holds(self, moment: datetime) -> None:
        for hold in self.open_holds():
            if hold.expires == moment:
                self._end_hold(hold, "expired", "hold.expired", moment)

    def _expire_lots(self, moment: datetime) -> None:
        for lot in list(self.lots):
            if lot.status == "active" and lot.expires == moment:
                lapsed = self.free_of(lot)
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

    def _activate_lots(self, moment: datetime) -> None:
        for lot in self.lots:
            if lot.status == "pending" and lot.effective == moment:
                lot.is_effective = True
                self._note("grant.activated", moment, lot.left, lot)
