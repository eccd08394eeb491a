"""Short ways to say what happens to an account: credits as they print, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from tallystick.domain.account import advance, open_account
from tallystick.domain.commands import (
    AccountStatus,
    Booked,
    BookUsage,
    Captured,
    CaptureHold,
    ChangePlan,
    Command,
    CreateGrant,
    Earlier,
    ExtendHold,
    Held,
    Issued,
    Outcome,
    PlaceHold,
    ReleaseHold,
    RemoveBudget,
    ReverseUsage,
    SetBudget,
    SetStatus,
    VoidGrant,
    usage_content,
)
from tallystick.domain.credits import format_credits, parse_credits
from tallystick.domain.decide import decide, ledger_time
from tallystick.domain.entries import Entry, EntryKind
from tallystick.domain.errors import Reason, Refusal
from tallystick.domain.grants import DEFAULT_PRIORITY, Drawn, Grant, GrantKind
from tallystick.domain.holds import Hold
from tallystick.domain.periods import Interval, Schedule, to_instant
from tallystick.domain.plans import Overage, OverageMode, Plan, Rollover, RolloverMode

ORGANIZATION = "org_00000000000000000000000001"
OPENED = "2026-01-10T12:00"
HOUR = 3_600_000_000
DAY = 24 * HOUR


def at(text: str) -> int:
    """The instant of a time in UTC, like `2026-01-31T12:00`."""
    return to_instant(datetime.fromisoformat(text).replace(tzinfo=UTC))


def schedule(
    interval: str = "month", anchor: str = "2026-01-01", zone: str = "UTC", count: int = 1
) -> Schedule:
    return Schedule(
        interval=Interval(interval),
        count=count,
        anchor=datetime.fromisoformat(anchor),
        timezone=zone,
    )


def plan(
    allowance: str = "100",
    *,
    periods: Schedule | None = None,
    rollover: Rollover | None = None,
    overage: Overage | None = None,
) -> Plan:
    return Plan(
        allowance=parse_credits(allowance),
        schedule=periods or schedule(),
        rollover=rollover or Rollover(),
        overage=overage or Overage(),
    )


def rollover(mode: str, cap: str | None = None, periods: int = 1) -> Rollover:
    return Rollover(
        mode=RolloverMode(mode), cap=None if cap is None else parse_credits(cap), periods=periods
    )


def overage(mode: str, limit: str | None = None) -> Overage:
    return Overage(mode=OverageMode(mode), limit=None if limit is None else parse_credits(limit))


class Life:
    """An account from its opening on: each call is a command at the present moment."""

    def __init__(self, terms: Plan | None = None, opened: str = OPENED) -> None:
        self.now = at(opened)
        self.account, self.entries = open_account(ORGANIZATION, terms or plan(), self.now)
        self._events: dict[str, Entry] = {}
        self._references: dict[str, Entry] = {}
        self._hold_references: dict[str, Entry] = {}

    def wait(self, until: str) -> list[Entry]:
        """Lets time pass; returns what that wrote."""
        self.now = at(until)
        written = advance(self.account, self.now)
        self.entries += written
        return written

    def do(self, command: Command, earlier: Earlier | None = None) -> Outcome:
        now = ledger_time(self.account, self.now)
        self.entries += advance(self.account, now)
        outcome, entries = decide(self.account, command, now, earlier or Earlier())
        self.entries += entries
        return outcome

    def use(
        self,
        amount: str,
        event_id: str | None = None,
        *,
        overdraw: bool = False,
        meter: str | None = None,
        occurred_at: int | None = None,
        dimensions: dict[str, str] | None = None,
        teamspace_id: str = "ts_1",
        api_key_id: str = "key_1",
    ) -> Outcome:
        event_id = event_id or f"event-{len(self.entries)}"
        micro = parse_credits(amount)
        content = usage_content(
            credits_used=micro,
            meter=meter,
            occurred_at=occurred_at,
            dimensions=dimensions,
            overdraw=overdraw,
            teamspace_id=teamspace_id,
        )
        command = BookUsage(
            event_id=event_id,
            credits=micro,
            meter=meter,
            occurred_at=occurred_at,
            dimensions=dimensions,
            overdraw=overdraw,
            teamspace_id=teamspace_id,
            api_key_id=api_key_id,
            content=content,
        )
        outcome = self.do(command, Earlier(entry=self._events.get(event_id)))
        if isinstance(outcome, Booked):
            self._events[event_id] = outcome.entry
        return outcome

    def ask_for_hold(
        self,
        amount: str,
        *,
        lasts: int = HOUR,
        reference: str | None = None,
        meter: str | None = None,
        teamspace_id: str = "ts_1",
        api_key_id: str = "key_1",
    ) -> Outcome:
        command = PlaceHold(
            credits=parse_credits(amount),
            expires_in=lasts,
            reference=reference,
            meter=meter,
            teamspace_id=teamspace_id,
            api_key_id=api_key_id,
        )
        outcome = self.do(command, Earlier(entry=self._hold_references.get(reference or "")))
        if isinstance(outcome, Held) and not outcome.duplicate and reference is not None:
            self._hold_references[reference] = self.entries[-1]
        return outcome

    def hold(
        self,
        amount: str,
        *,
        lasts: int = HOUR,
        meter: str | None = None,
        teamspace_id: str = "ts_1",
        api_key_id: str = "key_1",
    ) -> Hold:
        """Places a hold that nothing forbids; what is returned changes with the account."""
        outcome = self.ask_for_hold(
            amount, lasts=lasts, meter=meter, teamspace_id=teamspace_id, api_key_id=api_key_id
        )
        assert isinstance(outcome, Held)
        return self.account.holds[outcome.hold.id]

    def capture(
        self,
        hold: Hold,
        amount: str,
        event_id: str | None = None,
        *,
        final: bool = False,
        allow_excess: bool = False,
        overdraw: bool = False,
        meter: str | None = None,
        acting_for: str | None = None,
    ) -> Outcome:
        command = CaptureHold(
            hold_id=hold.id,
            credits=parse_credits(amount),
            event_id=event_id,
            final=final,
            allow_excess=allow_excess,
            overdraw=overdraw,
            meter=meter,
            acting_for=acting_for,
        )
        outcome = self.do(command, Earlier(entry=self._events.get(command.booked_as)))
        if isinstance(outcome, Captured):
            self._events[command.booked_as] = outcome.booked.entry
        return outcome

    def release(self, hold: Hold, *, acting_for: str | None = None) -> Outcome:
        return self.do(ReleaseHold(hold_id=hold.id, acting_for=acting_for))

    def extend(self, hold: Hold, lasts: int, *, acting_for: str | None = None) -> Outcome:
        return self.do(ExtendHold(hold_id=hold.id, expires_in=lasts, acting_for=acting_for))

    def reverse(
        self,
        event_id: str,
        amount: str | None = None,
        *,
        reference: str | None = None,
        note: str | None = None,
        acting_for: str | None = None,
    ) -> Outcome:
        command = ReverseUsage(
            event_id=event_id,
            credits=None if amount is None else parse_credits(amount),
            reference=reference,
            note=note,
            acting_for=acting_for,
        )
        reversals = [
            entry
            for entry in self.entries
            if entry.kind is EntryKind.USAGE_REVERSED and entry.event_id == event_id
        ]
        return self.do(command, Earlier(entry=self._events.get(event_id), reversals=reversals))

    def set_budget(self, subject_id: str, limit: str, *, used: str = "0") -> Outcome:
        micro, used_before = parse_credits(limit), parse_credits(used)
        return self.do(SetBudget(subject_id=subject_id, limit=micro, used=used_before))

    def remove_budget(self, subject_id: str) -> Outcome:
        return self.do(RemoveBudget(subject_id=subject_id))

    def ask_for_grant(
        self,
        amount: str,
        kind: str = "top_up",
        *,
        priority: int = DEFAULT_PRIORITY,
        effective: str | None = None,
        expires: str | None = None,
        reference: str | None = None,
    ) -> Outcome:
        command = CreateGrant(
            amount=parse_credits(amount),
            kind=GrantKind(kind),
            priority=priority,
            effective_at=None if effective is None else at(effective),
            expires_at=None if expires is None else at(expires),
            reference=reference,
        )
        outcome = self.do(command, Earlier(entry=self._references.get(reference or "")))
        if isinstance(outcome, Issued) and not outcome.duplicate and reference is not None:
            self._references[reference] = self.entries[-1]
        return outcome

    def grant(
        self,
        amount: str,
        kind: str = "top_up",
        *,
        priority: int = DEFAULT_PRIORITY,
        effective: str | None = None,
        expires: str | None = None,
    ) -> Grant:
        """Issues a grant that nothing forbids; what is returned changes with the account."""
        outcome = self.ask_for_grant(
            amount, kind, priority=priority, effective=effective, expires=expires
        )
        assert isinstance(outcome, Issued)
        return self.account.grants[outcome.grant.id]

    def void(self, grant: Grant, amount: str | None = None) -> Outcome:
        micro = None if amount is None else parse_credits(amount)
        return self.do(VoidGrant(grant_id=grant.id, credits=micro))

    def change(
        self,
        *,
        allowance: str | None = None,
        periods: Schedule | None = None,
        rollover: Rollover | None = None,
        overage: Overage | None = None,
        apply_now: bool = False,
    ) -> Outcome:
        command = ChangePlan(
            allowance=None if allowance is None else parse_credits(allowance),
            schedule=periods,
            rollover=rollover,
            overage=overage,
            apply_now=apply_now,
        )
        return self.do(command)

    def set_status(self, status: str) -> Outcome:
        return self.do(SetStatus(status=AccountStatus(status)))

    @property
    def allowance(self) -> Grant:
        """The present period's allowance grant."""
        return self.account.grants[self.account.allowance_grant_id or ""]

    @property
    def triple(self) -> tuple[str, str, str]:
        """Remaining, consumed and total."""
        account = self.account
        return (
            format_credits(account.remaining),
            format_credits(account.consumed),
            format_credits(account.total),
        )

    @property
    def overage(self) -> str:
        return format_credits(self.account.overage)

    @property
    def held(self) -> str:
        return format_credits(self.account.held)

    @property
    def available(self) -> str:
        return format_credits(self.account.available)


def reason(outcome: Outcome) -> Reason | None:
    """Why a command was refused; None where it was not."""
    return outcome.reason if isinstance(outcome, Refusal) else None


def kinds(entries: list[Entry]) -> list[str]:
    return [str(entry.kind) for entry in entries]


def moves(entries: list[Entry]) -> list[tuple[str, str]]:
    """Kind and credits of each entry."""
    return [(str(entry.kind), format_credits(entry.credits)) for entry in entries]


def printed(drawn: Drawn) -> list[tuple[str, str]]:
    """Of which grant how much, in the order drawn."""
    return [(grant_id, format_credits(part)) for grant_id, part in drawn]
