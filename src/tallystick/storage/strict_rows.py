"""Rows as a verifier reads them: strictly. Written back, a row must come out as it stands, so what
means the same and is spelled otherwise is found as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from tallystick.ledger.audit import different
from tallystick.storage import rows
from tallystick.storage.hold_rows import budget_from, budget_row, hold_from, hold_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.entries import Entry
    from tallystick.domain.replay import Standing
    from tallystick.ledger.audit import Written
    from tallystick.ledger.ports import PeriodRow
    from tallystick.storage.rows import Row

T = TypeVar("T")

_DRAWN: Final = 4
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, KeyError, TypeError)

Kind = tuple["Callable[[Sequence[Any]], T]", "Callable[[str, T], Row]"]
"""How a row is read, and how it is written again (the organization comes first)."""


def _milestone_from(row: Sequence[Any]) -> Standing:
    return rows.milestone_from(row[2:])


def _account_row(_: str, account: Account) -> Row:
    return rows.account_row(account)


def _period_row(_: str, period: PeriodRow) -> Row:
    return rows.period_row(period)


ACCOUNT: Final = (rows.account_from, _account_row)
GRANT: Final = (rows.grant_from, rows.grant_row)
HOLD: Final = (hold_from, hold_row)
BUDGET: Final = (budget_from, budget_row)
PERIOD: Final = (rows.period_from, _period_row)
MILESTONE: Final = (_milestone_from, rows.milestone_row)


def strictly(table: str, columns: Sequence[str], row: Sequence[Any], kind: Kind[T]) -> T:
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


def entry(written: Written) -> Entry:
    key = {"sequence": written[1]}
    try:
        read = rows.entry_from(written)
    except _UNREADABLE as error:
        why = f"it cannot be read: {error!r}"
        raise different("entries", key, None, written, None, why) from error
    said, spelled = written[_DRAWN], rows.drawn_text(read.drawn)
    if said != spelled:
        raise different("entries", key, "drawn", said, spelled, "nobody writes it like this")
    return read
