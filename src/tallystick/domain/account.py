"""An organization's account, and how time moves it.

Theory of operation. An account is its balances, its plan, its present period and the grants that
still matter. Every change to it goes through one of the functions below, which changes the balances
and returns the entry that says so, with the balances after it. `advance` brings an account from any
moment to any later one: it walks the instants at which something falls due and does, at each, what
is due in one fixed order, dated at that instant. So it does not matter when it is called: daily,
or once after three years, the entries are the same to the byte.

Invariants (micro-credits):
    remaining = the sum of `remaining` over active grants, and over ended ones what is held
    held      = the sum of `held` over all grants, and over all open holds; at most `remaining`
    pending   = the sum of `remaining` over grants that are not effective yet
    total     = remaining + consumed - overage; total + pending <= MAX_SUM
    consumed <= MAX_SUM
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tallystick.domain.budgets import note_held
from tallystick.domain.commands import AccountStatus
from tallystick.domain.credits import MAX_SUM
from tallystick.domain.entries import GENESIS, Entry, EntryKind, canonical_json
from tallystick.domain.grants import (
    DEFAULT_PRIORITY,
    Drawn,
    Grant,
    GrantKind,
    GrantStatus,
    burn_key,
)
from tallystick.domain.holds import Hold, add_open, expire_holds
from tallystick.domain.ids import derive_id
from tallystick.domain.periods import Calendar

if TYPE_CHECKING:
    from tallystick.domain.budgets import Budgets
    from tallystick.domain.plans import Plan


@dataclass(slots=True, kw_only=True)
class Account:
    """State of one organization's ledger after entry `sequence`.

    `plan` is in force; `next_plan`, where there is one, replaces it when the period ends.
    `burning` holds the active grants that have something left, in burn order; `waiting` those that
    are not effective yet; `grants` all that were loaded or touched, by id. `open_holds` are all
    open ones in the order in which they expire; `holds` all that were loaded or touched, by id.
    """

    organization_id: str
    status: AccountStatus = AccountStatus.ACTIVE
    plan: Plan
    next_plan: Plan | None = None
    period_index: int = -1
    period_start: int = 0
    period_end: int = 0
    allowance_grant_id: str | None = None
    remaining: int = 0
    consumed: int = 0
    overage: int = 0
    held: int = 0
    pending: int = 0
    sequence: int = 0
    head: bytes = GENESIS
    advanced_to: int
    next_due_at: int = 0
    grants: dict[str, Grant] = field(default_factory=dict)
    burning: list[Grant] = field(default_factory=list)
    waiting: list[Grant] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)
    open_holds: list[Hold] = field(default_factory=list)
    budgets: Budgets = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.remaining + self.consumed - self.overage

    @property
    def available(self) -> int:
        return self.remaining - self.held

    @property
    def room(self) -> int:
        """How much more may be granted before the sums leave their range."""
        return MAX_SUM - self.total - self.pending

    def copy(self) -> Account:
        """An account that changes without changing this one."""
        grants = {grant_id: replace(grant) for grant_id, grant in self.grants.items()}
        holds = {hold_id: replace(hold) for hold_id, hold in self.holds.items()}
        return replace(
            self,
            grants=grants,
            burning=[grants[grant.id] for grant in self.burning],
            waiting=[grants[grant.id] for grant in self.waiting],
            holds=holds,
            open_holds=[holds[hold.id] for hold in self.open_holds],
            budgets={name: replace(budget) for name, budget in self.budgets.items()},
        )

    def add_loaded(self, grant: Grant) -> None:
        """Takes in a grant that was read back."""
        self.grants[grant.id] = grant
        if grant.status is GrantStatus.PENDING:
            self.waiting.append(grant)
        elif grant.status is GrantStatus.ACTIVE and grant.remaining:
            insort(self.burning, grant, key=burn_key)

    def add_hold(self, hold: Hold) -> None:
        """Takes in an open hold that was placed or read back; the budgets are there already."""
        self.holds[hold.id] = hold
        add_open(self.open_holds, hold)
        note_held(self.budgets, hold.teamspace_id, hold.api_key_id, hold.held)

    def entry(
        self,
        kind: EntryKind,
        at: int,
        credits_moved: int = 0,
        *,
        grant_id: str | None = None,
        hold: Hold | None = None,
        drawn: Drawn = (),
        detail: str | None = None,
        content: bytes | None = None,
    ) -> Entry:
        """The next entry about a grant, a hold or the account, with the balances as they are now.

        Usage and its reversals have more to say: see `spending` and `reversals`.
        """
        self.sequence += 1
        self.advanced_to = at
        return Entry(
            organization_id=self.organization_id,
            sequence=self.sequence,
            kind=kind,
            credits=credits_moved,
            drawn=drawn,
            grant_id=grant_id,
            event_id=None,
            hold_id=None if hold is None else hold.id,
            teamspace_id=None if hold is None else hold.teamspace_id,
            api_key_id=None if hold is None else hold.api_key_id,
            meter=None if hold is None else hold.meter,
            occurred_at=None,
            booked_at=at,
            remaining_after=self.remaining,
            consumed_after=self.consumed,
            overage_after=self.overage,
            held_after=self.held,
            detail=detail,
            content=content,
        )


def open_account(organization_id: str, plan: Plan, now: int) -> tuple[Account, list[Entry]]:
    """A new account in the period that contains `now`, and its first entries."""
    account = Account(organization_id=organization_id, plan=plan, advanced_to=now)
    entries = [account.entry(EntryKind.PLAN_CHANGED, now, detail=canonical_json(plan.to_facts()))]
    start, end = plan.schedule.bounds_at(now)
    _start_period(account, now, (start, end), entries)
    account.next_due_at = _next_due(account)
    return account, entries


def advance(account: Account, now: int) -> list[Entry]:
    """Does all that fell due up to and including `now`; returns the entries, in order."""
    entries: list[Entry] = []
    if account.next_due_at > now:
        return entries
    calendar = Calendar()
    while account.next_due_at <= now:
        at = account.next_due_at
        expire_holds(account, at, entries)
        _expire_grants(account, at, calendar, entries)
        if account.period_end == at:
            account.plan = account.next_plan or account.plan
            account.next_plan = None
            end = calendar.boundary_after(account.plan.schedule, at)
            _start_period(account, at, (at, end), entries)
        _activate_grants(account, at, entries)
        account.next_due_at = _next_due(account)
    return entries


def _next_due(account: Account) -> int:
    """The first instant at which time changes the account."""
    due = account.period_end
    if account.open_holds:
        due = min(due, account.open_holds[0].expires_at)
    for grant in account.burning:
        due = min(due, grant.ends_at)
    for grant in account.waiting:
        due = min(due, grant.effective_at)
    return due


def _expire_grants(account: Account, at: int, calendar: Calendar, entries: list[Entry]) -> None:
    expired = [grant for grant in account.burning if grant.ends_at <= at]
    for grant in sorted(expired, key=lambda grant: grant.issued):
        lapsed = grant.unheld
        grant.remaining -= lapsed
        grant.status = GrantStatus.EXPIRED
        account.remaining -= lapsed
        account.burning.remove(grant)
        entries.append(
            account.entry(EntryKind.GRANT_EXPIRED, at, lapsed, grant_id=grant.id),
        )
        if grant.id == account.allowance_grant_id:
            _roll_over(account, lapsed, at, calendar, entries)


def _roll_over(
    account: Account, unspent: int, at: int, calendar: Calendar, entries: list[Entry]
) -> None:
    """Lets part of the ended period's allowance live on, under the terms of that period."""
    rollover = account.plan.rollover
    carried = rollover.carried(unspent)
    if not carried:
        return
    schedule = (account.next_plan or account.plan).schedule
    entries.append(
        issue_grant(
            account,
            at,
            kind=GrantKind.ROLLOVER,
            amount=carried,
            effective_at=at,
            expires_at=calendar.boundary_after(schedule, at, rollover.periods),
        )
    )


def _start_period(account: Account, at: int, bounds: tuple[int, int], entries: list[Entry]) -> None:
    account.period_index += 1
    account.period_start, account.period_end = bounds
    account.consumed = account.overage = 0
    for budget in account.budgets.values():
        budget.used = 0
    account.allowance_grant_id = None
    detail = canonical_json(
        {
            "allowance": account.plan.allowance,
            "end": account.period_end,
            "index": account.period_index,
            "start": account.period_start,
            "timezone": account.plan.schedule.timezone,
        }
    )
    entries.append(account.entry(EntryKind.PERIOD_STARTED, at, detail=detail))
    # Grants that pile up may leave less room than the allowance: sums never leave their range.
    allowance = min(account.plan.allowance, account.room)
    if allowance:
        entries.append(issue_allowance(account, at, allowance))


def issue_allowance(account: Account, at: int, amount: int) -> Entry:
    """Grants the present period's allowance."""
    entry = issue_grant(
        account,
        at,
        kind=GrantKind.ALLOWANCE,
        amount=amount,
        effective_at=account.period_start,
        expires_at=account.period_end,
    )
    account.allowance_grant_id = entry.grant_id
    return entry


def _activate_grants(account: Account, at: int, entries: list[Entry]) -> None:
    due = [grant for grant in account.waiting if grant.effective_at <= at]
    for grant in sorted(due, key=lambda grant: grant.issued):
        account.waiting.remove(grant)
        account.pending -= grant.remaining
        account.remaining += grant.remaining
        grant.status = GrantStatus.ACTIVE
        insort(account.burning, grant, key=burn_key)
        entries.append(
            account.entry(EntryKind.GRANT_ACTIVATED, at, grant.remaining, grant_id=grant.id)
        )


def issue_grant(
    account: Account,
    at: int,
    *,
    kind: GrantKind,
    amount: int,
    effective_at: int,
    expires_at: int | None,
    priority: int = DEFAULT_PRIORITY,
    reference: str | None = None,
    content: bytes | None = None,
) -> Entry:
    """Adds a grant to the account: at once, or waiting where it takes effect later."""
    sequence = account.sequence + 1
    is_pending = effective_at > at
    grant = Grant(
        id=derive_id("grant", account.organization_id, sequence, at),
        kind=kind,
        amount=amount,
        remaining=amount,
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        status=GrantStatus.PENDING if is_pending else GrantStatus.ACTIVE,
        issued=sequence,
        reference=reference,
        created_at=at,
    )
    account.add_loaded(grant)
    if is_pending:
        account.pending += amount
    else:
        account.remaining += amount
    account.next_due_at = min(account.next_due_at, effective_at if is_pending else grant.ends_at)
    return account.entry(
        EntryKind.GRANT_ISSUED,
        at,
        amount,
        grant_id=grant.id,
        detail=_issue_detail(grant),
        content=content,
    )


def _issue_detail(grant: Grant) -> str:
    return canonical_json(
        {
            "effective_at": grant.effective_at,
            "expires_at": grant.expires_at,
            "kind": str(grant.kind),
            "pending": grant.status is GrantStatus.PENDING,
            "priority": grant.priority,
            "reference": grant.reference,
        }
    )
