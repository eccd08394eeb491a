"""A ledger in a file with something in every table, and what stands in its copies."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
import httpx
import pytest

from tallystick.ledger import work
from tallystick.ledger.budgets import BudgetUnit
from tests.harness import bearer
from tests.histories import TEAMSPACES, history
from tests.server import Server, running_server
from tests.servers.postgres import connected

FIRST: Final = f"org_{0:026d}"
STEPS: Final = 120
RESTING: Final = 5
"""Organizations beside the busy ones, which have two or three entries each."""
EVENT: Final = {"id": "evt-moved", "meter": "tokens", "quantity": 3, "dimensions": {"model": "m"}}
PRICE: Final = {"meter": "tokens", "credits": 2, "effective_at": "2026-01-01T00:00:00Z"}
_NUMBERED: Final = frozenset({"prices", "price_ends"})
_NOT_COPIED: Final = frozenset({"schema_migrations", "price_book"})

Content = dict[str, Counter[tuple[Any, ...]]]


def make_ledger(file: Path) -> str:
    """Writes it; returns the secret of a key of the organization that is called acme."""
    asyncio.run(_live(file))
    with running_server(file.parent) as server:
        assert server.database == file
        return _use(server)


async def _live(file: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "MILESTONE_DISTANCE", 16)
        async with history(5, file, also=RESTING) as life:
            await life.go(STEPS)
            await life.ledger.submit(FIRST, BudgetUnit(FIRST, TEAMSPACES[0], 7))


def _use(server: Server) -> str:
    first, second = (server.post("/prices", PRICE | {"meter": name}) for name in ("tokens", "rows"))
    server.post(f"/prices/{second['id']}/end", {})
    assert first["id"] < second["id"]
    server.post("/keys", {"name": "An operator"})
    acme = server.organization(external_id="acme", allowance=100, usage_dimensions=["model"])
    server.post(
        f"/organizations/{acme['id']}/keys", {"name": "A reader", "scopes": ["credits:read"]}
    )
    secret = server.key(acme)
    with httpx.Client(base_url=server.base_url, headers=bearer(secret), trust_env=False) as client:
        for event in (EVENT, {"id": "evt-2", "credits": 1}):
            assert client.post("/organization/credits/usage", json=event).is_success
        held = client.post(
            "/organization/credits/holds", json={"credits": 5}, headers={"Idempotency-Key": "one"}
        )
        assert held.is_success, held.text
        too_much = {"id": "evt-3", "credits": 1000}
        assert client.post("/organization/credits/usage", json=too_much).status_code == 402
    return secret


def content_of_file(file: Path) -> Content:
    """All rows of all tables."""
    found: Content = {}
    with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        names: list[Any] = connection.execute(tables).fetchall()
        for (table,) in names:
            # Names are those of the schema.
            columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - of the schema
            found[table] = _sorted(table, columns, rows.fetchall())
        ids = connection.execute(
            "SELECT external_id, organization_id FROM organizations WHERE external_id IS NOT NULL"
        )
        found["external_ids"] = Counter(ids.fetchall())
    return {table: rows for table, rows in found.items() if table not in _NOT_COPIED}


async def content_of_database(url: str) -> Content:
    found: Content = {}
    async with connected(url) as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        for (table,) in tables:
            # Names are those of the schema.
            rows = await connection.fetch(f"SELECT * FROM {table}")  # noqa: S608 - of the schema
            columns = list(rows[0].keys()) if rows else []
            found[table] = _sorted(table, columns, [tuple(row) for row in rows])
    return {table: rows for table, rows in found.items() if table not in _NOT_COPIED}


def _sorted(
    table: str, columns: list[str], rows: list[tuple[Any, ...]]
) -> Counter[tuple[Any, ...]]:
    """Columns by name, without numbers that the database gives; flags are 0 and 1 in both."""
    kept = [name for name in columns if not (name == "number" and table in _NUMBERED)]
    order = [columns.index(name) for name in sorted(kept)]
    return Counter(tuple(row[at] for at in order) for row in rows)
