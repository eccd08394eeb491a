"""`tallystick entries export`, with a server and without one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tallystick.cli.errors import MISUSED, REFUSED
from tests.commands import Commands


@pytest.fixture
def tallystick(tmp_path: Path) -> Commands:
    """Commands on a new database, without a server, with an organization that has spent."""
    database = tmp_path / "tallystick.db"
    database.touch(0o600)
    commands = Commands(database=database)
    commands.json(
        *("organizations", "create", "Acme", "--external-id", "acme", "--allowance", "1000")
    )
    events = tmp_path / "usage.csv"
    events.write_text("id,credits\n" + "".join(f"e{number},0.5\n" for number in range(300)))
    commands.json("usage", "import", str(events), "--organization", "acme")
    return commands


def test_all_entries_are_written_as_csv(tallystick: Commands) -> None:
    text = tallystick("entries", "export", "acme", "--order", "asc").out
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [int(row["sequence"]) for row in rows] == list(range(1, len(rows) + 1))
    assert sum(row["kind"] == "usage.booked" for row in rows) == 300


def test_conditions_are_those_of_the_list(tallystick: Commands, tmp_path: Path) -> None:
    file = tmp_path / "entries.ndjson"
    told = tallystick.json(
        *("entries", "export", "acme", "--format", "ndjson", "--event", "e7"),
        *("--output", str(file)),
    )
    assert told == {
        "object": "export",
        "file": str(file),
        "format": "ndjson",
        "bytes": file.stat().st_size,
    }
    assert file.stat().st_mode & 0o777 == 0o600
    [line] = file.read_text().splitlines()
    assert json.loads(line)["event_id"] == "e7"


def test_what_is_refused_leaves_no_file(tallystick: Commands, tmp_path: Path) -> None:
    file = tmp_path / "entries.csv"
    arguments = ("entries", "export", "acme", "--kind", "none", "--output", str(file))
    refused = tallystick(*arguments)
    assert refused.code == REFUSED
    assert "kind" in refused.err
    assert not file.exists()


def test_no_file_is_written_over(tallystick: Commands, tmp_path: Path) -> None:
    file = tmp_path / "entries.csv"
    file.write_text("precious")
    failed = tallystick("entries", "export", "acme", "--output", str(file))
    assert failed.code == MISUSED
    assert file.read_text() == "precious"
