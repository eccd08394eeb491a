"""Balance rows that the owner of a database serves from memory.

Theory of operation. Whoever owns the file is its only writer, so a row that is durable stays true
until the next batch writes it. Three things keep memory from ever saying what the file does not:

- rows that a batch writes are forgotten before its COMMIT begins, and until that has ended, reads
  of them go to the file and are not remembered: only SQLite knows the moment at which the commit
  becomes visible, and other reads of the same client go by it;
- they are remembered again only when COMMIT has returned without an error. If it failed, or nobody
  knows, or nobody waited for it, the next read finds out from the file;
- everything happens in the event loop, which does one thing at a time.

A store whose file has other writers has no such memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallystick.ledger.reading import BalanceRow
from tallystick.storage.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.domain.account import Account

MOST: Final = 100_000
"""Rows remembered: 30 MB where there are as many organizations."""


class Balances:
    """What is remembered, and which rows are being written."""

    def __init__(self, most: int = MOST) -> None:
        self.rows: Remembered[BalanceRow] = Remembered(most)
        self._under_way: dict[str, BalanceRow] = {}

    def note(self, organization_id: str, row: BalanceRow) -> None:
        """Remembers a row that was read from the file just now."""
        if organization_id not in self._under_way:
            self.rows.put(organization_id, row)

    def begin(self, accounts: Iterable[Account]) -> None:
        """A commit begins that writes these accounts."""
        for account in accounts:
            name = account.organization_id
            self.rows.take(name)
            self._under_way[name] = BalanceRow(
                account.remaining,
                account.consumed,
                account.overage,
                account.next_due_at,
            )

    def committed(self) -> None:
        """What was under way is durable."""
        for name, row in self._under_way.items():
            self.rows.put(name, row)
        self._under_way.clear()

    def given_up(self) -> None:
        """Nothing is under way any more, and what came of it stands in the file."""
        self._under_way.clear()

    def clear(self) -> None:
        """Somebody else wrote the file."""
        self.rows.clear()
