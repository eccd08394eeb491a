"""An id of a usage event is written once, wherever it stands and whatever becomes of commits.

New ids may wait in a small table before they are merged into the big one (see `sqlite_recent`).
Generations are so short here that all of that happens within a few batches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tallystick.ledger.ports import (
    Changes,
    EntryFilter,
    Page,
    StatementRejected,
    StoreError,
    UsageRow,
    Wanted,
)
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Work
from tallystick.storage import sqlite_recent
from tallystick.storage.sqlite import SqliteStore
from tests.conformance.samples import ACME, OTHER, new_organization, usage
from tests.faults.power_loss import ForgetfulDisk
from tests.faults.test_power_loss import found_after, live

NOW = 1_800_000_000_000_000


@pytest.fixture(autouse=True)
def short_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_recent, "GENERATION", 40)
    monkeypatch.setattr(sqlite_recent, "_SLICE", 8)


class World:
    """A store and what was booked in it, by organization and event."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        self.disk = ForgetfulDisk()
        self.runner = asyncio.Runner()
        self.booked: set[tuple[str, str]] = set()
        self.store = self._open()
        for name in (ACME, OTHER):
            self.runner.run(self._append(new_organization(name)))

    def _open(self) -> SqliteStore:
        return SqliteStore.open(self.path, clock=lambda: NOW, vfs=self.disk.name, owned=True)

    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self._open()

    def close(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.disk.unregister()

    async def _append(self, changes: Changes) -> None:
        (lane,) = self.store.lanes
        await lane.load(Wanted())
        await lane.append(changes)

    def append(self, *rows: UsageRow) -> None:
        """Writes rows of which nothing was looked up before."""
        self.runner.run(self._append(Changes(usage=list(rows))))

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

    def rows(self, statement: str) -> list[Any]:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def tables(self) -> tuple[int, int]:
        """How many ids the big and the small table have."""
        ((merged, recent),) = self.rows(
            "SELECT (SELECT count(*) FROM merged_usage_events),"
            " (SELECT count(*) FROM recent_usage_events)"
        )
        return merged, recent

    def check(self) -> None:
        """Each id that was booked is there once, and leads to its entry; no other is there."""
        view = self.rows("SELECT organization_id, event_id, sequence FROM usage_events")
        entries = self.rows(
            "SELECT organization_id, event_id, sequence FROM entries WHERE kind = 'usage.booked'"
        )
        assert sorted(view) == sorted(entries)
        assert {(row[0], row[1]) for row in view} == self.booked
        assert len(view) == len(self.booked)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def random_ids(chance: random.Random, count: int) -> list[str]:
    return [f"{chance.getrandbits(64):016x}" for _ in range(count)]


def ordered_ids(chance: random.Random, count: int) -> list[str]:
    start = chance.randrange(10**6) * 1000
    return [f"in-order-{start + number:012d}" for number in range(count)]


@pytest.mark.parametrize("seed", range(6))
def test_every_id_is_written_once_through_failures_and_restarts(world: World, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        make = chance.choice([random_ids, random_ids, ordered_ids])
        events = make(chance, chance.choice([1, 2, 10, 30]))
        if world.booked and chance.random() < 0.5:
            known = sorted(event for name, event in world.booked if name == ACME)
            events += chance.sample(known, min(3, len(known)))
        match chance.randrange(10):
            case 0:
                world.fail_to_book(*chance.choice(FAILURES), random_ids(chance, 9))
            case 1:
                world.reopen()
            case 2:
                world.store._lane._drop_connection()
                world.book(ACME, events)
            case _:
                world.book(ACME if chance.random() < 0.9 else OTHER, events)
        world.check()


FAILURES = [("xWrite", apsw.FullError), ("xWrite", apsw.IOError), ("xSync", apsw.IOError)]


def test_ids_that_lie_close_together_need_no_second_table(world: World) -> None:
    chance = random.Random(1)
    world.book(ACME, ordered_ids(chance, 30))
    world.book(ACME, ["alone"])
    assert world.tables() == (31, 0)


def test_others_wait_and_are_merged_and_go(world: World) -> None:
    chance = random.Random(2)
    seen = set()
    for _ in range(30):
        world.book(ACME, random_ids(chance, 10))
        merged, recent = world.tables()
        assert recent <= 3 * 40, "more than two generations and a batch"
        assert merged + recent >= len(world.booked)
        seen.add((merged == 0, merged + recent > len(world.booked), merged > 0))
    assert len(seen) == 3, "waiting, standing in both, gone"


def test_an_id_is_refused_wherever_it_stands(world: World) -> None:
    """Also where nobody looked it up: the last line of defence is the store's."""
    chance = random.Random(3)
    world.book(ACME, ["first", *random_ids(chance, 9)])
    for _ in range(12):
        news = [UsageRow(ACME, event, 10**6, None, overdraw=False) for event in "xyz"]
        taken = UsageRow(ACME, "first", 10**6, None, overdraw=False)
        for rows in ([taken], [*news, taken]):
            with pytest.raises(StatementRejected):
                world.append(*rows)
        world.book(ACME, random_ids(chance, 10))
    world.check()
    assert world.rows("SELECT 1 FROM merged_usage_events WHERE event_id = 'first'")
    assert not world.rows("SELECT 1 FROM recent_usage_events WHERE event_id = 'first'")


def test_an_id_twice_in_one_batch_is_refused(world: World) -> None:
    rows = [UsageRow(ACME, event, 10**6, None, overdraw=False) for event in ("x", "y", "x")]
    with pytest.raises(StatementRejected):
        world.append(*rows)
    world.check()


def test_an_event_is_found_by_its_id_wherever_it_stands(world: World) -> None:
    chance = random.Random(4)
    for _ in range(12):
        world.book(ACME, random_ids(chance, 10))
        for _, event_id in chance.sample(sorted(world.booked), 5):
            where = EntryFilter(event_id=event_id)
            (found,) = world.runner.run(world.store.reader.entries(ACME, Page(5), where))
            assert found.entry.event_id == event_id


def test_what_is_not_merged_yet_cannot_be_deleted(world: World) -> None:
    world.book(ACME, random_ids(random.Random(5), 10))
    connection = apsw.Connection(str(world.path))
    with pytest.raises(apsw.ConstraintError, match="never deleted"):
        connection.execute("DELETE FROM recent_usage_events")
    with pytest.raises(apsw.ConstraintError, match="never changed"):
        connection.execute("UPDATE recent_usage_events SET sequence = 1")
    connection.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_power_cut_loses_no_id_on_its_way(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    run = live(tmp_path, chance, "FULL")
    for number, cut in enumerate(run.cuts):
        found = found_after(cut, tmp_path / str(number), chance)
        assert found == run.entries[: len(found)]
        assert len(found) >= cut.acknowledged
