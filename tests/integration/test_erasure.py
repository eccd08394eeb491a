"""What erasing leaves in an SQLite file: nothing of what was said, and a proof that passes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from tallystick.domain.commands import BookUsage, usage_content
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import Changes, Wanted
from tallystick.ledger.units import AccountUnit, EraseDimensions
from tallystick.storage.sqlite import SqliteStore
from tests.conformance.backend import START
from tests.conformance.samples import ACME, HOME, opened
from tests.ledger_check import check_ledger

EVENTS = 200
SALT = bytes(range(16))


def said(number: int) -> dict[str, str]:
    """More than fits on a page, so that what it spills over to is looked at as well."""
    return {"user": f"ann-{number}-" + "s" * 200} | {f"d{n}": "é" * 255 for n in range(15)}


def usage(number: int) -> BookUsage:
    dimensions = said(number)
    content = usage_content(
        credits_used=1,
        meter="calls",
        occurred_at=None,
        dimensions=dimensions,
        overdraw=True,
        teamspace_id=HOME,
        salt=SALT,
    )
    name = f"e{number}"
    return BookUsage(
        name,
        1,
        "calls",
        None,
        dimensions,
        overdraw=True,
        teamspace_id=HOME,
        api_key_id=None,
        content=content,
        salt=SALT,
    )


async def book(path: Path, events: int, *, erase: bool) -> None:
    store = SqliteStore.open(path, clock=lambda: START)
    changes = opened().finish()
    declared = replace(changes.organizations[ACME], usage_dimensions=("user",))
    await store.lanes[0].load(Wanted())
    await store.lanes[0].append(changes)
    await store.lanes[0].load(Wanted(organizations={ACME}))
    await store.lanes[0].append(Changes(organizations={ACME: declared}))
    ledger = Ledger(store)
    for number in range(events):
        await ledger.submit(ACME, AccountUnit(ACME, [usage(number)]))
    if erase:
        await asyncio.gather(
            *(ledger.submit(ACME, EraseDimensions(ACME, f"e{n}")) for n in range(events))
        )
    await ledger.close()


def test_what_was_erased_is_nowhere_in_the_files_and_the_proof_passes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    asyncio.run(book(path, EVENTS, erase=True))
    assert len(check_ledger(path)[ACME].booked) == EVENTS
    found = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"calls" in found
    for trace in (b"ann-", b"ssss", "éé".encode(), SALT):
        assert trace not in found


def test_what_is_not_erased_is_there_in_full(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    asyncio.run(book(path, 1, erase=False))
    check_ledger(path)
    connection = apsw.Connection(str(path))
    rows: list[Any] = connection.execute(
        "SELECT dimensions, salt, digest FROM event_dimensions"
    ).fetchall()
    [(text, salt, digest)] = rows
    assert json.loads(text) == said(0)
    assert digest == hashlib.sha256(salt + text.encode()).digest()
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event_dimensions SET dimensions = '{}'",
        "UPDATE event_dimensions SET digest = zeroblob(32)",
        "UPDATE event_dimensions SET dimensions = NULL, erased_at = 1",
        "UPDATE event_dimensions SET dimensions = NULL, salt = NULL, erased_at = 1, sequence = 9",
        "DELETE FROM event_dimensions",
    ],
)
def test_the_table_refuses_every_other_change(tmp_path: Path, change: str) -> None:
    path = tmp_path / "ledger.db"
    asyncio.run(book(path, 1, erase=False))
    connection = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError):
        connection.execute(change)
    connection.close()


def test_what_is_erased_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    asyncio.run(book(path, 1, erase=True))
    connection = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError):
        connection.execute(
            "UPDATE event_dimensions SET dimensions = '{}', salt = x'00', erased_at = NULL"
        )
    connection.close()
