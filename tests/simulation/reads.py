"""What can be read of an organization, and how the same looks to the oracle.

Both sides give plain tuples: credits in micro-credits, instants in microseconds, grants and holds
by their numbers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable

from tallystick.domain.holds import HoldStatus
from tallystick.ledger.reading import Page
from tallystick.ledger.reads import Balance, NotYet, Reads
from tests.oracle import Oracle
from tests.oracle_words import Fact
from tests.property import languages as say
from tests.simulation.tenant import See, Tenant, settled

Read = Callable[[Reads, Tenant], Awaitable[object]]
_EVERYTHING = Page(1_000)


def reading(what: str, instant: int) -> tuple[Read, See]:
    """How to read `what` (`past`: the balance at `instant`), and what it may say."""
    if what == "past":
        return (
            lambda reads, tenant: _past(reads, tenant, instant),
            lambda oracle, clock: _past_of(oracle, clock, instant),
        )
    return _READS[what]


async def _credits(reads: Reads, tenant: Tenant) -> object:
    found = reads.credits(tenant.id)
    return await found if isawaitable(found) else found


def _credits_of(oracle: Oracle, clock: int) -> object:
    last = settled(oracle, clock).facts[-1]
    total = last.remaining + last.consumed - last.overage
    return tuple(map(say.to_micro, (last.remaining, last.consumed, total)))


async def _balance(reads: Reads, tenant: Tenant) -> object:
    found = await reads.balance(tenant.id)
    assert found is not None
    state = found.state
    period = (state.period_index, state.period_start, state.period_end, state.timezone)
    return (*_figures(found), state.pending, *period)


def _balance_of(oracle: Oracle, clock: int) -> object:
    now = settled(oracle, clock)
    period = now.period
    return (
        *_figures_of(now.facts[-1]),
        say.to_micro(now.pending),
        period.index,
        say.to_instant(period.start),
        say.to_instant(period.end),
        now.terms.calendar.zone,
    )


async def _past(reads: Reads, tenant: Tenant, instant: int) -> object:
    found = await reads.balance_at(tenant.id, instant)
    if isinstance(found, NotYet):
        return "not yet"
    assert found is not None
    return _figures(found)


def _past_of(oracle: Oracle, clock: int, instant: int) -> object:
    now = settled(oracle, clock)
    moment = say.to_datetime(instant)
    # The first entry is that of the organization's creation.
    if not now.facts[0].at <= moment <= max(say.to_datetime(clock), now.facts[-1].at):
        return "not yet"
    return _figures_of([fact for fact in now.facts if fact.at <= moment][-1])


def _figures(balance: Balance) -> tuple[int, ...]:
    state = balance.state
    return state.sequence, state.remaining, state.consumed, state.overage, state.held


def _figures_of(fact: Fact) -> tuple[int, ...]:
    figures = (fact.remaining, fact.consumed, fact.overage, fact.held)
    return (fact.sequence, *map(say.to_micro, figures))


async def _holds(reads: Reads, tenant: Tenant) -> object:
    found = await reads.holds(tenant.id, _EVERYTHING, HoldStatus.OPEN)
    return tuple((hold.placed, hold.held, hold.expires_at) for hold in found or ())


def _holds_of(oracle: Oracle, clock: int) -> object:
    return tuple(
        (hold.number, say.to_micro(hold.held), say.to_instant(hold.expires))
        for hold in reversed(settled(oracle, clock).open_holds())
    )


async def _budgets(reads: Reads, tenant: Tenant) -> object:
    found = await reads.budgets(tenant.id)
    return tuple(
        (one.subject_id, one.limit, one.used, one.held, resets_at) for one, resets_at in found or ()
    )


def _budgets_of(oracle: Oracle, clock: int) -> object:
    now = settled(oracle, clock)
    return tuple(
        (
            name,
            *map(say.to_micro, (now.caps[name], now.used_by(name), now.held_for(name))),
            say.to_instant(now.period.end),
        )
        for name in sorted(now.caps)
    )


async def _grants(reads: Reads, tenant: Tenant) -> object:
    found = await reads.grants(tenant.id, _EVERYTHING)
    return tuple(
        (one.issued, _status(str(one.status)), one.amount, one.remaining) for one in found or ()
    )


def _grants_of(oracle: Oracle, clock: int) -> object:
    return tuple(
        (lot.number, _status(lot.status), say.to_micro(lot.amount), say.to_micro(lot.left))
        for lot in reversed(settled(oracle, clock).lots)
    )


def _status(status: str) -> str:
    """A list tells how grants stand at one moment, but for how those had ended that have ended
    once more while it was read."""
    return "ended" if status in {"exhausted", "expired", "voided"} else status


_READS: dict[str, tuple[Read, See]] = {
    "credits": (_credits, _credits_of),
    "balance": (_balance, _balance_of),
    "holds": (_holds, _holds_of),
    "budgets": (_budgets, _budgets_of),
    "grants": (_grants, _grants_of),
}
READS = (*_READS, "past")


def brief(value: object) -> str:
    """A reading in few words, for the trace."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
