"""Random walks of the twins: the same seed takes the same steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.oracle_calendar import Calendar
from tests.oracle_words import Terms
from tests.property import edges, hold_edges
from tests.property.asks import CaptureAsk, GrantAsk, HoldAsk, ReversalAsk, UsageAsk
from tests.property.manners import MANNERS, Manner
from tests.property.twins import Twins


def walk(seed: int, steps: int) -> Twins:
    """Takes an organization through `steps` random steps; one in four is closed near the end."""
    walker = Walker(Random(seed), MANNERS[seed % len(MANNERS)])
    try:
        walker.go(steps, is_closed_at_last=seed % 4 == 0)
    except AssertionError as failure:
        failure.add_note(f"to see it again: walk(seed={seed}, steps={steps})")
        raise
    return walker.twins


_METERS = (None, "", "llm.tokens")
_DIMENSIONS: tuple[dict[str, str] | None, ...] = (None, {}, {"model": "m"})
_NO_SUCH_HOLD = 999_999_999


class Walker:
    def __init__(self, random: Random, manner: Manner) -> None:
        self.random = random
        self.manner = manner
        start = random.choice(edges.STARTS) + random.randrange(3 * edges.DAY)
        self.twins = Twins(self._terms(), start)

    def go(self, steps: int, *, is_closed_at_last: bool) -> None:
        for _ in range(steps):
            self.step()
        if is_closed_at_last:
            for status in ("closed", "active"):
                self.twins.set_status(status)
            for _ in range(steps // 8):
                self.step()

    def step(self) -> None:
        steps = _HABITS[self.manner.habit]
        (step,) = self.random.choices(list(steps), list(steps.values()))
        step(self)

    def _terms(self) -> Terms:
        choose = self.random.choice
        rollover, rollover_cap = choose(edges.ROLLOVERS)
        overage, overage_limit = choose(edges.OVERAGES)
        return Terms(
            allowance=choose(self.manner.allowances),
            calendar=Calendar(
                choose(edges.INTERVALS),
                choose(edges.COUNTS),
                choose(edges.ANCHORS),
                choose(edges.ZONES),
            ),
            rollover=rollover,
            rollover_cap=rollover_cap,
            rollover_periods=choose(edges.ROLLOVER_PERIODS),
            overage=overage,
            overage_limit=overage_limit,
        )

    def use(self) -> None:
        random = self.random
        dated = random.choice(("unsaid", "unsaid", "long ago", "now"))
        ask = UsageAsk(
            edges.amount_of(random.choice(self.manner.used), self.twins),
            overdraw=random.random() < self.manner.overdraws,
            meter=random.choice(_METERS),
            occurred_at=edges.instant_of(dated, self.twins),
            dimensions=random.choice(_DIMENSIONS),
            teamspace_id=random.choice(edges.TEAMSPACES),
            api_key_id=random.choice(edges.KEYS),
        )
        event_id = f"event-{random.randrange(200)}"
        if random.random() < 0.03:
            event_id = random.choice([event_id, *self.twins.archive.holds])
        self.twins.use(event_id, ask)

    def use_again(self) -> None:
        if self.twins.booked:
            event_id, ask = self.random.choice(list(self.twins.booked.items()))
            alteration = self.random.choice(edges.USE_ALTERATIONS)
            self.twins.use(event_id, edges.altered_use(ask, alteration))

    def hold(self) -> None:
        random = self.random
        ask = HoldAsk(
            hold_edges.held_of(random.choice(hold_edges.HELD), self.twins),
            hold_edges.lasts_of(random.choice(hold_edges.LASTS), self.twins),
            teamspace_id=random.choice(edges.TEAMSPACES),
            api_key_id=random.choice(edges.KEYS),
            meter=random.choice(_METERS),
            dimensions=random.choice(_DIMENSIONS),
            reference=random.choice((None, None, f"ref-{random.randrange(20)}")),
        )
        self.twins.hold(ask)

    def hold_again(self) -> None:
        if self.twins.placed:
            ask = self.random.choice(self.twins.placed)
            alteration = self.random.choice(hold_edges.HOLD_ALTERATIONS)
            self.twins.hold(hold_edges.altered_hold(ask, alteration))

    def capture(self) -> None:
        random = self.random
        number = self._hold()
        name = random.choice(hold_edges.CAPTURED)
        ask = CaptureAsk(
            number,
            hold_edges.captured_of(name, self.twins, number),
            event_id=random.choice((None, f"event-{random.randrange(200)}")),
            final=random.random() < 0.3,
            allow_excess=random.random() < 0.6,
            overdraw=random.random() < 0.3,
            meter=random.choice(_METERS),
            occurred_at=edges.instant_of(random.choice(("unsaid", "long ago")), self.twins),
            dimensions=random.choice(_DIMENSIONS),
        )
        self.twins.capture(ask, self._acting_for())

    def capture_again(self) -> None:
        if self.twins.captured:
            event_id, ask = self.random.choice(list(self.twins.captured.items()))
            alteration = self.random.choice(("hold", *hold_edges.CAPTURE_ALTERATIONS))
            if alteration == "hold" or self.random.random() < 0.2:
                ask = ask._replace(event_id=event_id)
            ask = hold_edges.altered_capture(ask, alteration, self._hold())
            self.twins.capture(ask, self._acting_for())

    def end_of_hold(self) -> None:
        """At the very end of a hold's life, or just before it, something is done with it."""
        if self.twins.account.open_holds:
            hold = self.random.choice(self.twins.account.open_holds)
            self._wait_until(hold.expires_at - self.random.randrange(2))
            self.random.choice((self.capture, self.release, self.extend))()

    def release(self) -> None:
        self.twins.release(self._hold(), self._acting_for())

    def extend(self) -> None:
        number = self._hold()
        hold = self.twins.archive.hold_numbered(number)
        name = self.random.choice(hold_edges.LASTS)
        lasts = hold_edges.lasts_of(name, self.twins, hold)
        self.twins.extend(number, lasts, self._acting_for())

    def _hold(self) -> int:
        """An open hold as a rule, if need be a new one; else any there was, or none."""
        random, twins = self.random, self.twins
        if not twins.account.open_holds and random.random() < 0.8:
            self.hold()
        is_open = [hold.placed for hold in twins.account.open_holds]
        if is_open and random.random() < 0.85:
            return random.choice(is_open)
        return random.choice([*twins.archive.hold_ids, *is_open, _NO_SUCH_HOLD])

    def _acting_for(self) -> str | None:
        return self.random.choice((None, None, None, "ts_1", "ts_2"))

    def reverse(self) -> None:
        events = list(self.twins.archive.events)
        is_late = self.random.random() < 0.3
        self._reverse(
            self.random.choice(["event-nobody", *events] if is_late else events[-2:] or [""])
        )

    def _reverse(self, event_id: str, parts: Sequence[str] = hold_edges.REVERSED) -> None:
        random = self.random
        name = random.choice(parts)
        ask = ReversalAsk(
            event_id,
            hold_edges.reversed_of(name, self.twins, event_id),
            reference=random.choice((None, "ref-1", f"ref-{random.random()}")),
            note=random.choice((None, "wrong model")),
        )
        self.twins.reverse(ask, self._acting_for())

    def end_of_grant(self) -> None:
        """At the very end of a grant's life, or just before it, usage of it is undone."""
        twins = self.twins
        uses = [
            (grant, event_id)
            for event_id, entry in twins.archive.events.items()
            for grant in (twins.archive.grants[grant_id] for grant_id, _ in entry.drawn)
            if twins.now < grant.ends_at <= twins.account.period_end
        ]
        in_mid_period = [use for use in uses if use[0].ends_at < twins.account.period_end]
        spent = [use for use in in_mid_period if use[0].status == "exhausted"]
        if uses:
            grant, event_id = self.random.choice(spent or uses)
            # Something falls due in between, so that what comes next is computed anew.
            twins.hold(HoldAsk(1, 1))
            self._wait_until(grant.ends_at - self.random.randrange(2))
            self._reverse(event_id, ("whole", "left", "half"))

    def _wait_until(self, instant: int) -> None:
        self.twins.clock = max(self.twins.clock, instant)

    def reverse_again(self) -> None:
        if self.twins.reversed:
            ask = self.random.choice(self.twins.reversed)
            alteration = self.random.choice(hold_edges.REVERSAL_ALTERATIONS)
            self.twins.reverse(hold_edges.altered_reversal(ask, alteration), self._acting_for())

    def set_budget(self) -> None:
        subject = self.random.choice(hold_edges.SUBJECTS)
        name = self.random.choice(hold_edges.LIMITS)
        self.twins.set_budget(subject, hold_edges.limit_of(name, self.twins, subject))

    def grant(self) -> None:
        random = self.random
        ask = GrantAsk(
            random.choice(edges.GRANT_KINDS),
            edges.granted_of(random.choice(self.manner.granted), self.twins),
            priority=random.choice(edges.PRIORITIES),
            effective_at=edges.instant_of(random.choice(edges.EFFECTIVE), self.twins),
            expires_at=edges.instant_of(random.choice(self.manner.expires), self.twins),
            reference=random.choice((None, None, "ref-1", f"ref-{random.random()}")),
        )
        self.twins.grant(ask)

    def grant_again(self) -> None:
        """The same reference again, or another grant that is nearly alike."""
        if self.twins.issued:
            ask = self.random.choice(self.twins.issued)
            if self.random.random() < 0.5:
                ask = ask._replace(reference=None)
            alteration = self.random.choice(edges.GRANT_ALTERATIONS)
            self.twins.grant(edges.altered_grant(ask, alteration))

    def void(self) -> None:
        twins = self.twins
        number = self.random.choice(
            (
                *(grant.issued for grant in twins.account.burning),
                *(grant.issued for grant in twins.account.waiting),
                self.random.choice([999_999_999, *twins.archive.grant_ids]),
                twins.archive.numbers.get(twins.account.allowance_grant_id or "", 1),
            )
        )
        name = self.random.choice(("whole", *edges.VOIDED))
        twins.void(number, edges.voided_of(name, twins, number))

    def change(self) -> None:
        names = frozenset(self.random.sample(edges.PARTS, self.random.choice((0, 1, 1, 2, 4))))
        self.twins.change(self._terms(), names, apply_now=self.random.random() < 0.5)

    def set_status(self) -> None:
        self.twins.set_status(self.random.choice(("active", "active", "active", "suspended")))

    def wait(self) -> None:
        name = self.random.choice(self.manner.waits)
        self.twins.clock = edges.wait_until(name, self.twins)

    def turn_clock_back(self) -> None:
        self.twins.clock -= self.random.randrange(2 * edges.HOUR)

    def look(self) -> None:
        self.twins.look(edges.wait_until(self.random.choice(edges.WAITS), self.twins))

    def reload(self) -> None:
        self.twins.reload()


Habit = dict[Callable[[Walker], None], int]

_EVERYTHING: Habit = {
    Walker.use: 30,
    Walker.use_again: 5,
    Walker.hold: 15,
    Walker.hold_again: 3,
    Walker.capture: 12,
    Walker.capture_again: 4,
    Walker.release: 4,
    Walker.extend: 4,
    Walker.end_of_hold: 2,
    Walker.reverse: 14,
    Walker.end_of_grant: 5,
    Walker.reverse_again: 4,
    Walker.set_budget: 8,
    Walker.grant: 20,
    Walker.grant_again: 5,
    Walker.void: 10,
    Walker.change: 10,
    Walker.set_status: 4,
    Walker.wait: 25,
    Walker.turn_clock_back: 2,
    Walker.look: 3,
    Walker.reload: 6,
}
_HABITS: dict[str, Habit] = {
    "everything": _EVERYTHING,
    "holding": _EVERYTHING
    | {
        Walker.use: 15,
        Walker.hold: 40,
        Walker.capture: 40,
        Walker.capture_again: 12,
        Walker.release: 14,
        Walker.extend: 10,
        Walker.end_of_hold: 6,
        Walker.reverse: 25,
        Walker.end_of_grant: 20,
        Walker.set_budget: 4,
        Walker.grant: 35,
        Walker.grant_again: 1,
        Walker.change: 3,
        Walker.set_status: 1,
    },
    "giving back": _EVERYTHING
    | {
        Walker.hold: 5,
        Walker.capture: 4,
        Walker.reverse: 40,
        Walker.set_budget: 1,
        Walker.grant: 40,
        Walker.change: 2,
        Walker.set_status: 1,
    },
    "spending": _EVERYTHING
    | {
        Walker.use: 70,
        Walker.hold: 8,
        Walker.reverse: 4,
        Walker.set_budget: 2,
        Walker.change: 4,
        Walker.set_status: 1,
    },
    "saving": _EVERYTHING | {Walker.grant: 60, Walker.reverse: 8, Walker.set_status: 1},
    "changing terms": _EVERYTHING
    | {
        Walker.hold: 5,
        Walker.capture: 3,
        Walker.release: 1,
        Walker.extend: 1,
        Walker.reverse: 8,
        Walker.set_budget: 4,
        Walker.void: 40,
        Walker.change: 50,
        Walker.set_status: 2,
    },
}
