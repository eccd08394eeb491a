"""The reader of a PostgreSQL store.

Theory of operation. Every query begins after the request for it arrived and goes to the primary, so
each read sees all that was acknowledged before it, by any node.

Balances and credentials are coalesced: those that are asked for while a query is under way go into
the next one, which asks for all of them at once. One query of each kind is under way at a time.
With 64 clients asking, a query's costs are shared by 64; one that is alone waits for nobody. Where
one hangs, those aboard wait until its deadline, and those after them until theirs.

Nothing here can hold others back. Hot queries, single objects and lists have connections of their
own, so a list that takes long delays lists. All have deadlines, and a connection that does not
answer is given up (see `connections`).

What one statement reads is of one moment; what takes several, and has to be, is read in one
transaction. A list's order is that of (moment of creation, id), and for grants and entries of the
ledger's sequence (see `entries`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from tallystick.ledger.coalesce import Coalescer
from tallystick.ledger.lists import cursor_of, goes_newer
from tallystick.ledger.ports import StatementRejected, UsageRecord
from tallystick.ledger.reading import BalanceRow, Credential, UnknownCursor
from tallystick.storage import rows
from tallystick.storage.hold_rows import hold_from
from tallystick.storage.lists import AFTER_ALL, BEFORE_ALL, List, Lists
from tallystick.storage.postgres.accounts import read_account
from tallystick.storage.postgres.connections import Connections
from tallystick.storage.postgres.entries import search_entries
from tallystick.storage.postgres.history import read_history
from tallystick.storage.postgres.periods import read_period
from tallystick.storage.postgres.prices import PriceCache, read_book
from tallystick.storage.postgres.requests import read_refused
from tallystick.storage.postgres.usage import UsageSearch
from tallystick.storage.price_rows import price_from
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

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
    from tallystick.storage.lists import Position
    from tallystick.storage.postgres.clock import DatabaseClock
    from tallystick.storage.postgres.connections import Connect, Connection

T = TypeVar("T")

_SQL: Final = load_statements("postgres", "reader", "lists", "entries", "prices", "usage")
_BALANCES: Final = _SQL["read_balances"]
_CREDENTIALS: Final = _SQL["read_credentials"]
_LISTS: Final = Lists(_SQL)


class ReadingLimits(NamedTuple):
    """How many connections a process reads objects and lists with, at most, beside the two of the
    hot queries; and how long a query may take."""

    objects: int = 3
    lists: int = 3
    hot_seconds: float = 2.0
    seconds: float = 12.0


DEFAULT_LIMITS: Final = ReadingLimits()


class PostgresReader:
    """Reads on connections of its own, which cannot write.

    `connect` makes one, with the settings READING. `clock` is told what the database's says.
    """

    def __init__(
        self, connect: Connect, clock: DatabaseClock, limits: ReadingLimits = DEFAULT_LIMITS
    ) -> None:
        self._clock = clock
        self._hot = Connections(connect, most=2, seconds=limits.hot_seconds)
        self._objects = Connections(connect, most=limits.objects, seconds=limits.seconds)
        self._lists = Connections(connect, most=limits.lists, seconds=limits.seconds)
        self._balances = Coalescer(self._read_balances, is_final=_is_final)
        self._credentials = Coalescer(self._read_credentials, is_final=_is_final)
        self._prices = PriceCache()

    # ── coalesced ──

    def balance(self, organization_id: str) -> asyncio.Future[BalanceRow | None]:
        return self._balances.submit(organization_id)

    def credential(self, digest: bytes) -> asyncio.Future[Credential | None]:
        return self._credentials.submit(digest)

    async def _read_balances(self, names: Sequence[str]) -> list[BalanceRow | None]:
        wanted = list(set(names))
        asked = self._clock.monotonic_ns()
        found = await self._hot.run(lambda connection: connection.fetch(_BALANCES, wanted))
        self._clock.note(found[0][1], asked, self._clock.monotonic_ns())
        balances = {row[0]: BalanceRow(*row[2:]) for row in found if row[2] is not None}
        return [balances.get(name) for name in names]

    async def _read_credentials(self, digests: Sequence[bytes]) -> list[Credential | None]:
        wanted = list(set(digests))
        found = await self._hot.run(lambda connection: connection.fetch(_CREDENTIALS, wanted))
        credentials = {row[0]: rows.credential_from(row) for row in found}
        return [credentials.get(digest) for digest in digests]

    # ── objects ──

    async def account(self, organization_id: str) -> Account | None:
        return await self._objects.run(lambda connection: read_account(connection, organization_id))

    async def organization(self, organization_id: str) -> Organization | None:
        row = await self._row("read_organization", organization_id)
        return None if row is None else rows.organization_from(row)

    async def organization_named(self, external_id: str) -> Organization | None:
        row = await self._row("read_external_id", external_id)
        return None if row is None else await self.organization(row[0])

    async def teamspace(self, organization_id: str, teamspace_id: str) -> Teamspace | None:
        row = await self._row("read_teamspace", organization_id, teamspace_id)
        return None if row is None else rows.teamspace_from(row)

    async def key(self, organization_id: str | None, key_id: str) -> ApiKey | None:
        row = await self._row("read_key", rows.scope_of(organization_id), key_id)
        return None if row is None else rows.key_from(row)

    async def hold(self, organization_id: str, hold_id: str) -> Hold | None:
        row = await self._row("read_hold", organization_id, hold_id)
        return None if row is None else hold_from(row)

    async def event(self, organization_id: str, event_id: str) -> Entry | None:
        row = await self._row("read_event", organization_id, event_id)
        return None if row is None else rows.entry_from(row)

    async def usage_event(self, organization_id: str, event_id: str) -> UsageRecord | None:
        row = await self._row("read_usage_event", organization_id, event_id)
        if row is None:
            return None
        return UsageRecord(rows.entry_from(row), bool(row[19]), rows.dimensions_from(row[20:]))

    async def price(self, price_id: str) -> Price | None:
        row = await self._row("read_price", price_id)
        return None if row is None else price_from(row)

    async def price_book(self, meters: Collection[str]) -> PriceBook:
        return await self._objects.run(
            lambda connection: read_book(connection, self._prices, meters)
        )

    async def refused_request(self, organization_id: str, request_id: str) -> RefusedRequest | None:
        return await self._objects.run(
            lambda connection: read_refused(connection, organization_id, request_id)
        )

    async def read_clock(self) -> int:
        """What the database's clock says, which is noted; raises StoreUnavailable where the
        database cannot be read."""
        asked = self._clock.monotonic_ns()
        now = int(await self._objects.run(lambda connection: connection.fetchval(_SQL["clock"])))
        self._clock.note(now, asked, self._clock.monotonic_ns())
        return now

    async def check(self) -> None:
        """Raises StoreUnavailable where the database cannot be read."""
        await self._row("ping")

    # ── lists and sums ──

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

    async def holds(
        self, organization_id: str, page: Page, status: HoldStatus | None
    ) -> list[Hold]:
        if status is None:
            return await self._page(_LISTS.holds, organization_id, page)
        return await self._page(_LISTS.holds_of_status, organization_id, page, more=(status,))

    async def prices(self, page: Page) -> list[Price]:
        return await self._page(_LISTS.prices, "", page)

    async def entries(
        self, organization_id: str, page: Page, where: EntryFilter, up_to: int | None = None
    ) -> list[Sealed]:
        return await search_entries(self._lists, organization_id, page, where, up_to)

    async def reversals(self, organization_id: str, event_id: str) -> list[Entry]:
        found = await self._rows("read_reversals", organization_id, event_id)
        return [rows.entry_from(row) for row in found]

    async def periods(self, organization_id: str) -> list[PeriodRow]:
        found = await self._rows("read_periods", organization_id)
        return [rows.period_from(row) for row in found]

    async def history(self, organization_id: str, instant: int, up_to: int) -> History:
        return await self._of_one_moment(
            lambda connection: read_history(connection, organization_id, instant, up_to)
        )

    async def period_record(self, organization_id: str, index: int) -> PeriodRecord | None:
        return await self._of_one_moment(
            lambda connection: read_period(connection, organization_id, index)
        )

    async def usage_between(
        self, organization_id: str, bounds: Sequence[int], grouping: Grouping
    ) -> Sequence[Mapping[Group, Amounts]]:
        search = UsageSearch(organization_id, bounds, grouping)
        found = await self._of_one_moment(search.read)
        # There may be a great many groups.
        return await asyncio.to_thread(search.sums, *found)

    async def consumed_between(self, organization_id: str, start: int, end: int) -> int:
        ((consumed,),) = await self._rows("read_consumed_between", organization_id, start, end)
        return int(consumed)

    async def first_usage(self, organization_id: str, start: int) -> int | None:
        ((first,),) = await self._rows("read_first_usage", organization_id, start)
        return None if first is None else int(first)

    async def due(self, now: int, limit: int) -> list[str]:
        return [row[0] for row in await self._rows("read_due", now, limit)]

    async def close(self) -> None:
        for connections in (self._hot, self._objects, self._lists):
            connections.close()

    async def _row(self, statement: str, *key: object) -> Sequence[Any] | None:
        return await self._objects.run(
            lambda connection: connection.fetchrow(_SQL[statement], *key)
        )

    async def _rows(self, statement: str, *key: object) -> Sequence[Sequence[Any]]:
        return await self._lists.run(lambda connection: connection.fetch(_SQL[statement], *key))

    async def _page(
        self,
        kind: List,
        scope: str,
        page: Page,
        beyond: Position = AFTER_ALL,
        more: tuple[object, ...] = (),
    ) -> list[Any]:
        return await self._lists.run(
            lambda connection: _read_page(connection, kind, scope, page, beyond, more)
        )

    async def _of_one_moment(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async def within(connection: Connection) -> T:
            await connection.execute(_SQL["begin_reading"])
            result = await work(connection)
            # Where it failed, nobody waits for a rollback: the connection is given up.
            await connection.execute(_SQL["end_reading"])
            return result

        return await self._lists.run(within)


def _is_final(error: BaseException) -> bool:
    """Whether asking one by one would be of no use: the statement is not to blame."""
    return not isinstance(error, StatementRejected)


async def _read_page(
    connection: Connection,
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
        position = await connection.fetchval(kind.position, scope, cursor)
        if position is None:
            raise UnknownCursor(cursor)
        start = (position, cursor)
    statement = kind.newer if towards_newer else kind.older
    found = await connection.fetch(statement, scope, *start, page.limit + 1, *more)
    return [kind.read(row) for row in found]
