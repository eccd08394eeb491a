"""The service's own verifier, in this process, on a database file."""

from __future__ import annotations

from pathlib import Path

from tallystick.ledger.verify import Report, verify_all
from tallystick.storage.sqlite_audit import SqliteAudit
from tests.ledger_check import Facts, check_ledger


def verified(database: Path) -> Report:
    """What `tallystick verify` finds; other processes may have the file open."""
    with SqliteAudit(database) as audit:
        return verify_all(audit)


def check_verified(database: Path) -> None:
    """Fails where anything disagrees."""
    assert verified(database).differences == {}


def check_twice(database: Path) -> dict[str, Facts]:
    """The tests' own audit and the service's verifier, which share no code; the facts."""
    check_verified(database)
    return check_ledger(database)
