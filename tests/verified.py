"""The service's own verifier, in this process or as people run it."""

from __future__ import annotations

import asyncio
import tempfile
from functools import partial
from pathlib import Path

import asyncpg

from tallystick.ledger.verify import Report, verify_all
from tallystick.storage.postgres.audit import AUDITING, PostgresAudit
from tallystick.storage.sqlite_audit import SqliteAudit
from tests.commands import Commands
from tests.ledger_check import Facts, check_ledger
from tests.postgres_copies import copy_to_file


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


def check_at(place: str) -> dict[str, Facts]:
    """The same for what `--database` was given; servers may run meanwhile."""
    if not place.startswith("postgresql://"):
        return check_twice(Path(place))
    with PostgresAudit(partial(asyncpg.connect, place, server_settings=dict(AUDITING))) as audit:
        assert verify_all(audit).differences == {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "ledger.db"
        asyncio.run(copy_to_file(place, copy))
        return check_ledger(copy)


def check_by_command(place: str) -> None:
    """What an operator does who wants to know."""
    result = Commands(database=place)("verify")
    assert result.code == 0, result
