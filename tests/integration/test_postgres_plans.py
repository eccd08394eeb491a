"""How PostgreSQL finds what readers ask for: by index, and in one organization's partition.

Plans are those of prepared statements, made once for all values, as the service uses them; of
tables that are empty and unknown to the planner, and of tables that are filled and analyzed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import asyncpg
import pytest

from tallystick.storage.postgres.connections import READING
from tallystick.storage.queries import load_statements
from tests.histories import history
from tests.postgres_copies import copy_ledger
from tests.servers.postgres import Postgres

ORG = f"org_{0:026d}"
FILES = ("reader", "lists", "entries", "usage", "prices", "requests")
STATEMENTS = {
    name: statement
    for name, statement in load_statements("postgres", *FILES).items()
    if name not in {"begin_reading", "end_reading"}
}
ALL_OF_THEM = {"price_book", "schema_migrations"}
"""Tables that are read as a whole: they have a row or two."""
MOST_ENTRIES_ARE_USAGE = """
INSERT INTO entries
SELECT organization_id, a.sequence + number, 'usage.booked', 1, '[]', NULL, 'event-' || number,
    NULL, 'ts_home', 'key_1', 'calls', 1, a.advanced_to, 1, 1, 0, 0, NULL, NULL, a.head
FROM accounts AS a, generate_series(1, 500) AS number;
INSERT INTO usage_events
SELECT organization_id, event_id, sequence, false FROM entries WHERE event_id LIKE 'event-%';
INSERT INTO prices (price_id, meter, dimensions, credits, per, rounding, effective_at, created_at)
SELECT 'price_' || number, 'meter ' || number / 9, '{}', 1, '1', 'up', 0, number
FROM generate_series(1, 500) AS number;
ANALYZE;
"""
ACROSS_ORGANIZATIONS = {
    *("position_of_organization", "organizations_older", "organizations_newer"),
    *("read_due", "read_credentials"),
}
"""What is asked of all organizations, and the directory of keys, which leads to one."""
OF_NOBODY = {"position_of_organization", "position_of_price"}
PARTITIONS = 3

INDEXES: Mapping[str, set[str]] = {
    "read_balances": {"accounts_pkey"},
    "organizations_older": {"organizations_by_age"},
    "teamspaces_older": {"teamspaces_by_age"},
    "keys_newer": {"api_keys_by_age"},
    "holds_of_status_older": {"holds_by_status"},
    "holds_of_status_newer": {"holds_by_status"},
    "entries_older": {"entries_pkey"},
    "entries_newer": {"entries_pkey"},
    "entries_naming_grant_older": {"entries_pkey"},
    "entries_of_kind_older": {"entries_by_kind"},
    "entries_of_kind_newer": {"entries_by_kind"},
    "entries_of_grant_older": {"entries_by_grant"},
    "entries_of_grant_newer": {"entries_by_grant"},
    "entries_of_event": {"usage_events_pkey", "entries_pkey", "entries_by_reversal"},
    "entries_that_move": {"entries_by_kind"},
    "read_reversals": {"entries_by_reversal"},
    "read_sealed": {"entries_pkey"},
    "read_usage_event": {"usage_events_pkey", "entries_pkey", "event_dimensions_pkey"},
    "read_days": {"usage_days_pkey"},
    "read_quarters": {"usage_rollups_pkey"},
    "read_due": {"accounts_by_due"},
    "read_refused": {"refused_requests_by_request"},
    "load_prices": {"prices_by_meter", "price_ends_price_id_ends_at_key"},
}
"""By which indexes it goes, where there is a choice, once there is something to choose by."""


@pytest.fixture(scope="module")
def plans(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> _Plans:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"

    async def live() -> None:
        async with history(7, path, also=30) as life:
            await life.go(150)

    asyncio.run(live())
    empty, filled = postgres.database(), postgres.database()
    partitioned = postgres.database(partitions=PARTITIONS)
    for url in (filled, partitioned):
        asyncio.run(copy_ledger(path, url))
        asyncio.run(_fill_up(url))
    return _Plans(empty=empty, filled=filled, partitioned=partitioned)


class _Plans(dict[str, dict[str, list[dict[str, Any]]]]):
    """By database and statement: the parts of its plan that look into a table or an index."""

    def __init__(self, **urls: str) -> None:
        super().__init__({name: asyncio.run(_explained(url)) for name, url in urls.items()})


async def _explained(url: str) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(url, server_settings=dict(READING))
    try:
        found = {}
        for name, statement in STATEMENTS.items():
            types = [each.name for each in (await connection.prepare(statement)).get_parameters()]
            values = ", ".join(_sample(name, at, each) for at, each in enumerate(types))
            call = f"{name}({values})" if values else name
            await connection.execute(f"PREPARE {name} AS {statement}")
            plan = await connection.fetchval(
                f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE {call}"
            )
            nodes = _nodes(json.loads(plan)[0]["Plan"])
            found[name] = [node for node in nodes if _looks(node)]
        return found
    finally:
        await connection.close()


async def _fill_up(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(MOST_ENTRIES_ARE_USAGE)
    finally:
        await connection.close()


def _sample(name: str, at: int, kind: str) -> str:
    """Something to ask for; the organization comes first, where there is one."""
    of_nobody = name.partition("_")[0] in {"organizations", "prices"} or name in OF_NOBODY
    text = "x" if at else "" if of_nobody else ORG
    samples = {"text": f"'{text}'", "text[]": f"ARRAY['{text}']", "int8": "9", "int4": "9"}
    arrays = {"int8[]": "ARRAY[1, 2]", "bytea[]": r"ARRAY['\x00'::bytea]", "bool": "true"}
    return {**samples, **arrays}[kind]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _looks(node: dict[str, Any]) -> bool:
    """Whether it looks into a table or an index."""
    return bool(node.keys() & {"Relation Name", "Index Name"})


@pytest.mark.parametrize("database", ["empty", "filled", "partitioned"])
@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_no_table_is_read_from_end_to_end(plans: _Plans, database: str, name: str) -> None:
    for node in plans[database][name]:
        if node.get("Relation Name") not in ALL_OF_THEM:
            assert node["Node Type"] != "Seq Scan", node


@pytest.mark.parametrize("name", sorted(INDEXES))
def test_what_is_asked_for_has_its_index(plans: _Plans, name: str) -> None:
    nodes = plans["filled"][name]
    indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
    assert indexes == INDEXES[name]


@pytest.mark.parametrize("name", sorted(set(STATEMENTS) - ACROSS_ORGANIZATIONS))
def test_an_organization_is_looked_for_in_its_partition(plans: _Plans, name: str) -> None:
    partitions: dict[str, set[str]] = {}
    for node in plans["partitioned"][name]:
        table, _, number = node.get("Relation Name", "").rpartition("_")
        if number.isdecimal() and node["Actual Loops"]:
            partitions.setdefault(table, set()).add(number)
    for table, numbers in partitions.items():
        assert len(numbers) == 1, (table, numbers)


def test_there_are_partitions_to_look_for(plans: _Plans) -> None:
    for name in ("read_balances", "organizations_older"):
        assert len(plans["partitioned"][name]) == PARTITIONS
