"""The core and an independent oracle, led through the same lives, tell the same story.

Every step of the twins checks: the answer and the entries are the oracle's; the triple closes and
nothing is negative; the entries are gapless, chained, and give the same balances and grants when
added up alone; who looks ahead, at once or in many steps, sees to the byte what is written later; a
refusal, a duplicate and a read change nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tallystick.domain.account import advance
from tests.oracle_calendar import Calendar
from tests.oracle_words import Terms
from tests.property import edges, hold_edges
from tests.property.asks import CaptureAsk, GrantAsk, HoldAsk, ReversalAsk, UsageAsk
from tests.property.twins import Twins
from tests.property.walk import walk

TERMS = st.builds(
    lambda allowance, calendar, rollover, periods, overage: Terms(
        allowance=allowance,
        calendar=calendar,
        rollover=rollover[0],
        rollover_cap=rollover[1],
        rollover_periods=periods,
        overage=overage[0],
        overage_limit=overage[1],
    ),
    st.sampled_from(edges.ALLOWANCES) | st.decimals(0, 1000, places=6),
    st.builds(
        Calendar,
        st.sampled_from(edges.INTERVALS),
        st.sampled_from(edges.COUNTS),
        st.sampled_from(edges.ANCHORS),
        st.sampled_from(edges.ZONES),
    ),
    st.sampled_from(edges.ROLLOVERS),
    st.sampled_from(edges.ROLLOVER_PERIODS),
    st.sampled_from(edges.OVERAGES),
)


METERS = st.sampled_from((None, "", "llm.tokens"))
DIMENSIONS: st.SearchStrategy[dict[str, str] | None] = st.sampled_from((None, {}, {"model": "m"}))
TEAMSPACES = st.sampled_from(edges.TEAMSPACES)
KEYS = st.sampled_from(edges.KEYS)
REFERENCES = st.sampled_from((None, "ref-1", "ref-2"))
ACTING_FOR = st.sampled_from((None, None, "ts_1", "ts_2"))
NO_SUCH = 999_999_999


def some(names: Sequence[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(names)


class Organization(RuleBasedStateMachine):
    """One organization's life, which hypothesis leads and shortens when it goes wrong."""

    @initialize(terms=TERMS, start=st.sampled_from(edges.STARTS), later=st.integers(0, 3))
    def found(self, terms: Terms, start: int, later: int) -> None:
        self.twins = Twins(terms, start + later * edges.DAY)

    @rule(
        number=st.integers(0, 9),
        amount=some(edges.AMOUNTS),
        overdraw=st.booleans(),
        occurred=some(("unsaid", "long ago", "now")),
        meter=METERS,
        teamspace_id=TEAMSPACES,
        api_key_id=KEYS,
    )
    def use(
        self,
        number: int,
        amount: str,
        overdraw: bool,
        occurred: str,
        meter: str | None,
        teamspace_id: str,
        api_key_id: str | None,
    ) -> None:
        ask = UsageAsk(
            edges.amount_of(amount, self.twins),
            overdraw=overdraw,
            meter=meter,
            occurred_at=edges.instant_of(occurred, self.twins),
            teamspace_id=teamspace_id,
            api_key_id=api_key_id,
        )
        self.twins.use(self._new_event_id(number), ask)

    def _new_event_id(self, number: int) -> str:
        return f"event-{number}-{len(self.twins.archive.entries) // 2}"

    @rule(data=st.data(), alteration=some(edges.USE_ALTERATIONS))
    def use_again(self, data: st.DataObject, alteration: str) -> None:
        if self.twins.booked:
            event_id = data.draw(some(list(self.twins.booked)), label="event_id")
            ask = self.twins.booked[event_id]
            self.twins.use(event_id, edges.altered_use(ask, alteration))

    @rule(
        amount=some(hold_edges.HELD),
        lasts=some(hold_edges.LASTS),
        teamspace_id=TEAMSPACES,
        api_key_id=KEYS,
        meter=METERS,
        dimensions=DIMENSIONS,
        reference=REFERENCES,
    )
    def hold(
        self,
        amount: str,
        lasts: str,
        teamspace_id: str,
        api_key_id: str | None,
        meter: str | None,
        dimensions: dict[str, str] | None,
        reference: str | None,
    ) -> None:
        ask = HoldAsk(
            hold_edges.held_of(amount, self.twins),
            hold_edges.lasts_of(lasts, self.twins),
            teamspace_id,
            api_key_id,
            meter,
            dimensions,
            reference,
        )
        self.twins.hold(ask)

    @rule(data=st.data(), alteration=some(hold_edges.HOLD_ALTERATIONS))
    def hold_again(self, data: st.DataObject, alteration: str) -> None:
        if self.twins.placed:
            ask = data.draw(st.sampled_from(self.twins.placed), label="ask")
            self.twins.hold(hold_edges.altered_hold(ask, alteration))

    @rule(
        data=st.data(),
        amount=some(hold_edges.CAPTURED),
        number=st.none() | st.integers(0, 9),
        final=st.booleans(),
        allow_excess=st.booleans(),
        overdraw=st.booleans(),
        meter=METERS,
        dimensions=DIMENSIONS,
        acting_for=ACTING_FOR,
    )
    def capture(
        self,
        data: st.DataObject,
        amount: str,
        number: int | None,
        final: bool,
        allow_excess: bool,
        overdraw: bool,
        meter: str | None,
        dimensions: dict[str, str] | None,
        acting_for: str | None,
    ) -> None:
        hold = self._draw_hold(data)
        ask = CaptureAsk(
            hold,
            hold_edges.captured_of(amount, self.twins, hold),
            event_id=None if number is None else self._new_event_id(number),
            final=final,
            allow_excess=allow_excess,
            overdraw=overdraw,
            meter=meter,
            dimensions=dimensions,
        )
        self.twins.capture(ask, acting_for)

    @rule(data=st.data(), alteration=some(hold_edges.CAPTURE_ALTERATIONS))
    def capture_again(self, data: st.DataObject, alteration: str) -> None:
        if self.twins.captured:
            event_id = data.draw(some(list(self.twins.captured)), label="event_id")
            ask, other = self.twins.captured[event_id], self._draw_hold(data)
            if data.draw(st.booleans(), label="is named"):
                ask = ask._replace(event_id=event_id)
            self.twins.capture(hold_edges.altered_capture(ask, alteration, other))

    @rule(data=st.data(), acting_for=ACTING_FOR)
    def release(self, data: st.DataObject, acting_for: str | None) -> None:
        self.twins.release(self._draw_hold(data), acting_for)

    @rule(data=st.data(), lasts=some(hold_edges.LASTS), acting_for=ACTING_FOR)
    def extend(self, data: st.DataObject, lasts: str, acting_for: str | None) -> None:
        number = self._draw_hold(data)
        span = hold_edges.lasts_of(lasts, self.twins, self.twins.archive.hold_numbered(number))
        self.twins.extend(number, span, acting_for)

    def _draw_hold(self, data: st.DataObject) -> int:
        is_open = [hold.placed for hold in self.twins.account.open_holds]
        numbers = [*is_open, *self.twins.archive.hold_ids, NO_SUCH]
        return data.draw(st.sampled_from(numbers), label="hold")

    @rule(
        data=st.data(),
        part=some(hold_edges.REVERSED),
        reference=REFERENCES,
        note=st.sampled_from((None, "wrong model")),
        acting_for=ACTING_FOR,
    )
    def reverse(
        self,
        data: st.DataObject,
        part: str,
        reference: str | None,
        note: str | None,
        acting_for: str | None,
    ) -> None:
        events = [*self.twins.archive.events, "event-nobody"]
        event_id = data.draw(some(events), label="event_id")
        amount = hold_edges.reversed_of(part, self.twins, event_id)
        self.twins.reverse(ReversalAsk(event_id, amount, reference, note), acting_for)

    @rule(data=st.data(), alteration=some(hold_edges.REVERSAL_ALTERATIONS))
    def reverse_again(self, data: st.DataObject, alteration: str) -> None:
        if self.twins.reversed:
            ask = data.draw(st.sampled_from(self.twins.reversed), label="ask")
            self.twins.reverse(hold_edges.altered_reversal(ask, alteration))

    @rule(subject=some(hold_edges.SUBJECTS), limit=some(hold_edges.LIMITS))
    def set_budget(self, subject: str, limit: str) -> None:
        self.twins.set_budget(subject, hold_edges.limit_of(limit, self.twins, subject))

    @rule(
        kind=some(edges.GRANT_KINDS),
        amount=some(edges.GRANTED + edges.GRANTED_TO_RICH),
        priority=st.sampled_from(edges.PRIORITIES),
        effective=some(edges.EFFECTIVE),
        expires=some(edges.EXPIRES),
        reference=REFERENCES,
    )
    def grant(
        self,
        kind: str,
        amount: str,
        priority: int,
        effective: str,
        expires: str,
        reference: str | None,
    ) -> None:
        ask = GrantAsk(
            kind,
            edges.granted_of(amount, self.twins),
            priority,
            edges.instant_of(effective, self.twins),
            edges.instant_of(expires, self.twins),
            reference,
        )
        self.twins.grant(ask)

    @rule(data=st.data(), alteration=some(edges.GRANT_ALTERATIONS), is_same=st.booleans())
    def grant_again(self, data: st.DataObject, alteration: str, is_same: bool) -> None:
        if self.twins.issued:
            ask = data.draw(st.sampled_from(self.twins.issued), label="ask")
            if not is_same:
                ask = ask._replace(reference=None)
            self.twins.grant(edges.altered_grant(ask, alteration))

    @rule(data=st.data(), part=some(edges.VOIDED))
    def void(self, data: st.DataObject, part: str) -> None:
        number = data.draw(
            st.sampled_from([*self.twins.archive.grant_ids, NO_SUCH]), label="number"
        )
        self.twins.void(number, edges.voided_of(part, self.twins, number))

    @rule(
        terms=TERMS,
        names=st.frozensets(some(edges.PARTS)),
        apply_now=st.booleans(),
    )
    def change(self, terms: Terms, names: frozenset[str], apply_now: bool) -> None:
        self.twins.change(terms, names, apply_now=apply_now)

    @rule(status=some(("active", "active", "active", "suspended", "suspended", "closed")))
    def set_status(self, status: str) -> None:
        self.twins.set_status(status)

    @rule(until=some(edges.WAITS))
    def wait(self, until: str) -> None:
        self.twins.clock = edges.wait_until(until, self.twins)

    @rule(by=st.integers(1, 2 * edges.HOUR))
    def turn_clock_back(self, by: int) -> None:
        self.twins.clock -= by

    @rule(until=some(edges.WAITS))
    def look(self, until: str) -> None:
        self.twins.look(edges.wait_until(until, self.twins))

    @rule()
    def reload(self) -> None:
        self.twins.reload()


TestOrganization = Organization.TestCase
TestOrganization.settings = settings(max_examples=150, stateful_step_count=40)


@pytest.mark.parametrize("first_seed", range(0, 200, 20))
def test_random_walks_tell_the_same_story(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 20):
        walk(seed, steps=100)


@pytest.mark.parametrize(
    ("interval", "zone"), [("month", "Europe/Paris"), ("week", "Pacific/Apia")]
)
def test_one_look_after_three_years_is_as_good_as_looking_daily(interval: str, zone: str) -> None:
    anchor = datetime(2011, 1, 31)  # noqa: DTZ001 - a reading of a local clock
    terms = Terms(
        allowance=Decimal(100),
        calendar=Calendar(interval, 1, anchor, zone),
        rollover="percent",
        rollover_cap=Decimal(50),
        rollover_periods=2,
    )
    twins = Twins(terms, edges.STARTS[0])
    twins.use("event-1", UsageAsk(7 * edges.CREDIT))
    present = twins.clock + 3 * 365 * edges.DAY
    looked_at_daily = twins.account.copy()
    seen = [
        entry
        for day in range(twins.clock, present, edges.DAY)
        for entry in advance(looked_at_daily, day)
    ]
    seen += advance(looked_at_daily, present)
    known = len(twins.archive.entries)
    twins.clock = present
    twins.use("event-2", UsageAsk(1))
    assert seen == twins.archive.entries[known:-1]
    assert twins.account.period_index >= 36
