"""Recounting a ledger from its entries alone, and naming the first row that disagrees.

Theory of operation. An organization's entries are walked once, from the first: each must follow its
predecessor in sequence and in the chain of hashes, and must lead to the balances that it states
(`domain.replay`, which shares no arithmetic with deciding). On the way everything that is
materialised beside entries is added up anew (`recount`); in the end the rows must say exactly that,
no more and no less.

Memory does not grow with the entries. Kept are an organization's grants, its open holds and its
roll-ups. The index of events and the milestones come in the order of the entries, so they are
compared in passing; a hold is compared when it ends, and forgotten.

What entries do not say cannot be recounted and is not judged: names, keys, limits of budgets, an
organization's status, the dimensions of usage (which can be erased) and what is counted by them,
but for days, which must be the sums of their quarters. `next_due_at` may be early, never late. A
milestone must be right where there is one, and where there is none nothing is lost but time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.commands import DAY
from tallystick.domain.grants import GrantStatus
from tallystick.ledger.audit import (
    DAY_KEY,
    PERIOD_USAGE_KEY,
    ROLLUP_KEY,
    Difference,
    Disagreement,
    Head,
    compare_row,
    different,
    fields_of,
)
from tallystick.ledger.recount import Recount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tallystick.ledger.audit import Audit, Counted
    from tallystick.ledger.recount import Totals


MAX_DIFFERENCES: Final = 100
"""Organizations whose first difference a report keeps; the others are only counted."""
NOTHING_ANCHORED: Final[Mapping[str, Head]] = MappingProxyType({})


HOUR: Final = DAY // 24
_STANDING: Final = (
    *("sequence", "remaining", "consumed", "overage", "held", "pending"),
    *("period_index", "period_start", "period_end"),
)
"""Columns of an account that a standing has under the same names."""


class Verdict(NamedTuple):
    """What became of one organization after so many entries: the head of its chain where all
    agrees, else the first difference."""

    organization_id: str
    entries: int
    head: Head | None
    difference: Difference | None


def _nobody_looks(_: int) -> None:
    """Where no progress is shown."""


@dataclass(slots=True)
class Report:
    """What became of all that were recounted; `differences` are the first ones, by organization."""

    organizations: int = 0
    entries: int = 0
    disagreeing: int = 0
    differences: dict[str, Difference] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        self.organizations += 1
        self.entries += verdict.entries
        if verdict.head is not None:
            self.heads[verdict.organization_id] = verdict.head
        if verdict.difference is not None:
            self.disagreeing += 1
            if len(self.differences) < MAX_DIFFERENCES:
                self.differences[verdict.organization_id] = verdict.difference


def verify_all(
    audit: Audit,
    anchored: Mapping[str, Head] = NOTHING_ANCHORED,
    tick: Callable[[int], None] = _nobody_looks,
) -> Report:
    """Recounts every organization of the audit, also after one that disagrees: how far a damage
    reaches is what is asked next. `anchored` are heads through which chains must pass."""
    report = Report()
    missing = dict(anchored)
    for organization_id in audit.organizations():
        head = missing.pop(organization_id, None)
        report.add(verify(audit, organization_id, head, tick))
    for organization_id, head in missing.items():
        why = "the anchor knows the organization: it was taken away"
        difference = Difference("organizations", {}, None, None, head, why)
        report.add(Verdict(organization_id, 0, None, difference))
    return report


def verify(
    audit: Audit,
    organization_id: str,
    anchored: Head | None = None,
    tick: Callable[[int], None] = _nobody_looks,
) -> Verdict:
    """Recounts one organization, whose chain must pass through `anchored`, where given.

    `tick` is told how many entries have been walked since it was told last.
    """
    entries = 0

    def count(walked: int) -> None:
        nonlocal entries
        entries += walked
        tick(walked)

    try:
        recount = Recount(audit, organization_id, anchored)
        recount.walk(count)
        _compare(recount)
    except Disagreement as found:
        return Verdict(organization_id, entries, None, found.difference)
    return Verdict(organization_id, entries, Head(entries, recount.head), None)


def _compare(recount: Recount) -> None:
    """Everything beside the entries, in the order in which it was derived."""
    _compare_account(recount)
    _compare_grants(recount)
    _compare_holds(recount)
    _compare_periods(recount)
    audit, organization_id = recount.audit, recount.organization_id
    rollups, by_period = recount.usage()
    by_day: Totals = {}
    found = _noted(audit.rollups(organization_id), by_day)
    _compare_totals("usage_rollups", ROLLUP_KEY, found, rollups)
    _compare_totals("usage_days", DAY_KEY, audit.days(organization_id), by_day)
    found = audit.period_usage(organization_id)
    _compare_totals("period_usage", PERIOD_USAGE_KEY, found, by_period)
    _compare_budgets(recount, by_period)


def _compare_account(recount: Recount) -> None:
    standing = recount.standing
    account = recount.audit.account(recount.organization_id)
    expected = {name: getattr(standing, name) for name in _STANDING} | {
        "head": recount.head,
        "advanced_to": standing.booked_at,
        "allowance_grant_id": recount.allowance_grant_id,
        "plan": recount.plan,
        "next_plan": recount.next_plan,
    }
    compare_row("accounts", {}, account, expected)
    latest = _next_due(recount)
    if account is not None and account.next_due_at > latest:
        why = "something falls due before that"
        raise different("accounts", {}, "next_due_at", account.next_due_at, latest, why)


def _next_due(recount: Recount) -> int:
    """When time changes the account next; the row may say an earlier instant."""
    due = [recount.standing.period_end]
    due += (hold.expires_at for hold in recount.standing.holds.values())
    for grant in recount.standing.grants.values():
        if grant.status is GrantStatus.PENDING:
            due.append(grant.effective_at)
        elif grant.status is GrantStatus.ACTIVE:
            due.append(grant.ends_at)
    return min(due)


def _compare_grants(recount: Recount) -> None:
    expected = dict(recount.standing.grants)
    for grant in recount.audit.grants(recount.organization_id):
        key = {"grant_id": grant.id}
        if grant.id not in expected:
            raise different("grants", key, None, grant, None, "no entry issued it")
        compare_row("grants", key, grant, fields_of(expected.pop(grant.id)))
    for missing in expected.values():
        compare_row("grants", {"grant_id": missing.id}, None, fields_of(missing))


def _compare_holds(recount: Recount) -> None:
    audit, organization_id = recount.audit, recount.organization_id
    for hold in recount.standing.holds.values():
        recount.compare_hold(hold)
    count = audit.count_holds(organization_id)
    if count != recount.holds_placed:
        why = "so many holds were placed"
        raise different("holds", {}, None, count, recount.holds_placed, why)


def _compare_periods(recount: Recount) -> None:
    found = list(recount.audit.periods(recount.organization_id))
    for said, expected in zip(found, recount.periods, strict=False):
        compare_row("periods", {"period_index": expected.index}, said, fields_of(expected))
    for surplus in found[len(recount.periods) :]:
        key = {"period_index": surplus.index}
        raise different("periods", key, None, surplus, None, "no entry started it")
    for missing in recount.periods[len(found) :]:
        compare_row("periods", {"period_index": missing.index}, None, fields_of(missing))


def _compare_totals(
    table: str, names: tuple[str, ...], found: Iterable[Counted], expected: Totals
) -> None:
    unseen = set(expected)
    for key, figures in found:
        named = dict(zip(names, key, strict=True))
        if key not in unseen:
            raise different(table, named, None, figures, None, "no entry counts there")
        unseen.remove(key)
        for number, (said, value) in enumerate(zip(figures, expected[key], strict=True)):
            if said != value:
                column = f"{('credits', 'events')[number % 2]}{_hour(len(figures), number)}"
                why = "the entries come to another sum"
                raise different(table, named, column, said, value, why)
    for key in sorted(unseen):
        named = dict(zip(names, key, strict=True))
        raise different(table, named, None, None, tuple(expected[key]), "it is missing")


def _hour(figures: int, number: int) -> str:
    """The end of a column's name, where there is a pair of columns for each hour."""
    return "" if figures == 2 else f"_{number // 2 + 1:02d}"


def _noted(found: Iterable[Counted], by_day: Totals) -> Iterator[Counted]:
    """Adds roll-ups up by day, and passes on those of all usage: the others count it once more, by
    dimensions, which entries do not say."""
    for counted in found:
        dimension, bucket, *names = counted.key
        within = int(bucket) % DAY
        day = by_day.setdefault((dimension, int(bucket) - within, *names), [0] * 48)
        for hour in range(within // HOUR, 24):
            day[2 * hour] += counted.figures[0]
            day[2 * hour + 1] += counted.figures[1]
        if not dimension:
            yield counted


def _compare_budgets(recount: Recount, by_period: Totals) -> None:
    present = recount.standing.period_index
    for budget in recount.audit.budgets(recount.organization_id):
        used = sum(
            total[0]
            for (period, teamspace_id, _, api_key_id), total in by_period.items()
            if period == present and budget.subject_id in {teamspace_id, api_key_id}
        )
        compare_row("budgets", {"subject_id": budget.subject_id}, budget, {"used": used})
