"""What an SQLite store remembers is what its file says, whatever becomes of commits.

Balances may be served from memory where the process owns the file. After every step of a random
life (batches that succeed, fail, break off, are abandoned or lose their caller) memory and file are
compared, and the accounts and prices that the lane keeps with those that it would load.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.account import Account
from tallystick.domain.commands import AccountStatus, ChangePlan, Command, SetStatus, VoidGrant
from tallystick.domain.grants import burn_key
from tallystick.ledger.directory import UpdateOrganization
from tallystick.ledger.ports import OutcomeUnknown, StoreError, Wanted
from tallystick.ledger.prices import AddPrices, EndPrice
from tallystick.ledger.reading import BalanceRow
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Unit, Work
from tallystick.storage.balances import Balances
from tallystick.storage.sqlite import SqliteStore
from tallystick.storage.sqlite_accounts import AccountCache
from tallystick.storage.sqlite_load import load_accounts
from tallystick.storage.sqlite_prices import load_prices
from tests.conformance.backend import Clock
from tests.conformance.samples import ACME, CREDIT, PLAN, new_organization, top_up, usage
from tests.faults.power_loss import ForgetfulDisk
from tests.pricing import price

NAMES = ("org_a", "org_b", "org_c")
METERS = ("calls", "tokens")
DAY = 86_400_000_000
PATIENCE = 20.0


@dataclass
class World:
    """An owned store with three organizations, that remembers few, on a disk that can fail."""

    store: SqliteStore
    disk: ForgetfulDisk
    clock: Clock
    runner: asyncio.Runner
    path: Path

    def batch(self, *units: Unit) -> None:
        self.runner.run(self._batch(*units))

    async def _batch(self, *units: Unit, gives_up: bool = False) -> None:
        (lane,) = self.store.lanes
        wanted = Wanted()
        for unit in units:
            unit.wants(wanted)
        work = Work(await lane.load(wanted))
        for unit in units:
            unit.decide(work)
        if gives_up:
            await lane.abandon()
        else:
            await lane.append(work.finish())

    def abandoned(self, *units: Unit) -> None:
        self.runner.run(self._batch(*units, gives_up=True))

    def wait_for_the_disk(self) -> None:
        """Holds up the loop until the lane's worker has nothing to do."""
        ended = threading.Event()
        self.store._commits.put(ended.set)
        assert ended.wait(PATIENCE)

    def left_alone(self, turns: int, *units: Unit) -> None:
        """A batch whose caller goes away after some turns of the loop."""

        async def scenario() -> None:
            task = asyncio.ensure_future(self._batch(*units))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            # The commit that nobody waits for ends, and the loop has not heard of it.
            self.wait_for_the_disk()
            self.compare()

        self.runner.run(scenario())

    def failing(self, operation: str, error: type[apsw.Error], *units: Unit) -> None:
        def before(happening: str, file: str) -> None:
            if happening == operation and file.endswith("-wal"):
                raise error("by order of the test")

        self.disk.before = before
        try:
            with pytest.raises(StoreError):
                self.batch(*units)
        finally:
            self.disk.before = lambda _, __: None

    def beside(self, organization_id: str) -> BalanceRow | None:
        """The balance as the file has it, read on a connection of its own."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(1_000)
        try:
            found: list[Any] = connection.execute(
                "SELECT remaining, consumed, overage, next_due_at FROM accounts"
                " WHERE organization_id = ?",
                (organization_id,),
            ).fetchall()
        finally:
            connection.close()
        return BalanceRow(*found[0]) if found else None

    def compare(self) -> None:
        for name in (*NAMES, "org_?"):
            assert self.store.reader.balance(name) == self.beside(name)

    def compare_lane(self) -> None:
        """What the lane hands out is what it would load."""

        async def look() -> dict[str, Account]:
            wanted = Wanted(organizations=set(NAMES), prices=set(METERS))
            snapshot = await self.store.lanes[0].load(wanted)
            connection = self.store._lane._connection
            assert connection is not None
            loaded = load_accounts(connection, NAMES)
            prices = load_prices(connection, METERS).meters
            await self.store.lanes[0].abandon()
            assert {n: orderly(one) for n, one in snapshot.accounts.items()} == {
                n: orderly(one) for n, one in loaded.items()
            }
            kept = snapshot.prices.meters
            assert {name: one.prices for name, one in kept.items()} == {
                name: one.prices for name, one in prices.items()
            }
            return loaded

        self.runner.run(look())


def orderly(account: Account) -> Account:
    """The account with its waiting grants in one order; that of loading has no meaning."""
    return replace(account, waiting=sorted(account.waiting, key=burn_key))


def open_world(folder: Path) -> Iterator[World]:
    disk, clock = ForgetfulDisk(), Clock()
    path = folder / "ledger.db"
    with asyncio.Runner() as runner:
        store = SqliteStore.open(path, clock=clock, vfs=disk.name, owned=True)
        # So little is remembered that forgetting is tested too.
        store._lane._balances = store._reader._balances = Balances(2)
        store._lane._accounts = AccountCache(4)
        world = World(store, disk, clock, runner, path)
        for name in NAMES:
            world.runner.run(_found(store, name))
        yield world
        runner.run(store.close())
    disk.unregister()


async def _found(store: SqliteStore, name: str) -> None:
    (lane,) = store.lanes
    await lane.load(Wanted())
    await lane.append(new_organization(name, replace(PLAN, allowance=3 * CREDIT)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from open_world(tmp_path)


COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(usage, st.sampled_from("abcdefgh"), st.sampled_from([0, 1, CREDIT, 2 * CREDIT])),
    st.sampled_from([top_up(), top_up("ref-1"), ChangePlan(allowance=CREDIT, apply_now=True)]),
    st.builds(ChangePlan, allowance=st.integers(0, 9)),
    st.builds(SetStatus, status=st.sampled_from([AccountStatus.ACTIVE, AccountStatus.SUSPENDED])),
    st.just(VoidGrant(grant_id="grant_?")),
)
# The same id always means the same terms, so adding it again changes nothing.
PRICES = st.builds(
    lambda meter, since: price(f"price_{meter}_{since}", meter=meter, since=since),
    st.sampled_from(METERS),
    st.integers(1, 3),
)
UNITS = st.lists(
    st.builds(
        AccountUnit,
        st.sampled_from(NAMES),
        st.lists(COMMANDS, min_size=1, max_size=3),
        st.booleans(),
    )
    | st.builds(AddPrices, prices=st.lists(PRICES, min_size=1, max_size=2))
    | st.builds(
        lambda one, ends_at: EndPrice(meter=one.meter, price_id=one.id, ends_at=ends_at),
        PRICES,
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=3,
)
FAILURES = st.sampled_from(
    [("xWrite", apsw.FullError), ("xWrite", apsw.IOError), ("xSync", apsw.IOError)]
)
STEPS = st.one_of(
    st.tuples(st.just("batch"), UNITS),
    st.tuples(st.just("abandoned"), UNITS),
    st.tuples(st.just("left_alone"), st.integers(0, 4), UNITS),
    st.tuples(st.just("failing"), FAILURES, UNITS),
    st.tuples(st.just("later"), st.integers(1, 40)),
    st.tuples(st.just("reopened")),
)


def take(world: World, step: tuple[Any, ...]) -> None:
    match step:
        case ("batch", units):
            world.batch(*units)
        case ("abandoned", units):
            world.abandoned(*units)
        case ("left_alone", turns, units):
            world.left_alone(turns, *units)
        case ("failing", (operation, error), units):
            # An organization as well, since usage may all be refused, and then nothing is written.
            world.clock.now += 1
            name = f"At {world.clock.now}"
            renaming = UpdateOrganization(organization_id=NAMES[0], name=name)
            world.failing(operation, error, renaming, *units)
        case ("later", days):
            world.clock.now += days * DAY
        case _:
            world.store._lane._drop_connection()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=12))
def test_memory_and_file_agree_whatever_becomes_of_commits(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for world in open_world(Path(folder)):
            for step in steps:
                take(world, step)
                world.compare()
                world.compare()  # what the first comparison read is remembered now
                world.compare_lane()


def test_a_balance_is_read_once_and_then_remembered(world: World) -> None:
    world.batch(AccountUnit("org_a", [usage("1")]))
    reader = world.store._reader
    expected = world.store.reader.balance("org_a")
    reader._at_once.close()
    assert world.store.reader.balance("org_a") == expected


def test_nothing_is_served_before_it_is_synced(world: World) -> None:
    before = world.store.reader.balance("org_a")
    seen: list[object] = []

    def look(operation: str, file: str) -> None:
        if file.endswith("-wal"):
            seen.append(world.store.reader.balance("org_a"))

    world.disk.before = look
    world.batch(AccountUnit("org_a", [usage("1")]))
    world.disk.before = lambda _, __: None
    assert len(seen) > 1
    assert set(seen) == {before}
    assert world.store.reader.balance("org_a") != before


def test_what_is_visible_is_served_though_nobody_was_told_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that saw the entry in a list is not shown the balance of before."""
    committed = threading.Event()
    lane = world.store._lane
    commit = lane._commit

    def commit_and_tell() -> None:
        commit()
        committed.set()

    monkeypatch.setattr(lane, "_commit", commit_and_tell)
    world.store.reader.balance("org_a")  # is remembered

    async def scenario() -> None:
        batch = asyncio.ensure_future(world._batch(AccountUnit("org_a", [usage("1")])))
        await asyncio.sleep(0)
        assert committed.wait(PATIENCE)  # holds the loop: it cannot have heard of the commit
        assert not batch.done()
        assert world.store.reader.balance("org_a") == world.beside("org_a")
        await batch

    world.runner.run(scenario())
    world.compare()


def test_what_is_read_while_a_commit_is_under_way_is_not_remembered(world: World) -> None:
    """Nobody waits for the commit any more when it ends, so nobody would replace it."""
    may_sync = threading.Event()

    def wait_to_sync(operation: str, file: str) -> None:
        if operation == "xSync":
            assert may_sync.wait(PATIENCE)

    async def scenario() -> None:
        batch = asyncio.ensure_future(world._batch(AccountUnit("org_a", [usage("1")])))
        await asyncio.sleep(0)
        before = world.store.reader.balance("org_a")
        assert before == world.beside("org_a")
        batch.cancel()
        await asyncio.wait([batch])
        may_sync.set()
        world.wait_for_the_disk()
        assert world.store.reader.balance("org_a") == world.beside("org_a") != before

    world.disk.before = wait_to_sync
    world.runner.run(scenario())
    world.disk.before = lambda _, __: None


def test_of_a_commit_that_may_be_found_later_nothing_is_remembered(world: World) -> None:
    before = world.store.reader.balance("org_a")

    def fail(operation: str, file: str) -> None:
        if operation == "xSync":
            raise apsw.IOError("by order of the test")

    world.disk.before = fail
    with pytest.raises(OutcomeUnknown):
        world.batch(AccountUnit("org_a", [usage("1")]))
    world.disk.before = lambda _, __: None
    assert world.store.reader.balance("org_a") == before == world.beside("org_a")


def test_another_writer_is_noticed_by_the_next_batch(tmp_path: Path) -> None:
    """Two stores on one file, neither its owner: each sees what the other did."""

    async def scenario() -> None:
        clock = Clock()
        one, other = (SqliteStore.open(tmp_path / "ledger.db", clock=clock) for _ in range(2))
        await _found(one, ACME)
        for number in range(6):
            store = (one, other)[number % 2]
            (lane,) = store.lanes
            unit = AccountUnit(ACME, [usage(f"event-{number}", 1)])
            wanted = Wanted()
            unit.wants(wanted)
            work = Work(await lane.load(wanted))
            unit.decide(work)
            await lane.append(work.finish())
            for each in (one, other):
                row = each.reader.balance(ACME)
                assert isinstance(row, BalanceRow)
                assert row.consumed == number + 1
        await one.close()
        await other.close()

    asyncio.run(scenario())
