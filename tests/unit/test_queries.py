"""Named SQL: what is written is what is used, and all of it means something to SQLite."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import apsw
import pytest

from tallystick.storage import queries
from tallystick.storage.migrate import migrate
from tallystick.storage.queries import load_statements, parse, sql_folder

FILES = (
    *("audit", "connection", "lane", "migrate", "prices", "reader", "requests"),
    *("transfer", "usage"),
)
# No table: rows of a function, or of a subquery, whose own plan stands beside.
MADE_ON_THE_WAY = re.compile(r"VIRTUAL TABLE|\(subquery-\d+\)")
NO_PLAN = re.compile(r"(?:BEGIN|COMMIT|ROLLBACK|PRAGMA|CREATE)\b")
STATEMENTS = load_statements("sqlite", *FILES)
PLANNED = sorted(name for name, text in STATEMENTS.items() if not NO_PLAN.match(text))

# Tables of a few rows, the names that `known_meters` has found so far, and no table at all, which
# SQLite calls a scan of a constant row.
MAY_SCAN = {"ping", "history", "count_tables", "dump_schema", "known_meters", "book_state"}
# A verifier reads whole tables: that is its work.
MAY_SCAN |= {"audit_events", "audit_organizations", "audit_prices", "audit_schema", "audit_total"}
# A transfer reads whole tables too: these for all organizations at once.
MAY_SCAN |= {"copy_usage_events", "copy_replays", "copy_prices", "copy_price_ends"}
# Groupings in which no index lies; what they sort is a stretch of days, or what a period has of
# meters, teamspaces and keys.
MAY_SORT = {"read_days_by_any", "read_quarters_by_any", "usage_of_period"}
# The secrets of one organization.
MAY_SORT |= {"copy_key_directory"}


def plan_of(name: str) -> list[str]:
    connection = apsw.Connection(":memory:")
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    migrate(connection, 0)
    parameters = [int(number) for number in re.findall(r"\?(\d+)", STATEMENTS[name])]
    bindings = [None] * max(parameters, default=0)
    rows = connection.execute("EXPLAIN QUERY PLAN " + STATEMENTS[name], bindings).fetchall()
    return [str(row[3]) for row in rows]


def test_a_file_is_taken_apart_at_its_names() -> None:
    text = "-- About the file.\n\n-- name: one\n-- Why.\nSELECT 1\n-- name: two\nSELECT\n    2\n\n"
    assert list(parse(text)) == [("one", "SELECT 1"), ("two", "SELECT\n    2")]


def test_a_name_stands_once() -> None:
    with pytest.raises(ValueError, match="a second statement is named begin"):
        load_statements("sqlite", "lane", "lane")


def test_every_statement_is_used() -> None:
    texts = _texts_in(Path(queries.__file__).parent)
    assert [name for name in STATEMENTS if not _is_named(name, texts)] == []


def _texts_in(folder: Path) -> set[str]:
    return {
        node.value
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _is_named(name: str, texts: set[str]) -> bool:
    """In full; or by its last part, where lists put names together from parts."""
    part = re.sub(r"^position_of_|^copy_|_(?:older|newer)$", "", name)
    return name in texts or (part != name and any(part.endswith(text) for text in texts if text))


@pytest.mark.parametrize("name", PLANNED)
def test_statements_find_their_rows_by_an_index(name: str) -> None:
    plan = plan_of(name)
    scans = [line for line in plan if line.startswith("SCAN") and not MADE_ON_THE_WAY.search(line)]
    assert name in MAY_SCAN or not scans
    assert name in MAY_SCAN | MAY_SORT or not any("TEMP B-TREE" in line for line in plan)


def test_the_two_levels_of_days_by_any_stay_apart() -> None:
    # Flattened into one, the statement would sort all fifty columns of each row.
    assert plan_of("read_days_by_any")[0].startswith("CO-ROUTINE")


def test_every_file_of_statements_is_checked_here() -> None:
    named = {
        file.name.removesuffix(".sql")
        for file in sql_folder("sqlite").iterdir()
        if file.is_file() and "-- name:" in file.read_text("utf-8")
    }
    assert named == set(FILES)
