"""What is said of errors before a service has started, and which of them waiting may mend."""

from __future__ import annotations

import ssl

import asyncpg
import pytest

from tallystick.storage.errors import NotReachable, StoreNotUsable
from tallystick.storage.postgres.checks import explaining

URL = "postgresql://me:hunter2@db/tallystick"
SEVERAL = "postgresql://me:hunter2@db1,db2/tallystick"


def explained(error: Exception, url: str = URL) -> StoreNotUsable:
    with pytest.raises(StoreNotUsable) as raised, explaining(url):
        raise error
    assert "hunter2" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError(),
        OSError("Name or service not known"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    ],
)
def test_what_may_pass_is_waited_for(error: Exception) -> None:
    assert isinstance(explained(error), NotReachable)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (asyncpg.InvalidPasswordError("x"), "correct it in the URL"),
        (asyncpg.InvalidCatalogNameError("x"), "there is no such database"),
        (ssl.SSLCertVerificationError("x"), "correct sslmode and sslrootcert"),
        (ConnectionError("PostgreSQL server rejected SSL upgrade"), "set the server's ssl = on"),
        (asyncpg.TargetServerAttributeNotMatched("x"), "name the primary"),
        (
            asyncpg.ProtocolViolationError("unsupported startup parameter: jit"),
            "as poolers do not (PgBouncer): name PostgreSQL itself",
        ),
        (
            asyncpg.DuplicatePreparedStatementError('"stmt_1" already exists\nHINT: other advice'),
            "as poolers do (PgBouncer in transaction mode): name PostgreSQL itself",
        ),
    ],
)
def test_what_does_not_mend_itself_is_said_at_once(error: Exception, advice: str) -> None:
    said = explained(error)
    assert not isinstance(said, NotReachable)
    assert advice in str(said)
    assert "\n" not in str(said)


def test_where_several_servers_are_named_one_may_become_the_primary() -> None:
    assert isinstance(
        explained(asyncpg.TargetServerAttributeNotMatched("x"), SEVERAL), NotReachable
    )
