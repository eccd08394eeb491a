"""PostgreSQL for the length of a block: a cluster of our own, on a free port.

Its files are in the folder that is given, and what the system runs is not touched. PostgreSQL does
not start as root: there it runs as the user that the distribution made for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.daemons import Daemon, plain_environment
from bench.load import LoadFailed
from bench.ports import free_port

SUPERUSER: Final = "bench"
_SYSTEM_USER: Final = "postgres"


@contextmanager
def running_postgres(
    folder: Path, settings: Mapping[str, str], *, initdb: Sequence[str] = ()
) -> Iterator[Daemon]:
    """A new cluster, whose superuser needs no password."""
    make_cluster(folder, initdb=initdb)
    daemon = postgres_daemon(folder, settings)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()


def make_cluster(folder: Path, *, initdb: Sequence[str] = ()) -> None:
    """The files of a new cluster, in UTF-8, with what else is to be said to initdb."""
    folder.mkdir()
    own(folder)
    command = [str(find_binary("initdb")), "-D", str(folder / "data"), "-U", SUPERUSER]
    run_as_owner([*command, "-A", "trust", "-E", "UTF8", *initdb])


def postgres_daemon(folder: Path, settings: Mapping[str, str]) -> Daemon:
    """Of the cluster in `folder`, on a port of its own; not started."""
    port = free_port()
    given = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder),
        **settings,
    }
    command = [str(find_binary("postgres")), "-D", str(folder / "data")]
    for name, value in given.items():
        command += ["-c", f"{name}={value}"]
    return Daemon(
        command=command,
        folder=folder,
        port=port,
        user=owner(),
        is_ready=partial(_is_ready, folder / "data" / "postmaster.pid"),
    )


def _is_ready(file: Path, pid: int) -> bool:
    """Whether this process has noted, in the file it keeps for that, that it is no longer starting:
    its port is open before. After a crash the file of the process before is still there."""
    lines = file.read_text().split() if file.exists() else []
    return lines[:1] == [str(pid)] and lines[-1] in {"ready", "standby"}


def run_as_owner(command: Sequence[str]) -> None:
    """A program of PostgreSQL's that works on a cluster's files; raises LoadFailed."""
    made = subprocess.run(
        command,
        env=plain_environment(),
        user=owner(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise LoadFailed(f"PostgreSQL's files could not be made:\n{made.stderr}")


def own(path: Path) -> None:
    """Gives a file to the user that PostgreSQL runs as."""
    user = owner()
    if user is not None:
        shutil.chown(path, user)


def find_binary(name: str) -> Path:
    """A program of the newest PostgreSQL that is installed; raises LoadFailed where none is."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    if not packaged:
        raise LoadFailed("PostgreSQL is not installed: `scripts/setup servers` does it")
    return packaged[-1]


def owner() -> str | None:
    """Whom PostgreSQL runs as; None: us."""
    return _SYSTEM_USER if os.geteuid() == 0 else None


def _version(path: Path) -> float:
    return float(path.parents[1].name)
