"""`tallystick verify`, in this process: what it says, how it ends, and what anchors prove."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from tallystick.cli.app import run
from tests.histories import history

AGREES, MISUSED, REFUSED, UNAVAILABLE, DISAGREES = 0, 2, 3, 4, 6
ORGANIZATIONS = [f"org_{number:026d}" for number in range(3)]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three organizations, the first of which has lived."""
    return live(tmp_path_factory.mktemp("ledger") / "ledger.db", seed=3)


def live(path: Path, seed: int, steps: int = 40) -> Path:
    async def scenario() -> None:
        async with history(seed, path, also=2) as life:
            await life.go(steps)

    asyncio.run(scenario())
    return path


class Anchored:
    """A copy of the ledger, an anchor of it, and the anchor's keys."""

    def __init__(self, ledger: Path, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.database = Path(shutil.copy(ledger, folder / "ledger.db"))
        self.anchor, self.key = folder / "anchor", folder / "key"
        self.public_key = folder / "key.pub"
        self._capture = capture

    def verify(self, *arguments: object) -> tuple[int, Any]:
        """The exit code and the JSON, of standard output or else of standard error."""
        flags = ["--database", str(self.database), "--json", *map(str, arguments)]
        code = run(["verify", *flags])
        said = self._capture.readouterr()
        return code, json.loads(said.out or said.err)

    def check(self, *arguments: object) -> tuple[int, Any]:
        return self.verify(
            "--anchor", self.anchor, "--anchor-public-key", self.public_key, *arguments
        )

    def renew(self, *arguments: object) -> tuple[int, Any]:
        return self.verify("--anchor", self.anchor, "--anchor-key", self.key, *arguments)

    def forge(self, *statements: str) -> None:
        with closing(apsw.Connection(str(self.database))) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def w(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Anchored:
    return Anchored(ledger, tmp_path, capsys)


def test_a_ledger_that_agrees(w: Anchored) -> None:
    code, found = w.verify()
    assert (code, found["agrees"], found["organizations"]) == (AGREES, True, 3)
    code, found = w.verify(ORGANIZATIONS[1])
    assert (code, found["organizations"], found["entries"]) == (AGREES, 1, found["entries"])
    assert w.verify("nobody")[0] == REFUSED


def test_the_first_row_that_disagrees_is_named_and_the_others_are_counted(w: Anchored) -> None:
    w.forge("UPDATE accounts SET pending = pending + 7")
    code, found = w.verify()
    assert (code, found["disagreeing"]) == (DISAGREES, 3)
    first = found["differences"][0]
    assert (first["table"], first["column"]) == ("accounts", "pending")
    assert first["said"] == first["expected"] + 7


def test_verifying_changes_nothing(w: Anchored) -> None:
    before = w.database.read_bytes()
    w.verify()
    assert w.database.read_bytes() == before


def test_a_database_that_is_not_there(w: Anchored) -> None:
    w.database = w.database.with_name("elsewhere.db")
    assert w.verify()[0] == UNAVAILABLE
    assert not w.database.exists()


# ── anchors ──


def test_an_anchor_is_made_checked_and_renewed(w: Anchored) -> None:
    code, first = w.renew()
    assert (code, first["anchor"]["number"], first["anchor"]["renewed"]) == (AGREES, 1, True)
    assert stat.S_IMODE(w.key.stat().st_mode) == 0o600
    code, checked = w.check()
    assert (code, checked["anchor"]["renewed"]) == (AGREES, False)
    assert checked["anchor"]["key"] == first["anchor"]["key"]
    code, second = w.renew()
    assert (code, second["anchor"]["number"]) == (AGREES, 2)
    assert w.anchor.with_name("anchor.1").exists()


def test_a_ledger_that_grew_passes_through_its_anchor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same life, longer: its chain goes on where the shorter one ends."""
    short = live(tmp_path / "short.db", seed=3, steps=10)
    long = live(tmp_path / "long.db", seed=3, steps=40)
    w = Anchored(short, tmp_path, capsys)
    w.renew()
    shutil.copy(long, w.database)
    assert w.check()[0] == AGREES
    w.renew()
    shutil.copy(short, w.database)
    code, found = w.check()
    assert code == DISAGREES
    assert "entries were taken away" in found["differences"][0]["why"]
    assert w.check(ORGANIZATIONS[0])[0] == DISAGREES


def test_a_ledger_that_was_written_anew_is_found(w: Anchored, tmp_path: Path) -> None:
    w.renew()
    other = live(tmp_path / "other.db", seed=4, steps=60)
    shutil.copy(other, w.database)
    assert w.verify()[0] == AGREES
    code, found = w.check()
    assert (code, found["disagreeing"]) == (DISAGREES, 3)
    assert "written anew" in found["differences"][0]["why"]
    assert w.renew()[1]["anchor"]["renewed"] is False


def test_an_organization_that_vanished_is_named(w: Anchored) -> None:
    w.renew()
    gone = ORGANIZATIONS[2]
    tables = ("entries", "accounts", "grants", "periods", "teamspaces", "organizations")
    w.forge(*(f"DELETE FROM {table} WHERE organization_id = '{gone}'" for table in tables))  # noqa: S608 - names of this file
    assert w.verify()[0] == AGREES
    code, found = w.check()
    assert code == DISAGREES
    [difference] = found["differences"]
    assert (difference["organization_id"], difference["table"]) == (gone, "organizations")


@pytest.mark.parametrize("at", [0, 30, 100, 300, -80, -2])
def test_an_anchor_that_was_changed_is_not_believed(w: Anchored, at: int) -> None:
    w.renew()
    content = bytearray(w.anchor.read_bytes())
    content[at] ^= 1
    w.anchor.write_bytes(content)
    assert w.check()[0] == DISAGREES
    assert w.renew()[0] == DISAGREES


def test_an_anchor_of_another_key_is_not_believed(w: Anchored, tmp_path: Path) -> None:
    w.renew()
    w.key = tmp_path / "other"
    assert w.renew()[0] == DISAGREES


def test_an_anchor_that_vanished_is_not_replaced_without_a_word(w: Anchored) -> None:
    w.renew()
    w.anchor.unlink()
    assert w.renew()[0] == DISAGREES
    assert w.check()[0] == DISAGREES
    assert w.renew("--new-anchor")[0] == AGREES
    assert w.renew("--new-anchor")[0] == MISUSED


def test_a_key_that_others_can_read_is_refused(w: Anchored) -> None:
    w.renew()
    w.key.chmod(0o640)
    assert w.renew()[0] == UNAVAILABLE


def test_an_anchor_needs_one_key(w: Anchored) -> None:
    assert w.verify("--anchor", w.anchor)[0] == MISUSED
    assert w.verify("--anchor-key", w.key)[0] == MISUSED
    assert not w.key.exists()
