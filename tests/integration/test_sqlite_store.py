"""What the SQLite store does with its file, its connections and its threads."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import apsw
import pytest

from tallystick.domain.prices import PriceEnd
from tallystick.ledger.ports import Changes, StoreUnavailable, Wanted
from tallystick.ledger.reading import BalanceRow, EntryFilter, Page
from tallystick.storage import sqlite_entries
from tallystick.storage.errors import StoreNotUsable
from tallystick.storage.sqlite import Database, SqliteStore
from tallystick.storage.sqlite_prices import PriceCache
from tests.conformance.samples import ACME, PLAN, new_organization
from tests.faults.power_loss import ForgetfulDisk
from tests.pricing import price

NOW = 1_800_000_000_000_000
PATIENCE = 20.0


def open_store(path: Path | str, vfs: str | None = None) -> SqliteStore:
    return SqliteStore.open(path, clock=lambda: NOW, vfs=vfs)


async def found_acme(store: SqliteStore) -> None:
    (lane,) = store.lanes
    await lane.load(Wanted())
    await lane.append(new_organization())


@pytest.fixture
def disk() -> Iterator[ForgetfulDisk]:
    disk = ForgetfulDisk()
    yield disk
    disk.unregister()


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def write() -> None:
        store = open_store(path)
        await found_acme(store)
        await store.close()

    async def read() -> None:
        store = open_store(path)
        balance = store.reader.balance(ACME)
        assert isinstance(balance, BalanceRow)
        assert balance.remaining == PLAN.allowance
        await store.close()

    asyncio.run(write())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ledger.db"]
    asyncio.run(read())


def test_closing_undoes_what_was_left_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        await store.lanes[0].load(Wanted())
        await store.close()

    asyncio.run(scenario())
    asyncio.run(open_store(tmp_path / "ledger.db").close())


def test_a_store_that_was_closed_does_not_open_its_file_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.lanes[0].load(Wanted())

    asyncio.run(scenario())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ledger.db"]


def test_a_store_that_cannot_be_opened_leaves_no_thread_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Database) -> NoReturn:
        raise apsw.CantOpenError("by order of the test")

    monkeypatch.setattr(Database, "reader", refuse)
    before = threading.enumerate()
    with pytest.raises(StoreUnavailable, match="by order of the test"):
        open_store(tmp_path / "ledger.db")
    assert threading.enumerate() == before


def test_prices_that_cannot_be_read_leave_no_transaction_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise ZeroDivisionError("a bug while prices are read")

    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        monkeypatch.setattr(PriceCache, "book", refuse)
        with pytest.raises(ZeroDivisionError):
            await store.lanes[0].load(Wanted(prices={"llm.tokens"}))
        # Somebody else can write: nothing is locked.
        with closing(apsw.Connection(str(tmp_path / "ledger.db"))) as other:
            other.execute("BEGIN IMMEDIATE")
        await store.close()

    asyncio.run(scenario())


def test_the_database_in_memory_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def scenario() -> None:
        stores = [open_store(":memory:") for _ in range(2)]
        await found_acme(stores[0])
        assert stores[0].reader.balance(ACME) is not None
        assert stores[1].reader.balance(ACME) is None
        for store in stores:
            await store.close()

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"no database at all, but a diary" * 99, b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(StoreNotUsable, match=r"ledger\.db is no SQLite database"):
        open_store(path)
    assert path.read_bytes() == content


def test_every_commit_is_synced(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        connection = store.lanes[0]._connection
        assert connection is not None
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        await store.close()

    asyncio.run(scenario())


def test_an_entry_is_not_replaced_either(tmp_path: Path) -> None:
    """REPLACE deletes without asking the trigger, unless the connection says otherwise."""

    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        await found_acme(store)
        connection = store.lanes[0]._connection
        assert connection is not None
        with pytest.raises(apsw.ConstraintError, match="never deleted"):
            connection.execute("INSERT OR REPLACE INTO entries SELECT * FROM entries")
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("table", ["prices", "price_ends"])
def test_what_a_price_was_cannot_be_changed(tmp_path: Path, table: str) -> None:
    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        (lane,) = store.lanes
        await lane.load(Wanted())
        ends = [PriceEnd("price_1", NOW, NOW)]
        await lane.append(Changes(prices=[price("price_1")], price_ends=ends))
        connection = lane._connection
        assert connection is not None
        with pytest.raises(apsw.ConstraintError, match="never deleted"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand above
        with pytest.raises(apsw.ConstraintError, match="never changed"):
            connection.execute(f"UPDATE {table} SET created_at = 0")  # noqa: S608 - see above
        await store.close()

    asyncio.run(scenario())


def test_the_reader_cannot_write(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        for connection in (store._reader._at_once, store._reader._in_thread):
            with pytest.raises(apsw.ReadOnlyError):
                connection.execute("DELETE FROM accounts")
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("replacement", [None, b"another file"])
def test_a_store_whose_file_is_gone_says_so(tmp_path: Path, replacement: bytes | None) -> None:
    """It would go on writing to a file that nobody will find again."""
    path = tmp_path / "ledger.db"

    async def scenario() -> None:
        store = open_store(path)
        await store.check()
        path.rename(tmp_path / "moved.db")
        if replacement is not None:
            path.write_bytes(replacement)
        with pytest.raises(StoreUnavailable, match=r"ledger\.db"):
            await store.check()
        path.unlink(missing_ok=True)
        (tmp_path / "moved.db").rename(path)
        await store.check()
        await store.close()

    asyncio.run(scenario())


def test_the_log_is_written_and_moved_in_threads_only(tmp_path: Path, disk: ForgetfulDisk) -> None:
    threads: set[tuple[str, str]] = set()

    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db", disk.name)
        disk.before = lambda _, file: threads.add((file, threading.current_thread().name))
        (lane,) = store.lanes
        for number in range(600):
            await lane.load(Wanted())
            await lane.append(new_organization(f"org_{number}"))
        disk.before = lambda _, __: None
        await store.close()

    asyncio.run(scenario())
    assert {file for file, _ in threads} == {"ledger.db", "ledger.db-wal"}, "no checkpoint came"
    assert all(thread.startswith("tallystick-") for _, thread in threads)
    assert ("ledger.db", "tallystick-checkpoint_0") in threads


def test_the_loop_goes_on_while_a_commit_waits_for_the_disk(
    tmp_path: Path, disk: ForgetfulDisk
) -> None:
    answered = threading.Event()
    waited: list[bool] = []

    def before(operation: str, file: str) -> None:
        if operation == "xSync":
            waited.append(answered.wait(PATIENCE))

    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db", disk.name)
        disk.before = before
        writing = asyncio.ensure_future(found_acme(store))
        while not writing.done():
            await asyncio.sleep(0)
            assert store.reader.balance(ACME) is None or answered.is_set()
            answered.set()
        await writing
        await store.close()

    asyncio.run(scenario())
    assert waited
    assert all(waited)


def test_a_search_in_short_stretches_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        store = open_store(tmp_path / "ledger.db")
        await found_acme(store)
        account = await store.reader.account(ACME)
        assert account is not None
        where = EntryFilter(grant_id=account.allowance_grant_id)
        whole = await store.reader.entries(ACME, Page(5), where)
        monkeypatch.setattr(sqlite_entries, "STRETCH", 1)
        assert await store.reader.entries(ACME, Page(5), where) == whole
        assert len(whole) == 1
        await store.close()

    asyncio.run(scenario())


def test_somebody_elses_database_is_not_touched(tmp_path: Path) -> None:
    """Not even its journal mode, which would stay changed after we have refused it."""
    file = tmp_path / "other.db"
    connection = apsw.Connection(str(file))
    connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    file.chmod(0o600)
    before = file.read_bytes()
    with pytest.raises(StoreNotUsable, match="none of Tallystick's"):
        open_store(file)
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["other.db"]
