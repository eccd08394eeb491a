"""One moment of a PostgreSQL database, read front to back by a verifier.

Theory of operation. All is read in one transaction that cannot write, so servers go on meanwhile:
they neither wait nor are waited for, but what they change and delete stays on disk until the
verifier is done.

A verifier is no service: it walks, and waits for what it needs next. The driver speaks only to an
event loop, so there is one here, which runs while something is waited for. What is short comes with
one question. What is longer than a batch comes through a cursor, whose next batch is asked for
before the last one is handed out: the server reads while the verifier recounts, and memory holds
two batches of it. Cursors end with the organization.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tallystick.ledger.audit import DAY_KEY, PERIOD_USAGE_KEY, ROLLUP_KEY, Counted
from tallystick.storage import rows, strict_rows
from tallystick.storage.migrate import require_current
from tallystick.storage.postgres.connections import READING
from tallystick.storage.postgres.errors import translating
from tallystick.storage.price_rows import price_from
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from tallystick.domain.account import Account
    from tallystick.domain.budgets import Budget
    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Drawn, Grant
    from tallystick.domain.holds import Hold
    from tallystick.domain.prices import Price
    from tallystick.domain.replay import Standing
    from tallystick.ledger.audit import Indexed, Written
    from tallystick.ledger.ports import PeriodRow
    from tallystick.storage.postgres.connections import Connect, Row

T = TypeVar("T")

_SQL: Final = load_statements("postgres", "audit")
AUDITING: Final[Mapping[str, str]] = {
    **READING,
    # In the order of the keys, not gathered and sorted.
    "enable_bitmapscan": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""The settings of a session that verifies, which may take hours."""
BATCH: Final = 4096
"""Rows that come at once."""
_HOLDS: Final = 128
_MOST_HOLDS: Final = 4096
"""How many holds are read ahead, and how many that nobody asked for are kept."""


class PostgresAudit:
    """An `Audit` of a database, for as long as the block lasts; not to be used in an event loop.

    `connect` makes a connection with the settings AUDITING. Raises StoreNotUsable where the
    database is of another schema.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._only: str | None = None
        self._present: str | None = None
        self._prices: dict[str, Price] | None = None
        self._holds: dict[str, Row] = {}

    def __enter__(self) -> Self:
        self._session = _Session(self._connect)
        try:
            self._session.begin()
            require_current(self._session.fetch("audit_schema"), "postgres")
        except BaseException:
            self._session.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    # ── which organizations there are ──

    def only(self, name: str) -> str | None:
        """The organization with this id or external id, which alone will be asked for."""
        found = self._session.fetch("audit_named", name)
        self._only = found[0][0] if found else name
        return found[0][0] if found else None

    def organizations(self) -> Iterator[str]:
        if self._only is not None:
            return iter((self._only,))
        return iter([row[0] for row in self._session.fetch("audit_organizations")])

    def total(self) -> int:
        """How many entries accounts say there are: for showing progress, and not to be believed."""
        return int(self._session.fetch("audit_total", self._only)[0][0])

    # ── what grows with use ──

    def entries(self, organization_id: str) -> Iterator[Written]:
        return self._stream("audit_entries", organization_id)

    def entry(self, written: Written) -> Entry:
        return strict_rows.entry(written)

    def spelled(self, drawn: Drawn) -> str:
        return rows.drawn_text(drawn)

    def events(self, organization_id: str) -> Iterator[Indexed]:
        return self._stream("audit_events", organization_id)

    # ── what is materialised ──

    def prices(self) -> Mapping[str, Price]:
        if self._prices is None:
            found = map(price_from, self._session.fetch("audit_prices"))
            self._prices = {price.id: price for price in found}
        return self._prices

    def account(self, organization_id: str) -> Account | None:
        found = self._session.fetch("audit_account", organization_id)
        return next(_strictly("accounts", found, strict_rows.ACCOUNT), None)

    def grants(self, organization_id: str) -> Iterator[Grant]:
        return self._read("grants", "audit_grants", strict_rows.GRANT, organization_id)

    def hold(self, organization_id: str, hold_id: str) -> Hold | None:
        """Holds end about in the order in which they were placed, so some are read ahead."""
        self._enter(organization_id)
        if hold_id not in self._holds:
            if len(self._holds) > _MOST_HOLDS:
                self._holds.clear()
            found = self._session.fetch("audit_holds", organization_id, hold_id, _HOLDS)
            self._holds.update((row[1], row) for row in found)
        row = self._holds.pop(hold_id, None)
        found = [] if row is None else [row]
        return next(_strictly("holds", found, strict_rows.HOLD), None)

    def count_holds(self, organization_id: str) -> int:
        return int(self._session.fetch("audit_count_holds", organization_id)[0][0])

    def budgets(self, organization_id: str) -> Iterator[Budget]:
        return self._read("budgets", "audit_budgets", strict_rows.BUDGET, organization_id)

    def periods(self, organization_id: str) -> Iterator[PeriodRow]:
        return self._read("periods", "audit_periods", strict_rows.PERIOD, organization_id)

    def milestones(self, organization_id: str) -> Iterator[Standing]:
        return self._read("milestones", "audit_milestones", strict_rows.MILESTONE, organization_id)

    def rollups(self, organization_id: str) -> Iterator[Counted]:
        return self._counted("audit_usage_rollups", organization_id, len(ROLLUP_KEY))

    def days(self, organization_id: str) -> Iterator[Counted]:
        return self._counted("audit_usage_days", organization_id, len(DAY_KEY))

    def period_usage(self, organization_id: str) -> Iterator[Counted]:
        return self._counted("audit_period_usage", organization_id, len(PERIOD_USAGE_KEY))

    def _counted(self, statement: str, organization_id: str, names: int) -> Iterator[Counted]:
        for row in self._stream(statement, organization_id):
            yield Counted(tuple(row[:names]), tuple(row[names:]))

    def _read(
        self, table: str, statement: str, kind: strict_rows.Kind[T], organization_id: str
    ) -> Iterator[T]:
        return _strictly(table, self._stream(statement, organization_id), kind)

    def _stream(self, statement: str, organization_id: str) -> Iterator[Any]:
        self._enter(organization_id)
        return self._session.stream(statement, organization_id)

    def _enter(self, organization_id: str) -> None:
        """Lets go of what was read of another organization."""
        if organization_id != self._present:
            self._session.forget()
            self._holds.clear()
            self._present = organization_id


def _strictly(table: str, found: Iterable[Any], kind: strict_rows.Kind[T]) -> Iterator[T]:
    for row in found:
        yield strict_rows.strictly(table, list(row.keys()), row, kind)


class _Session:
    """A transaction on a connection of its own, for whoever waits. One question is under way at a
    time; a further one is asked when that has its answer."""

    def __init__(self, connect: Connect) -> None:
        self._loop = asyncio.new_event_loop()
        self._connect = connect
        self._connection: Any = None
        self._under_way: asyncio.Task[Any] | None = None
        self._has_cursors = False

    def begin(self) -> None:
        with translating():
            self._connection = self._loop.run_until_complete(_awaited(self._connect()))
        self._execute("begin_audit")
        self._execute("keep_before_cursors")

    def fetch(self, statement: str, *key: object) -> list[Row]:
        found: list[Row] = self._answer(self._ask(self._connection.fetch(_SQL[statement], *key)))
        return found

    def stream(self, statement: str, *key: object) -> Iterator[Row]:
        """The rows of a statement whose last parameter says how many."""
        first = self.fetch(statement, *key, BATCH + 1)
        return iter(first) if len(first) <= BATCH else self._long_stream(statement, *key)

    def _long_stream(self, statement: str, *key: object) -> Iterator[Row]:
        self._has_cursors = True
        opening = _awaited(self._connection.cursor(_SQL[statement], *key, None))
        cursor = self._answer(self._ask(opening))
        ahead = self._ask(cursor.fetch(BATCH))
        while batch := self._answer(ahead):
            ahead = self._ask(cursor.fetch(BATCH))
            yield from batch

    def forget(self) -> None:
        """Ends all streams."""
        if self._has_cursors:
            self._execute("drop_cursors")
            self._has_cursors = False

    def close(self) -> None:
        try:
            self._settle()
        finally:
            if self._connection is not None:
                self._connection.terminate()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def _execute(self, statement: str) -> None:
        self._answer(self._ask(self._connection.execute(_SQL[statement])))

    def _ask(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Sends a question, once the one before has its answer."""
        self._settle()
        task = self._loop.create_task(work)
        self._under_way = task
        self._loop.run_until_complete(asyncio.sleep(0))
        return task

    def _answer(self, task: asyncio.Task[T]) -> T:
        with translating():
            return self._loop.run_until_complete(task)

    def _settle(self) -> None:
        task, self._under_way = self._under_way, None
        if task is not None:
            self._loop.run_until_complete(asyncio.wait([task]))
            if not task.cancelled():
                # Whoever asked hears of a failure; and where nobody does, it harmed nobody.
                task.exception()


async def _awaited(work: Awaitable[T]) -> T:
    return await work
