"""A lane on PostgreSQL when somebody is in its way, and when its connection or server goes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit

import pytest

from tallystick.domain.commands import Booked
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import (
    Changes,
    OutcomeUnknown,
    Replay,
    ReplayKey,
    Snapshot,
    Store,
    StoreError,
    StoreUnavailable,
    Wanted,
)
from tallystick.ledger.units import AccountUnit
from tallystick.storage.postgres.lane import Patience, PostgresLane
from tallystick.storage.postgres.store import PostgresStore
from tests.conformance.backend import START
from tests.conformance.samples import ACME, OTHER, api_key, new_organization, usage
from tests.servers.postgres import Connection, Postgres, connected, in_loop, running

BRIEF = Patience(account_ms=20, accounts_seconds=0.3)
LOCK_ACCOUNT = "SELECT FROM accounts WHERE organization_id = $1 FOR UPDATE"
LOCK_ACCOUNT_AT_ONCE = "SELECT FROM accounts WHERE organization_id = $1 FOR UPDATE NOWAIT"
OPEN_TRANSACTIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
)
WAITING_IN_COMMIT = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND query = 'COMMIT' AND state = 'active'"
    " AND wait_event IN ('advisory', 'SyncRep')"
)
WAIT_IN_COMMIT = """
    CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(1);
        RETURN NULL;
    END
    $$;
    CREATE CONSTRAINT TRIGGER wait_for_the_test AFTER INSERT ON usage_events
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
"""


@asynccontextmanager
async def ledger_on(
    url: str, *names: str, lanes: int = 1, patience: Patience = BRIEF
) -> AsyncIterator[Ledger]:
    """A ledger with these organizations in it."""
    store = await PostgresStore.open(url, lanes=lanes, requires_durability=False, patience=patience)
    ledger = Ledger(store)
    try:
        for name in names:
            await store.lanes[0].load(Wanted())
            await store.lanes[0].append(new_organization(name))
        yield ledger
    finally:
        await ledger.close()


def spending(event_id: str, owner: str = ACME) -> AccountUnit:
    return AccountUnit(owner, [usage(event_id, 1000)])


async def spend(ledger: Ledger, event_id: str, owner: str = ACME) -> Booked:
    (outcome,) = await ledger.submit(owner, spending(event_id, owner))
    assert isinstance(outcome, Booked)
    return outcome


async def until(connection: Connection, query: str, is_met: Callable[[int], bool] = bool) -> int:
    """What the query says when that is what is waited for."""
    async with asyncio.timeout(10):
        while not is_met(said := await connection.fetchval(query)):
            pass
    return said  # type: ignore[no-any-return]  # of what the query is about


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


# ── somebody else's lock ──


@in_loop
async def test_an_account_that_somebody_keeps_locked_holds_nobody_else_up(url: str) -> None:
    async with ledger_on(url, ACME, OTHER) as ledger, connected(url) as somebody:
        async with somebody.transaction():
            await somebody.execute(
                "SELECT FROM accounts WHERE organization_id = $1 FOR UPDATE", ACME
            )
            locked_out = ledger.submit(ACME, spending("a"))
            served = 0
            while not locked_out.done():
                await spend(ledger, f"other-{served}", OTHER)
                served += 1
            assert served > 3
            with pytest.raises(StoreUnavailable, match=f"{ACME} for too long"):
                locked_out.result()
            # By now nobody waits for it any more: it fails at once, and others are not delayed.
            both = (ledger.submit(ACME, spending("b")), ledger.submit(OTHER, spending("b", OTHER)))
            answers: list[object] = await asyncio.gather(*both, return_exceptions=True)
            assert isinstance(answers[0], StoreUnavailable)
            assert isinstance(answers[1], list)
        await spend(ledger, "a")


@in_loop
async def test_an_account_that_is_let_go_in_time_gets_its_turn(url: str) -> None:
    async with (
        ledger_on(url, ACME, OTHER, patience=Patience(account_ms=20)) as ledger,
        connected(url) as somebody,
    ):
        async with somebody.transaction():
            await somebody.execute(
                "SELECT FROM accounts WHERE organization_id = $1 FOR UPDATE", ACME
            )
            first = ledger.submit(ACME, spending("first"))
            second = ledger.submit(ACME, spending("second"))
            for number in range(5):
                await spend(ledger, f"other-{number}", OTHER)
            assert not first.done()
        ((one,), (two,)) = await asyncio.gather(first, second)
        assert one.entry.sequence < two.entry.sequence


@in_loop
async def test_who_waits_for_an_account_holds_no_other(url: str) -> None:
    """The lane waits for what the last batch left behind before it takes anything else."""
    patience = Patience(account_ms=5_000, accounts_seconds=10)
    async with (
        ledger_on(url, ACME, OTHER, patience=patience) as ledger,
        connected(url) as somebody,
        connected(url) as another,
    ):
        lane = ledger.store.lanes[0]
        async with somebody.transaction():
            await somebody.execute(
                "SELECT FROM accounts WHERE organization_id = $1 FOR UPDATE", OTHER
            )
            left = await lane.load(Wanted(organizations={ACME, OTHER}))
            assert (left.elsewhere, list(left.accounts)) == ({OTHER}, [ACME])
            loading = asyncio.ensure_future(lane.load(Wanted(organizations={ACME, OTHER})))
            await until(another, "SELECT count(*) FROM pg_locks WHERE NOT granted")
            # Free, although its name comes first:
            async with another.transaction():
                await another.execute(LOCK_ACCOUNT_AT_ONCE, ACME)
        assert (await loading).accounts.keys() == {ACME, OTHER}
        await lane.abandon()


@in_loop
async def test_who_was_waited_for_long_ago_is_waited_for_again(url: str) -> None:
    """A batch that failed does not count against the account that it had waited for."""
    async with ledger_on(url, ACME, OTHER) as ledger, connected(url) as somebody:
        lane = ledger.store.lanes[0]
        async with somebody.transaction():
            await somebody.execute(LOCK_ACCOUNT, ACME)
            assert (await lane.load(Wanted(organizations={ACME, OTHER}))).elsewhere == {ACME}
            with pytest.raises(StoreError):
                await lane.load(Wanted(events={(ACME, "\ud800")}))
        assert cast("PostgresLane", lane)._left_behind == {}


@in_loop
async def test_who_revokes_a_key_leaves_alone_when_it_was_used(url: str) -> None:
    """That is noted by others meanwhile, who do not lock the account for it."""
    async with ledger_on(url, ACME, lanes=2) as ledger:
        revoking, noting = ledger.store.lanes
        key = replace(api_key(0), last_used_at=None)
        await revoking.load(Wanted(organizations={ACME}))
        await revoking.append(Changes(keys={(ACME, key.id): key}))
        wanted = Wanted(organizations={ACME}, keys={(ACME, key.id)})
        found = (await revoking.load(wanted)).keys[ACME, key.id]
        await noting.load(Wanted())
        await noting.append(Changes(keys_used={(ACME, key.id): START + 5}))
        await revoking.append(Changes(keys={(ACME, key.id): replace(found, revoked_at=START)}))
        after = (await noting.load(wanted)).keys[ACME, key.id]
        assert (after.revoked_at, after.last_used_at) == (START, START + 5)


@in_loop
async def test_what_is_forgotten_at_once_is_bounded(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage there may be more than one statement has the time for."""
    monkeypatch.setattr("tallystick.storage.postgres.write.REPLAYS_AT_ONCE", 2)
    keys = [ReplayKey(ACME, "key_1", "grants.create", f"{number}") for number in range(5)]
    async with ledger_on(url, ACME) as ledger:
        lane = ledger.store.lanes[0]
        await lane.load(Wanted())
        kept = {key: Replay(key, bytes(32), 201, b"{}", at) for at, key in enumerate(keys)}
        await lane.append(Changes(replays=kept))
        for left in (keys[2:], keys[4:], keys[4:]):
            await lane.load(Wanted())
            await lane.append(Changes(forget_replays_before=4))
            assert sorted((await lane.load(Wanted(replays=set(keys)))).replays) == left


@in_loop
async def test_a_bug_leaves_no_account_locked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def meet_a_bug(_: object) -> None:
        raise LookupError("a bug")

    async with ledger_on(url, ACME) as ledger, connected(url) as somebody:
        with monkeypatch.context() as patched:
            patched.setattr("tallystick.storage.postgres.lane.snapshot_of", meet_a_bug)
            with pytest.raises(LookupError):
                await ledger.submit(ACME, spending("a"))
        assert await somebody.fetchval(OPEN_TRANSACTIONS) == 0
        await spend(ledger, "a")


# ── a connection that goes ──


@in_loop
async def test_a_connection_that_is_lost_before_commit_changes_nothing(url: str) -> None:
    async with ledger_on(url, ACME) as ledger, connected(url) as somebody:
        lane = ledger.store.lanes[0]
        loaded = await lane.load(Wanted(organizations={ACME}))
        assert loaded.accounts[ACME].consumed == 0
        changes = new_organization(OTHER)
        await somebody.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        with pytest.raises(StoreUnavailable):
            await lane.append(changes)
        assert await somebody.fetchval("SELECT count(*) FROM accounts") == 1
        await spend(ledger, "a")


@in_loop
async def test_a_connection_that_is_lost_in_commit_leaves_the_outcome_unknown(url: str) -> None:
    async with ledger_on(url, ACME) as ledger, connected(url) as somebody:
        await somebody.execute(WAIT_IN_COMMIT)
        await somebody.execute("SELECT pg_advisory_lock(1)")
        asked = ledger.submit(ACME, spending("a"))
        pid = await until(somebody, WAITING_IN_COMMIT)
        await somebody.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(OutcomeUnknown):
            await asked
        await somebody.execute("SELECT pg_advisory_unlock(1)")
        assert not (await spend(ledger, "a")).duplicate


@in_loop
async def test_a_commit_that_hangs_is_given_up_at_its_deadline(url: str) -> None:
    patience = Patience(step_seconds=0.2)
    async with ledger_on(url, ACME, patience=patience) as ledger, connected(url) as somebody:
        await somebody.execute(WAIT_IN_COMMIT)
        await somebody.execute("SELECT pg_advisory_lock(1)")
        with pytest.raises(OutcomeUnknown):
            await ledger.submit(ACME, spending("a"))
        await somebody.execute("SELECT pg_advisory_unlock(1)")
        # It was not told to hurry, so it has happened.
        await until(somebody, "SELECT count(*) FROM usage_events")
        assert (await spend(ledger, "a")).duplicate


@pytest.mark.parametrize("fate", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_commit_that_did_not_wait_for_its_standby_is_not_believed(fate: str) -> None:
    @in_loop
    async def scenario(url: str) -> None:
        async with ledger_on(url, ACME) as ledger, connected(url) as somebody:
            await somebody.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            await somebody.execute("SELECT pg_reload_conf()")
            await until(somebody, "SHOW synchronous_standby_names")
            asked = ledger.submit(ACME, spending("a"))
            pid = await until(somebody, WAITING_IN_COMMIT)
            await somebody.execute(f"SELECT {fate}($1)", pid)
            with pytest.raises(
                OutcomeUnknown, match=r"synchronous replication|connection was closed"
            ):
                await asked
            # It is there, on this one server. Who asks again is told so when a standby has it too:
            # were this server lost now, nobody would know of it.
            again = ledger.submit(ACME, spending("a"))
            await until(somebody, WAITING_IN_COMMIT)
            assert not again.done()
            await somebody.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await somebody.execute("SELECT pg_reload_conf()")
            ((booked,),) = await asyncio.gather(again)
            assert booked.duplicate

    with running() as cluster:
        scenario(cluster.database())


def test_a_server_that_restarts_needs_no_restart_of_the_service() -> None:
    @in_loop
    async def scenario(cluster: Postgres) -> None:
        async with ledger_on(cluster.database(), ACME, lanes=2) as ledger:
            await spend(ledger, "before")
            cluster.daemon.kill()
            for number in range(3):
                with pytest.raises(StoreUnavailable):
                    await ledger.submit(ACME, spending(f"meanwhile-{number}"))
            cluster.daemon.start()
            booked = None
            async with asyncio.timeout(20):
                while booked is None:
                    with suppress(StoreUnavailable):
                        booked = await spend(ledger, "after")
            assert not booked.duplicate
            assert (await spend(ledger, "before")).duplicate

    with running() as cluster:
        scenario(cluster)


@in_loop
async def test_a_database_that_became_read_only_is_unavailable(url: str) -> None:
    async with ledger_on(url, ACME) as ledger, connected(url) as somebody:
        database = await somebody.fetchval("SELECT quote_ident(current_database())")
        await somebody.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        await somebody.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with pytest.raises(StoreUnavailable):
            await ledger.submit(ACME, spending("a"))
        with pytest.raises(StoreUnavailable, match="read-only"):
            await ledger.submit(ACME, spending("a"))


@in_loop
async def test_a_cancelled_flight_leaves_no_transaction_behind(url: str) -> None:
    async with ledger_on(url, ACME) as ledger, connected(url) as somebody:
        lane = ledger.store.lanes[0]
        for turns in range(40):
            loading = asyncio.ensure_future(lane.load(Wanted(organizations={ACME})))
            for _ in range(turns):
                await asyncio.sleep(0)
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
                await lane.abandon()
            await until(somebody, OPEN_TRANSACTIONS, lambda count: count == 0)
        await spend(ledger, "a")


@in_loop
async def test_closing_leaves_no_session_behind(url: str) -> None:
    async with connected(url) as somebody:
        async with ledger_on(url, ACME, lanes=2) as ledger:
            await ledger.store.lanes[1].load(Wanted(organizations={ACME}))
        others = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await until(somebody, others, lambda count: count == 0)
        with pytest.raises(StoreError):
            await ledger.store.lanes[0].load(Wanted())


# ── what a batch costs ──


class Relay:
    """Lies between the service and the server, and counts how often they take turns."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server_spoke_last = True
        self._talks: list[asyncio.Task[None]] = []
        self.trips = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*self._talks)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.append(asyncio.ensure_future(self._relay(reader, writer)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(reader, forth, from_server=False))
            both.create_task(self._pass_on(back, writer, from_server=True))

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, from_server: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 20):
                self.trips += self._server_spoke_last and not from_server
                self._server_spoke_last = from_server
                target.write(data)
        target.close()
        with suppress(ConnectionError):
            await target.wait_closed()


@in_loop
async def test_a_batch_takes_four_round_trips(postgres: Postgres, url: str) -> None:
    relay = Relay(postgres.daemon.port)
    async with relay.listening() as port:
        detour = urlsplit(url)._replace(netloc=f"bench@127.0.0.1:{port}").geturl()
        async with ledger_on(detour, ACME) as ledger:
            await spend(ledger, "warm")
            before = relay.trips
            await spend(ledger, "one")
            assert relay.trips - before == 4  # BEGIN, load, write, COMMIT
            before = relay.trips
            await ledger.submit(ACME, AccountUnit(ACME, [usage(f"{n}", 1000) for n in range(40)]))
            assert relay.trips - before == 4
            many = AccountUnit(ACME, [usage(f"many-{n}", 1000) for n in range(256)])
            await ledger.submit(ACME, many)
            before = relay.trips
            await ledger.submit(ACME, many)
            assert relay.trips - before == 3  # nothing but duplicates: BEGIN, load, COMMIT


class Spy(PostgresLane):
    """Notes whose accounts its transactions lock."""

    def __init__(self, lane: PostgresLane) -> None:
        self.__dict__.update(lane.__dict__)
        self.locked: set[str] = set()

    async def load(self, wanted: Wanted) -> Snapshot:
        self.locked |= wanted.organizations
        return await super().load(wanted)


@in_loop
async def test_no_transaction_spans_lanes(url: str) -> None:
    names = [f"org_{number}" for number in range(12)]
    async with ledger_on(url, *names, lanes=3) as ledger:
        store = cast("PostgresStore", ledger.store)
        spies = tuple(map(Spy, store.lanes))
        spied = Ledger(cast("Store", SimpleNamespace(lanes=spies)))
        await asyncio.gather(*(spied.submit(name, spending("a", name)) for name in names))
        by_lane = [{name for name in names if zlib.crc32(name.encode()) % 3 == n} for n in range(3)]
        assert [spy.locked for spy in spies] == by_lane
