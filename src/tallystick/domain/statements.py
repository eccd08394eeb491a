"""Statements: what became of an organization's credits in one billing period.

    closing = opening + granted + returned − (consumed − overage) − expired − voided

holds exactly, because each entry is counted on the side on which it moved what remains. A period's
entries lie between its own `period.started` and the next one; what lapses at its end, and what of
that lives on, comes before the next. So rolled-over credits are no new ones: they take from what
expired, and are part of closing and of the next opening.

Where a reversal within the usage's own period gives back to a grant that has ended, what was
consumed falls and the part is gone all the same: it counts as expired, or as voided.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.entries import EntryKind
from tallystick.domain.grants import GrantKind
from tallystick.domain.reversals import reversal_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Drawn, Grant


class UsageLine(NamedTuple):
    """Net usage of one meter by one teamspace (micro-credits); empty where none was named."""

    meter: str
    teamspace_id: str
    credits: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One period, of `start` to `end`, as of `as_of` (micro-credits; instants in microseconds)."""

    index: int
    start: int
    end: int
    timezone: str
    as_of: int
    is_over: bool
    opening: int
    granted: int
    returned: int
    consumed: int
    overage: int
    expired: int
    voided: int
    closing: int
    usage: tuple[UsageLine, ...]


@dataclass(slots=True)
class Moves:
    """What moved the remaining credits besides usage (micro-credits).

    `grants` are those that entries name, and `voided_at` the sequences at which grants were voided
    for good.
    """

    grants: Mapping[str, Grant]
    voided_at: Mapping[str, int]
    granted: int = 0
    returned: int = 0
    expired: int = 0
    voided: int = 0

    def take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        match entry.kind:
            case EntryKind.GRANT_ISSUED:
                self._issue(entry)
            case EntryKind.GRANT_ACTIVATED:
                self.granted += entry.credits
            case EntryKind.GRANT_EXPIRED:
                self.expired += entry.credits
            case EntryKind.GRANT_VOIDED:
                # What is not effective yet does not remain yet.
                if self.grants[entry.grant_id or ""].effective_at <= entry.booked_at:
                    self.voided += entry.credits
            case EntryKind.USAGE_REVERSED:
                facts = reversal_facts(entry)
                if facts.in_period:
                    self._lapse(entry, facts.lapsed)
                else:
                    self.returned += sum(part for _, part in entry.drawn)
            case EntryKind.HOLD_RELEASED | EntryKind.HOLD_EXPIRED:
                self._lapse(entry, json.loads(entry.detail or "{}").get("lapsed", ()))
            case _:
                pass

    def _issue(self, entry: Entry) -> None:
        facts = json.loads(entry.detail or "{}")
        if facts.get("kind") == GrantKind.ROLLOVER:
            self.expired -= entry.credits
        elif not facts.get("pending"):
            self.granted += entry.credits

    def _lapse(self, entry: Entry, parts: Drawn) -> None:
        for grant_id, part in parts:
            if self.voided_at.get(grant_id, entry.sequence) < entry.sequence:
                self.voided += part
            else:
                self.expired += part
