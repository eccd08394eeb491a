"""Reading from PostgreSQL under way: who shares a query, what it sees, and what happens when the
server hangs, restarts or hangs up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest

from tallystick.domain.account import Account
from tallystick.domain.commands import AccountStatus
from tallystick.domain.plans import Plan
from tallystick.domain.series import Grouping
from tallystick.ledger.directory import CreateOrganization
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import StatementRejected, StoreUnavailable
from tallystick.ledger.reading import BalanceRow, EntryFilter, Page
from tallystick.ledger.units import AccountUnit
from tallystick.storage import rows
from tallystick.storage.postgres.clock import DatabaseClock
from tallystick.storage.postgres.connections import READING
from tallystick.storage.postgres.reader import PostgresReader, ReadingLimits
from tallystick.storage.postgres.store import PostgresStore
from tests.conformance.backend import settled
from tests.conformance.samples import CREDIT, HOME, usage
from tests.servers.postgres import Postgres, running

COUNT = 100
ROUNDS = 50
SOON = ReadingLimits(objects=1, lists=1, hot_seconds=0.3, seconds=0.3)
PATIENT = ReadingLimits(hot_seconds=30, seconds=30)


def account(number: int) -> Account:
    return Account(
        organization_id=f"org_{number}",
        status=AccountStatus.ACTIVE,
        plan=Plan(allowance=1),
        next_plan=None,
        period_index=0,
        period_start=0,
        period_end=1,
        allowance_grant_id=None,
        remaining=number,
        consumed=0,
        overage=0,
        held=0,
        pending=0,
        sequence=1,
        head=bytes(32),
        advanced_to=0,
        next_due_at=1,
    )


def balance(number: int) -> BalanceRow:
    return BalanceRow(number, 0, 0, 1)


class Watched:
    """A reader, what it asked the server, and a way to keep answers from arriving."""

    def __init__(
        self, url: str, limits: ReadingLimits = PATIENT, settings: Mapping[str, str] = READING
    ) -> None:
        self.url = url
        self.settings = dict(settings)
        self.clock = DatabaseClock()
        self.asked: list[list[object]] = []
        self.connections = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answered = asyncio.Event()
        self.reader = PostgresReader(self._connect, self.clock, limits)

    async def _connect(self) -> Any:  # noqa: ANN401 - a driver's connection
        self.connections += 1
        connection = await asyncpg.connect(self.url, server_settings=self.settings)
        return _Held(connection, self)


class _Held:
    def __init__(self, connection: Any, watched: Watched) -> None:  # noqa: ANN401 - a driver's
        self._connection = connection
        self._watched = watched

    async def fetch(self, query: str, *args: Any) -> Any:  # noqa: ANN401 - the driver's
        found = await self._connection.fetch(query, *args)
        if isinstance(args[0], list):
            self._watched.asked.append(args[0])
        self._watched.answered.set()
        await self._watched.may_answer.wait()
        return found

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the driver's
        return getattr(self._connection, name)


@pytest.fixture
def url(postgres: Postgres) -> str:
    """A database with accounts org_0 to org_99, whose balances are their numbers."""
    database = postgres.database()
    asyncio.run(fill(database))
    return database


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        found = [rows.account_row(account(number)) for number in range(COUNT)]
        await connection.copy_records_to_table("accounts", records=found)
    finally:
        await connection.close()


async def execute(url: str, statement: str) -> None:
    """As another node, or somebody else."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def locked(url: str, table: str) -> AsyncIterator[None]:
    """Nobody can read the table meanwhile."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN")
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        await connection.close()


def watching(
    url: str,
    scenario: Callable[[Watched], Coroutine[Any, Any, None]],
    limits: ReadingLimits = PATIENT,
) -> None:
    async def run() -> None:
        watched = Watched(url, limits)
        try:
            await scenario(watched)
        finally:
            await watched.reader.close()

    asyncio.run(run())


def ask(watched: Watched, numbers: Sequence[int]) -> list[asyncio.Future[BalanceRow | None]]:
    return [watched.reader.balance(f"org_{number}") for number in numbers]


# ── who shares a query ──


def test_what_is_asked_for_at_once_is_one_query(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        numbers = [*range(COUNT), *range(COUNT)]
        found = await asyncio.gather(*ask(watched, numbers), *ask(watched, [COUNT]))
        assert found == [*map(balance, numbers), None]
        (asked,) = watched.asked
        assert len(asked) == COUNT + 1
        assert watched.connections == 1

    watching(url, scenario)


def test_what_is_asked_for_during_a_query_goes_into_the_next(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        watched.may_answer.clear()
        first = ask(watched, [1])
        await watched.answered.wait()
        tasks = len(asyncio.all_tasks())
        later = ask(watched, range(COUNT))
        await asyncio.sleep(0)
        assert len(watched.asked) == 1
        assert len(asyncio.all_tasks()) == tasks, "nobody who waits takes a task"
        watched.may_answer.set()
        assert await asyncio.gather(*first, *later) == [balance(1), *map(balance, range(COUNT))]
        assert list(map(len, watched.asked)) == [1, COUNT]

    watching(url, scenario)


def test_who_leaves_disturbs_nobody(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        watched.may_answer.clear()
        gone, there = ask(watched, [1, 1])
        await watched.answered.wait()
        gone.cancel()
        watched.may_answer.set()
        assert await there == balance(1)
        assert gone.cancelled()

    watching(url, scenario)


def test_what_cannot_be_asked_harms_nobody_else(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        bad = [watched.reader.balance("org_\x00"), watched.reader.balance("org_\ud800")]
        good = ask(watched, [1, 2])
        found = await asyncio.gather(*bad, *good, return_exceptions=True)
        assert [type(each) for each in found[:2]] == [StatementRejected] * 2
        assert found[2:] == [balance(1), balance(2)]

    watching(url, scenario)


# ── what it sees ──


def test_what_another_node_committed_is_seen_though_an_older_query_is_under_way(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        watched.may_answer.clear()
        (before,) = ask(watched, [1])
        await watched.answered.wait()
        await execute(url, "UPDATE accounts SET remaining = 77 WHERE organization_id = 'org_1'")
        (after,) = ask(watched, [1])
        watched.may_answer.set()
        assert await before == balance(1)
        assert await after == balance(77)

    watching(url, scenario)


def test_what_one_node_acknowledged_is_seen_by_another_whoever_else_is_asking(
    postgres: Postgres,
) -> None:
    url = postgres.database()

    async def scenario() -> None:
        async with node(url) as here, node(url) as there:
            ledger = Ledger(here)
            await ledger.submit("", opening("org_1"))
            asking = True

            async def crowd() -> None:
                while asking:
                    await settled(there.reader.balance("org_1"))

            others = [asyncio.ensure_future(crowd()) for _ in range(8)]
            for number in range(1, ROUNDS + 1):
                await ledger.submit("org_1", AccountUnit("org_1", [usage(f"event-{number}")]))
                found = await settled(there.reader.balance("org_1"))
                assert found is not None
                assert found.consumed == number * CREDIT
            asking = False
            await asyncio.gather(*others)

    asyncio.run(scenario())


@asynccontextmanager
async def node(url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(url, lanes=1, requires_durability=False)
    try:
        yield store
    finally:
        await store.close()


def opening(organization_id: str) -> CreateOrganization:
    return CreateOrganization(
        organization_id=organization_id,
        teamspace_id=HOME,
        name="Acme",
        external_id=None,
        plan=Plan(allowance=1000 * CREDIT),
        rate_limits={},
        content=bytes(32),
    )


def test_the_databases_clock_is_noted(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        with pytest.raises(StoreUnavailable):
            watched.clock()
        await asyncio.gather(*ask(watched, [COUNT + 1]))
        before = watched.clock()
        now = await watched.reader.read_clock()
        assert before <= now <= watched.clock() + 1_000_000

    watching(url, scenario)


# ── a server that hangs, restarts or hangs up ──


def test_a_query_that_hangs_fails_for_all_in_time_and_holds_no_other_back(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        loop = asyncio.get_running_loop()
        async with locked(url, "accounts"):
            started = loop.time()
            found = await asyncio.gather(*ask(watched, range(COUNT)), return_exceptions=True)
            assert {type(each) for each in found} == {StoreUnavailable}
            assert 0.2 < loop.time() - started < 10
            assert await watched.reader.organization("org_1") is None
        assert await asyncio.gather(*ask(watched, [1])) == [balance(1)]

    watching(url, scenario, SOON)


def test_a_list_that_hangs_delays_neither_balances_nor_objects(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        await execute(url, "UPDATE accounts SET sequence = 5")
        async with locked(url, "entries"):
            lists = [
                asyncio.ensure_future(watched.reader.entries(f"org_{n}", Page(5), EntryFilter()))
                for n in range(10)
            ]
            await asyncio.gather(*ask(watched, range(COUNT)))
            assert await watched.reader.account("org_1") is not None
            assert not any(each.done() for each in lists)
        assert await asyncio.gather(*lists) == [[]] * len(lists)

    watching(url, scenario)


class Wire:
    """A way to the server that can be frozen: then nothing comes through, and nothing is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._flows = asyncio.Event()
        self._flows.set()
        self._pumps: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        """The port at this end of it."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    def freeze(self) -> None:
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, there = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((near, there), (far, back)):
            self._pumps.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._flows.wait()
                sink.write(data)
        finally:
            sink.close()


def test_a_transaction_that_failed_is_not_used_again(url: str) -> None:
    async def scenario() -> None:
        limits = PATIENT._replace(lists=1)
        watched = Watched(url, limits, {**READING, "statement_timeout": "100ms"})
        async with locked(url, "entries"):
            with pytest.raises(StoreUnavailable, match="statement timeout"):
                await watched.reader.history("org_1", 0, 1)
        assert (await watched.reader.history("org_1", 0, 0)).entries == []
        assert await watched.reader.due(0, 1) == []
        await watched.reader.close()

    asyncio.run(scenario())


def test_a_network_that_hangs_keeps_nobody_waiting(postgres: Postgres, url: str) -> None:
    async def scenario() -> None:
        wire = Wire(postgres.daemon.port)
        async with wire.laid() as port:
            through = url.replace(f":{postgres.daemon.port}/", f":{port}/")
            watched = Watched(f"{through}?sslmode=disable", SOON)
            reader = watched.reader
            questions: list[Callable[[], Coroutine[Any, Any, object]]] = [
                partial(_awaited, partial(reader.balance, "org_1")),
                partial(reader.account, "org_1"),
                partial(reader.history, "org_1", 0, 0),
                partial(reader.usage_between, "org_1", [0, 900_000_000], Grouping()),
            ]
            before = [await question() for question in questions]
            wire.freeze()
            for question in questions:
                async with asyncio.timeout(5):
                    with pytest.raises(StoreUnavailable):
                        await question()
            wire.thaw()
            assert [await question() for question in questions] == before
            await reader.close()

    asyncio.run(scenario())


async def _awaited(ask: Callable[[], Awaitable[object]]) -> object:
    return await ask()


def test_a_server_that_says_nothing_is_given_up() -> None:
    async def scenario(watched: Watched) -> None:
        found = await asyncio.gather(*ask(watched, [1, 2]), return_exceptions=True)
        assert [type(each) for each in found] == [StoreUnavailable] * 2
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await watched.reader.check()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        watching(f"postgresql://nobody@127.0.0.1:{port}/x?sslmode=disable", scenario, SOON)


def test_connections_that_were_cut_are_made_anew_and_nobody_notices(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        await asyncio.gather(*ask(watched, [1]))
        await execute(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        assert await asyncio.gather(*ask(watched, [1])) == [balance(1)]
        assert watched.connections == 2

    watching(url, scenario)


def test_a_query_that_is_cut_under_way_is_an_error_once_for_all_and_then_works(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        async with locked(url, "accounts"):
            asked = ask(watched, [1, 2])
            await _until_somebody_waits(url)
            await execute(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [StoreUnavailable] * 2
        assert await asyncio.gather(*ask(watched, [1])) == [balance(1)]

    watching(url, scenario)


async def _until_somebody_waits(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        while not await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            pass
    finally:
        await connection.close()


def test_it_comes_back_with_the_server() -> None:
    with running() as cluster:
        url = cluster.database()
        asyncio.run(fill(url))

        async def scenario(watched: Watched) -> None:
            await asyncio.gather(*ask(watched, [1]))
            await asyncio.to_thread(cluster.daemon.stop)
            found = await asyncio.gather(*ask(watched, range(COUNT)), return_exceptions=True)
            assert {type(each) for each in found} == {StoreUnavailable}
            with pytest.raises(StoreUnavailable):
                await watched.reader.check()
            await asyncio.to_thread(cluster.daemon.start)
            assert await asyncio.gather(*ask(watched, [1])) == [balance(1)]
            await watched.reader.check()

        watching(url, scenario)


def test_a_reader_cannot_write(url: str) -> None:
    async def scenario(watched: Watched) -> None:
        connection = await asyncpg.connect(url, server_settings=dict(READING))
        try:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await connection.execute("DELETE FROM accounts")
        finally:
            await connection.close()

    watching(url, scenario)
