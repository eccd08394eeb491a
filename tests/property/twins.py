"""The core and the oracle, driven side by side: after every step they must tell the same story.

Each step moves time, asks both, compares what they answered and wrote, and then checks everything
that must hold of any account at any time. A failed check is an AssertionError. Amounts and
instants are the core's (micro-credits, microseconds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import NamedTuple

from tallystick.domain.account import advance, open_account
from tallystick.domain.commands import (
    NOTHING_EARLIER,
    AccountStatus,
    Booked,
    BookUsage,
    Changed,
    ChangePlan,
    Command,
    CreateGrant,
    Earlier,
    Issued,
    Outcome,
    SetStatus,
    Voided,
    VoidGrant,
    usage_content,
)
from tallystick.domain.decide import decide, ledger_time
from tallystick.domain.entries import Entry, Sealed, encode, seal
from tallystick.domain.errors import Refusal
from tallystick.domain.grants import Grant, GrantKind, GrantStatus
from tests.oracle import Oracle
from tests.oracle_words import Refused, Repeated, Said, Terms, Verdict
from tests.property import languages as say
from tests.property.fold import Fold
from tests.property.invariants import (
    check_account,
    check_against_fold,
    check_against_oracle,
    photo,
)

ORGANIZATION = "org_7zzzzzzzzzzzzzzzzzzzzzzzzz"


class UsageAsk(NamedTuple):
    """All of a usage event but its id."""

    amount: int
    overdraw: bool = False
    meter: str | None = None
    occurred_at: int | None = None
    dimensions: dict[str, str] | None = None
    teamspace_id: str = "ts_1"


class GrantAsk(NamedTuple):
    kind: str
    amount: int
    priority: int = 50
    effective_at: int | None = None
    expires_at: int | None = None
    reference: str | None = None


class Twins:
    """One organization in both ledgers. `clock` is what the wall clock shows."""

    def __init__(self, terms: Terms, clock: int) -> None:
        self.clock = clock
        self.entries: list[Entry] = []
        self.sealed: list[Sealed] = []
        self.rows: dict[str, Grant] = {}
        """Every grant there ever was, as a database would keep it."""
        self.ids: dict[int, str] = {}
        """The grant id of each lot's number, in the order of issue."""
        self.booked: dict[str, UsageAsk] = {}
        """What was accepted, by event id."""
        self.issued: list[GrantAsk] = []
        self._fold = Fold(ORGANIZATION)
        self._compared = 0
        """How many entries were compared with the oracle's facts so far."""
        self._events: dict[str, Entry] = {}
        self._references: dict[str, Entry] = {}
        self.account, entries = open_account(ORGANIZATION, say.to_plan(terms), clock)
        self.oracle = Oracle(terms, say.to_datetime(clock))
        self._take_written(entries)
        self._check_everything()

    # ── steps ──

    def use(self, event_id: str, ask: UsageAsk) -> Outcome:
        content = usage_content(
            credits_used=ask.amount,
            meter=ask.meter,
            occurred_at=ask.occurred_at,
            dimensions=ask.dimensions,
            overdraw=ask.overdraw,
            teamspace_id=ask.teamspace_id,
        )
        command = BookUsage(
            event_id,
            ask.amount,
            ask.meter,
            ask.occurred_at,
            ask.dimensions,
            ask.overdraw,
            ask.teamspace_id,
            None,
            content,
        )
        said = Said(
            say.to_decimal(ask.amount),
            ask.overdraw,
            ask.teamspace_id,
            ask.meter,
            say.if_any(say.to_datetime, ask.occurred_at),
            ask.dimensions or {},
        )
        outcome = self._do(
            command,
            lambda now: self.oracle.use(now, event_id, said),
            Earlier(entry=self._events.get(event_id)),
        )
        if isinstance(outcome, Booked) and not outcome.duplicate:
            self.booked[event_id] = ask
        return outcome

    def grant(self, ask: GrantAsk) -> Outcome:
        command = CreateGrant(
            amount=ask.amount,
            kind=GrantKind(ask.kind),
            priority=ask.priority,
            effective_at=ask.effective_at,
            expires_at=ask.expires_at,
            reference=ask.reference,
        )
        outcome = self._do(
            command,
            lambda now: self.oracle.grant(
                now,
                ask.kind,
                say.to_decimal(ask.amount),
                ask.priority,
                say.if_any(say.to_datetime, ask.effective_at),
                say.if_any(say.to_datetime, ask.expires_at),
                ask.reference,
            ),
            self._earlier_grant(ask.reference),
        )
        if isinstance(outcome, Issued) and not outcome.duplicate:
            self.issued.append(ask)
        return outcome

    def void(self, number: int, amount: int | None) -> Outcome:
        grant_id = self.ids.get(number, "grant_nobody")
        return self._do(
            VoidGrant(grant_id=grant_id, credits=amount),
            lambda now: self.oracle.void(now, number, say.if_any(say.to_decimal, amount)),
            Earlier(grant=self._row(grant_id)),
        )

    def change(self, parts: Terms, names: frozenset[str], *, apply_now: bool) -> Outcome:
        """Changes the terms called `names` (as a plan calls them) to what `parts` has."""
        command = ChangePlan(
            allowance=say.to_micro(parts.allowance) if "allowance" in names else None,
            schedule=say.to_schedule(parts.calendar) if "schedule" in names else None,
            rollover=say.to_rollover(parts) if "rollover" in names else None,
            overage=say.to_overage(parts) if "overage" in names else None,
            apply_now=apply_now,
        )
        wanted = _with_parts(self.oracle.wanted, parts, names)
        return self._do(command, lambda now: self.oracle.change(now, wanted, apply_now=apply_now))

    def set_status(self, status: str) -> Outcome:
        command = SetStatus(status=AccountStatus(status))
        return self._do(command, lambda _: self.oracle.set_status(status))

    def look(self, instant: int) -> None:
        """A read, now or ahead: what comes due by `instant` is computed and nothing kept."""
        before = photo(self.account)
        advance(self.account.copy(), instant)
        assert photo(self.account) == before, "a read changed the account"

    def reload(self) -> None:
        """Forgets the account and reads back what a store would: the grants that still matter."""
        account = replace(self.account, grants={}, burning=[], waiting=[])
        live = {GrantStatus.PENDING, GrantStatus.ACTIVE}
        for grant in reversed(self.rows.values()):
            if grant.status in live or grant.id == account.allowance_grant_id:
                account.add_loaded(replace(grant))
        self.account = account
        self._check_everything()

    # ── one step ──

    def _do(
        self,
        command: Command,
        ask_oracle: Callable[[datetime], Verdict],
        earlier: Earlier = NOTHING_EARLIER,
    ) -> Outcome:
        now = ledger_time(self.account, self.clock)
        self._advance(now)
        before = photo(self.account)
        outcome, entries = decide(self.account, command, now, earlier)
        if isinstance(outcome, Refusal) or not (entries or isinstance(command, SetStatus)):
            assert photo(self.account) == before, "what was not accepted changed the account"
        self._take_written(entries)
        self._check_answer(outcome, ask_oracle(say.to_datetime(now)), entries)
        self._check_everything()
        return outcome

    def _advance(self, now: int) -> None:
        """Brings both to `now`; whoever looks ahead, in steps or at once, sees what is written."""
        looking, stepping = self.account.copy(), self.account.copy()
        before = photo(self.account)
        seen = advance(looking, now)
        seen_in_steps = [
            entry for instant in self._stops_until(now) for entry in advance(stepping, instant)
        ]
        assert photo(self.account) == before, "a read changed the account"
        written = advance(self.account, now)
        assert [encode(entry) for entry in seen] == [encode(entry) for entry in written]
        assert [encode(entry) for entry in seen_in_steps] == [encode(entry) for entry in written]
        assert photo(looking) == photo(stepping) == photo(self.account)
        assert advance(self.account, now) == [], "the same instant fell due twice"
        self.oracle.settle(say.to_datetime(now))
        self._take_written(written)
        self._compare_stories()

    def _stops_until(self, now: int) -> list[int]:
        """Some instants on the way to `now`: moments at which something is due among others."""
        start = self.account.advanced_to
        if start >= now:
            return [now]
        stops = Random(now).sample(range(start, now), min(12, now - start))
        due = self.account.next_due_at
        stops += [instant for instant in (due - 1, due) if instant < now]
        return [*sorted(stops), now]

    def _earlier_grant(self, reference: str | None) -> Earlier:
        entry = self._references.get(reference or "")
        if entry is None or entry.grant_id is None:
            return NOTHING_EARLIER
        return Earlier(entry=entry, grant=self._row(entry.grant_id))

    def _row(self, grant_id: str) -> Grant | None:
        row = self.rows.get(grant_id)
        return None if row is None else replace(row)

    # ── checks ──

    def _take_written(self, entries: list[Entry]) -> None:
        """Takes in what the core wrote."""
        head = self.sealed[-1].hash if self.sealed else self.account.head
        for sealed in seal(entries, head):
            self._fold.take(sealed)
            self.sealed.append(sealed)
        for entry in entries:
            self.entries.append(entry)
            if entry.event_id is not None:
                self._events[entry.event_id] = entry
            if entry.grant_id is not None and entry.grant_id not in self.rows:
                self._take_in_new_grant(entry, entry.grant_id)

    def _take_in_new_grant(self, entry: Entry, grant_id: str) -> None:
        grant = self.account.grants[grant_id]
        assert grant.issued == entry.sequence
        self.ids[grant.issued] = grant_id
        self.rows[grant_id] = grant
        if grant.reference is not None:
            self._references[grant.reference] = entry

    def _check_answer(self, outcome: Outcome, verdict: Verdict, entries: list[Entry]) -> None:
        if isinstance(verdict, Refused):
            assert isinstance(outcome, Refusal), f"accepted, but {verdict}"
            assert outcome.reason.name == verdict.reason
            assert say.figures_told(outcome.figures) == verdict.figures
            assert not entries
        elif isinstance(verdict, Repeated):
            assert isinstance(outcome, Booked | Issued)
            assert outcome.duplicate
            assert not entries
            self._check_outcome(outcome, verdict.fact.sequence)
        else:
            assert not isinstance(outcome, Refusal), f"refused for {outcome}"
            assert len(entries) == len(verdict)
            assert not (isinstance(outcome, Booked | Issued) and outcome.duplicate)
            self._check_outcome(outcome, verdict[0].sequence if verdict else None)

    def _check_outcome(self, outcome: Outcome, sequence: int | None) -> None:
        """That the answer shows what entry `sequence` did, or the present where there is none."""
        entry = None if sequence is None else self.entries[sequence - 1]
        match outcome:
            case Booked():
                assert outcome.entry == entry, "the receipt is not the entry"
            case Issued(grant):
                assert sequence == grant.issued
                assert grant == self.account.grants.get(grant.id, self.rows[grant.id])
            case Voided(grant, taken):
                assert grant == self.account.grants.get(grant.id, self.rows[grant.id])
                assert taken == (0 if entry is None else entry.credits)
            case Changed():
                oracle = self.oracle
                effect = None if oracle.wanted == oracle.terms else oracle.period.end
                assert outcome.plan == say.to_plan(oracle.wanted)
                assert say.if_any(say.to_datetime, outcome.takes_effect_at) == effect
                assert outcome.status == oracle.status

    def _compare_stories(self) -> None:
        """The new entries say what the oracle noted."""
        numbers = {grant_id: number for number, grant_id in self.ids.items()}
        told = [say.fact_told(entry, numbers) for entry in self.entries[self._compared :]]
        assert told == self.oracle.facts[self._compared :]
        self._compared = len(self.entries)

    def _check_everything(self) -> None:
        for grant_id, grant in self.account.grants.items():
            self.rows[grant_id] = replace(grant)
        self._compare_stories()
        check_account(self.account)
        check_against_fold(self.account, self.rows, self._fold)
        check_against_oracle(self.account, self.rows, self.oracle)


def _with_parts(terms: Terms, parts: Terms, names: frozenset[str]) -> Terms:
    if "allowance" in names:
        terms = replace(terms, allowance=parts.allowance)
    if "schedule" in names:
        terms = replace(terms, calendar=parts.calendar)
    if "rollover" in names:
        terms = replace(
            terms,
            rollover=parts.rollover,
            rollover_cap=parts.rollover_cap,
            rollover_periods=parts.rollover_periods,
        )
    if "overage" in names:
        terms = replace(terms, overage=parts.overage, overage_limit=parts.overage_limit)
    return terms
