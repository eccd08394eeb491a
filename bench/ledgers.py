"""Databases with many organizations, each with a key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from bench.storage import clock
from tallystick.domain.directory import DEFAULT_SCOPES, ApiKey
from tallystick.domain.keys import ENTROPY_BYTES, make_secret, secret_digest
from tallystick.domain.periods import Interval, Schedule
from tallystick.domain.plans import Plan
from tallystick.ledger.directory import CreateKey, CreateOrganization
from tallystick.ledger.ports import Wanted
from tallystick.ledger.work import Unit, Work
from tallystick.storage.sqlite import SqliteStore

KEYS: Final = "keys.txt"
"""Beside the database: a line with the secret of each organization's key."""
_ALLOWANCE: Final = 10**15
_A_BATCH: Final = 250
_YEARLY: Final = Schedule(
    interval=Interval.YEAR, count=1, anchor=datetime.fromisoformat("2026-01-01"), timezone="UTC"
)


def found_many(database: Path, count: int) -> None:
    """Makes a database of so many organizations, and the file of their keys."""
    chance = random.Random(count)
    secrets = [make_secret(chance.randbytes(ENTROPY_BYTES)) for _ in range(count)]
    asyncio.run(_write(database, secrets))
    (database.parent / KEYS).write_text("\n".join(secrets) + "\n")


async def _write(database: Path, secrets: Sequence[str]) -> None:
    store = SqliteStore.open(database, clock=clock, synchronous="OFF")
    [lane] = store.lanes
    for start in range(0, len(secrets), _A_BATCH):
        numbered = list(enumerate(secrets[start : start + _A_BATCH], start))
        # A key needs its organization to be there.
        for units in ([_organization(number) for number, _ in numbered], list(_keys(numbered))):
            wanted = Wanted()
            for unit in units:
                unit.wants(wanted)
            work = Work(await lane.load(wanted))
            for unit in units:
                unit.decide(work)
            await lane.append(work.finish())
    await store.close()


def _organization(number: int) -> Unit:
    return CreateOrganization(
        organization_id=f"org_{number:026d}",
        teamspace_id=f"ts_{number:026d}",
        name=f"Organization {number}",
        external_id=None,
        plan=Plan(allowance=_ALLOWANCE, schedule=_YEARLY),
        rate_limits={},
        content=bytes(32),
    )


def _keys(numbered: Sequence[tuple[int, str]]) -> Iterator[Unit]:
    for number, secret in numbered:
        key = ApiKey(
            id=f"key_{number:026d}",
            organization_id=f"org_{number:026d}",
            teamspace_id=f"ts_{number:026d}",
            name="Benchmark",
            scopes=DEFAULT_SCOPES,
            created_at=clock(),
        )
        yield CreateKey(key=key, digest=secret_digest(secret.encode()))
