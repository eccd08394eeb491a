"""Random walks of the twins: the same seed takes the same steps."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import NamedTuple

from tests.oracle_calendar import Calendar
from tests.oracle_words import Terms
from tests.property import edges
from tests.property.twins import GrantAsk, Twins, UsageAsk


def walk(seed: int, steps: int) -> Twins:
    """Takes an organization through `steps` random steps; one in four is closed near the end."""
    walker = Walker(Random(seed), _MANNERS[seed % len(_MANNERS)])
    try:
        walker.go(steps, is_closed_at_last=seed % 4 == 0)
    except AssertionError as failure:
        failure.add_note(f"to see it again: walk(seed={seed}, steps={steps})")
        raise
    return walker.twins


class Manner(NamedTuple):
    """How an organization lives: its allowances, what it uses, is granted and waits for."""

    allowances: Sequence[Decimal]
    used: Sequence[str]
    granted: Sequence[str]
    expires: Sequence[str] = edges.EXPIRES
    waits: Sequence[str] = edges.WAITS
    overdraws: float = 0.3


_ORDINARY = Manner(edges.ALLOWANCES, edges.AMOUNTS, edges.GRANTED)
_SPENDER = Manner(
    edges.RICH_ALLOWANCES,
    edges.USED_BY_SPENDERS,
    edges.GRANTED_TO_RICH,
    waits=("not at all", "a microsecond", "until just before something is due"),
    overdraws=0.8,
)
_SAVER = Manner(
    edges.RICH_ALLOWANCES,
    ("smallest", "some"),
    edges.GRANTED_TO_RICH,
    expires=("unsaid",),
    waits=edges.SHORT_WAITS,
)
_TINKERER = _ORDINARY._replace(waits=edges.SHORT_WAITS)
# Spenders and savers meet the limit of sums, the one with what is consumed, the other with grants;
# tinkerers change the same period again and again.
_MANNERS = (_ORDINARY, _SAVER, _TINKERER, _ORDINARY, _SPENDER, _TINKERER, _ORDINARY)


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
        (step,) = self.random.choices(_STEPS, _WEIGHTS)
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
            meter=random.choice((None, "", "llm.tokens")),
            occurred_at=edges.instant_of(dated, self.twins),
            dimensions=random.choice((None, {}, {"model": "m"})),
        )
        self.twins.use(f"event-{random.randrange(200)}", ask)

    def use_again(self) -> None:
        if self.twins.booked:
            event_id, ask = self.random.choice(list(self.twins.booked.items()))
            alteration = self.random.choice(edges.USE_ALTERATIONS)
            self.twins.use(event_id, edges.altered_use(ask, alteration))

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
        numbers = {grant_id: number for number, grant_id in twins.ids.items()}
        number = self.random.choice(
            (
                *(grant.issued for grant in twins.account.burning),
                *(grant.issued for grant in twins.account.waiting),
                self.random.choice([999_999_999, *twins.ids]),
                numbers.get(twins.account.allowance_grant_id or "", 1),
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


_STEPS_AND_WEIGHTS = (
    (Walker.use, 30),
    (Walker.use_again, 5),
    (Walker.grant, 20),
    (Walker.grant_again, 5),
    (Walker.void, 10),
    (Walker.change, 10),
    (Walker.set_status, 4),
    (Walker.wait, 25),
    (Walker.turn_clock_back, 2),
    (Walker.look, 3),
    (Walker.reload, 6),
)
_STEPS = [step for step, _ in _STEPS_AND_WEIGHTS]
_WEIGHTS = [weight for _, weight in _STEPS_AND_WEIGHTS]
