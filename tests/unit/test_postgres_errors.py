"""What the ledger is told when PostgreSQL, the driver or the network raises."""

from __future__ import annotations

import asyncpg
import pytest
from asyncpg.exceptions import PostgresError

from tallystick.ledger.ports import (
    OutcomeUnknown,
    StatementRejected,
    StoreError,
    StoreUnavailable,
)
from tallystick.storage.postgres.errors import translate, translate_commit, translating

SERVER = [
    (asyncpg.UniqueViolationError, StatementRejected, StatementRejected),
    (asyncpg.CheckViolationError, StatementRejected, StatementRejected),
    (asyncpg.DeadlockDetectedError, StatementRejected, StatementRejected),
    (asyncpg.SerializationError, StatementRejected, StatementRejected),
    (asyncpg.CharacterNotInRepertoireError, StatementRejected, StatementRejected),
    (asyncpg.DiskFullError, StoreUnavailable, StoreUnavailable),
    (asyncpg.TooManyConnectionsError, StoreUnavailable, StoreUnavailable),
    (asyncpg.ReadOnlySQLTransactionError, StoreUnavailable, StoreUnavailable),
    (asyncpg.LockNotAvailableError, StoreUnavailable, StoreUnavailable),
    (asyncpg.InsufficientPrivilegeError, StoreUnavailable, StoreUnavailable),
    (asyncpg.AdminShutdownError, StoreUnavailable, OutcomeUnknown),
    (asyncpg.CannotConnectNowError, StoreUnavailable, OutcomeUnknown),
    (asyncpg.QueryCanceledError, StoreUnavailable, OutcomeUnknown),
    (asyncpg.ConnectionDoesNotExistError, StoreUnavailable, OutcomeUnknown),
    (asyncpg.StatementCompletionUnknownError, StatementRejected, OutcomeUnknown),
    (asyncpg.InvalidCachedStatementError, StoreUnavailable, OutcomeUnknown),
]
ELSEWHERE = [
    (ConnectionRefusedError(), StoreUnavailable),
    (TimeoutError(), StoreUnavailable),
    (asyncpg.InterfaceError("connection is closed"), StoreUnavailable),
    (asyncpg.InternalClientError("?"), StoreUnavailable),
    (asyncpg.exceptions._base.DataError("value out of int64 range"), StatementRejected),
    (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), StatementRejected),
]


@pytest.mark.parametrize(("error", "before", "at_commit"), SERVER)
def test_what_the_server_says(
    error: type[PostgresError], before: type[StoreError], at_commit: type[StoreError]
) -> None:
    assert type(translate(error("why"))) is before
    assert type(translate_commit(error("why"))) is at_commit


@pytest.mark.parametrize(("error", "kind"), ELSEWHERE)
def test_what_the_server_does_not_say(error: Exception, kind: type[StoreError]) -> None:
    with pytest.raises(kind) as raised, translating():
        raise error
    assert raised.value.__cause__ is error
    assert type(translate_commit(error)) is OutcomeUnknown


def test_who_reads_the_log_finds_the_state() -> None:
    assert str(translate(asyncpg.DiskFullError("no room"))) == "DiskFullError 53100: no room"


def test_what_is_nobodys_error_passes() -> None:
    with pytest.raises(KeyError), translating():
        raise KeyError("a bug")
