"""Reads: what the ledger says now, computed from durable state, writing nothing.

Between two things falling due a balance is one row. After that, the account is loaded and advanced
in memory, exactly as the next command would do it on disk.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.account import advance
from tallystick.domain.decide import changed, ledger_time
from tallystick.domain.entries import EntryKind, seal
from tallystick.domain.grants import GrantStatus
from tallystick.domain.ids import entry_id
from tallystick.domain.replay import Standing
from tallystick.domain.series import NoSpan, cut, to_points
from tallystick.domain.usage import (
    BUCKET,
    PACE_WINDOW,
    burn_rate_per_day,
    projected_exhaustion,
)
from tallystick.ledger.budgets import BudgetState
from tallystick.ledger.directory import OrganizationState
from tallystick.ledger.hold_lists import list_holds
from tallystick.ledger.lists import walk
from tallystick.ledger.pending import Pending
from tallystick.ledger.ports import PeriodRow
from tallystick.ledger.reading import BalanceRow
from tallystick.ledger.work import period_row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.commands import Changed
    from tallystick.domain.directory import Organization
    from tallystick.domain.entries import Sealed
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold, HoldStatus
    from tallystick.domain.series import BucketSize, Grouping, Point
    from tallystick.ledger.reading import EntryFilter, Page, Reader


# A NamedTuple's own constructor costs twice as much, and every credits report comes through here.
_new = tuple.__new__


class Credits(NamedTuple):
    """The three numbers of a credits report (micro-credits)."""

    remaining: int
    consumed: int
    total: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The detailed balance as of `as_of`, and the pace of the days before it.

    The pace is an estimate, from what is known of those days now: usage may be booked late.
    """

    organization_id: str
    state: Standing
    as_of: int
    burn_rate_per_day: int
    projected_exhaustion_at: int | None


class NotYet(NamedTuple):
    """The instant asked about lies ahead of `now`, or before the organization, `since`."""

    now: int
    since: int


class Advanced(NamedTuple):
    """An account as it is `now`, and the entries that the next command will write first.

    `stored` is the last sequence that was written when the account was read. A list is read after
    that, so it is told to end there: what was written in between stands in `ahead` already.
    """

    account: Account
    now: int
    ahead: list[Sealed]
    stored: int


class SeriesAsked(NamedTuple):
    """A question for usage over time; without bounds it is about the present billing period."""

    start: int | None
    end: int | None
    size: BucketSize
    timezone: str
    grouping: Grouping


class NotDeclared(NamedTuple):
    """Usage is not counted by the dimension that was asked for, but by these."""

    declared: tuple[str, ...]


class Reads:
    """Strongly consistent reads: each starts after the request for it arrived."""

    def __init__(self, reader: Reader, clock: Callable[[], int]) -> None:
        self.reader = reader
        self.clock = clock

    def credits(
        self, organization_id: str
    ) -> Credits | Pending[Credits | None] | Awaitable[Credits | None] | None:
        """The credits report: a value where one row says it that is at hand, pending where the row
        is on its way, and otherwise an awaitable."""
        row = self.reader.balance(organization_id)
        if row is None:
            return None
        if not isinstance(row, BalanceRow):
            return Pending(row, partial(self.credits_of, organization_id))
        if self.clock() < row.next_due_at:
            return _credits(row)
        return self._computed_credits(organization_id)

    def credits_of(
        self, organization_id: str, row: BalanceRow | None
    ) -> Credits | Awaitable[Credits | None] | None:
        """The same of a row that the reader has just given."""
        if row is None:
            return None
        if self.clock() < row.next_due_at:
            return _credits(row)
        return self._computed_credits(organization_id)

    async def _computed_credits(self, organization_id: str) -> Credits | None:
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        account = advanced.account
        return Credits(account.remaining, account.consumed, account.total)

    async def _advanced(self, organization_id: str) -> Advanced | None:
        account = await self.reader.account(organization_id)
        if account is None:
            return None
        stored = account.sequence
        now = ledger_time(account, self.clock())
        entries = advance(account, now)
        sealed = seal(entries, account.head)
        if sealed:
            account.head = sealed[-1].hash
        return Advanced(account, now, sealed, stored)

    async def balance(self, organization_id: str) -> Balance | None:
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        return await self._balance(organization_id, Standing.of(advanced.account), advanced.now)

    async def present(self, organization_id: str) -> Advanced | None:
        """The account as the next command will find it, for whoever looks and writes nothing."""
        return await self._advanced(organization_id)

    async def balance_at(self, organization_id: str, instant: int) -> Balance | NotYet | None:
        """The balance as a read at `instant` would have said it; entries of exactly that
        microsecond count."""
        advanced = await self._advanced(organization_id)
        organization = await self.reader.organization(organization_id)
        if advanced is None or organization is None:
            return None
        if not organization.created_at <= instant <= advanced.now:
            return NotYet(advanced.now, organization.created_at)
        state = await self._state_at(organization_id, instant, advanced)
        return await self._balance(organization_id, state, instant)

    async def _state_at(self, organization_id: str, instant: int, advanced: Advanced) -> Standing:
        history = await self.reader.history(organization_id, instant, advanced.stored)
        state = history.milestone or Standing()
        issued = {
            entry.grant_id for entry in history.entries if entry.kind is EntryKind.GRANT_ISSUED
        }
        for grant in history.grants.values():
            if grant.id not in issued:
                state.take_in(grant)
        for entry in history.entries:
            state.apply(entry)
        for sealed in advanced.ahead:
            if sealed.entry.booked_at <= instant:
                state.apply(sealed.entry)
        return state

    async def _balance(self, organization_id: str, state: Standing, as_of: int) -> Balance:
        rate = await self._burn_rate(organization_id, as_of)
        exhaustion = projected_exhaustion(state.available, rate, as_of)
        return Balance(organization_id, state, as_of, rate, exhaustion)

    async def _burn_rate(self, name: str, now: int) -> int:
        """The pace of the last days, or since there has been anything to measure."""
        organization = await self.reader.organization(name)
        window = now - PACE_WINDOW
        # Usage may have been imported that is older than the organization here.
        first_used = await self.reader.first_usage(name, window - window % BUCKET)
        opened = now if organization is None else organization.created_at
        since = max(window, opened if first_used is None else min(opened, first_used))
        consumed = await self.reader.consumed_between(name, since - since % BUCKET, now + 1)
        return burn_rate_per_day(consumed, since, now)

    async def organization(self, organization_id: str) -> OrganizationState | None:
        organization = await self.reader.organization(organization_id)
        return None if organization is None else await self._state(organization)

    async def organization_named(self, external_id: str) -> OrganizationState | None:
        organization = await self.reader.organization_named(external_id)
        return None if organization is None else await self._state(organization)

    async def organizations(self, page: Page) -> list[OrganizationState]:
        """One object more than the limit where there are more, in the order travelled."""
        return [await self._state(each) for each in await self.reader.organizations(page)]

    async def _state(self, organization: Organization) -> OrganizationState:
        advanced = await self._advanced(organization.id)
        if advanced is None:
            raise LookupError(f"{organization.id} has no account")
        terms: Changed = changed(advanced.account)
        return OrganizationState(organization, terms)

    async def grants(self, organization_id: str, page: Page) -> list[Grant] | None:
        """Grants as they are now, newest issue first, in the order travelled."""
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        live = advanced.account.grants
        ahead = [
            live[sealed.entry.grant_id or ""]
            for sealed in advanced.ahead
            if sealed.entry.kind is EntryKind.GRANT_ISSUED
        ]

        async def fetch(stored: Page) -> list[Grant]:
            rows = await self.reader.grants(organization_id, stored, advanced.stored)
            return [live.get(grant.id) or _ended(grant) for grant in rows]

        return await walk(page, ahead, lambda grant: grant.id, fetch)

    async def hold(self, organization_id: str, hold_id: str) -> Hold | None:
        """The hold as it is now."""
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        live = advanced.account.holds.get(hold_id)
        return await self.reader.hold(organization_id, hold_id) if live is None else live

    async def holds(
        self, organization_id: str, page: Page, status: HoldStatus | None
    ) -> list[Hold] | None:
        """Holds as they are now, newest first, in the order travelled."""
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        return await list_holds(self.reader, advanced.account, page, status)

    async def budgets(self, organization_id: str) -> list[BudgetState] | None:
        """All budgets with what counts against them now, by subject."""
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        account = advanced.account
        return [
            BudgetState(budget, account.period_end) for _, budget in sorted(account.budgets.items())
        ]

    async def entries(
        self, organization_id: str, page: Page, where: EntryFilter
    ) -> list[Sealed] | None:
        """Entries, those that have fallen due but are not written yet included."""
        advanced = await self._advanced(organization_id)
        return None if advanced is None else await self._entries(advanced, page, where)

    async def _entries(self, advanced: Advanced, page: Page, where: EntryFilter) -> list[Sealed]:
        name = advanced.account.organization_id

        async def fetch(stored: Page) -> Sequence[Sealed]:
            return await self.reader.entries(name, stored, where, advanced.stored)

        return await walk(
            page, advanced.ahead, _entry_id, fetch, lambda sealed: where.matches(sealed.entry)
        )

    async def entries_in_parts(
        self, organization_id: str, page: Page, where: EntryFilter
    ) -> AsyncGenerator[list[Sealed], None] | None:
        """All entries that follow `page.after`, as of now, `page.limit` at a time; `None` where
        there is no such organization.

        What is booked meanwhile is not among them: entries never change, and these end with the
        last sequence of now. Raises UnknownCursor before the first part.
        """
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        first = await self._entries(advanced, page, where)
        return self._parts(advanced, page, where, first)

    async def _parts(
        self, advanced: Advanced, page: Page, where: EntryFilter, found: list[Sealed]
    ) -> AsyncGenerator[list[Sealed], None]:
        while len(found) > page.limit:
            part = found[: page.limit]
            yield part
            page = page._replace(after=_entry_id(part[-1]))
            found = await self._entries(advanced, page, where)
        if found:
            yield found

    async def usage_series(
        self, organization_id: str, asked: SeriesAsked
    ) -> list[Point] | NotDeclared | None:
        """Usage over time. Raises NoSpan, TooMuch, and InvalidSchedule where no calendar goes."""
        organization = await self.reader.organization(organization_id)
        advanced = await self._advanced(organization_id)
        if organization is None or advanced is None:
            return None
        declared = organization.usage_dimensions
        if asked.grouping.dimension is not None and asked.grouping.dimension not in declared:
            return NotDeclared(declared)
        account = advanced.account
        start = account.period_start if asked.start is None else asked.start
        end = account.period_end if asked.end is None else asked.end
        # Periods may begin anywhere; what is asked for explicitly has been checked.
        start, end = start - start % BUCKET, end + -end % BUCKET
        if start >= end:
            raise NoSpan("must be later than from, which is by default the present period's start")
        # Years of days take the calendar a few milliseconds.
        bounds = await asyncio.to_thread(cut, start, end, asked.size, asked.timezone)
        sums = await self.reader.usage_between(organization_id, bounds, asked.grouping)
        return await asyncio.to_thread(to_points, bounds, sums, asked.grouping)

    async def periods(
        self, organization_id: str, preview: int
    ) -> tuple[list[PeriodRow], int] | None:
        """Started periods and `preview` further ones, oldest first, and the present index."""
        advanced = await self._advanced(organization_id)
        if advanced is None:
            return None
        account = advanced.account
        rows = [
            row
            for row in await self.reader.periods(organization_id)
            if row.sequence <= advanced.stored
        ]
        rows.extend(
            period_row(sealed.entry)
            for sealed in advanced.ahead
            if sealed.entry.kind is EntryKind.PERIOD_STARTED
        )
        return rows + _preview(account, preview), account.period_index


def _credits(row: BalanceRow) -> Credits:
    remaining, consumed = row.remaining, row.consumed
    return _new(Credits, (remaining, consumed, remaining + consumed - row.overage))


def _preview(account: Account, count: int) -> list[PeriodRow]:
    """The next periods as the terms stand now; they have no entries yet (sequence 0)."""
    plan = account.next_plan or account.plan
    return [
        PeriodRow(
            account.organization_id,
            account.period_index + 1 + number,
            bounds.start,
            bounds.end,
            plan.schedule.timezone,
            plan.allowance,
            0,
        )
        for number, bounds in enumerate(plan.schedule.following(account.period_end, count))
    ]


def _ended(grant: Grant) -> Grant:
    """A grant that had ended when the account was read. Where its row says otherwise, credits of a
    spent one were given back since then."""
    if grant.status is not GrantStatus.ACTIVE:
        return grant
    return replace(grant, remaining=0, held=0, status=GrantStatus.EXHAUSTED)


def _entry_id(sealed: Sealed) -> str:
    return entry_id(sealed.entry.organization_id, sealed.entry.sequence)
