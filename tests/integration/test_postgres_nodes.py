"""Two nodes on one database: whatever they race for, one of them has it, and nothing deadlocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tallystick.domain.commands import Booked, Outcome
from tallystick.domain.directory import ApiKey
from tallystick.domain.entries import GENESIS, seal
from tallystick.domain.errors import Refusal
from tallystick.domain.plans import Overage, OverageMode
from tallystick.domain.price_book import Clash
from tallystick.ledger.directory import (
    CreateKey,
    CreateOrganization,
    ExternalIdTaken,
    OrganizationState,
    RevokeKey,
    RotateKey,
    SecretTaken,
)
from tallystick.ledger.ledger import LaneBatch, Ledger
from tallystick.ledger.ports import ReplayKey, Wanted
from tallystick.ledger.prices import LANE, AddPrices, EndPrice
from tallystick.ledger.reading import EntryFilter, Page
from tallystick.ledger.units import AccountUnit, IdempotentUnit, Rendered
from tallystick.storage.postgres.store import PostgresStore
from tests.conformance.samples import (
    ACME,
    CREDIT,
    HOME,
    PLAN,
    api_key,
    new_organization,
    usage,
)
from tests.pricing import price
from tests.servers.postgres import Postgres, connected, in_loop, name_of

STRICT = replace(PLAN, overage=Overage(mode=OverageMode.DENY))


@asynccontextmanager
async def nodes(url: str, *, lanes: int = 2) -> AsyncIterator[list[Ledger]]:
    """Two processes' worth of ledger, in one loop; all lanes have their connections and plans, so
    that what is asked of both at once happens at once."""
    ledgers = [
        Ledger(await PostgresStore.open(url, lanes=lanes, requires_durability=False))
        for _ in range(2)
    ]
    try:
        for node, ledger in enumerate(ledgers):
            for number, lane in enumerate(ledger.store.lanes):
                await lane.load(Wanted())
                await lane.append(new_organization(f"org_warm_{node}_{number}"))
                await LaneBatch(lane, lambda _: None)(
                    [spending("warm", owner=f"org_warm_{node}_{number}")]
                )
        yield ledgers
    finally:
        for ledger in ledgers:
            await ledger.close()


async def found(ledger: Ledger, *names: str) -> None:
    """Makes organizations with a hundred credits and no overage."""
    for name in names:
        lane = ledger.store.lanes[0]
        await lane.load(Wanted())
        await lane.append(new_organization(name, STRICT))


def spending(event_id: str, credits_used: int = CREDIT, owner: str = ACME) -> AccountUnit:
    return AccountUnit(owner, [usage(event_id, credits_used, overdraw=False)])


async def deadlocks(postgres: Postgres, url: str) -> int:
    """Of the database, whose sessions have ended: only then have all of them reported."""
    async with connected(postgres.url()) as connection:
        others = True
        while others:
            others = await connection.fetchval(
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = $1", name_of(url)
            )
        return int(
            await connection.fetchval(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = $1", name_of(url)
            )
        )


async def assert_chained(ledger: Ledger, owner: str, events: int) -> None:
    """So many events are booked, each entry leads to the next, and the balance is their sum."""
    reader = ledger.store.reader
    sealed = await reader.entries(owner, Page(1000, ascending=True), EntryFilter())
    assert [one.entry.sequence for one in sealed] == list(range(1, len(sealed) + 1))
    assert list(sealed) == seal([one.entry for one in sealed], GENESIS)
    booked = [one.entry for one in sealed if one.entry.event_id is not None]
    assert len(booked) == len({entry.event_id for entry in booked}) == events
    account = await reader.account(owner)
    assert account is not None
    assert account.consumed == sum(entry.credits for entry in booked)
    assert account.sequence == len(sealed)


def receipts(outcomes: Sequence[Sequence[Outcome]]) -> list[Booked]:
    return [one for (one,) in outcomes if isinstance(one, Booked)]


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


@in_loop
async def test_one_hot_organization_on_two_nodes(postgres: Postgres, url: str) -> None:
    async with nodes(url) as ledgers:
        await found(ledgers[0], ACME)

        async def client(node: int, number: int) -> None:
            for turn in range(8):
                (outcome,) = await ledgers[node].submit(
                    ACME, spending(f"{node}-{number}-{turn}", 1000)
                )
                assert isinstance(outcome, Booked)

        await asyncio.gather(*(client(number % 2, number) for number in range(32)))
        await assert_chained(ledgers[1], ACME, 32 * 8)
    assert await deadlocks(postgres, url) == 0


@in_loop
async def test_batches_that_touch_the_same_organizations_in_opposite_orders(
    postgres: Postgres, url: str
) -> None:
    names = [f"org_{number:02}" for number in range(24)]
    async with nodes(url, lanes=1) as ledgers:
        await found(ledgers[0], *names)
        for turn in range(12):
            orders = (names, names[::-1])
            outcomes = await asyncio.gather(
                *(
                    ledger.submit(name, spending(f"{node}-{turn}", 1000, name))
                    for node, (ledger, order) in enumerate(zip(ledgers, orders, strict=True))
                    for name in order
                )
            )
            assert len(receipts(outcomes)) == 2 * len(names)
        for name in names[:3]:
            await assert_chained(ledgers[0], name, 24)
    assert await deadlocks(postgres, url) == 0


@in_loop
async def test_one_id_from_many_is_booked_once(url: str) -> None:
    async with nodes(url) as ledgers:
        await found(ledgers[0], ACME)
        for turn in range(20):
            unit = spending(f"same-{turn}")
            asked = [ledger.submit(ACME, unit) for ledger in ledgers for _ in range(25)]
            given = receipts(await asyncio.gather(*asked))
            assert len(given) == 50
            assert len({one.entry for one in given}) == 1
            assert sum(not one.duplicate for one in given) == 1
        await assert_chained(ledgers[0], ACME, 20)


@in_loop
async def test_exactly_what_was_there_is_spent(url: str) -> None:
    async with nodes(url) as ledgers:
        await found(ledgers[0], ACME)  # with a hundred credits

        async def client(node: int, number: int) -> list[Outcome]:
            return [
                (await ledgers[node].submit(ACME, spending(f"{node}-{number}-{turn}", 3 * CREDIT)))[
                    0
                ]
                for turn in range(6)
            ]

        asked = [client(number % 2, number) for number in range(16)]
        outcomes = [one for each in await asyncio.gather(*asked) for one in each]
        assert sum(isinstance(one, Booked) for one in outcomes) == 33
        assert sum(isinstance(one, Refusal) for one in outcomes) == 96 - 33
        (last,) = await ledgers[1].submit(ACME, spending("last", CREDIT))
        assert isinstance(last, Booked)
        assert last.entry.remaining_after == 0


def creation(organization_id: str) -> CreateOrganization:
    return CreateOrganization(
        organization_id=organization_id,
        teamspace_id=HOME,
        name="Acme",
        external_id="acme-1",
        plan=PLAN,
        rate_limits={},
        content=bytes(32),
    )


@in_loop
async def test_one_external_id_on_two_nodes_is_one_organization(url: str) -> None:
    async with nodes(url) as ledgers:
        for turn in range(10):
            units = [
                replace(creation(f"org_{turn}_{node}"), external_id=f"acme-{turn}")
                for node in range(2)
            ]
            first, second = await asyncio.gather(
                *(
                    ledger.submit(unit.organization_id, unit)
                    for ledger, unit in zip(ledgers, units, strict=True)
                )
            )
            assert isinstance(first, OrganizationState)
            assert isinstance(second, OrganizationState)
            assert first.organization == second.organization
            assert [first.duplicate, second.duplicate].count(True) == 1
        other = replace(creation("org_other"), external_id="acme-1", content=bytes(31) + b"x")
        assert await ledgers[0].submit("org_other", other) == ExternalIdTaken("acme-1")


def valid_key(number: int, organization_id: str | None) -> ApiKey:
    """One for the organization's default teamspace."""
    key = api_key(number, organization_id)
    return replace(key, teamspace_id=None, expires_at=None, revoked_at=None)


@in_loop
async def test_one_secret_on_two_nodes_is_one_key(url: str) -> None:
    async with nodes(url) as ledgers:
        await found(ledgers[0], "org_0", "org_1")
        for turn in range(10):
            digest = turn.to_bytes(32, "big")
            keys = [
                replace(
                    api_key(turn, f"org_{node}"),
                    teamspace_id=None,
                    expires_at=None,
                    revoked_at=None,
                )
                for node in range(2)
            ]
            outcomes = await asyncio.gather(
                *(
                    ledger.submit(key.organization_id or "", CreateKey(key=key, digest=digest))
                    for ledger, key in zip(ledgers, keys, strict=True)
                )
            )
            assert outcomes.count(SecretTaken()) == 1


@in_loop
async def test_one_idempotency_key_on_two_nodes_does_the_work_once(url: str) -> None:
    """An operator's request, which no account's lock guards."""

    def idempotent(node: int, turn: int) -> IdempotentUnit:
        name = f"org_{node}_{turn}"
        return IdempotentUnit(
            unit=replace(creation(name), external_id=None),
            key=ReplayKey("", "key_operator", "organizations.create", f"request-{turn}"),
            organization_id=name,
            request_digest=bytes(32),
            render=lambda outcome: Rendered(201, b"", outcome.organization.id.encode()),  # type: ignore[attr-defined]  # a state
        )

    async with nodes(url) as ledgers:
        for turn in range(10):
            outcomes = await asyncio.gather(
                *(
                    ledger.submit(f"org_{node}_{turn}", idempotent(node, turn))
                    for node, ledger in enumerate(ledgers)
                )
            )
            (made,) = [one for one in outcomes if isinstance(one, OrganizationState)]
            (again,) = [one for one in outcomes if not isinstance(one, OrganizationState)]
            assert again.body == made.organization.id.encode()
        async with connected(url) as connection:
            assert (
                await connection.fetchval("SELECT count(*) FROM organizations WHERE name = 'Acme'")
                == 10
            )


@in_loop
async def test_an_operators_key_that_is_revoked_on_one_node_is_not_revived_on_another(
    url: str,
) -> None:
    async with nodes(url) as ledgers:
        for turn in range(10):
            key = valid_key(turn, None)
            made = CreateKey(key=key, digest=turn.to_bytes(32, "big"))
            await ledgers[0].submit("", made)
            digest = (100 + turn).to_bytes(32, "big")
            rotation = RotateKey(organization_id=None, key_id=key.id, digest=digest, overlap=0)
            revocation = RevokeKey(organization_id=None, key_id=key.id)
            await asyncio.gather(ledgers[0].submit("", rotation), ledgers[1].submit("", revocation))
            after = await ledgers[0].store.reader.key(None, key.id)
            assert after is not None
            assert after.revoked_at is not None


@in_loop
async def test_the_price_book_is_changed_on_two_nodes(url: str) -> None:
    async with nodes(url) as ledgers:
        for turn in range(10):
            meter = f"meter-{turn}"
            prices = [
                replace(price(f"price_{turn}_{node}", credits=node + 1), meter=meter)
                for node in range(2)
            ]
            outcomes = await asyncio.gather(
                *(
                    ledger.submit(LANE, AddPrices(prices=[one]))
                    for ledger, one in zip(ledgers, prices, strict=True)
                )
            )
            assert sum(isinstance(one, Clash) for one in outcomes) == 1
            ((added,),) = [one for one in outcomes if not isinstance(one, Clash)]
            ends = [EndPrice(meter=meter, price_id=added.price.id, ends_at=None) for _ in range(2)]
            first, second = await asyncio.gather(
                *(ledger.submit(LANE, one) for ledger, one in zip(ledgers, ends, strict=True))
            )
            assert first.ends_at == second.ends_at
        async with connected(url) as connection:
            book = await connection.fetchrow("SELECT last_price, last_end FROM price_book")
            assert tuple(book or ()) == (10, 10)
