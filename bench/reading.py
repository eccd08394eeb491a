"""What a balance costs a process on PostgreSQL, shared and alone: `python -m bench.reading`.

Askers ask again as soon as they have their answer. CPU time is that of this process, the server's
is not counted. Beside it stands a query for each balance on as many connections.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import asyncpg
import uvloop

from bench.daemons import Daemon
from bench.postgres import SUPERUSER, running_postgres
from tallystick.storage.postgres.clock import DatabaseClock
from tallystick.storage.postgres.connections import READING
from tallystick.storage.postgres.migrate import migrate
from tallystick.storage.postgres.reader import PostgresReader

_ORGANIZATIONS: Final = 10_000
_CONNECTIONS: Final = 8
_FILL: Final = """
INSERT INTO accounts
SELECT 'org_' || number, 'active', '{}', NULL, 0, 0, 1, NULL, 100, 0, 0, 0, 0, 1,
    decode(repeat('00', 32), 'hex'), 0, 1
FROM generate_series(0, 9999) AS number
"""
_PLAIN: Final = (
    "SELECT remaining, consumed, overage, next_due_at FROM accounts WHERE organization_id = $1"
)

Ask = Callable[[str], Awaitable[object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--balances", type=int, default=50_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with running_postgres(Path(folder) / "postgres", {}) as daemon:
            uvloop.run(_report(daemon, given.balances))


async def _report(daemon: Daemon, balances: int) -> None:
    url = f"postgresql://{SUPERUSER}@127.0.0.1:{daemon.port}/postgres"
    connect = partial(asyncpg.connect, url, server_settings=dict(READING))
    await _fill(url)
    reader = PostgresReader(connect, DatabaseClock())
    pool: Any = await asyncpg.create_pool(url, min_size=_CONNECTIONS, max_size=_CONNECTIONS)
    for askers in (64, 16, 1):
        shared = await _microseconds(reader.balance, askers, balances)
        alone = await _microseconds(lambda name: pool.fetchrow(_PLAIN, name), askers, balances // 8)
        print(
            f"{askers:3} askers: {shared:6.1f} µs a balance, {alone:6.1f} µs with a query for each"
        )
    await reader.close()
    pool.terminate()


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    await migrate(connection)
    for statement in (_FILL, "VACUUM ANALYZE accounts"):
        await connection.execute(statement)
    await connection.close()


async def _microseconds(ask: Ask, askers: int, balances: int) -> float:
    """CPU time of this process for each balance."""
    names = cycle(f"org_{number}" for number in range(_ORGANIZATIONS))
    each = balances // askers
    await ask("org_0")
    started = time.process_time()
    await asyncio.gather(*(_asker(ask, list(islice(names, each))) for _ in range(askers)))
    return (time.process_time() - started) / (each * askers) * 1e6


async def _asker(ask: Ask, names: list[str]) -> None:
    for name in names:
        await ask(name)


if __name__ == "__main__":
    main()
