"""The disk is full, or broken: writes are refused in the ledger's words and reads go on.

When there is room again, so do writes, by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from tallystick.domain.directory import Secret
from tallystick.ledger.ports import (
    Changes,
    OutcomeUnknown,
    StatementRejected,
    StoreError,
    StoreUnavailable,
    Wanted,
)
from tallystick.ledger.reading import BalanceRow, EntryFilter, Page
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Work
from tallystick.storage.sqlite import SqliteStore
from tests.conformance.samples import ACME, CREDIT, new_organization, usage
from tests.faults.power_loss import ForgetfulDisk

NOW = 1_800_000_000_000_000


@dataclass
class Ailing:
    """A store with an organization, on a disk that can be made to fail."""

    path: Path
    disk: ForgetfulDisk
    store: SqliteStore
    runner: asyncio.Runner

    def book(self, *events: str) -> None:
        async def batch() -> None:
            (lane,) = self.store.lanes
            unit = AccountUnit(ACME, [usage(event) for event in events])
            wanted = Wanted()
            unit.wants(wanted)
            work = Work(await lane.load(wanted))
            unit.decide(work)
            await lane.append(work.finish())

        self.runner.run(batch())

    def consumed(self) -> int:
        balance = self.store.reader.balance(ACME)
        assert isinstance(balance, BalanceRow)
        return balance.consumed

    def events(self) -> list[str | None]:
        page = Page(100, ascending=True)
        entries = self.runner.run(self.store.reader.entries(ACME, page, EntryFilter()))
        return [one.entry.event_id for one in entries if one.entry.event_id]

    def fail(self, operation: str, error: type[apsw.Error], *, after: int = 0) -> None:
        """Lets `after` such operations on the log pass, and the rest fail."""
        left = [after]

        def before(happening: str, file: str) -> None:
            if happening == operation and file == "ledger.db-wal":
                left[0] -= 1
                if left[0] < 0:
                    raise error("by order of the test")

        self.disk.before = before

    def heal(self) -> None:
        self.disk.before = lambda _, __: None


async def found(store: SqliteStore) -> None:
    """Makes the organization."""
    await store.lanes[0].load(Wanted())
    await store.lanes[0].append(new_organization())


@pytest.fixture
def ailing(tmp_path: Path) -> Iterator[Ailing]:
    disk = ForgetfulDisk()
    path = tmp_path / "ledger.db"
    with asyncio.Runner() as runner:
        store = SqliteStore.open(path, clock=lambda: NOW, vfs=disk.name)
        runner.run(found(store))
        yield Ailing(path, disk, store, runner)
        runner.run(store.close())
    disk.unregister()


@pytest.mark.parametrize("after", range(6))
def test_a_full_disk_refuses_writes_and_harms_no_read(ailing: Ailing, after: int) -> None:
    ailing.book("first")
    ailing.fail("xWrite", apsw.FullError, after=after)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="FullError"):
            ailing.book("refused", "refused too")
        assert ailing.consumed() == CREDIT
        assert ailing.events() == ["first"]
    ailing.heal()
    ailing.book("refused", "last")
    assert ailing.events() == ["first", "refused", "last"]


@pytest.mark.parametrize(("operation", "after"), [("xWrite", 0), ("xWrite", 3), ("xSync", 0)])
def test_of_a_commit_that_breaks_off_the_outcome_is_unknown(
    ailing: Ailing, operation: str, after: int
) -> None:
    ailing.book("first")
    ailing.fail(operation, apsw.IOError, after=after)
    with pytest.raises(OutcomeUnknown, match="IOError"):
        ailing.book("lost")
    assert ailing.consumed() == CREDIT
    ailing.heal()
    ailing.book("lost", "last")
    assert ailing.events() == ["first", "lost", "last"]


def test_a_commit_that_could_not_be_synced_may_be_found_later(ailing: Ailing) -> None:
    """Why the answer is `unknown` and not `nothing was changed`."""
    ailing.fail("xSync", apsw.IOError)
    with pytest.raises(OutcomeUnknown):
        ailing.book("unknown")
    copy = ailing.path.with_name("copy.db")
    for suffix in ("", "-wal"):
        source = Path(f"{ailing.path}{suffix}")
        Path(f"{copy}{suffix}").touch(0o600)
        Path(f"{copy}{suffix}").write_bytes(source.read_bytes())
    store = SqliteStore.open(copy, clock=lambda: NOW)
    entries = ailing.runner.run(store.reader.entries(ACME, Page(1), EntryFilter()))
    assert entries[0].entry.event_id == "unknown"
    ailing.runner.run(store.close())
    ailing.heal()


def test_a_full_disk_under_a_checkpoint_costs_no_commit(ailing: Ailing) -> None:
    """The log takes the batch; moving it into the database can wait."""

    def before(operation: str, file: str) -> None:
        if operation == "xWrite" and file == "ledger.db":
            raise apsw.FullError("by order of the test")

    ailing.disk.before = before
    for batch in range(40):
        ailing.book(*(f"{batch}-{number}" for number in range(100)))
    assert ailing.consumed() == 4000 * CREDIT
    ailing.heal()
    ailing.book("last")
    assert ailing.consumed() == 4001 * CREDIT


def test_a_database_that_cannot_be_opened_any_more_is_tried_again(
    ailing: Ailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lane,) = ailing.store.lanes
    connect = lane._connect
    _lose_connection(ailing)

    def refuse() -> apsw.Connection:
        raise apsw.CantOpenError("by order of the test")

    monkeypatch.setattr(lane, "_connect", refuse)
    with pytest.raises(StoreUnavailable, match="CantOpenError"):
        ailing.book("refused")
    monkeypatch.setattr(lane, "_connect", connect)
    ailing.book("last")
    assert ailing.events() == ["last"]


def _lose_connection(ailing: Ailing) -> None:
    """Loses the lane's connection, as after an error from which there is no way back."""
    (lane,) = ailing.store.lanes
    lane._drop_connection()


def test_a_constraint_that_shows_in_commit_only_rejects_the_batch(ailing: Ailing) -> None:
    async def scenario() -> None:
        (lane,) = ailing.store.lanes
        await lane.load(Wanted())
        assert lane._connection is not None
        lane._connection.execute("PRAGMA defer_foreign_keys = ON")
        orphan = Secret(hash=bytes(32), organization_id=ACME, key_id="key_?")
        with pytest.raises(StatementRejected, match="FOREIGN KEY"):
            await lane.append(Changes(secrets={orphan.hash: orphan}))
        assert not lane._connection.in_transaction

    ailing.runner.run(scenario())
    ailing.book("next")
    assert ailing.events() == ["next"]


ERRORS: list[tuple[type[apsw.Error], type[StoreError]]] = [
    (apsw.FullError, StoreUnavailable),
    (apsw.IOError, OutcomeUnknown),
    (apsw.ReadOnlyError, OutcomeUnknown),
]


@pytest.mark.parametrize(("error", "meaning"), ERRORS, ids=lambda kind: kind.__name__)
def test_what_commit_can_fail_with(
    ailing: Ailing, error: type[apsw.Error], meaning: Callable[..., StoreError]
) -> None:
    ailing.fail("xWrite", error)
    with pytest.raises(StoreError) as raised:
        ailing.book("refused")
    assert type(raised.value) is meaning
    ailing.heal()
    ailing.book("refused")
    assert ailing.events() == ["refused"]


@pytest.mark.parametrize("has_lost_its_connection", [False, True])
def test_a_disk_that_fails_at_the_end_costs_no_commit_either(
    tmp_path: Path, has_lost_its_connection: bool
) -> None:
    """It is said in the ledger's words, and the next start finds everything."""
    disk = ForgetfulDisk()
    with asyncio.Runner() as runner:
        store = SqliteStore.open(tmp_path / "ledger.db", clock=lambda: NOW, vfs=disk.name)
        dying = Ailing(tmp_path / "ledger.db", disk, store, runner)
        runner.run(found(store))
        dying.book("first")
        if has_lost_its_connection:
            store.lanes[0]._drop_connection()
        disk.before = _refuse
        with pytest.raises(StoreUnavailable, match="IOError"):
            runner.run(store.close())
        disk.before = lambda _, __: None
        store = SqliteStore.open(tmp_path / "ledger.db", clock=lambda: NOW, vfs=disk.name)
        healed = Ailing(tmp_path / "ledger.db", disk, store, runner)
        assert healed.events() == ["first"]
        healed.book("second")
        runner.run(store.close())
    disk.unregister()


def _refuse(operation: str, file: str) -> None:
    raise apsw.IOError(f"{operation} of {file}, by order of the test")
