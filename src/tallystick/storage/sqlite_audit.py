"""One moment of a database file, read front to back by a verifier.

Theory of operation. All is read in one transaction on a connection that cannot write, so a server
may go on meanwhile: it neither waits nor is waited for, but its log grows until the verifier is
done, since a log that somebody reads cannot be started anew.

A row is read strictly: written back, it must come out as it stands. So what means the same and is
spelled otherwise is found as well.

The index of events is a table by id. It is read once, sorted by organization and sequence (SQLite
does that, in a file where it is large), and handed out piece by piece: organizations have to be
asked for in that order.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from tallystick.ledger.audit import (
    DAY_KEY,
    PERIOD_USAGE_KEY,
    ROLLUP_KEY,
    Counted,
    different,
)
from tallystick.storage import rows
from tallystick.storage.hold_rows import budget_from, budget_row, hold_from, hold_row
from tallystick.storage.migrate import require_current
from tallystick.storage.price_rows import price_from
from tallystick.storage.queries import load_statements
from tallystick.storage.sqlite import Database
from tallystick.storage.sqlite_errors import translating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import apsw

    from tallystick.domain.account import Account
    from tallystick.domain.budgets import Budget
    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Drawn, Grant
    from tallystick.domain.holds import Hold
    from tallystick.domain.prices import Price
    from tallystick.domain.replay import Standing
    from tallystick.ledger.audit import Indexed, Written
    from tallystick.ledger.ports import PeriodRow
    from tallystick.storage.rows import Row

T = TypeVar("T")

_SQL: Final = load_statements("sqlite", "reader", "audit")
_DRAWN: Final = 4
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, KeyError, TypeError)


class SqliteAudit:
    """An `Audit` of the database at `path`, for as long as the block lasts.

    `organization_id` is the only one that will be asked for, where given. Raises StoreNotUsable
    where the database is of another schema.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._only: str | None = None
        self._prices: dict[str, Price] | None = None
        self._pieces: groupby[str, Indexed] | None = None
        self._piece: tuple[str, Iterator[Indexed]] | None = None

    def __enter__(self) -> Self:
        with translating():
            database = Database(path=self._path, vfs=None, synchronous="FULL")
            self._connection: apsw.Connection = database.reader()
            self._connection.execute(_SQL["audit_settings"]).fetchall()
            self._connection.execute(_SQL["begin_reading"])
            require_current(self._rows("audit_schema"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close(force=True)

    # ── which organizations there are ──

    def only(self, name: str) -> str | None:
        """The organization with this id or external id, which alone will be asked for."""
        with translating():
            found = self._rows("audit_named", name)
        self._only = found[0][0] if found else name
        return found[0][0] if found else None

    def organizations(self) -> Iterator[str]:
        """Those of the tables by organization, and between them whoever else has events."""
        if self._only is not None:
            yield self._only
            return
        with translating():
            known = [row[0] for row in self._rows("audit_organizations")]
        for name in known:
            while (stray := self._next_piece()) is not None and stray < name:
                yield stray
                self._skip(stray)
            yield name
            self._skip(name)
        while (stray := self._next_piece()) is not None:
            yield stray
            self._skip(stray)

    def total(self) -> int:
        """How many entries accounts say there are: for showing progress, and not to be believed."""
        with translating():
            ((total,),) = self._rows("audit_total", self._only)
        return int(total)

    # ── what grows with use ──

    def entries(self, organization_id: str) -> Iterator[Written]:
        with translating():
            yield from self._connection.execute(_SQL["audit_entries"], (organization_id,))

    def entry(self, written: Written) -> Entry:
        try:
            entry = rows.entry_from(written)
        except _UNREADABLE as error:
            why = f"it cannot be read: {error!r}"
            raise different("entries", _sequence(written), None, written, None, why) from error
        said, spelled = written[_DRAWN], self.spelled(entry.drawn)
        if said != spelled:
            why = "nobody writes it like this"
            raise different("entries", _sequence(written), "drawn", said, spelled, why)
        return entry

    def spelled(self, drawn: Drawn) -> str:
        return rows.drawn_text(drawn)

    def events(self, organization_id: str) -> Iterator[Indexed]:
        """Pieces of one cursor over all of the index."""
        if self._next_piece() != organization_id or self._piece is None:
            return iter(())
        return self._piece[1]

    def _next_piece(self) -> str | None:
        """Whose events come next."""
        if self._pieces is None:
            with translating():
                cursor = self._connection.execute(_SQL["audit_events"], (self._only,))
                self._pieces = groupby(cursor, itemgetter(0))
                self._piece = next(self._pieces, None)
        return None if self._piece is None else self._piece[0]

    def _skip(self, organization_id: str) -> None:
        """Goes past an organization's events."""
        if self._pieces is not None and self._next_piece() == organization_id:
            with translating():
                self._piece = next(self._pieces, None)

    # ── what is materialised ──

    def prices(self) -> Mapping[str, Price]:
        if self._prices is None:
            with translating():
                found = map(price_from, self._rows("audit_prices"))
                self._prices = {price.id: price for price in found}
        return self._prices

    def account(self, organization_id: str) -> Account | None:
        found = self._read("accounts", "audit_account", _ACCOUNT, organization_id)
        return next(found, None)

    def grants(self, organization_id: str) -> Iterator[Grant]:
        return self._read("grants", "audit_grants", _GRANT, organization_id)

    def hold(self, organization_id: str, hold_id: str) -> Hold | None:
        return next(self._read("holds", "audit_hold", _HOLD, organization_id, hold_id), None)

    def count_holds(self, organization_id: str) -> int:
        with translating():
            ((count,),) = self._rows("audit_count_holds", organization_id)
        return int(count)

    def budgets(self, organization_id: str) -> Iterator[Budget]:
        return self._read("budgets", "audit_budgets", _BUDGET, organization_id)

    def periods(self, organization_id: str) -> Iterator[PeriodRow]:
        return self._read("periods", "audit_periods", _PERIOD, organization_id)

    def milestones(self, organization_id: str) -> Iterator[Standing]:
        return self._read("milestones", "audit_milestones", _MILESTONE, organization_id)

    def rollups(self, organization_id: str) -> Iterator[Counted]:
        return self._counted("audit_usage_rollups", organization_id, len(ROLLUP_KEY))

    def days(self, organization_id: str) -> Iterator[Counted]:
        return self._counted("audit_usage_days", organization_id, len(DAY_KEY))

    def period_usage(self, organization_id: str) -> Iterator[Counted]:
        return self._counted("audit_period_usage", organization_id, len(PERIOD_USAGE_KEY))

    def _counted(self, statement: str, organization_id: str, names: int) -> Iterator[Counted]:
        with translating():
            for row in self._connection.execute(_SQL[statement], (organization_id,)):
                yield Counted(row[:names], row[names:])

    def _read(self, table: str, statement: str, kind: _Kind[T], *key: str) -> Iterator[T]:
        with translating():
            cursor = self._connection.execute(_SQL[statement], key)
            for row in cursor:
                columns = [name for name, _ in cursor.get_description()]
                yield _strictly(table, columns, row, kind)

    def _rows(self, statement: str, *key: object) -> list[Any]:
        return self._connection.execute(_SQL[statement], key).fetchall()


_Kind = tuple["Callable[[Sequence[Any]], T]", "Callable[[str, T], Row]"]
"""How a row is read, and how it is written again (the organization comes first)."""


def _milestone_from(row: Sequence[Any]) -> Standing:
    return rows.milestone_from(row[2:])


def _account_row(_: str, account: Account) -> Row:
    return rows.account_row(account)


def _period_row(_: str, period: PeriodRow) -> Row:
    return rows.period_row(period)


_ACCOUNT: Final = (rows.account_from, _account_row)
_GRANT: Final = (rows.grant_from, rows.grant_row)
_HOLD: Final = (hold_from, hold_row)
_BUDGET: Final = (budget_from, budget_row)
_PERIOD: Final = (rows.period_from, _period_row)
_MILESTONE: Final = (_milestone_from, rows.milestone_row)


def _strictly(table: str, columns: Sequence[str], row: Sequence[Any], kind: _Kind[T]) -> T:
    read, write = kind
    key = dict(zip(columns[1:2], row[1:2], strict=True))
    try:
        value = read(row)
    except _UNREADABLE as error:
        raise different(table, key, None, row, None, f"it cannot be read: {error}") from error
    for column, said, written in zip(columns, row, write(row[0], value), strict=True):
        if said != written:
            raise different(table, key, column, said, written, "nobody writes it like this")
    return value


def _sequence(written: Written) -> dict[str, object]:
    return {"sequence": written[1]}
