"""What SQLite's errors mean to the ledger: one table, and the special case of COMMIT."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import apsw

from tallystick.ledger.ports import (
    OutcomeUnknown,
    StatementRejected,
    StoreError,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.AuthError,
    apsw.NoMemError,
    apsw.InterruptError,
    apsw.ProtocolError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ConnectionClosedError,
)
"""The database, not the statement, is what is wrong."""


def translate(error: Exception) -> StoreError:
    """The ledger's word for an error before COMMIT: the transaction is undone."""
    kind = StoreUnavailable if isinstance(error, UNAVAILABLE) else StatementRejected
    return kind(f"{type(error).__name__}: {error}")


def translate_commit(error: apsw.Error) -> StoreError:
    """The ledger's word for an error of COMMIT.

    The commit record is the last thing that COMMIT writes to the log, and syncing comes after it.
    So a constraint, a lock and a full disk come too early for it to stand there whole, and nothing
    has happened. Any other failure may have come after it: the next start would find it and count
    it as committed.
    """
    if isinstance(error, apsw.ConstraintError | apsw.BusyError | apsw.FullError):
        return translate(error)
    return OutcomeUnknown(f"{type(error).__name__}: {error}")


@contextmanager
def translating() -> Iterator[None]:
    """Raises SQLite's errors in the ledger's words, and those of values that no column can hold."""
    try:
        yield
    except (apsw.Error, OverflowError, UnicodeEncodeError) as error:
        raise translate(error) from error
