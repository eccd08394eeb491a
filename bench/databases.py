"""PostgreSQL and Redis for the length of a block: servers of our own, on free ports.

Their files are in the folder that is given, and what the system runs is not touched. PostgreSQL
does not start as root: there it runs as the user that the distribution made for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load import LoadFailed
from bench.ports import free_port, wait_until_open

_POSTGRES_USER: Final = "postgres"
_END_SECONDS: Final = 15
# Half of what its manual advises for a machine of its own, and what makes fewer checkpoints.
_POSTGRES_SETTINGS: Final = {
    "shared_buffers": "512MB",
    "effective_cache_size": "2GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """What a server needs beside itself: how it is told, and the processes' ids."""

    environment: Mapping[str, str]
    pids: Sequence[int]


@contextmanager
def postgres_and_redis(folder: Path) -> Iterator[Backing]:
    with postgres(folder / "postgres") as database, redis(folder / "redis") as cache:
        yield Backing(
            environment={**database.environment, **cache.environment},
            pids=[*database.pids, *cache.pids],
        )


@contextmanager
def postgres(folder: Path) -> Iterator[Backing]:
    """A new cluster with durable commits, as PostgreSQL's defaults have it."""
    folder.mkdir()
    user = _POSTGRES_USER if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    binaries, data, port = _binaries(), folder / "data", free_port()
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"],
        env=_environment(),
        user=user,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise LoadFailed(f"PostgreSQL's files could not be made:\n{made.stderr}")
    settings = {**_POSTGRES_SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
    command = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with _daemon(command, folder, port, user=user) as pid:
        url = f"postgresql+asyncpg://bench@127.0.0.1:{port}/postgres"
        yield Backing(environment={"DATABASE_URL": url}, pids=[pid])


@contextmanager
def redis(folder: Path) -> Iterator[Backing]:
    """It keeps what it has in memory only, as is usual for limits."""
    folder.mkdir()
    port = free_port()
    binary = shutil.which("redis-server")
    if binary is None:
        raise LoadFailed("Redis is not installed: `scripts/setup peers` does it")
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no"]
    with _daemon(command, folder, port) as pid:
        url = f"async+redis://127.0.0.1:{port}/0"
        yield Backing(environment={"REDIS_URL": url}, pids=[pid])


@contextmanager
def _daemon(
    command: Sequence[str], folder: Path, port: int, *, user: str | None = None
) -> Iterator[int]:
    output = folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(),
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        wait_until_open(process, port, output)
        yield process.pid
    finally:
        # Both end at once and in order on it; on SIGTERM PostgreSQL waits for its clients.
        _end(process, signal.SIGINT)


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C"}


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if not packaged:
        raise LoadFailed("PostgreSQL is not installed: `scripts/setup peers` does it")
    return packaged[-1].parent


def _version(path: Path) -> float:
    return float(path.parents[1].name)
