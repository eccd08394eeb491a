"""The reader of an SQLite store.

Theory of operation. SQLite shows a reader a commit only after it was synced, and every statement
here begins a transaction of its own, so each read sees all that was acknowledged before it and
nothing that could still be lost. A statement is always read to its end: one left half read would
hold the reader to the past.

A balance that the process itself wrote or read before is served from memory where the process owns
the file (see `balances`).

What takes microseconds runs in the event loop on one connection. Lists and sums, whose work grows
with what is stored, run in a thread on another; SQLite lets go of the interpreter meanwhile.

A list's order is that of (moment of creation, id), and for grants and entries of the ledger's
sequence (see `sqlite_entries`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

import apsw

from tallystick.ledger.lists import cursor_of, goes_newer
from tallystick.ledger.ports import UsageRecord
from tallystick.ledger.reading import BalanceRow, Credential, UnknownCursor
from tallystick.storage import rows
from tallystick.storage.hold_rows import hold_from
from tallystick.storage.lists import AFTER_ALL, BEFORE_ALL, List, Lists
from tallystick.storage.price_rows import price_from
from tallystick.storage.queries import load_statements
from tallystick.storage.sqlite_entries import EntrySearch
from tallystick.storage.sqlite_errors import translate, translating
from tallystick.storage.sqlite_history import read_history
from tallystick.storage.sqlite_load import load_accounts
from tallystick.storage.sqlite_periods import read_period
from tallystick.storage.sqlite_prices import PriceCache
from tallystick.storage.sqlite_requests import read_refused
from tallystick.storage.sqlite_usage import UsageSearch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Executor

    from tallystick.domain.account import Account
    from tallystick.domain.directory import ApiKey, Organization, Teamspace
    from tallystick.domain.entries import Entry, Sealed
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold, HoldStatus
    from tallystick.domain.prices import Price, PriceBook
    from tallystick.domain.series import Amounts, Group, Grouping
    from tallystick.ledger.ports import PeriodRow
    from tallystick.ledger.reading import EntryFilter, History, Page
    from tallystick.ledger.refused import RefusedRequest
    from tallystick.ledger.statements import PeriodRecord
    from tallystick.storage.balances import Balances
    from tallystick.storage.lists import Position

T = TypeVar("T")

_SQL: Final = load_statements("sqlite", "lane", "reader", "prices", "usage")
_BALANCE: Final = _SQL["read_balance"]
_CREDENTIAL: Final = _SQL["read_credential"]
_LISTS: Final = Lists(_SQL)


class SqliteReader:
    """Reads on two connections of its own; neither can write."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        worker: Executor,
        balances: Balances | None,
    ) -> None:
        self._connect = connect
        self._at_once = connect()
        self._in_thread = connect()
        self._worker = worker
        self._balances = balances
        self._prices = PriceCache()

    def balance(self, organization_id: str) -> BalanceRow | None:
        balances = self._balances
        if balances is None:
            return self._stored_balance(organization_id)
        row = balances.rows.get(organization_id)
        if row is None:
            row = self._stored_balance(organization_id)
            if row is not None:
                balances.note(organization_id, row)
        return row

    def _stored_balance(self, organization_id: str) -> BalanceRow | None:
        try:
            found: list[Any] = self._at_once.execute(_BALANCE, (organization_id,)).fetchall()
        except apsw.Error as error:
            raise translate(error) from error
        return BalanceRow(*found[0]) if found else None

    def credential(self, digest: bytes) -> Credential | None:
        try:
            found = self._at_once.execute(_CREDENTIAL, (digest,)).fetchall()
        except apsw.Error as error:
            raise translate(error) from error
        return rows.credential_from(found[0]) if found else None

    async def account(self, organization_id: str) -> Account | None:
        with translating():
            self._at_once.execute(_SQL["begin_reading"])
            try:
                return load_accounts(self._at_once, [organization_id]).get(organization_id)
            finally:
                self._at_once.execute(_SQL["end_reading"])

    async def organization(self, organization_id: str) -> Organization | None:
        row = self._row("load_organization", organization_id)
        return None if row is None else rows.organization_from(row)

    async def organization_named(self, external_id: str) -> Organization | None:
        row = self._row("load_external_id", external_id)
        return None if row is None else await self.organization(row[1])

    async def teamspace(self, organization_id: str, teamspace_id: str) -> Teamspace | None:
        row = self._row("load_teamspace", organization_id, teamspace_id)
        return None if row is None else rows.teamspace_from(row)

    async def key(self, organization_id: str | None, key_id: str) -> ApiKey | None:
        row = self._row("load_key", rows.scope_of(organization_id), key_id)
        return None if row is None else rows.key_from(row)

    async def organizations(self, page: Page) -> list[Organization]:
        return await self._page(_LISTS.organizations, "", page)

    async def teamspaces(self, organization_id: str, page: Page) -> list[Teamspace]:
        return await self._page(_LISTS.teamspaces, organization_id, page)

    async def keys(self, organization_id: str | None, page: Page) -> list[ApiKey]:
        return await self._page(_LISTS.keys, rows.scope_of(organization_id), page)

    async def grants(
        self, organization_id: str, page: Page, up_to: int | None = None
    ) -> list[Grant]:
        beyond = AFTER_ALL if up_to is None else (up_to + 1, "")
        found = await self._page(_LISTS.grants, organization_id, page, beyond)
        return [grant for grant in found if up_to is None or grant.issued <= up_to]

    async def entries(
        self, organization_id: str, page: Page, where: EntryFilter, up_to: int | None = None
    ) -> list[Sealed]:
        search = EntrySearch(self._in_thread, organization_id, page, where, up_to)
        while not await self._slowly(search.step):
            pass
        return search.found

    async def history(self, organization_id: str, instant: int, up_to: int) -> History:
        return await self._slowly(
            lambda: read_history(self._in_thread, organization_id, instant, up_to)
        )

    async def hold(self, organization_id: str, hold_id: str) -> Hold | None:
        row = self._row("load_hold", organization_id, hold_id)
        return None if row is None else hold_from(row)

    async def holds(
        self, organization_id: str, page: Page, status: HoldStatus | None
    ) -> list[Hold]:
        if status is None:
            return await self._page(_LISTS.holds, organization_id, page)
        return await self._page(_LISTS.holds_of_status, organization_id, page, more=(status,))

    async def event(self, organization_id: str, event_id: str) -> Entry | None:
        sequence = self._row("sequence_of_event", organization_id, event_id)
        row = None if sequence is None else self._row("load_entry", organization_id, *sequence)
        return None if row is None else rows.entry_from(row)

    async def reversals(self, organization_id: str, event_id: str) -> list[Entry]:
        found = await self._slow_rows("load_reversals", organization_id, event_id)
        return [rows.entry_from(row) for row in found]

    async def periods(self, organization_id: str) -> list[PeriodRow]:
        found = await self._slow_rows("read_periods", organization_id)
        return [rows.period_from(row) for row in found]

    async def period_record(self, organization_id: str, index: int) -> PeriodRecord | None:
        return await self._slowly(lambda: read_period(self._in_thread, organization_id, index))

    async def consumed_between(self, organization_id: str, start: int, end: int) -> int:
        ((consumed,),) = await self._slow_rows("read_consumed_between", organization_id, start, end)
        return int(consumed)

    async def first_usage(self, organization_id: str, start: int) -> int | None:
        ((first,),) = await self._slow_rows("read_first_usage", organization_id, start)
        return None if first is None else int(first)

    async def price_book(self, meters: Collection[str]) -> PriceBook:
        return await self._slowly(lambda: self._prices.book(self._in_thread, meters))

    async def price(self, price_id: str) -> Price | None:
        row = self._row("load_price", price_id)
        return None if row is None else price_from(row)

    async def prices(self, page: Page) -> list[Price]:
        return await self._page(_LISTS.prices, "", page)

    async def usage_event(self, organization_id: str, event_id: str) -> UsageRecord | None:
        found = await self._slow_rows("read_usage_event", organization_id, event_id)
        if not found:
            return None
        row = found[0]
        return UsageRecord(rows.entry_from(row), bool(row[19]), rows.dimensions_from(row[20:]))

    async def usage_between(
        self, organization_id: str, bounds: Sequence[int], grouping: Grouping
    ) -> Sequence[Mapping[Group, Amounts]]:
        connection = await self._slowly(self._connect)
        try:
            search = UsageSearch(connection, organization_id, bounds, grouping)
            await self._slowly(search.begin)
            while not await self._slowly(search.step):
                pass
            return await self._slowly(search.sums)
        finally:
            # In the thread, where a step may be under way that nobody waits for any more.
            self._worker.submit(connection.close)

    async def refused_request(self, organization_id: str, request_id: str) -> RefusedRequest | None:
        with translating():
            return read_refused(self._at_once, organization_id, request_id)

    async def due(self, now: int, limit: int) -> list[str]:
        return [row[0] for row in await self._slow_rows("read_due", now, limit)]

    async def check(self) -> None:
        """Raises StoreUnavailable where the database cannot be read."""
        self._row("ping")

    async def close(self) -> None:
        try:
            await self._slowly(self._in_thread.close)
        finally:
            self._at_once.close()

    def _row(self, statement: str, *key: object) -> tuple[Any, ...] | None:
        with translating():
            found = self._at_once.execute(_SQL[statement], key).fetchall()
        return found[0] if found else None

    async def _slow_rows(self, statement: str, *key: object) -> list[tuple[Any, ...]]:
        return await self._slowly(lambda: self._in_thread.execute(_SQL[statement], key).fetchall())

    async def _page(
        self,
        kind: List,
        scope: str,
        page: Page,
        beyond: Position = AFTER_ALL,
        more: tuple[object, ...] = (),
    ) -> list[Any]:
        return await self._slowly(lambda: _page(self._in_thread, kind, scope, page, beyond, more))

    async def _slowly(self, work: Callable[[], T]) -> T:
        with translating():
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def _page(
    connection: apsw.Connection,
    kind: List,
    scope: str,
    page: Page,
    beyond: Position,
    more: tuple[object, ...],
) -> list[Any]:
    """One page of a list that ends before `beyond`, as far as walking towards older ones goes.

    `more` is what the list's statements ask beside.
    """
    towards_newer = goes_newer(page)
    start: Position = BEFORE_ALL if towards_newer else beyond
    cursor = cursor_of(page)
    if cursor is not None:
        found: list[Any] = connection.execute(kind.position, (scope, cursor)).fetchall()
        if not found:
            raise UnknownCursor(cursor)
        start = (found[0][0], cursor)
    statement = kind.newer if towards_newer else kind.older
    key = (scope, *start, page.limit + 1, *more)
    return [kind.read(row) for row in connection.execute(statement, key)]
