"""PostgreSQL and Redis for the length of a block, for servers that need them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.daemons import Daemon
from bench.load import LoadFailed
from bench.ports import free_port
from bench.postgres import SUPERUSER, running_postgres

# Half of what its manual advises for a machine of its own, and what makes fewer checkpoints.
_POSTGRES_SETTINGS: Final = {
    "shared_buffers": "512MB",
    "effective_cache_size": "2GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_connections": "100",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """What a server needs beside itself: the URLs, where there is one, and the processes' ids."""

    postgres: str = ""
    redis: str = ""
    pids: Sequence[int] = ()


def for_the_service(backing: Backing) -> Mapping[str, str]:
    """How the service is told."""
    return {"TALLYSTICK_DATABASE": backing.postgres, "TALLYSTICK_LIMITS": backing.redis}


def for_the_typical_stack(backing: Backing) -> Mapping[str, str]:
    """SQLAlchemy and `limits` want the driver named."""
    return {
        "DATABASE_URL": backing.postgres.replace("://", "+asyncpg://"),
        "REDIS_URL": f"async+{backing.redis}",
    }


def for_limiters(backing: Backing) -> Mapping[str, str]:
    return {"REDIS_URL": backing.redis}


@contextmanager
def postgres_and_redis(folder: Path) -> Iterator[Backing]:
    with postgres(folder / "postgres") as database, redis(folder / "redis") as cache:
        yield Backing(
            postgres=database.postgres, redis=cache.redis, pids=[*database.pids, *cache.pids]
        )


@contextmanager
def postgres(folder: Path) -> Iterator[Backing]:
    """A new cluster with durable commits, as PostgreSQL's defaults have it."""
    with running_postgres(folder, _POSTGRES_SETTINGS) as daemon:
        url = f"postgresql://{SUPERUSER}@127.0.0.1:{daemon.port}/postgres"
        yield Backing(postgres=url, pids=[daemon.pid])


@contextmanager
def redis(folder: Path) -> Iterator[Backing]:
    """It keeps what it has in memory only, as is usual for limits."""
    folder.mkdir()
    binary = shutil.which("redis-server")
    if binary is None:
        raise LoadFailed("Redis is not installed: `scripts/setup servers` does it")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no"]
    daemon = Daemon(command=command, folder=folder, port=port)
    try:
        daemon.start()
        yield Backing(redis=f"redis://127.0.0.1:{port}/0", pids=[daemon.pid])
    finally:
        daemon.stop()
