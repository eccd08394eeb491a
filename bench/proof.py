"""How fast a ledger is verified, and a balance of the past read: `python -m bench.proof`.

CPU time of this process, which is what one core takes; beside it a plain SHA-256 of as many bytes
as an entry has, so that figures of two machines can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.ledgers import Case, clock, fill
from tallystick.ledger.reads import Reads
from tallystick.ledger.verify import verify_all
from tallystick.storage.sqlite import SqliteStore
from tallystick.storage.sqlite_audit import SqliteAudit

ENTRY_BYTES: Final = 380
_HASHES: Final = 100_000
_READS: Final = 50
_ROUNDS: Final = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--ids", choices=("ordered", "random"), default="ordered")
    parser.add_argument(
        "--organizations", type=int, default=1, help="among how many the entries are spread"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        case = Case(events=1, ids=given.ids, entries=given.entries)
        fill(path, case, fillers=given.organizations)
        hashing = min(_seconds(_hash) for _ in range(_ROUNDS)) / _HASHES
        verifying = min(_seconds(lambda: _verify(path)) for _ in range(_ROUNDS)) / given.entries
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        reading = min(asyncio.run(_read_past(path)) for _ in range(_ROUNDS))
    print(f"verify       {1 / verifying:,.0f} entries/s, {verifying * 1e6:.2f} µs each")
    print(f"SHA-256      {hashing * 1e6:.2f} µs for {ENTRY_BYTES} bytes")
    print(f"memory       {memory} MiB at most, filling included")
    print(f"balance?at=  {reading * 1e3:.2f} ms")


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _hash() -> None:
    for _ in range(_HASHES):
        hashlib.sha256(bytes(ENTRY_BYTES)).digest()


def _verify(path: Path) -> None:
    with SqliteAudit(path) as audit:
        assert not verify_all(audit).disagreeing


async def _read_past(path: Path) -> float:
    """Seconds for one read, of instants spread over the ledger's life."""
    store = SqliteStore.open(path, clock=clock)
    reads = Reads(store.reader, clock)
    organization_id = "org_of_others_01jdzzzzzzzzzzzzzzzzzz0000"
    organization = await store.reader.organization(organization_id)
    assert organization is not None
    lived = clock() - organization.created_at
    start = time.process_time()
    for number in range(_READS):
        instant = organization.created_at + lived * number // _READS
        assert await reads.balance_at(organization_id, instant) is not None
    took = time.process_time() - start
    await store.close()
    return took / _READS


if __name__ == "__main__":
    main()
