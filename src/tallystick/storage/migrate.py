"""Migrations: the schema is the sum of numbered scripts, applied in order and never changed again.

Scripts are `sql/<dialect>/migrations/NNNN_name.sql`, numbered from 1 without a gap. What has been
applied stands in `schema_migrations` with the script's checksum. The record must be a beginning of
the list that this version knows; anything else is refused before a line is executed, because a
schema that nobody has tested is worse than a service that does not start:

    a changed script      the database was made by something else than what is in this version
    a gap                 scripts were applied by hand, or the record was
    more than are known   the database belongs to a newer version: going back is a restore

Each script and its line in the record are one transaction, so an interruption leaves the database
at the version before.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tallystick.storage.errors import SchemaMismatch
from tallystick.storage.queries import load_statements, sql_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

_SQL: Final = load_statements("sqlite", "lane", "migrate")
_FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")


class Migration(NamedTuple):
    """One script; `checksum` is the SHA-256 of its bytes, in hexadecimal."""

    version: int
    name: str
    checksum: str
    script: str


class Applied(NamedTuple):
    """A line of the record."""

    version: int
    name: str
    checksum: str


def make_migration(file_name: str, script: str) -> Migration:
    """Raises ValueError where the name is none of a migration."""
    match = _FILE_NAME.fullmatch(file_name)
    if match is None:
        raise ValueError(f"{file_name}: migrations are named NNNN_name.sql")
    checksum = hashlib.sha256(script.encode()).hexdigest()
    return Migration(int(match[1]), match[2], checksum, script)


def load_migrations(dialect: str) -> tuple[Migration, ...]:
    """All that this version knows, in order."""
    folder = sql_folder(dialect).joinpath("migrations")
    found = sorted(make_migration(file.name, file.read_text("utf-8")) for file in folder.iterdir())
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {dialect} are not numbered from 1 without a gap")
    return tuple(found)


def pending(known: Sequence[Migration], applied: Sequence[Applied]) -> Sequence[Migration]:
    """What is still to be applied; raises SchemaMismatch where the record does not fit."""
    for migration, line in zip(known, applied, strict=False):
        if line.version != migration.version:
            raise SchemaMismatch(
                f"migration {migration.version} is missing from the database's record, which goes "
                f"on with {line.version}: restore the database from a backup"
            )
        if line.checksum != migration.checksum:
            raise SchemaMismatch(
                f"migration {line.version} ({line.name}) was applied in another form than this "
                "version of Tallystick has it: use the version that made this database"
            )
    if len(applied) > len(known):
        raise SchemaMismatch(
            f"the database is at schema version {applied[-1].version}, this version of Tallystick "
            f"knows {len(known)}: use a newer Tallystick, or restore an older backup"
        )
    return known[len(applied) :]


def migrate(
    connection: apsw.Connection, now: int, known: Sequence[Migration] | None = None
) -> list[Migration]:
    """Brings an SQLite database to the newest version; returns what was applied.

    Safe beside another process that does the same. Raises SchemaMismatch.
    """
    known = load_migrations("sqlite") if known is None else known
    _begin_record(connection)
    done: list[Migration] = []
    while migration := _apply_next(connection, known, now):
        done.append(migration)
    return done


def require_current(record: Sequence[Sequence[Any]], dialect: str = "sqlite") -> None:
    """Raises SchemaMismatch unless everything that this version knows has been applied; `record`
    are the lines of `schema_migrations`."""
    if pending(load_migrations(dialect), [Applied(*line) for line in record]):
        raise SchemaMismatch(
            "the database is of an older version of Tallystick: run `tallystick migrate`, or use "
            "that version"
        )


def refuse_foreign(connection: apsw.Connection) -> None:
    """Raises SchemaMismatch where the database is somebody else's; changes nothing."""
    ((has_record, others),) = connection.execute(_SQL["count_tables"]).fetchall()
    if others and not has_record:
        raise SchemaMismatch("the database holds tables, but none of Tallystick's: name a new file")


def _begin_record(connection: apsw.Connection) -> None:
    refuse_foreign(connection)
    connection.execute(_SQL["create_history"])


def _apply_next(
    connection: apsw.Connection, known: Sequence[Migration], now: int
) -> Migration | None:
    connection.execute(_SQL["begin"])
    try:
        todo = pending(known, _applied(connection))
        if todo:
            connection.execute(todo[0].script)
            connection.execute(_SQL["note_applied"], (*todo[0][:3], now))
        connection.execute(_SQL["commit"])
    except BaseException:
        if connection.in_transaction:
            connection.execute(_SQL["rollback"])
        raise
    return todo[0] if todo else None


def _applied(connection: apsw.Connection) -> list[Applied]:
    rows: list[Any] = connection.execute(_SQL["history"]).fetchall()
    return [Applied(*row) for row in rows]


def dump_schema(connection: apsw.Connection) -> str:
    """The schema as text, for comparison with the committed snapshot."""
    rows = connection.execute(_SQL["dump_schema"]).fetchall()
    return "\n\n".join(f"{statement};" for (statement,) in rows) + "\n"
