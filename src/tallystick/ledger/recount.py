"""Walking an organization's entries: whether each follows from the last, and what they come to.

Nearly all entries are usage from one grant, and millions of them are walked: the loop is written
for those. What can be compared in passing is, so that memory does not grow with the entries (see
`verify`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.entries import GENESIS, EntryKind, link, plain_usage_linker
from tallystick.domain.errors import CorruptLedger
from tallystick.domain.grants import GrantKind
from tallystick.domain.holds import HoldStatus
from tallystick.domain.plans import Plan
from tallystick.domain.quantities import parse_quantity
from tallystick.domain.replay import Standing
from tallystick.domain.reversals import reversal_facts
from tallystick.domain.usage import BUCKET
from tallystick.ledger.audit import compare_row, different, fields_of
from tallystick.ledger.work import period_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tallystick.domain.entries import Entry
    from tallystick.domain.holds import Hold
    from tallystick.ledger.audit import Audit, Disagreement, Head, Indexed, Written
    from tallystick.ledger.ports import PeriodRow

_NO_EVENT: Final[Indexed] = ("", 0, "")
_NONSENSE: Final = (CorruptLedger, KeyError, TypeError, ValueError)
"""What entries raise that are chained properly and still make no sense."""
_USAGE_BOOKED: Final = EntryKind.USAGE_BOOKED.value
_STRETCH: Final = 1024
"""Entries after which progress is told at the latest."""
_BALANCES: Final = ("remaining", "consumed", "overage", "held")

Totals = dict[tuple[Any, ...], list[int]]
"""Micro-credits and events, by key."""


class Recount:
    """What the entries of one organization have come to so far.

    `standing` knows grants and open holds; ended holds are forgotten. `anchored` is a place through
    which the chain must pass.
    """

    def __init__(self, audit: Audit, organization_id: str, anchored: Head | None) -> None:
        self.audit = audit
        self.organization_id = organization_id
        self.standing = Standing()
        self.head = GENESIS
        self.plan: Plan | None = None
        self.next_plan: Plan | None = None
        self.allowance_grant_id: str | None = None
        self.periods: list[PeriodRow] = []
        self.holds_placed = 0
        self._anchored = anchored
        self._events = audit.events(organization_id)
        self._indexed = next(self._events, _NO_EVENT)
        self._milestones = audit.milestones(organization_id)
        self._milestone = next(self._milestones, None)
        self._stop = self._next_stop()
        # The grant that usage drew from last, alone.
        self._grant_id = ""
        # By period, bucket and who: split up once, in the end.
        self._booked: Totals = {}
        self._counting: tuple[Any, ...] = ()
        self._total = [0, 0]
        self._reversed: Totals = {}
        self._reversed_in_period: Totals = {}

    def walk(self, tick: Callable[[int], None]) -> None:
        """All entries; raises Disagreement at the first that does not follow. `tick` is told how
        many have been walked since it was told last."""
        entries = self.audit.entries(self.organization_id)
        told = 0
        while (written := self._pass_plain_usage(entries)) is not None:
            self._step(written)
            if self.standing.sequence == self._stop:
                tick(self._stop - told)
                told = self._stop
                self._look_up()
        sequence = self.standing.sequence
        tick(sequence - told)
        if self._anchored is not None and self._anchored.sequence > sequence:
            why = "the anchor knows a longer chain: entries were taken away"
            raise different("entries", {}, "sequence", sequence, self._anchored.sequence, why)
        if self._indexed is not _NO_EVENT:
            raise _no_entry(self._indexed)
        if self._milestone is not None:
            raise _misplaced(self._milestone)

    def _pass_plain_usage(self, entries: Iterator[Written]) -> Written | None:
        """Goes past usage that is covered by the grant last drawn from, and is right in all that
        `_step` would look at; gives the first entry that is not, or None at the end.

        Here is where a verifier spends its time. So this judges nothing and names nothing: what it
        does not go past is untouched, and `_step` says whether it is wrong or merely something
        else.
        """
        standing = self.standing
        grant = standing.grants.get(self._grant_id)
        if grant is None:
            return next(entries, None)
        unheld = grant.remaining - grant.held
        start, _, end = self.audit.spelled(((grant.id, 0),)).rpartition("0")
        link_usage = plain_usage_linker(self.organization_id, grant.id)
        sequence, head, now = standing.sequence, self.head, standing.booked_at
        remaining, consumed = standing.remaining, standing.consumed
        overage, held = standing.overage, standing.held
        period, period_end, stop = standing.period_index, standing.period_end, self._stop
        events, indexed = self._events, self._indexed
        counting, total = self._counting, self._total
        written = None
        for written in entries:
            # fmt: off
            (_, number, kind, used, drawn, grant_id, event_id, hold_id, teamspace_id, api_key_id,
             meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
             held_after, detail, content, said) = written
            if not (
                kind == _USAGE_BOOKED
                and grant_id is hold_id is detail is None
                and occurred_at is not None and content is not None
                and drawn == f"{start}{used}{end}" and used < unheld
                and number == sequence + 1 < stop
                and now <= booked_at < period_end
                and remaining_after == remaining - used and consumed_after == consumed + used
                and overage_after == overage and held_after == held
                and indexed[1] == number and indexed[2] == event_id
                and said == (following := link_usage(
                    head, number, used, event_id, teamspace_id, api_key_id, meter, occurred_at,
                    booked_at, remaining_after, consumed_after, overage_after, held_after, content
                ))
            ):
                break
            # fmt: on
            sequence, head, now = number, following, booked_at
            unheld -= used
            remaining, consumed = remaining_after, consumed_after
            indexed = next(events, _NO_EVENT)
            bucket = occurred_at - occurred_at % BUCKET
            key = (period, bucket, teamspace_id, meter, api_key_id)
            if key != counting:
                counting, total = key, self._booked.setdefault(key, [0, 0])
            total[0] += used
            total[1] += 1
        else:
            written = None
        standing.sequence, standing.booked_at, self.head = sequence, now, head
        standing.remaining, standing.consumed = remaining, consumed
        grant.remaining = unheld + grant.held
        self._indexed, self._counting, self._total = indexed, counting, total
        return written

    def _step(self, written: Written) -> None:
        """One entry of any kind."""
        entry, said = self.audit.entry(written), written[-1]
        sequence = self.standing.sequence + 1
        head = link(entry, self.head)
        if entry.sequence != sequence or said != head:
            raise _broken(entry, said, sequence, head)
        self.head = head
        self._take(entry)

    def _look_up(self) -> None:
        """Compares what stands beside the entry that has just been walked."""
        sequence = self.standing.sequence
        if self._anchored is not None and sequence == self._anchored.sequence:
            self._pass_anchor(self._anchored)
        if self._milestone is not None and sequence == self._milestone.sequence:
            self._pass_milestone(self._milestone)
        self._stop = self._next_stop()

    def _next_stop(self) -> int:
        """The sequence after which to look up again."""
        sequence = self.standing.sequence
        due = [sequence + _STRETCH]
        due += (mark.sequence for mark in (self._anchored, self._milestone) if mark is not None)
        return min(stop for stop in due if stop > sequence)

    def _take(self, entry: Entry) -> None:
        try:
            self.standing.apply(entry)
            if entry.kind is EntryKind.USAGE_BOOKED:
                self._count(entry)
            else:
                self._note(entry)
        except _NONSENSE as error:
            raise self._explained(entry, error) from error
        # A reversal names the hold of its usage, which may have ended long ago.
        if entry.hold_id is not None and entry.kind is not EntryKind.USAGE_REVERSED:
            self._pass_hold(entry.hold_id)

    # ── adding up ──

    def _count(self, entry: Entry) -> None:
        occurred_at = entry.occurred_at
        if occurred_at is None:
            raise CorruptLedger("it is usage and does not say when it occurred")
        if entry.detail is not None:
            self._check_rating(entry)
        bucket = occurred_at - occurred_at % BUCKET
        who = (entry.teamspace_id, entry.meter, entry.api_key_id)
        key = (self.standing.period_index, bucket, *who)
        # Most usage counts where the usage before it did.
        if key != self._counting:
            self._counting = key
            self._total = self._booked.setdefault(key, [0, 0])
        self._total[0] += entry.credits
        self._total[1] += 1
        indexed = self._indexed
        if indexed[1] != entry.sequence or indexed[2] != entry.event_id:
            raise _not_indexed(entry, indexed)
        self._indexed = next(self._events, _NO_EVENT)
        if len(entry.drawn) == 1:
            [(self._grant_id, _)] = entry.drawn

    def _check_rating(self, entry: Entry) -> None:
        """Usage whose credits a price made of a quantity."""
        facts = json.loads(entry.detail or "{}")
        price = self.audit.prices().get(facts["price_id"])
        if price is None:
            key = {"price_id": facts["price_id"]}
            raise different("prices", key, None, None, facts["price_id"], "it is missing")
        if price.meter != entry.meter or price.effective_at > (entry.occurred_at or 0):
            key = {"price_id": price.id}
            why = f"entry {entry.sequence} was rated by it, of another meter or time"
            raise different("prices", key, None, price, None, why)
        charge = price.charge(parse_quantity(facts["quantity"].encode()))
        if charge != entry.credits:
            why = "the price that rated it comes to another charge"
            raise different("entries", _key(entry), "credits", entry.credits, charge, why)

    def _note(self, entry: Entry) -> None:
        if entry.kind is EntryKind.USAGE_REVERSED:
            self._reverse(entry)
            return
        # The chain cannot tell the lowest integer from none, and no other kind says it.
        if entry.occurred_at is not None:
            raise CorruptLedger("it is no usage and says when it occurred")
        match entry.kind:
            case EntryKind.PLAN_CHANGED:
                self._change_plan(entry)
            case EntryKind.PERIOD_STARTED:
                self.periods.append(period_row(entry))
                self.plan, self.next_plan = self.next_plan or self.plan, None
                self.allowance_grant_id = None
            case EntryKind.GRANT_ISSUED:
                grant = self.standing.grants[entry.grant_id or ""]
                if grant.kind is GrantKind.ALLOWANCE:
                    self.allowance_grant_id = grant.id
            case EntryKind.HOLD_PLACED:
                self.holds_placed += 1
            case _:
                pass

    def _change_plan(self, entry: Entry) -> None:
        facts = json.loads(entry.detail or "{}")
        applies_now = facts.pop("apply_now", None)
        after = Plan.from_facts(facts)
        if self.plan is None:
            self.plan = after
            return
        allowance = after.allowance if applies_now else self.plan.allowance
        self.plan = replace(self.plan, overage=after.overage, allowance=allowance)
        self.next_plan = after if after != self.plan else None

    def _reverse(self, entry: Entry) -> None:
        who = (entry.teamspace_id or "", entry.meter or "", entry.api_key_id or "")
        occurred_at = entry.occurred_at or 0
        key = ("", occurred_at - occurred_at % BUCKET, "", *who)
        _add(self._reversed, key, -entry.credits, 0)
        if reversal_facts(entry).in_period:
            in_period = (self.standing.period_index, *who)
            _add(self._reversed_in_period, in_period, -entry.credits, 0)

    def usage(self) -> tuple[Totals, Totals]:
        """All usage by `ROLLUP_KEY`, and by `PERIOD_USAGE_KEY`. To be asked once."""
        rollups, by_period = self._reversed, self._reversed_in_period
        for (period, bucket, *names), total in self._booked.items():
            who = [name or "" for name in names]
            _add(rollups, ("", bucket, "", *who), *total)
            _add(by_period, (period, *who), *total)
        self._booked.clear()
        return rollups, by_period

    # ── compared in passing ──

    def _pass_anchor(self, anchored: Head) -> None:
        if self.head != anchored.hash:
            key = {"sequence": anchored.sequence}
            why = "the anchor knows another chain: it was written anew"
            raise different("entries", key, "hash", self.head, anchored.hash, why)

    def _pass_milestone(self, milestone: Standing) -> None:
        standing = self.standing
        grants = {
            grant.id: grant
            for grant in standing.grants.values()
            if grant.remaining or grant.id == self.allowance_grant_id
        }
        expected = fields_of(standing) | {"grants": grants}
        compare_row("milestones", {"sequence": standing.sequence}, milestone, expected)
        self._milestone = next(self._milestones, None)

    def _pass_hold(self, hold_id: str) -> None:
        """Compares a hold that has just ended: nothing changes it any more."""
        hold = self.standing.holds[hold_id]
        if hold.status is not HoldStatus.OPEN:
            self.compare_hold(hold)
            del self.standing.holds[hold_id]

    def compare_hold(self, hold: Hold) -> None:
        key = {"hold_id": hold.id}
        found = self.audit.hold(self.organization_id, hold.id)
        expected = fields_of(hold)
        # What a caller said beyond the hold's entry, and may have erased.
        for name in ("dimensions", "salt", "digest"):
            del expected[name]
        compare_row("holds", key, found, expected)

    def _explained(self, entry: Entry, error: Exception) -> Disagreement:
        """What of an entry does not follow from the entries before it."""
        key = _key(entry)
        if self.standing.sequence == entry.sequence:
            for name in _BALANCES:
                said, expected = getattr(entry, f"{name}_after"), getattr(self.standing, name)
                if said != expected:
                    why = "the entries until here come to another balance"
                    return different("entries", key, f"{name}_after", said, expected, why)
        return different("entries", key, None, entry, None, f"it makes no sense: {error}")


def _add(totals: Totals, key: tuple[Any, ...], credits_moved: int, events: int) -> None:
    total = totals.setdefault(key, [0, 0])
    total[0] += credits_moved
    total[1] += events


def _broken(entry: Entry, said: bytes, sequence: int, head: bytes) -> Disagreement:
    key = _key(entry)
    if entry.sequence != sequence:
        why = "the sequence has a gap" if entry.sequence > sequence else "it comes twice"
        return different("entries", key, "sequence", entry.sequence, sequence, why)
    why = "one of the entry's columns was changed, or its hash, or the entry before it"
    return different("entries", key, "hash", said, head, why)


def _not_indexed(entry: Entry, found: Indexed) -> Disagreement:
    _, sequence, event_id = found
    if 0 < sequence < entry.sequence:
        return _no_entry(found)
    key = {"event_id": entry.event_id}
    if sequence != entry.sequence:
        return different("usage_events", key, None, None, {**key, **_key(entry)}, "it is missing")
    why = "the entry booked another event"
    return different("usage_events", _key(entry), "event_id", event_id, entry.event_id, why)


def _no_entry(indexed: Indexed) -> Disagreement:
    _, sequence, event_id = indexed
    said = {"event_id": event_id, "sequence": sequence}
    return different("usage_events", said, None, said, None, "no entry booked it there")


def _key(entry: Entry) -> dict[str, object]:
    return {"sequence": entry.sequence}


def _misplaced(milestone: Standing) -> Disagreement:
    key = {"sequence": milestone.sequence}
    return different("milestones", key, None, milestone, None, "no entry has its sequence")
