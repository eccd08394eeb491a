"""Databases under a service in one process, and which of its tests run on each.

A test that is `in_world` asks for the fixture `opening`. It runs on SQLite in memory; on PostgreSQL
too if it is one of those below, or with `make everywhere` in any case. What HTTP makes of bad
input is the same on any database, so of the modules below it is the tests without parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from tallystick.storage.postgres.store import PostgresStore
from tests.harness import Clock, Opening, sqlite_store
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    import pytest

_ON_BOTH: Final = frozenset(
    {
        "test_balance_http",
        "test_budgets_http",
        "test_entries",
        "test_express_waiting",
        "test_holds_http",
        "test_idempotency_http",
        "test_keys_http",
        "test_organization_changes_http",
        "test_organizations_http",
        "test_prices_http",
        "test_requests_http",
        "test_reversals_http",
        "test_statements_http",
        "test_teamspaces_http",
        "test_text_with_nul",
        "test_time_travel_http",
        "test_usage_http",
        "test_usage_series_http",
    }
)
_ON_SQLITE_ALONE: Final = frozenset(
    {"test_far", "test_slow_senders", "test_no_more_is_read_than_the_ledger_takes"}
)
"""Modules and tests that count turns of the event loop, in which SQLite answers and no server."""


async def _postgres_store(url: str, clock: Clock) -> PostgresStore:
    return await PostgresStore.open(url, lanes=1, clock=clock, requires_durability=False)


@contextmanager
def opening_on(backend: str, cluster: Callable[[], Postgres]) -> Iterator[Opening]:
    """Opens an empty database of that kind."""
    if backend == "sqlite":
        yield sqlite_store
    else:
        with cluster().lent() as url:
            yield partial(_postgres_store, url)


def backends_of(test: pytest.Function, *, everywhere: bool) -> list[str]:
    """The databases on which a test runs."""
    module = test.path.stem
    if not _ON_SQLITE_ALONE.isdisjoint({module, test.originalname}):
        return ["sqlite"]
    is_listed = any(test.iter_markers("parametrize"))
    if everywhere or (module in _ON_BOTH and not is_listed):
        return ["sqlite", "postgres"]
    return ["sqlite"]
