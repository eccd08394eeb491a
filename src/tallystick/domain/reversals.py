"""Reversals: a usage event's credits given back, whole or in part (rule 10).

What is undone first is what no grant covered, then what was drawn, in the reverse of the order
drawn; so how much has been reversed says exactly which part is next. Each part goes back to the
very grant it came from, and lapses at once where that has ended.
"""

from __future__ import annotations

import json
from bisect import insort
from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.budgets import note_used
from tallystick.domain.commands import AccountStatus, Reversed
from tallystick.domain.entries import Entry, EntryKind, canonical_json, uncovered
from tallystick.domain.errors import CorruptLedger, Reason, Refusal
from tallystick.domain.grants import Drawn, Grant, GrantStatus, burn_key
from tallystick.domain.refusals import not_active

if TYPE_CHECKING:
    from tallystick.domain.account import Account
    from tallystick.domain.commands import Earlier, Outcome, ReverseUsage


class ReversalFacts(NamedTuple):
    """What a `usage.reversed` entry says beyond its columns (micro-credits).

    `credits = sum(drawn) + overage + sum(lapsed)`. Where `in_period`, the usage's own period still
    ran, and what was consumed in it fell by `credits`.
    """

    overage: int
    lapsed: Drawn
    in_period: bool
    reference: str | None
    note: str | None


def reversal_facts(entry: Entry) -> ReversalFacts:
    facts = json.loads(entry.detail or "{}")
    return ReversalFacts(
        facts["overage"],
        tuple((grant_id, part) for grant_id, part in facts["lapsed"]),
        facts["in_period"],
        facts["reference"],
        facts["note"],
    )


class _Plan(NamedTuple):
    """What a reversal is going to do (micro-credits)."""

    credits: int
    overage: int
    returned: Drawn
    lapsed: Drawn
    in_period: bool


def reverse_usage(
    account: Account, command: ReverseUsage, now: int, earlier: Earlier
) -> tuple[Outcome, list[Entry]]:
    usage = earlier.entry
    if usage is None:
        return Refusal(reason=Reason.NO_SUCH_EVENT), []
    content = command.content()
    if (first := _repeated(command, earlier)) is not None:
        if first.content != content:
            return Refusal(reason=Reason.ID_REUSED), []
        return Reversed(first, duplicate=True), []
    plan = _plan(account, command, now, earlier, usage)
    if isinstance(plan, Refusal):
        return plan, []

    # ── decided: from here on, only changes ──
    for grant_id, part in plan.returned:
        _return_to(account, _grant(account, grant_id, earlier), part)
    if plan.in_period:
        account.consumed -= plan.credits
        account.overage -= plan.overage
        note_used(account.budgets, usage.teamspace_id, usage.api_key_id, -plan.credits)
    account.sequence += 1
    account.advanced_to = now
    facts = ReversalFacts(
        plan.overage, plan.lapsed, plan.in_period, command.reference, command.note
    )
    entry = usage._replace(
        sequence=account.sequence,
        kind=EntryKind.USAGE_REVERSED,
        credits=plan.credits,
        drawn=plan.returned,
        booked_at=now,
        remaining_after=account.remaining,
        consumed_after=account.consumed,
        overage_after=account.overage,
        held_after=account.held,
        detail=canonical_json(facts._asdict()),
        content=content,
    )
    return Reversed(entry), [entry]


def _repeated(command: ReverseUsage, earlier: Earlier) -> Entry | None:
    """The reversal of the event that had the same reference, or had none either."""
    for entry in earlier.reversals:
        if reversal_facts(entry).reference == command.reference:
            return entry
    return None


def _plan(
    account: Account, command: ReverseUsage, now: int, earlier: Earlier, usage: Entry
) -> _Plan | Refusal:
    if account.status is AccountStatus.CLOSED:
        return not_active(account)
    if command.acting_for not in {None, usage.teamspace_id}:
        return Refusal(reason=Reason.OTHER_TEAMSPACE)
    reversed_before = sum(entry.credits for entry in earlier.reversals)
    left = usage.credits - reversed_before
    wanted = left if command.credits is None else command.credits
    if wanted > left or (earlier.reversals and not left):
        figures = {"booked": usage.credits, "left": left}
        return Refusal(reason=Reason.MORE_THAN_BOOKED, figures=figures)
    overage, parts = _next_parts(usage, reversed_before, wanted)
    returned = tuple(part for part in parts if _lives(_grant(account, part[0], earlier), now))
    lapsed = tuple(part for part in parts if part not in returned)
    in_period = usage.booked_at >= account.period_start
    # Within the period, what comes back was consumed: the total stays, or falls by what lapses.
    if not in_period and sum(part for _, part in returned) > account.room:
        return Refusal(reason=Reason.SUM_LIMIT, figures={"room": account.room})
    return _Plan(wanted, overage, returned, lapsed, in_period)


def _next_parts(usage: Entry, done: int, wanted: int) -> tuple[int, Drawn]:
    """What comes next after `done` was undone: of the overage, and of which grants."""
    overage = min(max(uncovered(usage) - done, 0), wanted)
    done = max(done - uncovered(usage), 0)
    wanted -= overage
    parts = []
    for grant_id, drawn in reversed(usage.drawn):
        skipped = min(drawn, done)
        part = min(drawn - skipped, wanted)
        done -= skipped
        wanted -= part
        if part:
            parts.append((grant_id, part))
    return overage, tuple(parts)


def _lives(grant: Grant, now: int) -> bool:
    """Whether a grant can take credits back; a spent one that expired has no entry to say so."""
    if grant.status is GrantStatus.EXHAUSTED:
        return grant.ends_at > now
    return grant.status is GrantStatus.ACTIVE


def _return_to(account: Account, grant: Grant, part: int) -> None:
    account.grants[grant.id] = grant
    grant.remaining += part
    account.remaining += part
    if grant.status is GrantStatus.EXHAUSTED:
        grant.status = GrantStatus.ACTIVE
        insort(account.burning, grant, key=burn_key)
        account.next_due_at = min(account.next_due_at, grant.ends_at)


def _grant(account: Account, grant_id: str, earlier: Earlier) -> Grant:
    grant = account.grants.get(grant_id, earlier.drawn_from.get(grant_id))
    if grant is None:
        raise CorruptLedger("a grant that an entry names is missing")
    return grant
