"""Every statement of a lane finds its rows by their keys, in the partition of their organization.

The plans are those that were really used, inside functions too: PostgreSQL's auto_explain tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, cast

import asyncpg
import pytest

from tallystick.domain.commands import (
    CaptureHold,
    Command,
    CreateGrant,
    PlaceHold,
    RemoveBudget,
    ReverseUsage,
    SetBudget,
    VoidGrant,
)
from tallystick.domain.grants import GrantKind
from tallystick.ledger.directory import CreateKey, Housekeeping, RotateKey, UpdateOrganization
from tallystick.ledger.ledger import LaneBatch
from tallystick.ledger.ports import ReplayKey, Wanted
from tallystick.ledger.refused import Kept, NoteRefused
from tallystick.ledger.units import AccountUnit, EraseDimensions
from tallystick.storage.postgres.clock import DatabaseClock
from tallystick.storage.postgres.connect import Database
from tallystick.storage.postgres.lane import Patience, PostgresLane, session_settings
from tests.conformance.samples import ACME, CREDIT, HOME, api_key, new_organization, usage
from tests.conformance.test_requests import refused
from tests.servers.postgres import Connection, Postgres, in_loop

PARTITIONS: Final = 3
EXPLAIN: Final = """
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_analyze = on;
    SET auto_explain.log_timing = off;
    SET auto_explain.log_nested_statements = on;
    SET auto_explain.log_format = json;
    SET client_min_messages = log;
"""
PARTITION: Final = re.compile(r"(\w+)_(\d+)")
UNROUTED: Final = ("WHERE created_at < $1", "WHERE at < $1")
"""What is forgotten by age, by and by, of whomever it is: no part of a request's way."""
UNCUT: Final = {
    "external_ids",
    "key_directory",
    "price_book",
    "prices",
    "price_ends",
}


LOOKED_INTO: Final = {
    *("accounts", "api_keys", "budgets", "entries", "event_dimensions", "grants", "holds"),
    *("organizations", "period_usage", "refused_requests", "replays", "teamspaces"),
    *("usage_days", "usage_events", "usage_rollups"),
}


class Plans:
    """The plans of one connection's statements, by their text."""

    def __init__(self) -> None:
        self.found: list[Mapping[str, Any]] = []

    def listen(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        _, is_plan, text = str(message).partition("plan:\n")
        if is_plan:
            self.found.append(json.loads(text))

    def of_statements(self) -> list[tuple[str, list[Mapping[str, Any]]]]:
        """Each statement with those nodes of its plan that were executed."""
        return [
            (plan["Query Text"], [node for node in _nodes(plan["Plan"]) if node["Actual Loops"]])
            for plan in self.found
        ]


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


@asynccontextmanager
async def explained(url: str) -> AsyncIterator[tuple[PostgresLane, Plans]]:
    database, plans = Database(url=url), Plans()

    async def connect() -> Connection:
        connection = await database.connect(session_settings(Patience()))
        await connection.execute(EXPLAIN)
        connection.add_log_listener(plans.listen)
        return cast("Connection", connection)

    lane = PostgresLane(connect, DatabaseClock(), None, Patience())
    try:
        yield lane, plans
    finally:
        await lane.close()


async def do_everything(batch: LaneBatch) -> None:
    """Batches that load and write rows of every kind, all of one organization."""

    async def command(*commands: Command) -> list[Any]:
        (outcomes,) = await batch([AccountUnit(ACME, commands)])
        return list(outcomes)

    await command(usage("evt-1"), usage("evt-2"))
    await command(*(usage(f"evt-many-{number}") for number in range(60)))
    (issued,) = await command(CreateGrant(amount=CREDIT, kind=GrantKind.TOP_UP, reference="g-1"))
    await command(SetBudget(subject_id=HOME, limit=CREDIT * 90, used=0))
    hold = PlaceHold(
        credits=CREDIT, expires_in=60_000_000, reference="h-1", teamspace_id=HOME, api_key_id=None
    )
    (held,) = await command(hold)
    await command(hold, CaptureHold(hold_id=held.hold.id, credits=1))
    await command(ReverseUsage(event_id="evt-1"), RemoveBudget(subject_id=HOME))
    await command(VoidGrant(grant_id=issued.grant.id))
    await batch([UpdateOrganization(organization_id=ACME, usage_dimensions=("model",))])
    dimensions, salt = {"model": "x"}, b"s" * 16
    await command(usage("evt-dimensions")._replace(dimensions=dimensions, salt=salt))
    key = replace(api_key(7), teamspace_id=HOME, expires_at=None, revoked_at=None)
    for unit in (
        EraseDimensions(ACME, "evt-dimensions"),
        CreateKey(key=key, digest=bytes(32)),
        RotateKey(organization_id=ACME, key_id=key.id, digest=b"1" * 32, overlap=1),
        Housekeeping(keys_used={(ACME, key.id): 1}, forget_replays_before=1),
        NoteRefused([refused()], Kept(latest=1, since=0)),
    ):
        await batch([unit])


@pytest.mark.parametrize("partitions", [0, PARTITIONS])
def test_every_statement_goes_to_one_partition_by_a_key(
    postgres: Postgres, partitions: int
) -> None:
    @in_loop
    async def scenario(url: str) -> None:
        async with explained(url) as (lane, plans):
            for name in (ACME, *(f"org_{number}" for number in range(2 * PARTITIONS))):
                await lane.load(Wanted())
                await lane.append(new_organization(name))
            batch = LaneBatch(lane, lambda _: None)
            await do_everything(batch)
            home = (ACME, HOME)
            replay = ReplayKey(ACME, "key_1", "grants.create", "once")
            await lane.load(Wanted(spent_by={home}, teamspaces={home}, replays={replay}))
            await lane.abandon()
            assert_routed(plans, partitions)

    scenario(postgres.database(partitions=partitions))


def assert_routed(plans: Plans, partitions: int) -> None:
    scanned: dict[str, set[str]] = {}
    for statement, nodes in plans.of_statements():
        if any(text in statement for text in UNROUTED) or "pg_type" in statement:
            continue  # the last one is the driver's: it asks once what a record is
        touched: dict[str, set[str]] = {}
        for node in nodes:
            relation = node.get("Relation Name")
            if relation is None or not node["Node Type"].endswith("Scan"):
                continue
            assert node["Node Type"] != "Seq Scan" or relation == "price_book", statement
            cut = PARTITION.fullmatch(relation)
            if partitions and relation not in UNCUT:
                assert cut is not None, relation
                touched.setdefault(cut[1], set()).add(cut[2])
                scanned.setdefault(cut[1], set()).add(cut[2])
        for table, parts in touched.items():
            assert len(parts) == 1, f"{table}: partitions {parts}\n{statement}"
    if partitions:
        assert scanned.keys() == LOOKED_INTO, "or this has proved less than it says"
