"""The reader of an SQLite store.

Theory of operation. SQLite shows a reader a commit only after it was synced, and every statement
here begins a transaction of its own, so each read sees all that was acknowledged before it and
nothing that could still be lost. A statement is always read to its end: one left half read would
hold the reader to the past.

What takes microseconds runs in the event loop on one connection. Lists and sums, whose work grows
with what is stored, run in a thread on another; SQLite lets go of the interpreter meanwhile.

A list's order is that of (moment of creation, id), and for grants and entries of the ledger's
sequence. Entries are found by sequence alone where possible: within an organization `booked_at`
never falls, so a bound in time is a bound in sequence, found by bisection.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import apsw

from tallystick.domain.entries import EntryKind
from tallystick.domain.ids import sequence_of
from tallystick.ledger.ports import BalanceRow, Credential, UnknownCursor
from tallystick.storage import rows
from tallystick.storage.queries import load_statements
from tallystick.storage.sqlite_errors import translate, translating
from tallystick.storage.sqlite_load import load_accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from tallystick.domain.account import Account
    from tallystick.domain.directory import ApiKey, Organization, Teamspace
    from tallystick.domain.entries import Sealed
    from tallystick.domain.grants import Grant
    from tallystick.ledger.ports import EntryFilter, Page, PeriodRow

T = TypeVar("T")

_SQL: Final = load_statements("sqlite", "lane", "reader")
_BALANCE: Final = _SQL["read_balance"]
_CREDENTIAL: Final = _SQL["read_credential"]
_LAST: Final = (1 << 63) - 1
_BEFORE_ALL: Final = (-_LAST, "")
_AFTER_ALL: Final = (_LAST, "")


class _List(NamedTuple):
    """The statements of a list, and how its rows are read."""

    position: str
    older: str
    newer: str
    read: Callable[[Sequence[Any]], Any]


def _list(one: str, many: str, read: Callable[[Sequence[Any]], Any]) -> _List:
    return _List(_SQL[f"position_of_{one}"], _SQL[f"{many}_older"], _SQL[f"{many}_newer"], read)


_ORGANIZATIONS: Final = _list("organization", "organizations", rows.organization_from)
_TEAMSPACES: Final = _list("teamspace", "teamspaces", rows.teamspace_from)
_KEYS: Final = _list("key", "keys", rows.key_from)
_GRANTS: Final = _list("grant", "grants", rows.grant_from)


class SqliteReader:
    """Reads on two connections of its own; neither can write."""

    def __init__(self, connect: Callable[[], apsw.Connection], worker: ThreadPoolExecutor) -> None:
        self._at_once = connect()
        self._in_thread = connect()
        self._worker = worker

    def balance(self, organization_id: str) -> BalanceRow | None:
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
        return _credential_from(found[0]) if found else None

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

    async def teamspace(self, organization_id: str, teamspace_id: str) -> Teamspace | None:
        row = self._row("load_teamspace", organization_id, teamspace_id)
        return None if row is None else rows.teamspace_from(row)

    async def key(self, organization_id: str | None, key_id: str) -> ApiKey | None:
        row = self._row("load_key", rows.scope_of(organization_id), key_id)
        return None if row is None else rows.key_from(row)

    async def organizations(self, page: Page) -> list[Organization]:
        return await self._page(_ORGANIZATIONS, "", page)

    async def teamspaces(self, organization_id: str, page: Page) -> list[Teamspace]:
        return await self._page(_TEAMSPACES, organization_id, page)

    async def keys(self, organization_id: str | None, page: Page) -> list[ApiKey]:
        return await self._page(_KEYS, rows.scope_of(organization_id), page)

    async def grants(self, organization_id: str, page: Page) -> list[Grant]:
        return await self._page(_GRANTS, organization_id, page)

    async def entries(self, organization_id: str, page: Page, where: EntryFilter) -> list[Sealed]:
        return await self._slowly(lambda: _entries(self._in_thread, organization_id, page, where))

    async def periods(self, organization_id: str) -> list[PeriodRow]:
        found = await self._slow_rows("read_periods", organization_id)
        return [rows.period_from(row) for row in found]

    async def consumed_between(self, organization_id: str, start: int, end: int) -> int:
        ((consumed,),) = await self._slow_rows("read_consumed_between", organization_id, start, end)
        return int(consumed)

    async def due(self, now: int, limit: int) -> list[str]:
        return [row[0] for row in await self._slow_rows("read_due", now, limit)]

    async def check(self) -> None:
        """Raises StoreUnavailable where the database cannot be read."""
        self._row("ping")

    async def close(self) -> None:
        await self._slowly(self._in_thread.close)
        self._at_once.close()

    def _row(self, statement: str, *key: object) -> tuple[Any, ...] | None:
        with translating():
            found = self._at_once.execute(_SQL[statement], key).fetchall()
        return found[0] if found else None

    async def _slow_rows(self, statement: str, *key: object) -> list[tuple[Any, ...]]:
        return await self._slowly(lambda: self._in_thread.execute(_SQL[statement], key).fetchall())

    async def _page(self, kind: _List, scope: str, page: Page) -> list[Any]:
        return await self._slowly(lambda: _page(self._in_thread, kind, scope, page))

    async def _slowly(self, work: Callable[[], T]) -> T:
        with translating():
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def _credential_from(row: Sequence[Any]) -> Credential:
    return Credential(
        rows.secret_from(row[:4]),
        rows.key_from(row[4:15]),
        None if row[15] is None else rows.organization_from(row[15:22]),
        None if row[22] is None else rows.teamspace_from(row[22:29]),
    )


def _goes_newer(page: Page) -> bool:
    """Whether the page walks towards newer objects: `before` walks against the list's order."""
    return page.ascending == (page.before is None)


def _page(connection: apsw.Connection, kind: _List, scope: str, page: Page) -> list[Any]:
    goes_newer = _goes_newer(page)
    start: tuple[int, str] = _BEFORE_ALL if goes_newer else _AFTER_ALL
    cursor = page.before if page.after is None else page.after
    if cursor is not None:
        found: list[Any] = connection.execute(kind.position, (scope, cursor)).fetchall()
        if not found:
            raise UnknownCursor(cursor)
        start = (found[0][0], cursor)
    statement = kind.newer if goes_newer else kind.older
    return [
        kind.read(row) for row in connection.execute(statement, (scope, *start, page.limit + 1))
    ]


def _entries(
    connection: apsw.Connection, organization_id: str, page: Page, where: EntryFilter
) -> list[Sealed]:
    within = _sequences(connection, organization_id, page, where)
    direction = "newer" if _goes_newer(page) else "older"
    key: tuple[object, ...]
    key = (organization_id, within.start, within.stop, where.kind, page.limit + 1)
    if where.grant_id is not None:
        statement, key = f"entries_of_grant_{direction}", (*key, where.grant_id)
    elif where.kind is not None and where.kind is not EntryKind.USAGE_BOOKED:
        statement = f"entries_of_kind_{direction}"
    else:
        statement = f"entries_{direction}"
    found = connection.execute(_SQL[statement], key).fetchall()
    names = [(organization_id, sequence) for (sequence,) in found]
    return [rows.sealed_from(row) for row in connection.executemany(_SQL["read_sealed"], names)]


def _sequences(
    connection: apsw.Connection, organization_id: str, page: Page, where: EntryFilter
) -> range:
    """Where to look: what the cursor, the times and the event leave of all sequences."""
    last = _number(connection, "last_sequence", organization_id) or 0
    start, stop = _beyond_cursor(organization_id, page, last)
    if where.event_id is not None:
        sequence = _number(connection, "sequence_of_event", organization_id, where.event_id) or 0
        start, stop = max(start, sequence), min(stop, sequence + 1)

    def booked_at(sequence: int) -> int:
        return _number(connection, "booked_at", organization_id, sequence) or 0

    every = range(1, last + 1)
    if where.start is not None:
        start = max(start, 1 + bisect_left(every, where.start, key=booked_at))
    if where.end is not None:
        stop = min(stop, 1 + bisect_left(every, where.end, key=booked_at))
    return range(start, stop)


def _beyond_cursor(organization_id: str, page: Page, last: int) -> tuple[int, int]:
    cursor = page.before if page.after is None else page.after
    if cursor is None:
        return 1, last + 1
    sequence = sequence_of(organization_id, cursor)
    if sequence is None or not 1 <= sequence <= last:
        raise UnknownCursor(cursor)
    return (sequence + 1, last + 1) if _goes_newer(page) else (1, sequence)


def _number(connection: apsw.Connection, statement: str, *key: object) -> int | None:
    found: list[Any] = connection.execute(_SQL[statement], key).fetchall()
    return found[0][0] if found else None
