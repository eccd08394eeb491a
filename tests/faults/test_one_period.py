"""Ten nodes find at one moment that a period has ended: one of them renews it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tallystick.domain.entries import EntryKind
from tallystick.domain.grants import GrantKind
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import Wanted
from tallystick.ledger.reading import EntryFilter, Page
from tallystick.ledger.units import AccountUnit, AdvanceUnit
from tallystick.storage.postgres.store import PostgresStore
from tests.conformance.backend import START
from tests.conformance.samples import ACME, CREDIT, PLAN, new_organization, usage
from tests.servers.postgres import Postgres, in_loop
from tests.verified import check_at

NODES = 10
ROUNDS = 5
TWO_MONTHS = 62 * 86_400 * 1_000_000


@asynccontextmanager
async def nodes(url: str, clock: list[int]) -> AsyncIterator[list[Ledger]]:
    """Ten nodes, to which the database's clock says what `clock` does."""
    ledgers = [
        Ledger(
            await PostgresStore.open(
                url, lanes=1, requires_durability=False, clock=lambda: clock[0]
            )
        )
        for _ in range(NODES)
    ]
    try:
        yield ledgers
    finally:
        for ledger in ledgers:
            await ledger.close()


@in_loop
async def test_a_period_that_ten_nodes_renew_at_once_has_one_allowance(postgres: Postgres) -> None:
    url, clock = postgres.database(), [START]
    async with nodes(url, clock) as ledgers:
        lane = ledgers[0].store.lanes[0]
        await lane.load(Wanted())
        await lane.append(new_organization(ACME, PLAN))
        for number in range(1, ROUNDS + 1):
            clock[0] += TWO_MONTHS
            await renew(ledgers, number)
        await check_entries(ledgers[-1])
    await asyncio.to_thread(check_at, url)


async def renew(ledgers: list[Ledger], number: int) -> None:
    """Half of the nodes sweep, the others book usage, and all of them look at the balance."""
    units = [
        AdvanceUnit(ACME)
        if node % 2
        else AccountUnit(ACME, [usage(f"evt-{number}-{node}", CREDIT, overdraw=False)])
        for node in range(NODES)
    ]
    await asyncio.gather(
        *(ledger.submit(ACME, unit) for ledger, unit in zip(ledgers, units, strict=True))
    )
    accounts = [await ledger.store.reader.account(ACME) for ledger in ledgers]
    assert [account and account.period_index for account in accounts] == [number] * NODES


async def check_entries(ledger: Ledger) -> None:
    sealed = await ledger.store.reader.entries(ACME, Page(1000, ascending=True), EntryFilter())
    started = [one.entry for one in sealed if one.entry.kind is EntryKind.PERIOD_STARTED]
    assert len(started) == ROUNDS + 1
    grants = await ledger.store.reader.grants(ACME, Page(1000))
    assert sum(grant.kind is GrantKind.ALLOWANCE for grant in grants) == ROUNDS + 1
