"""What PostgreSQL's errors mean to the ledger: a table by SQLSTATE, and the special case of COMMIT.

What the server says has a SQLSTATE. What it does not say (a connection that broke, a deadline that
passed, a name that was not resolved) the driver and the system raise as they do for any socket.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

from tallystick.ledger.ports import (
    OutcomeUnknown,
    StatementRejected,
    StoreError,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNAVAILABLE_CLASSES: Final = frozenset(
    {
        "08",  # the connection
        "28",  # who connects
        "3D",  # no such database
        "53",  # disk, memory or connections are used up
        "57",  # an operator, a shutdown, a statement's timeout
        "58",  # a file of the server's
        "72",  # a snapshot too old
        "XX",  # corruption, or a fault of the server
    }
)
_UNAVAILABLE: Final = frozenset(
    {
        "25006",  # a read-only transaction: a standby
        "25P03",  # the transaction was idle for too long
        "42501",  # a privilege is missing
        "55P03",  # a lock was not to be had in time
    }
)
_BEFORE_COMMIT: Final = frozenset({"22", "23", "25", "40", "42", "53", "55"})
"""Classes of errors that COMMIT says before it writes its record: nothing has happened. Any other
may come after it, as where the wait for a standby is broken off."""
_COMPLETION_UNKNOWN: Final = "40003"

DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
    UnicodeEncodeError,
)
"""What can be raised by talking to the server; `TimeoutError` is an `OSError`, and text with a lone
surrogate cannot be encoded."""


def translate(error: Exception) -> StoreError:
    """The ledger's word for an error before COMMIT: the transaction is undone."""
    kind = StoreUnavailable if _is_unavailable(error) else StatementRejected
    return kind(described(error))


def _is_unavailable(error: Exception) -> bool:
    if isinstance(error, asyncpg.InvalidCachedStatementError | asyncpg.OutdatedSchemaCacheError):
        # The schema was just migrated; the driver has forgotten its statements.
        return True
    state = state_of(error)
    if state is not None:
        return state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE
    # A value that no column can hold is an error of the driver's too, and of the value.
    return not isinstance(error, ValueError)


def translate_commit(error: Exception) -> StoreError:
    """The ledger's word for an error of COMMIT."""
    state = state_of(error)
    if state is not None and state[:2] in _BEFORE_COMMIT and state != _COMPLETION_UNKNOWN:
        return translate(error)
    return OutcomeUnknown(described(error))


def state_of(error: Exception) -> str | None:
    """The SQLSTATE, of an error that has one."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def described(error: Exception) -> str:
    """For the log: the kind of error, its SQLSTATE, and what it says."""
    state = state_of(error)
    kind = type(error).__name__ if state is None else f"{type(error).__name__} {state}"
    return f"{kind}: {error}" if str(error) else kind


@contextmanager
def translating() -> Iterator[None]:
    """Raises what talking to the server raises in the ledger's words."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error) from error
