"""What a transfer moves: which tables, and how their rows are handed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from tallystick.storage.rows import Row

TABLES: Final = (
    *("organizations", "external_ids", "teamspaces", "api_keys", "key_directory", "accounts"),
    *("grants", "holds", "budgets", "entries", "usage_events", "event_dimensions", "milestones"),
    *("periods", "period_usage", "usage_rollups", "usage_days", "replays", "refused_requests"),
)
"""What belongs to an organization, in the order in which it can be written."""
BOOK: Final = ("prices", "price_ends")
"""What belongs to nobody, in the same order."""


class Rows(NamedTuple):
    """Rows and the names of their columns, which are not known where there is no row."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


class Source(Protocol):
    """One moment of a whole ledger. Rows come in the order of their keys."""

    def rows(self, table: str, organization_id: str) -> Rows:
        """Those of one of TABLES; what belongs to no organization, to operators, is that of `''`.

        Organizations are to be asked for in ascending order."""
        ...

    def book(self, table: str) -> Rows:
        """Those of one of BOOK, in the order of their numbers and without them."""
        ...
