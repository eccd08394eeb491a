"""An id of a usage event is written once, whatever becomes of commits, connections and stores."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tallystick.ledger.ports import Changes, StatementRejected, StoreError, UsageRow, Wanted
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Work
from tallystick.storage.sqlite import SqliteStore
from tests.conformance.samples import ACME, OTHER, new_organization, usage
from tests.faults.power_loss import ForgetfulDisk

NOW = 1_800_000_000_000_000
IDS = "SELECT organization_id, event_id, sequence FROM usage_events"
ENTRIES = "SELECT organization_id, event_id, sequence FROM entries WHERE kind = 'usage.booked'"
FAILURES = [("xWrite", apsw.FullError), ("xWrite", apsw.IOError), ("xSync", apsw.IOError)]


class World:
    """A store and what was booked in it, by organization and event."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        self.disk = ForgetfulDisk()
        self.runner = asyncio.Runner()
        self.booked: set[tuple[str, str]] = set()
        self.store = self._open()
        for name in (ACME, OTHER):
            self.append(new_organization(name))

    def _open(self) -> SqliteStore:
        return SqliteStore.open(self.path, clock=lambda: NOW, vfs=self.disk.name, owned=True)

    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self._open()

    def close(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.disk.unregister()

    def append(self, changes: Changes) -> None:
        """Writes `changes`, of which nothing was looked up before."""

        async def change() -> None:
            (lane,) = self.store.lanes
            await lane.load(Wanted())
            await lane.append(changes)

        self.runner.run(change())

    def book(self, organization_id: str, events: list[str]) -> None:
        """Books them in one batch; those that were booked before must be told as such."""
        outcomes = self.runner.run(self._book(organization_id, events))
        for event_id, outcome in zip(events, outcomes, strict=True):
            assert outcome.duplicate == ((organization_id, event_id) in self.booked)
            self.booked.add((organization_id, event_id))

    async def _book(self, organization_id: str, events: list[str]) -> list[Any]:
        (lane,) = self.store.lanes
        unit = AccountUnit(organization_id, [usage(event) for event in events])
        wanted = Wanted()
        unit.wants(wanted)
        work = Work(await lane.load(wanted))
        outcomes = unit.decide(work)
        await lane.append(work.finish())
        assert isinstance(outcomes, list)
        return outcomes

    def fail_to_book(self, operation: str, error: type[apsw.Error], events: list[str]) -> None:
        def before(happening: str, file: str) -> None:
            if happening == operation and file.endswith("-wal"):
                raise error("by order of the test")

        self.disk.before = before
        with pytest.raises(StoreError):
            self.runner.run(self._book(ACME, events))
        self.disk.before = lambda _, __: None

    def check(self) -> None:
        """Each id that was booked is there once, and leads to its entry; no other is there."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        ids, entries = (sorted(connection.execute(statement)) for statement in (IDS, ENTRIES))
        connection.close()
        assert ids == entries
        assert {(row[0], row[1]) for row in ids} == self.booked
        assert len(ids) == len(self.booked)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def some_ids(chance: random.Random) -> list[str]:
    return [f"{chance.getrandbits(64):016x}" for _ in range(chance.choice([1, 2, 10, 30]))]


@pytest.mark.parametrize("seed", range(3))
def test_every_id_is_written_once_through_failures_and_restarts(world: World, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        events = some_ids(chance)
        if world.booked and chance.random() < 0.5:
            known = sorted(event for name, event in world.booked if name == ACME)
            events += chance.sample(known, min(3, len(known)))
        match chance.randrange(10):
            case 0:
                world.fail_to_book(*chance.choice(FAILURES), some_ids(chance))
            case 1:
                world.reopen()
            case 2:
                world.store._lane._drop_connection()
                world.book(ACME, events)
            case _:
                world.book(ACME if chance.random() < 0.9 else OTHER, events)
        world.check()


@pytest.mark.parametrize("events", [["first"], ["x", "first"], ["x", "y", "x"]])
def test_an_id_that_nobody_looked_up_is_refused_all_the_same(
    world: World, events: list[str]
) -> None:
    """The last line of defence is the store's."""
    world.book(ACME, ["first"])
    rows = [UsageRow(ACME, event, 10**6, overdraw=False) for event in events]
    with pytest.raises(StatementRejected):
        world.append(Changes(usage=rows))
    world.check()
