"""What uses credits, what undoes that, and what caps it (rules 3, 6, 7, 8, 10, 13)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from tests.oracle_book import Book
from tests.oracle_words import (
    LARGEST_SUM,
    NOTHING,
    Drawn,
    Fact,
    Refused,
    Said,
    SaidOfReversal,
    Usage,
    Verdict,
    stretch,
)


class Using(Book):
    def use(self, now: datetime, event_id: str, said: Said, api_key_id: str | None) -> Verdict:
        """Books usage."""
        name = ("usage", event_id)
        if seen := self._again(name, said):
            return seen
        if self.status != "active":
            return Refused(self.status.upper())
        if too_much := self._beyond_sums(said.credits):
            return too_much
        if not said.overdraw:
            refused = self._unauthorized(said.credits, said.teamspace_id, api_key_id)
            if refused:
                return refused
        drawn = self.parts_of(said.credits)
        fact = self._book(now, event_id, said, api_key_id, drawn)
        self._seen[name] = said, fact
        return [fact]

    def _book(
        self,
        now: datetime,
        event_id: str,
        said: Said,
        api_key_id: str | None,
        drawn: Drawn,
        hold: int | None = None,
    ) -> Fact:
        """Writes down usage that was decided."""
        for number, part in drawn:
            self.lot(number).moves.append(-part)
        about = {
            "event_id": event_id,
            "hold": hold,
            "teamspace_id": said.teamspace_id,
            "api_key_id": api_key_id,
            "meter": said.meter,
            "occurred_at": said.occurred or now,
        }
        usage = Usage(
            event_id,
            about,
            said.teamspace_id,
            api_key_id,
            self.period.index,
            said.credits,
            drawn,
        )
        self.usages.append(usage)
        return self._note("usage.booked", now, said.credits, drawn=drawn, about=about)

    def _beyond_sums(self, wanted: Decimal) -> Refused | None:
        if self.consumed + wanted > LARGEST_SUM:
            return Refused("SUM_LIMIT", {"room": LARGEST_SUM - self.consumed})
        return None

    def _unauthorized(
        self, wanted: Decimal, teamspace_id: str, api_key_id: str | None
    ) -> Refused | None:
        """Why usage is not authorized: the organization lacks credits, or a budget says no."""
        return self._not_covered(wanted, self._overage_headroom()) or self._over_budget(
            wanted, teamspace_id, api_key_id
        )

    def _not_covered(self, wanted: Decimal, headroom: Decimal) -> Refused | None:
        if wanted <= self.available + headroom:
            return None
        figures = {
            "required": wanted,
            "available": self.available,
            "overage_headroom": headroom,
            "resets_at": self.period.end,
        }
        return Refused("NOT_COVERED", figures)

    def _overage_headroom(self) -> Decimal:
        limit = self.terms.overage_limit
        if self.terms.overage == "allow":
            return LARGEST_SUM
        if self.terms.overage == "limit" and limit is not None:
            return max(NOTHING, limit - self.overage)
        return NOTHING

    def _over_budget(
        self, wanted: Decimal, teamspace_id: str, api_key_id: str | None
    ) -> Refused | None:
        for subject in (teamspace_id, api_key_id or ""):
            if subject not in self.caps:
                continue
            counted = self.used_by(subject) + self.held_for(subject)
            if wanted and counted + wanted > self.caps[subject]:
                figures = {
                    "required": wanted,
                    "available": max(NOTHING, self.caps[subject] - counted),
                    "resets_at": self.period.end,
                }
                return Refused("OVER_BUDGET", figures, {"budget_id": subject})
        return None

    def cap(self, subject: str, limit: Decimal | None) -> Verdict:
        """Sets a budget, or removes it."""
        if limit is None:
            self.caps.pop(subject, None)
        elif self.status == "closed":
            return Refused("CLOSED")
        else:
            self.caps[subject] = limit
        return []

    def reverse(
        self,
        now: datetime,
        event_id: str,
        said: SaidOfReversal,
        reference: str | None,
        acting_for: str | None,
    ) -> Verdict:
        """Undoes usage, whole or in part."""
        usages = [usage for usage in self.usages if usage.event_id == event_id]
        if not usages:
            return Refused("NO_SUCH_EVENT")
        (usage,) = usages
        name = ("reversal", event_id, *([] if reference is None else [reference]))
        if seen := self._again(name, said):
            return seen
        if self.status == "closed":
            return Refused("CLOSED")
        if acting_for is not None and acting_for != usage.teamspace_id:
            return Refused("OTHER_TEAMSPACE")
        wanted = usage.left if said.credits is None else said.credits
        if wanted > usage.left or (usage.undone and usage.left == NOTHING):
            return Refused("MORE_THAN_BOOKED", {"booked": usage.credits, "left": usage.left})
        verdict = self._undo(now, usage, wanted, {"reference": reference, "note": said.note})
        if isinstance(verdict, Fact):
            self._seen[name] = said, verdict
            return [verdict]
        return verdict

    def _undo(
        self, now: datetime, usage: Usage, wanted: Decimal, why: dict[str, str | None]
    ) -> Fact | Refused:
        """Makes the change, and takes it back where sums do not bear it."""
        done = usage.credits - usage.left
        backwards = [(None, usage.uncovered), *reversed(usage.drawn)]
        parts = stretch(backwards, done, done + wanted)
        overage = sum((part for number, part in parts if number is None), NOTHING)
        from_lots = [(number, part) for number, part in parts if number is not None]
        returned = tuple(part for part in from_lots if self._takes_back(part[0], now))
        lapsed = tuple(part for part in from_lots if not self._takes_back(part[0], now))
        room = self.room
        usage.undone.append(wanted)
        for number, part in returned:
            self.lot(number).moves.append(part)
        if self.room < 0:
            usage.undone.pop()
            for number, _ in returned:
                self.lot(number).moves.pop()
            return Refused("SUM_LIMIT", {"room": room})
        about = {
            **usage.about,
            **why,
            "overage": overage,
            "lapsed": lapsed,
            "in_period": usage.period == self.period.index,
        }
        return self._note("usage.reversed", now, wanted, drawn=returned, about=about)

    def _takes_back(self, number: int, now: datetime) -> bool:
        lot = self.lot(number)
        return not lot.ended and (lot.expires is None or now < lot.expires)
