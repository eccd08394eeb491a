"""Credits set aside, and what becomes of them (rule 9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from tests.oracle_book import about_hold
from tests.oracle_usage import Using
from tests.oracle_words import (
    NOTHING,
    Hold,
    Refused,
    Said,
    SaidOfCapture,
    SaidOfHold,
    Verdict,
    stretch,
)

LIVES_AT_MOST = timedelta(days=7)


class Holding(Using):
    def hold(
        self, now: datetime, said: SaidOfHold, api_key_id: str | None, reference: str | None
    ) -> Verdict:
        if reference and (seen := self._again(("hold", reference), said)):
            return seen
        if self.status != "active":
            return Refused(self.status.upper())
        if said.lasts > LIVES_AT_MOST:
            return _too_long(now, now)
        refused = self._not_covered(said.credits, NOTHING) or self._over_budget(
            said.credits, said.teamspace_id, api_key_id
        )
        if refused:
            return refused
        hold = Hold(
            number=len(self.facts) + 1,
            said=said,
            api_key_id=api_key_id,
            reference=reference,
            parts=self.parts_of(said.credits),
            created=now,
            expires=now + said.lasts,
        )
        self.holds.append(hold)
        about = {**about_hold(hold), "expires_at": hold.expires, "reference": reference}
        fact = self._note("hold.placed", now, said.credits, drawn=hold.parts, about=about)
        if reference is not None:
            self._seen["hold", reference] = said, fact
        return [fact]

    def capture(
        self,
        now: datetime,
        number: int,
        event_id: str | None,
        said: SaidOfCapture,
        acting_for: str | None,
    ) -> Verdict:
        """Books usage for whoever placed the hold, as the period in which it happens has it."""
        name = ("usage", event_id or f"hold-{number}")
        hold = self._hold(number)
        if hold is None:
            return Refused("ID_REUSED" if name in self._seen else "NO_SUCH_HOLD")
        usage = _as_usage(said, hold)
        content = (number, said.final, said.allow_excess, usage)
        if seen := self._again(name, content):
            return seen
        if self.status != "active":
            return Refused(self.status.upper())
        refused = (
            _not_to_be_touched(hold, acting_for)
            or self._beyond_sums(said.credits)
            or self._excess_refused(said, hold)
        )
        if refused:
            return refused
        before = len(self.facts)
        taken = min(said.credits, hold.held)
        done = sum(hold.taken, NOTHING)
        out_of_hold = stretch(hold.parts, done, done + taken)
        drawn = _merged([*out_of_hold, *self.parts_of(said.credits - taken)])
        hold.taken.append(taken)
        hold.booked.append(said.credits)
        if not hold.held:
            hold.ended = "captured"
        fact = self._book(now, name[1], usage, hold.api_key_id, drawn, number)
        self._seen[name] = content, fact
        if said.final and not hold.ended:
            self._end_hold(hold, "captured", "hold.released", now)
        return self.facts[before:]

    def _excess_refused(self, said: SaidOfCapture, hold: Hold) -> Refused | None:
        excess = said.credits - hold.held
        if excess <= 0:
            return None
        if not said.allow_excess:
            return Refused("MORE_THAN_HELD", {"required": said.credits, "held": hold.held})
        if said.overdraw:
            return None
        return self._unauthorized(excess, hold.said.teamspace_id, hold.api_key_id)

    def release(self, now: datetime, number: int, acting_for: str | None) -> Verdict:
        hold = self._hold(number)
        if hold is None:
            return Refused("NO_SUCH_HOLD")
        refused = _not_to_be_touched(hold, acting_for)
        return refused or [self._end_hold(hold, "released", "hold.released", now)]

    def extend(
        self, now: datetime, number: int, lasts: timedelta, acting_for: str | None
    ) -> Verdict:
        hold = self._hold(number)
        if hold is None:
            return Refused("NO_SUCH_HOLD")
        if self.status != "active":
            return Refused(self.status.upper())
        if refused := _not_to_be_touched(hold, acting_for):
            return refused
        if now + lasts > hold.created + LIVES_AT_MOST:
            return _too_long(hold.created, now)
        if now + lasts <= hold.expires:
            return []
        hold.expires = now + lasts
        about = {**about_hold(hold), "expires_at": hold.expires}
        return [self._note("hold.extended", now, about=about)]

    def _hold(self, number: int) -> Hold | None:
        return next((hold for hold in self.holds if hold.number == number), None)


def _not_to_be_touched(hold: Hold, acting_for: str | None) -> Refused | None:
    if acting_for is not None and acting_for != hold.said.teamspace_id:
        return Refused("OTHER_TEAMSPACE")
    if hold.ended:
        return Refused("HOLD_ENDED", facts={"status": hold.ended})
    return None


def _too_long(created: datetime, now: datetime) -> Refused:
    figures = {"latest_expiry": created + LIVES_AT_MOST, "now": now}
    return Refused("HOLD_TOO_LONG", figures)


def _as_usage(said: SaidOfCapture, hold: Hold) -> Said:
    """What is left unsaid is as the hold has it."""
    return Said(
        said.credits,
        said.overdraw,
        hold.said.teamspace_id,
        hold.said.meter if said.meter is None else said.meter,
        said.occurred,
        hold.said.dimensions if said.dimensions is None else said.dimensions,
    )


def _merged(parts: list[tuple[int, Decimal]]) -> tuple[tuple[int, Decimal], ...]:
    """Parts of one lot that follow each other are one part."""
    merged: list[tuple[int, Decimal]] = []
    for number, part in parts:
        if merged and merged[-1][0] == number:
            merged[-1] = number, merged[-1][1] + part
        else:
            merged.append((number, part))
    return tuple(merged)
