"""The power goes off at any moment: what was acknowledged is there, whole, and nothing else half.

The same runs without syncing must lose something, or the disk would not forget.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from tallystick.domain.entries import GENESIS, Sealed, seal
from tallystick.ledger.ports import Changes, StoreError, Wanted
from tallystick.ledger.reading import BalanceRow, EntryFilter, Page
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Work
from tallystick.storage.sqlite import SqliteStore, Synchronous
from tests.conformance.samples import ACME, new_organization, usage
from tests.faults.power_loss import ForgetfulDisk, Kept, PowerCut, Truncate, Write

NOW = 1_800_000_000_000_000
BATCHES = 34
EVERYTHING = Page(1_000_000, ascending=True)


@dataclass
class Run:
    """One life of a store on a forgetful disk, with power cuts at random moments."""

    cuts: list[PowerCut] = field(default_factory=list)
    entries: list[Sealed] = field(default_factory=list)
    ends: set[int] = field(default_factory=set)
    """Sequences at which a batch ended."""


def live(folder: Path, chance: random.Random, synchronous: Synchronous) -> Run:
    run = Run()

    def before(_: str, __: str) -> None:
        if chance.random() < 0.006:
            run.cuts.append(disk.cut())

    disk = ForgetfulDisk(before)
    try:
        asyncio.run(_live(folder / "ledger.db", disk, run, chance, synchronous))
    finally:
        disk.unregister()
    return run


async def _live(
    path: Path, disk: ForgetfulDisk, run: Run, chance: random.Random, synchronous: Synchronous
) -> None:
    store = SqliteStore.open(path, clock=lambda: NOW, vfs=disk.name, synchronous=synchronous)
    (lane,) = store.lanes

    async def append(changes: Changes) -> None:
        run.entries += changes.entries
        run.ends.add(len(run.entries))
        await lane.append(changes)
        disk.acknowledged = len(run.entries)
        if chance.random() < 0.2:
            run.cuts.append(disk.cut())

    run.cuts.append(disk.cut())
    await lane.load(Wanted())
    await append(new_organization())
    for batch in range(BATCHES):
        commands = [usage(f"{batch}-{n}") for n in range(chance.choice([1, 30, 256]))]
        work = Work(await lane.load(Wanted(organizations={ACME})))
        AccountUnit(ACME, commands).decide(work)
        await append(work.finish())
    run.cuts.append(disk.cut())
    await store.close()
    run.cuts.append(disk.cut())


def found_after(cut: PowerCut, folder: Path, chance: random.Random) -> list[Sealed]:
    """Restarts after the power cut, checks that all is of one piece, books one event more."""
    cut.restart(folder, chance)
    return asyncio.run(_look(folder / "ledger.db"))


async def _look(path: Path) -> list[Sealed]:
    store = SqliteStore.open(path, clock=lambda: NOW)
    (lane,) = store.lanes
    try:
        entries = list(await store.reader.entries(ACME, EVERYTHING, EntryFilter()))
        assert seal((one.entry for one in entries), GENESIS) == entries
        ids = {(ACME, one.entry.event_id or "") for one in entries if one.entry.event_id}
        snapshot = await lane.load(Wanted(organizations={ACME}, events=ids))
        assert snapshot.events.keys() == ids
        if entries:
            account = snapshot.accounts[ACME]
            assert (account.sequence, account.head) == (len(entries), entries[-1].hash)
            await _book_one_more(store, Work(snapshot))
        return entries
    finally:
        await store.close()
        assert apsw.Connection(str(path)).pragma("integrity_check") == "ok"


async def _book_one_more(store: SqliteStore, work: Work) -> None:
    AccountUnit(ACME, [usage("after the power cut")]).decide(work)
    await store.lanes[0].append(work.finish())


@pytest.mark.parametrize("seed", range(5))
def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    run = live(tmp_path, chance, "FULL")
    assert len(run.cuts) > 10
    for number, cut in enumerate(run.cuts):
        found = found_after(cut, tmp_path / str(number), chance)
        assert found == run.entries[: len(found)], "another past than the one that was written"
        assert len(found) >= cut.acknowledged, "acknowledged, and lost"
        assert len(found) in {0, *run.ends}, "half a batch"


def test_without_syncing_acknowledged_entries_are_lost(tmp_path: Path) -> None:
    """What proves that the test above can fail."""
    lost = 0
    for seed in range(3):
        chance = random.Random(seed)
        folder = tmp_path / f"run-{seed}"
        folder.mkdir()
        for number, cut in enumerate(live(folder, chance, "OFF").cuts):
            try:
                found = found_after(cut, folder / str(number), chance)
            except (StoreError, apsw.Error, AssertionError):
                continue  # damaged, which is worse
            lost += len(found) < cut.acknowledged
    assert lost > 0


def test_cuts_fall_into_commits_and_into_checkpoints(tmp_path: Path) -> None:
    """Else the runs would be too short to show anything."""
    cuts = live(tmp_path, random.Random(0), "FULL").cuts
    assert any(cut.now["ledger.db-wal"].since for cut in cuts if "ledger.db-wal" in cut.now)
    assert any(len(cut.now["ledger.db"].synced) > 400_000 for cut in cuts)


@pytest.fixture
def store_and_disk(tmp_path: Path) -> Iterator[tuple[SqliteStore, ForgetfulDisk]]:
    disk = ForgetfulDisk()
    store = SqliteStore.open(tmp_path / "ledger.db", clock=lambda: NOW, vfs=disk.name)
    yield store, disk
    asyncio.run(store.close())
    disk.unregister()


def test_readers_see_nothing_before_it_is_synced(
    store_and_disk: tuple[SqliteStore, ForgetfulDisk],
) -> None:
    store, disk = store_and_disk
    seen: list[BalanceRow | None] = []

    def before(operation: str, file: str) -> None:
        if operation == "xSync" and file == "ledger.db-wal":
            seen.append(store.reader.balance(ACME))  # type: ignore[arg-type] # a value, here

    async def scenario() -> None:
        (lane,) = store.lanes
        await lane.load(Wanted())
        disk.before = before
        await lane.append(new_organization())
        disk.before = lambda _, __: None

    asyncio.run(scenario())
    assert seen
    assert set(seen) == {None}
    assert store.reader.balance(ACME) is not None


def test_a_file_keeps_what_was_synced_and_any_part_of_the_rest() -> None:
    kept = Kept(b"a" * 1024, [Write(256, b"b" * 1024), Truncate(100)])
    contents = {kept.after_power_cut(random.Random(seed)) for seed in range(2000)}
    assert {b"a" * 1024, b"a" * 256 + b"b" * 1024, b"a" * 100} <= contents
    assert any(content[256:768] == b"a" * 256 + b"b" * 256 for content in contents), "torn"
    sectors = [slice(256, 512), slice(512, 1024), slice(1024, 1280)]
    assert all(len(set(content[sector])) < 2 for content in contents for sector in sectors)


def test_a_folder_keeps_the_names_it_was_synced_with_or_has(tmp_path: Path) -> None:
    cut = PowerCut({"both": Kept(), "gone": Kept()}, {"both": Kept(), "new": Kept()}, 0)
    found = set()
    for seed in range(50):
        cut.restart(tmp_path / str(seed), random.Random(seed))
        found.add(frozenset(path.name for path in (tmp_path / str(seed)).iterdir()))
    assert found == {
        frozenset({"both", *others}) for others in ((), ("gone",), ("new",), ("gone", "new"))
    }
