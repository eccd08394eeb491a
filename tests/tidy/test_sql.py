"""SQL is written, not assembled."""

from __future__ import annotations

import pytest

from tests.tidy.project import PACKAGE, in_project, python_files
from tests.tidy.sql import check_assembly

ASSEMBLED = [
    "f'SELECT * FROM {table}'",
    "f'select id from {table} where id = 1'",
    "f'PRAGMA user_version = {version}'",
    "f'CREATE TABLE {name} (id TEXT)'",
    "f'{select} ORDER BY id'",
    "'DELETE FROM %s' % table",
    "'INSERT INTO t VALUES (' + marks + ')'",
    "base + ' WHERE id = 1'",
    "sql += ' AND kind = ?'",
    "'UPDATE {} SET a = 1'.format(table)",
    "' AND '.join(conditions)",
    "'SELECT a FROM t'.replace('t', table)",
    "f'SAVEPOINT {name}'",
]
WRITTEN = [
    "'SELECT * FROM account WHERE id = ?'",
    "connection.execute('BEGIN IMMEDIATE')",
    "'SELECT a ' 'FROM t'",
    "f'the organization {name} was not found'",
    "f'selected {n} of {m}'",
    "', '.join(names)",
    "path + '.sql'",
]


def test_no_sql_is_assembled() -> None:
    assert in_project(check_assembly, python_files(PACKAGE)) == ""


@pytest.mark.parametrize("source", ASSEMBLED)
def test_assembled_sql_is_found(source: str) -> None:
    assert list(check_assembly(source))


@pytest.mark.parametrize("source", WRITTEN)
def test_written_sql_passes(source: str) -> None:
    assert not list(check_assembly(source))
