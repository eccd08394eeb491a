"""The write-ahead log stays short under load, and whoever holds on to the past delays that only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from tallystick.ledger.ports import Wanted
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Work
from tallystick.storage import sqlite_log
from tallystick.storage.sqlite import SqliteStore
from tests.conformance.samples import ACME, new_organization, usage
from tests.faults.power_loss import ForgetfulDisk

NOW = 1_800_000_000_000_000
PAGE = 4096 + 24
PATIENCE = 20.0
PAGES_OF_A_BATCH = 200
"""At most, for 100 events of one organization."""


class World:
    def __init__(self, folder: Path, disk: ForgetfulDisk) -> None:
        self.path = folder / "ledger.db"
        self.disk = disk
        self.runner = asyncio.Runner()
        self.store = SqliteStore.open(self.path, clock=lambda: NOW, vfs=disk.name, owned=True)
        self.runner.run(self._found())
        self._batches = 0

    async def _found(self) -> None:
        (lane,) = self.store.lanes
        await lane.load(Wanted())
        await lane.append(new_organization())

    def book(self, batches: int) -> list[int]:
        """Books 100 events a batch; the log's size in pages after each."""
        return [self.runner.run(self._book()) for _ in range(batches)]

    async def _book(self) -> int:
        (lane,) = self.store.lanes
        self._batches += 1
        unit = AccountUnit(ACME, [usage(f"{n}-{self._batches}") for n in range(100)])
        wanted = Wanted()
        unit.wants(wanted)
        work = Work(await lane.load(wanted))
        unit.decide(work)
        await lane.append(work.finish())
        return self._pages()

    def _pages(self) -> int:
        return self.store._lane._log._pages

    def log_size(self) -> int:
        return Path(f"{self.path}-wal").stat().st_size


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(sqlite_log, "PAGES", 100)
    monkeypatch.setattr(sqlite_log, "MOST", 800)
    disk = ForgetfulDisk()
    world = World(tmp_path, disk)
    yield world
    world.runner.run(world.store.close())
    world.runner.close()
    disk.unregister()


def begins_anew(pages: list[int]) -> int:
    return sum(later < earlier for earlier, later in pairwise(pages))


def test_the_log_begins_anew_again_and_again(world: World) -> None:
    pages = world.book(120)
    assert begins_anew(pages) > 3
    assert world.log_size() <= (2 * 100 + 800 + PAGES_OF_A_BATCH) * PAGE


def test_a_slow_disk_makes_batches_wait_before_the_log_grows_without_end(world: World) -> None:
    may_go_on = threading.Event()

    def before(operation: str, file: str) -> None:
        # Every pass writes; only one that moved all there was by then syncs, too.
        if (operation, file) == ("xWrite", "ledger.db"):
            assert may_go_on.wait(PATIENCE)

    async def scenario() -> None:
        pages = 0
        while pages < world.store._lane._log._next_at + 800:
            pages = await world._book()
        waiting = asyncio.ensure_future(world._book())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert world._pages() == pages
        may_go_on.set()
        assert await waiting < pages

    world.disk.before = before
    try:
        world.runner.run(scenario())
    finally:
        may_go_on.set()


def test_who_holds_on_to_the_past_only_delays_it(world: World) -> None:
    world.book(1)
    reader = apsw.Connection(str(world.path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchall()
    assert begins_anew(world.book(40)) == 0
    reader.close(force=True)
    assert begins_anew(world.book(60)) > 0


def test_a_pass_that_fails_is_tried_again(world: World) -> None:
    def before(operation: str, file: str) -> None:
        if (operation, file) == ("xWrite", "ledger.db"):
            raise apsw.IOError("by order of the test")

    world.disk.before = before
    assert begins_anew(world.book(30)) == 0
    world.disk.before = lambda _, __: None
    assert begins_anew(world.book(60)) > 0
