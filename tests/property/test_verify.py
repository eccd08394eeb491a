"""Whatever is changed in a ledger with everything in it, the verifier finds it and says where."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest

from tallystick.domain.entries import EntryKind
from tallystick.ledger import work
from tallystick.ledger.budgets import BudgetUnit
from tests.histories import TEAMSPACES, history
from tests.verified import check_verified, verified

SEEDS = range(12)
STEPS = 90
FORGERIES = 60
"""Of each kind, on each of some ledgers."""

KEYS = {
    "accounts": ("organization_id",),
    "entries": ("organization_id", "sequence"),
    "grants": ("organization_id", "grant_id"),
    "holds": ("organization_id", "hold_id"),
    "periods": ("organization_id", "period_index"),
    "budgets": ("organization_id", "subject_id"),
    "milestones": ("organization_id", "sequence"),
    "usage_events": ("event_id", "organization_id"),
    "usage_rollups": (
        *("organization_id", "dimension", "bucket", "value"),
        *("teamspace_id", "meter", "api_key_id"),
    ),
    "usage_days": (
        *("organization_id", "dimension", "day", "value"),
        *("teamspace_id", "meter", "api_key_id"),
    ),
    "period_usage": ("organization_id", "period_index", "teamspace_id", "meter", "api_key_id"),
}
UNSAID = {
    ("accounts", "status"),
    ("budgets", "budget"),
    ("holds", "dimensions"),
    ("holds", "salt"),
    ("holds", "digest"),
    ("usage_events", "overdraw"),
}
"""Columns that entries do not say (docs/proof.md)."""
HARMLESS_TO_DELETE = {"milestones", "budgets"}


@pytest.fixture(scope="module", autouse=True)
def _milestones_near(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "MILESTONE_DISTANCE", 16)
        yield


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live(tmp_path_factory.mktemp("ledger") / "ledger.db", seed=5, steps=320)


def live(path: Path, seed: int, steps: int) -> Path:
    async def scenario() -> None:
        async with history(seed, path, also=1) as life:
            await life.go(steps)
            await life.ledger.submit(
                life.organization_id, BudgetUnit(life.organization_id, TEAMSPACES[0], 7)
            )

    asyncio.run(scenario())
    return path


@pytest.mark.parametrize("seed", SEEDS)
def test_an_honest_ledger_passes(tmp_path: Path, seed: int) -> None:
    report = verified(live(tmp_path / "ledger.db", seed, STEPS))
    assert (report.differences, report.organizations) == ({}, 2)
    assert report.entries > STEPS // 2


def test_the_ledger_has_everything_in_it(ledger: Path) -> None:
    with closing(apsw.Connection(str(ledger))) as connection:
        for table in KEYS:
            assert list(connection.execute(f"SELECT * FROM {table}")), table  # noqa: S608 - a name of this file
        kinds = {kind for (kind,) in connection.execute("SELECT kind FROM entries")}
    assert set(EntryKind) - kinds == set()


class Forger:
    """Changes a copy of a ledger at random; what it did is in `done`."""

    def __init__(self, ledger: Path, copy: Path, seed: int) -> None:
        self.random = Random(seed)
        self.path = Path(shutil.copy(ledger, copy))
        self.connection = apsw.Connection(str(self.path))
        for (name,) in self._rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
            self._rows(f"DROP TRIGGER {name}")
        self._rows("PRAGMA ignore_check_constraints = ON")
        self.done: list[object] = []

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return self.connection.execute(statement, values).fetchall()

    def _row(self, table: str) -> dict[str, Any]:
        count = self._rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608 - a name of this file
        where = self.random.randrange(count)
        cursor = self.connection.execute(f"SELECT * FROM {table} LIMIT 1 OFFSET {where}")  # noqa: S608 - the same
        names = [name for name, _ in cursor.get_description()]
        return dict(zip(names, next(cursor), strict=True))

    def _where(self, table: str, row: dict[str, Any]) -> tuple[str, list[Any]]:
        names = KEYS[table]
        return " AND ".join(f"{name} = ?" for name in names), [row[name] for name in names]

    def edit(self) -> None:
        """One field, as little as possible."""
        table = self.random.choice(list(KEYS))
        row = self._row(table)
        column = self.random.choice([name for name in row if (table, name) not in UNSAID])
        value = self._altered(row[column])
        if (table, column) == ("accounts", "next_due_at"):
            value = row[column] + 1
        where, key = self._where(table, row)
        self.done += [table, column, row[column], value, key]
        self._rows(f"UPDATE {table} SET {column} = ? WHERE {where}", value, *key)  # noqa: S608 - the same

    def _altered(self, value: object) -> object:
        random = self.random
        match value:
            case None:
                return random.choice((0, -(2**63))) if random.random() < 0.5 else ""
            case int():
                return random.choice((value + 1, value - 1, value ^ (1 << random.randrange(50))))
            case bytes():
                at = random.randrange(len(value)) if value else 0
                flipped = value[at] ^ (1 << random.randrange(8)) if value else 1
                return value[:at] + bytes([flipped]) + value[at + 1 :]
            case str():
                at = random.randrange(len(value) + 1)
                return random.choice((value[:at] + "1" + value[at:], value[: at - 1] + value[at:]))
        raise AssertionError(value)

    def delete(self) -> None:
        table = self.random.choice([name for name in KEYS if name not in HARMLESS_TO_DELETE])
        where, key = self._where(table, self._row(table))
        self.done += [table, key]
        self._rows(f"DELETE FROM {table} WHERE {where}", *key)  # noqa: S608 - the same

    def swap(self) -> None:
        """Two rows change places: each gets what the other says, but for the key."""
        table = self.random.choice(list(KEYS))
        one, other = self._row(table), self._row(table)
        said = [name for name in one if name not in KEYS[table] and (table, name) not in UNSAID]
        for row, said_by in ((one, other), (other, one)):
            where, key = self._where(table, row)
            columns = ", ".join(f"{name} = ?" for name in said)
            values = [said_by[name] for name in said]
            self._rows(f"UPDATE {table} SET {columns} WHERE {where}", *values, *key)  # noqa: S608 - the same
        self.done += [table, one, other]

    def insert(self) -> None:
        """A row like another one, under a key of its own."""
        table = self.random.choice([name for name in KEYS if name != "budgets"])
        row = self._row(table)
        column = self.random.choice(KEYS[table])
        value = row[column]
        row[column] = value + 1_000_003 if isinstance(value, int) else f"{value}x"
        marks = ", ".join("?" * len(row))
        self.done += [table, row]
        self._rows(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())  # noqa: S608 - the same


@pytest.mark.parametrize("seed", range(FORGERIES))
@pytest.mark.parametrize("how", [Forger.edit, Forger.delete, Forger.swap, Forger.insert])
def test_a_forgery_is_found(
    ledger: Path, tmp_path: Path, how: Callable[[Forger], None], seed: int
) -> None:
    forger = Forger(ledger, tmp_path / "forged.db", seed)
    before = dump(forger.connection)
    try:
        how(forger)
    except apsw.ConstraintError:
        # An index or the type of a column forbids it: another forgery then.
        forger.edit()
    if dump(forger.connection) == before:
        return
    forger.connection.close()
    report = verified(forger.path)
    assert report.disagreeing, forger.done
    for difference in report.differences.values():
        assert difference.why
        json.dumps(difference, default=str)


def dump(connection: apsw.Connection) -> list[Any]:
    return [
        sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)  # noqa: S608 - a name of this file
        for table in KEYS
    ]


def test_the_ledger_still_passes(ledger: Path) -> None:
    check_verified(ledger)
