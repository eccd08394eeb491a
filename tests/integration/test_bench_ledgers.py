"""What the benchmark measures on is a ledger like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import apsw
import pytest

from bench.ledgers import Case, History, Ids, copy_of_filled, fill, found, names, run_batch, usage
from tallystick.ledger.reads import Balance, Reads
from tallystick.ledger.units import AccountUnit
from tallystick.storage.sqlite import SqliteStore
from tests.ledger_check import check_ledger
from tests.verified import check_verified

NOW = 1_800_000_000_000_000
ENTRIES = 600
TABLES = ("accounts", "grants", "entries", "periods", "usage_events", "usage_rollups")


def case(ids: Ids) -> Case:
    return Case(events=1, ids=ids, entries=ENTRIES)


def contents(path: Path) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    for table in TABLES:
        yield table, sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)  # noqa: S608 - a name of this file
    connection.close()


async def book(path: Path, history: History) -> None:
    """The same events through the ledger, each organization's at its own instant."""
    await found(path, [*names(1), *history.organizations], history.founded_at)
    now = history.founded_at
    store = SqliteStore.open(path, clock=lambda: now, synchronous="OFF")
    for at, events in groupby(history, key=lambda event: event[1]):
        now = at
        await run_batch(store, [AccountUnit(name, [usage(id_)]) for name, _, id_ in events])
    await store.close()


@pytest.mark.parametrize("ids", ["ordered", "random"])
def test_a_filled_ledger_holds_together(tmp_path: Path, ids: Ids) -> None:
    fill(tmp_path / "filled.db", case(ids))
    facts = check_ledger(tmp_path / "filled.db").values()
    assert sum(len(organization.booked) for organization in facts) == ENTRIES


@pytest.mark.parametrize("ids", ["ordered", "random"])
def test_a_filled_ledger_is_what_the_ledger_would_have_written(tmp_path: Path, ids: Ids) -> None:
    filled, booked = tmp_path / "filled.db", tmp_path / "booked.db"
    fill(filled, case(ids), until=NOW)
    asyncio.run(book(booked, History(case(ids), NOW)))
    assert dict(contents(filled)) == dict(contents(booked))


@pytest.mark.parametrize("fillers", [1, 7])
def test_a_filled_ledger_is_verified_and_its_past_can_be_read(tmp_path: Path, fillers: int) -> None:
    path = tmp_path / "filled.db"
    fill(path, case("ordered"), until=NOW, fillers=fillers)
    check_verified(path)
    history = History(case("ordered"), NOW, fillers)
    instants = [at for name, at, _ in history if name == history.organizations[0]]
    consumed = asyncio.run(consumed_at(path, history.organizations[0], instants[::20]))
    assert consumed == [1000 * (number + 1) for number in range(0, len(instants), 20)]


async def consumed_at(path: Path, name: str, instants: Sequence[int]) -> list[int]:
    store = SqliteStore.open(path, clock=lambda: NOW)
    found = [await Reads(store.reader, lambda: NOW).balance_at(name, at) for at in instants]
    await store.close()
    return [balance.state.consumed for balance in found if isinstance(balance, Balance)]


@pytest.mark.parametrize("fillers", [1, 256])
def test_what_is_made_up_lies_in_one_period_however_much_it_is(fillers: int) -> None:
    """Nobody advances the accounts that are filled, so nothing may fall due while they are."""
    year = 365 * 24 * 3600 * 1_000_000
    many = Case(events=1, entries=10**8)
    assert NOW - History(many, NOW, fillers).founded_at < year
    with pytest.raises(ValueError, match="more than a year"):
        History(replace(many, entries=2 * 10**8), NOW, fillers)


def test_many_servers_begin_with_one_filled_ledger(tmp_path: Path) -> None:
    for name in ("one.db", "other.db"):
        copy_of_filled(case("ordered"), tmp_path / "templates", tmp_path / name)
    assert len(list((tmp_path / "templates").iterdir())) == 1
    assert dict(contents(tmp_path / "one.db")) == dict(contents(tmp_path / "other.db"))
