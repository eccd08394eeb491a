"""One moment of a database file, handed out table by table: what a transfer copies.

Rows come in the order of their keys, and no more of them is in memory than is being looked at. Two
tables begin with something else than the organization. They are sorted by it once (SQLite does
that, in a file where they are large) and handed out piece by piece, so organizations have to be
asked for in ascending order.
"""

from __future__ import annotations

from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from tallystick.storage.migrate import require_current
from tallystick.storage.queries import load_statements
from tallystick.storage.sqlite import Database
from tallystick.storage.sqlite_errors import translating
from tallystick.storage.transferred import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import apsw

    from tallystick.storage.rows import Row

_SQL: Final = load_statements("sqlite", "reader", "audit", "transfer")

_SORTED: Final = frozenset({"usage_events", "replays"})
_FLAGS: Final = frozenset({"imported", "overdraw"})
"""Columns that are 0 or 1 here, and false or true elsewhere."""


class SqliteSource:
    """The database at `path`, for as long as the block lasts.

    Raises StoreNotUsable where it is of another schema, StoreUnavailable where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces: dict[str, _Pieces] = {}

    def __enter__(self) -> Self:
        with translating():
            database = Database(path=self._path, vfs=None, synchronous="FULL")
            self._connection: apsw.Connection = database.reader()
            self._connection.execute(_SQL["audit_settings"]).fetchall()
            self._connection.execute(_SQL["begin_reading"])
            require_current(self._connection.execute(_SQL["audit_schema"]).fetchall())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close(force=True)

    def rows(self, table: str, organization_id: str) -> Rows:
        """The rows of one of TABLES; those that belong to no organization are that of `''`."""
        if table not in _SORTED:
            return self._read(table, organization_id)
        if table not in self._pieces:
            self._pieces[table] = _Pieces(self._read(table))
        return self._pieces[table].of(organization_id)

    def book(self, table: str) -> Rows:
        """The rows of one of BOOK, in the order of their numbers, without them."""
        return self._read(table)

    def _read(self, table: str, *key: str) -> Rows:
        with translating():
            cursor = self._connection.execute(_SQL[f"copy_{table}"], key)
            first: Row | None = next(cursor, None)
            if first is None:
                return Rows((), iter(()))
            columns = tuple(name for name, _ in cursor.get_description())
        return Rows(columns, _flagged(columns, first, cursor))


def _flagged(columns: tuple[str, ...], first: Row, rest: Iterator[Row]) -> Iterator[Row]:
    flags = [at for at, name in enumerate(columns) if name in _FLAGS]
    with translating():
        for row in chain((first,), rest):
            yield _with_flags(row, flags) if flags else row


def _with_flags(row: Row, flags: list[int]) -> Row:
    values: list[Any] = list(row)
    for at in flags:
        values[at] = bool(values[at])
    return tuple(values)


class _Pieces:
    """A table that is sorted by organization, cut by it."""

    def __init__(self, found: Rows) -> None:
        self._columns = found.columns
        at = found.columns.index("organization_id") if found.columns else 0
        self._pieces = groupby(found.rows, itemgetter(at))
        self._present = next(self._pieces, None)

    def of(self, organization_id: str) -> Rows:
        while self._present is not None and self._present[0] < organization_id:
            self._present = next(self._pieces, None)
        if self._present is None or self._present[0] != organization_id:
            return Rows((), iter(()))
        return Rows(self._columns, self._present[1])
