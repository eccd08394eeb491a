"""Two PostgreSQL servers that Patroni keeps: a primary, and a synchronous standby to follow it.

    with patroni_cluster() as cluster:
        url = cluster.database()
        cluster.lose_primary()           # kill -9, and of its Patroni too
        cluster.wait_until_safe()        # what was lost is back, as the standby

etcd, two Patronis and their servers run on free ports, with files in a temporary folder.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from bench.daemons import Daemon, kill_all
from bench.ports import free_port
from bench.postgres import SUPERUSER, find_binary, own, owner
from tallystick.storage.postgres.migrate import migrate
from tests.servers.postgres import connected
from tests.tidy.project import ROOT

PATRONI: Final = ROOT / ".venv-patroni" / "bin" / "patroni"
SECONDS: Final = 120
"""For a cluster to become what it should be, on a busy machine."""
_TERMS: Final = {
    # The least that Patroni takes: who has not been heard of for 20 seconds is primary no more.
    "ttl": 20,
    "loop_wait": 1,
    "retry_timeout": 3,
    "synchronous_mode": True,
    "postgresql": {"parameters": {"max_connections": 100, "shared_buffers": "64MB", "jit": "off"}},
}
_DOOR: Final = (
    "local all all trust",
    "host all all 127.0.0.1/32 trust",
    "host replication all 127.0.0.1/32 trust",
)
_NAME: Final = "ledger"
_WELL: Final = {"running", "streaming"}


class Member:
    """One server and its Patroni."""

    def __init__(self, folder: Path, name: str, etcd: int) -> None:
        self.name = name
        self.port = free_port()
        self.api = free_port()
        self.files = folder / "data"
        folder.mkdir()
        own(folder)
        settings = folder / "patroni.json"
        settings.write_text(json.dumps(self._settings(folder, etcd)))
        self.daemon = Daemon(
            command=[str(PATRONI), str(settings)],
            folder=folder,
            port=self.api,
            user=owner(),
        )

    def kill(self) -> None:
        """Its server is no child of Patroni's."""
        self.daemon.kill()
        noted = self.files / "postmaster.pid"
        if noted.exists():
            kill_all(int(noted.read_text().split()[0]))
            noted.unlink()

    def _settings(self, folder: Path, etcd: int) -> dict[str, Any]:
        return {
            "scope": "tallystick",
            "name": self.name,
            "restapi": _at(self.api),
            "etcd3": {"host": f"127.0.0.1:{etcd}"},
            "bootstrap": {"dcs": _TERMS, "initdb": [{"encoding": "UTF8"}, "data-checksums"]},
            "postgresql": {
                **_at(self.port),
                "data_dir": str(self.files),
                "bin_dir": str(find_binary("postgres").resolve().parent),
                "authentication": {
                    "superuser": {"username": SUPERUSER},
                    "replication": {"username": "replicator"},
                },
                "use_pg_rewind": True,
                "remove_data_directory_on_diverged_timelines": True,
                "pg_hba": list(_DOOR),
                "parameters": {"unix_socket_directories": str(folder)},
            },
        }


class Cluster:
    """What Patroni makes of its members."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._lost: list[Member] = []

    def database(self) -> str:
        """Makes the database, with all tables; its URL names both servers."""
        port = self._named("leader").port
        asyncio.run(_make_database(f"postgresql://{SUPERUSER}@127.0.0.1:{port}"))
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self._members)
        return f"postgresql://{SUPERUSER}@{hosts}/{_NAME}"

    def lose_primary(self) -> None:
        """Returns when the standby has taken its place."""
        old = self._named("leader")
        old.kill()
        self._lost.append(old)
        self._wait_for(lambda roles: old.name != roles.get("leader", old.name))

    def wait_until_safe(self) -> None:
        """Returns when there is a standby that has all that the primary acknowledges."""
        while self._lost:
            self._lost.pop().daemon.start()
        self._wait_for(lambda roles: {"leader", "sync_standby"} <= {*roles})

    def _named(self, role: str) -> Member:
        [member] = [each for each in self._members if each.name == self._roles().get(role)]
        return member

    def _wait_for(self, is_so: Callable[[dict[str, str]], bool]) -> None:
        until, pause = time.monotonic() + SECONDS, threading.Event()
        while not is_so(roles := self._roles()):
            assert time.monotonic() < until, f"Patroni's cluster stays like this: {roles}"
            pause.wait(0.1)

    def _roles(self) -> dict[str, str]:
        """The names of those who are well, by what Patroni says that they are."""
        for member in self._members:
            try:
                found = httpx.get(f"http://127.0.0.1:{member.api}/cluster", trust_env=False).json()
            except httpx.TransportError:
                continue
            members = found.get("members", ())
            return {each["role"]: each["name"] for each in members if each["state"] in _WELL}
        return {}


@contextmanager
def patroni_cluster() -> Iterator[Cluster]:
    """Two members, of which one follows the other, while the block lasts."""
    assert PATRONI.exists(), "Patroni is not installed: `scripts/setup patroni` does it"
    with tempfile.TemporaryDirectory(prefix="tallystick-patroni-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        etcd = _etcd(folder / "etcd")
        stack.callback(etcd.kill)
        etcd.start()
        members = [Member(folder / each, each, etcd.port) for each in ("one", "other")]
        for member in members:
            stack.callback(member.kill)
            member.daemon.start()
        cluster = Cluster(members)
        cluster.wait_until_safe()
        yield cluster


def _etcd(folder: Path) -> Daemon:
    binary = shutil.which("etcd")
    assert binary is not None, "etcd is not installed: `scripts/setup patroni` does it"
    folder.mkdir()
    port, peers = free_port(), f"http://127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{port}"
    command = [binary, "--data-dir", str(folder / "data"), "--initial-cluster", f"default={peers}"]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    command += ["--listen-client-urls", url, "--advertise-client-urls", url]
    return Daemon(command=command, folder=folder, port=port)


async def _make_database(server: str) -> None:
    async with connected(f"{server}/postgres") as connection:
        await connection.execute(f"CREATE DATABASE {_NAME}")
    async with connected(f"{server}/{_NAME}") as connection:
        await migrate(connection)


def _at(port: int) -> dict[str, str]:
    return {"listen": f"127.0.0.1:{port}", "connect_address": f"127.0.0.1:{port}"}
