"""The schema is the sum of its migrations, and a record that does not fit is refused."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from tallystick.storage.errors import SchemaMismatch
from tallystick.storage.migrate import (
    Applied,
    dump_schema,
    load_migrations,
    make_migration,
    migrate,
    pending,
)
from tallystick.storage.queries import sql_folder
from tallystick.storage.sqlite import SqliteStore

NOW = 1_800_000_000_000_000
FIRST = make_migration("0001_first.sql", "CREATE TABLE first (id TEXT) STRICT;")
SECOND = make_migration("0002_second.sql", "CREATE TABLE second (id TEXT) STRICT;")
BROKEN = make_migration(
    "0002_broken.sql",
    "CREATE TABLE second (id TEXT) STRICT; INSERT INTO nowhere VALUES (1);",
)


def record(connection: apsw.Connection) -> Sequence[object]:
    return connection.execute("SELECT version, name, applied_at FROM schema_migrations").fetchall()


def test_migrations_give_the_committed_schema(tmp_path: Path) -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection, NOW)
    found = dump_schema(connection)
    (tmp_path / "schema.sql").write_text(found)
    committed = sql_folder("sqlite").joinpath("schema.sql").read_text("utf-8")
    assert found == committed, f"if this is meant, {tmp_path}/schema.sql is the new snapshot"


def test_running_again_changes_nothing() -> None:
    connection = apsw.Connection(":memory:")
    assert [migration.version for migration in migrate(connection, NOW)] == [
        migration.version for migration in load_migrations("sqlite")
    ]
    before = dump_schema(connection), record(connection)
    assert migrate(connection, NOW + 1) == []
    assert (dump_schema(connection), record(connection)) == before


def test_each_migration_is_recorded_with_its_time() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection, NOW, [FIRST])
    migrate(connection, NOW + 5, [FIRST, SECOND])
    assert record(connection) == [(1, "first", NOW), (2, "second", NOW + 5)]


def test_an_interrupted_migration_leaves_the_version_before() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection, NOW, [FIRST])
    before = dump_schema(connection)
    with pytest.raises(apsw.SQLError, match="nowhere"):
        migrate(connection, NOW, [FIRST, BROKEN])
    assert dump_schema(connection) == before
    assert record(connection) == [(1, "first", NOW)]
    assert [one.version for one in migrate(connection, NOW, [FIRST, SECOND])] == [2]


def test_two_that_migrate_at_once_apply_each_script_once(tmp_path: Path) -> None:
    def open_and_migrate() -> int:
        connection = apsw.Connection(str(tmp_path / "ledger.db"))
        connection.set_busy_timeout(10_000)
        return len(migrate(connection, NOW, [FIRST, SECOND]))

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(open_and_migrate) for _ in range(4)]
    assert sum(one.result() for one in done) == 2


def test_a_script_that_changed_after_it_was_applied_is_refused() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection, NOW, [FIRST])
    changed = make_migration("0001_first.sql", FIRST.script + " -- later")
    with pytest.raises(SchemaMismatch, match=r"migration 1 \(first\) was applied in another form"):
        migrate(connection, NOW, [changed, SECOND])
    assert record(connection) == [(1, "first", NOW)]


def test_a_gap_in_the_record_is_refused() -> None:
    applied = [Applied(2, "second", SECOND.checksum)]
    with pytest.raises(SchemaMismatch, match="migration 1 is missing"):
        pending([FIRST, SECOND], applied)


def test_a_schema_from_the_future_is_refused() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection, NOW, [FIRST, SECOND])
    with pytest.raises(SchemaMismatch, match=r"schema version 2, this version .* knows 1"):
        migrate(connection, NOW, [FIRST])


def test_a_database_of_something_else_is_left_alone() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE recipes (title TEXT)")
    before = dump_schema(connection)
    with pytest.raises(SchemaMismatch, match="none of Tallystick's"):
        migrate(connection, NOW)
    assert dump_schema(connection) == before


def test_opening_a_store_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch(0o600)
    connection = apsw.Connection(str(path))
    migrate(connection, NOW)
    connection.execute("UPDATE schema_migrations SET checksum = 'edited'")
    connection.close()
    with pytest.raises(SchemaMismatch, match="in another form"):
        SqliteStore.open(path, clock=lambda: NOW)


def test_names_and_numbers_of_scripts_are_checked() -> None:
    with pytest.raises(ValueError, match="NNNN_name"):
        make_migration("1-first.sql", "")
    versions = [migration.version for migration in load_migrations("sqlite")]
    assert versions == list(range(1, len(versions) + 1))
