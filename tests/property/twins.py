"""The core and the oracle, driven side by side: after every step they must tell the same story.

Each step moves time, asks both, compares what they answered and wrote, and then checks everything
that must hold of any account at any time. A failed check is an AssertionError. Amounts and
instants are the core's (micro-credits, microseconds); grants and holds go by their numbers, the
sequence of the entry that made them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from tallystick.domain.account import advance, open_account
from tallystick.domain.commands import (
    NOTHING_EARLIER,
    AccountStatus,
    ChangePlan,
    Command,
    Earlier,
    ExtendHold,
    Outcome,
    ReleaseHold,
    RemoveBudget,
    SetBudget,
    SetStatus,
    VoidGrant,
)
from tallystick.domain.decide import decide, ledger_time
from tallystick.domain.entries import Entry, encode, seal
from tallystick.domain.errors import Refusal
from tallystick.domain.replay import Standing
from tests.oracle import Oracle
from tests.oracle_words import Terms, Verdict
from tests.property import languages as say
from tests.property.archive import Archive
from tests.property.asks import CaptureAsk, GrantAsk, HoldAsk, ReversalAsk, UsageAsk
from tests.property.fold import Fold
from tests.property.invariants import (
    check_account,
    check_against_fold,
    check_against_oracle,
    check_replayed,
    photo,
)
from tests.property.verdicts import check_answer, is_new

ORGANIZATION = "org_7zzzzzzzzzzzzzzzzzzzzzzzzz"
_WITHOUT_ENTRY = SetStatus | SetBudget | RemoveBudget


class Twins:
    """One organization in both ledgers. `clock` is what the wall clock shows."""

    def __init__(self, terms: Terms, clock: int) -> None:
        self.clock = clock
        self.archive = Archive()
        self.booked: dict[str, UsageAsk] = {}
        """What was accepted, by event id; so below."""
        self.captured: dict[str, CaptureAsk] = {}
        self.issued: list[GrantAsk] = []
        self.placed: list[HoldAsk] = []
        self.reversed: list[ReversalAsk] = []
        self.fold = Fold(ORGANIZATION)
        self.standing = Standing()
        """The core's own replay, which begins again with each reload."""
        self._compared = 0
        """How many entries were compared with the oracle's facts so far."""
        self.account, entries = open_account(ORGANIZATION, say.to_plan(terms), clock)
        self.oracle = Oracle(terms, say.to_datetime(clock))
        self._take_written(entries)
        self._check_everything()

    @property
    def now(self) -> int:
        """The moment at which the next step happens."""
        return ledger_time(self.account, self.clock)

    # ── steps ──

    def use(self, event_id: str, ask: UsageAsk) -> Outcome:
        event = self._event_told(event_id)
        outcome = self._do(
            ask.command(event_id),
            lambda now: self.oracle.use(now, event, ask.said(), ask.api_key_id),
            lambda: self.archive.about_event(event_id),
        )
        if is_new(outcome):
            self.booked[event_id] = ask
        return outcome

    def hold(self, ask: HoldAsk) -> Outcome:
        outcome = self._do(
            ask.command(),
            lambda now: self.oracle.hold(now, ask.said(), ask.api_key_id, ask.reference),
            lambda: self.archive.about_hold_reference(ask.reference),
        )
        if is_new(outcome):
            self.placed.append(ask)
        return outcome

    def capture(self, ask: CaptureAsk, acting_for: str | None = None) -> Outcome:
        command = ask.command(self._hold_id(ask.hold), acting_for)
        event_id = None if ask.event_id is None else self._event_told(ask.event_id)
        outcome = self._do(
            command,
            lambda now: self.oracle.capture(now, ask.hold, event_id, ask.said(), acting_for),
            lambda: self.archive.about_capture(command.booked_as, command.hold_id),
        )
        if is_new(outcome):
            self.captured[command.booked_as] = ask
        return outcome

    def release(self, number: int, acting_for: str | None = None) -> Outcome:
        hold_id = self._hold_id(number)
        return self._do(
            ReleaseHold(hold_id=hold_id, acting_for=acting_for),
            lambda now: self.oracle.release(now, number, acting_for),
            lambda: self.archive.about_hold(hold_id),
        )

    def extend(self, number: int, lasts: int, acting_for: str | None = None) -> Outcome:
        hold_id = self._hold_id(number)
        span = timedelta(microseconds=lasts)
        return self._do(
            ExtendHold(hold_id=hold_id, expires_in=lasts, acting_for=acting_for),
            lambda now: self.oracle.extend(now, number, span, acting_for),
            lambda: self.archive.about_hold(hold_id),
        )

    def reverse(self, ask: ReversalAsk, acting_for: str | None = None) -> Outcome:
        event = self._event_told(ask.event_id)
        outcome = self._do(
            ask.command(acting_for),
            lambda now: self.oracle.reverse(now, event, ask.said(), ask.reference, acting_for),
            lambda: self.archive.about_reversal(ask.event_id),
        )
        if is_new(outcome):
            self.reversed.append(ask)
        return outcome

    def set_budget(self, subject: str, limit: int | None) -> Outcome:
        """Caps a teamspace or a key; without limit, removes its cap."""
        self._advance(self.now)
        command: Command = RemoveBudget(subject_id=subject)
        if limit is not None:
            used = self.fold.used.get(subject, 0)
            command = SetBudget(subject_id=subject, limit=limit, used=used)
        decimal = say.if_any(say.to_decimal, limit)
        return self._do(command, lambda _: self.oracle.cap(subject, decimal))

    def grant(self, ask: GrantAsk) -> Outcome:
        outcome = self._do(
            ask.command(),
            lambda now: self.oracle.grant(
                now,
                ask.kind,
                say.to_decimal(ask.amount),
                ask.priority,
                say.if_any(say.to_datetime, ask.effective_at),
                say.if_any(say.to_datetime, ask.expires_at),
                ask.reference,
            ),
            lambda: self.archive.about_grant_reference(ask.reference),
        )
        if is_new(outcome):
            self.issued.append(ask)
        return outcome

    def void(self, number: int, amount: int | None) -> Outcome:
        grant_id = self.archive.grant_ids.get(number, "grant_nobody")
        return self._do(
            VoidGrant(grant_id=grant_id, credits=amount),
            lambda now: self.oracle.void(now, number, say.if_any(say.to_decimal, amount)),
            lambda: self.archive.about_grant(grant_id),
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
        wanted = say.with_parts(self.oracle.wanted, parts, names)
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
        """Forgets the account and reads back what a store would."""
        self.account = self.archive.reloaded(self.account)
        self.standing = Standing.of(self.account)
        self._check_everything()

    def _hold_id(self, number: int) -> str:
        return self.archive.hold_ids.get(number, "hold_nobody")

    def _event_told(self, event_id: str) -> str:
        return say.event_told(event_id, self.archive.numbers)

    # ── one step ──

    def _do(
        self,
        command: Command,
        ask_oracle: Callable[[datetime], Verdict],
        find_earlier: Callable[[], Earlier] = lambda: NOTHING_EARLIER,
    ) -> Outcome:
        now = self.now
        self._advance(now)
        earlier = find_earlier()
        before = photo(self.account)
        outcome, entries = decide(self.account, command, now, earlier)
        if isinstance(outcome, Refusal) or not (entries or isinstance(command, _WITHOUT_ENTRY)):
            assert photo(self.account) == before, "what was not accepted changed the account"
        self._take_written(entries)
        self.archive.keep(self.account)
        verdict = ask_oracle(say.to_datetime(now))
        check_answer(outcome, verdict, entries, self.archive, self.oracle)
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
        self.archive.keep(self.account)
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

    # ── checks ──

    def _take_written(self, entries: list[Entry]) -> None:
        """Takes in what the core wrote."""
        for sealed in seal(entries, self.fold.head):
            self.fold.take(sealed)
        for entry in entries:
            self._replay(entry)
            self.archive.take(entry, self.account)

    def _replay(self, entry: Entry) -> None:
        for grant_id in [entry.grant_id, *(name for name, _ in entry.drawn)]:
            if grant_id in self.archive.grants and grant_id not in self.standing.grants:
                self.standing.take_in(self.archive.grants[grant_id])
        self.standing.apply(entry)

    def _compare_stories(self) -> None:
        """The new entries say what the oracle noted."""
        new = self.archive.entries[self._compared :]
        told = [say.fact_told(entry, self.archive.numbers) for entry in new]
        assert told == self.oracle.facts[self._compared :]
        self._compared = len(self.archive.entries)

    def _check_everything(self) -> None:
        self.archive.keep(self.account)
        self._compare_stories()
        check_account(self.account)
        check_against_fold(self.account, self.archive, self.fold)
        check_replayed(self.account, self.archive, self.standing)
        check_against_oracle(self.account, self.archive, self.oracle)
