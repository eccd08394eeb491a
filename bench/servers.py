"""The servers that are measured: how each is started, and what it needs before it is asked.

A server is one line in `SERVERS`. It runs as in production, in processes of its own, all on one
core, with a folder of its own on a real disk.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import clocks
from bench.load import LoadFailed
from bench.tenant import ADMIN_KEY, Tenant

_START_SECONDS: Final = 30
_END_SECONDS: Final = 15
_BIN: Final = Path(sys.executable).parent
_PROJECT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`command` gives the arguments for a port and a folder. `tenant` makes who asks, if the server
    wants to know."""

    name: str
    about: str
    command: Callable[[int, Path], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    tenant: Callable[[str], Tenant] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    server: Server
    url: str
    pids: Sequence[int]
    tenant: Tenant | None

    def cpu_ns(self) -> int:
        return sum(map(clocks.cpu_ns, self.pids))


def _tallystick(port: int, folder: Path) -> list[str]:
    return [
        *(str(_BIN / "tallystick"), "serve", "--host", "127.0.0.1", "--port", str(port)),
        *("--database", str(folder / "tallystick.db"), "--rate-limit", "1000000"),
    ]


def _uvicorn(app: str) -> Callable[[int, Path], list[str]]:
    """uvicorn as `tallystick serve` sets it, and as nobody would set it slower."""
    return lambda port, _: [
        *(str(_BIN / "uvicorn"), app, "--host", "127.0.0.1", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", "off"),
        *("--interface", "asgi3", "--no-access-log", "--no-server-header", "--no-proxy-headers"),
        *("--timeout-keep-alive", "75", "--log-level", "warning"),
    ]


SERVERS: Final = {
    server.name: server
    for server in (
        Server(
            name="tallystick",
            about="`tallystick serve` on an SQLite file",
            command=_tallystick,
            environment={"TALLYSTICK_ADMIN_KEY": ADMIN_KEY},
            tenant=Tenant,
        ),
        Server(
            name="hello",
            about="hello-world ASGI app on uvicorn, which ignores the body",
            command=_uvicorn("bench.peers.hello:ignore_body"),
        ),
        Server(
            name="hello, body read",
            about="hello-world ASGI app on uvicorn, which reads the body",
            command=_uvicorn("bench.peers.hello:read_body"),
        ),
    )
}


@contextmanager
def running(server: Server, *, core: int, folder: Path) -> Iterator[Running]:
    """The server, ready, while the block lasts; raises LoadFailed where it does not start."""
    folder.mkdir()
    port = _free_port()
    # Nothing else of the environment: no setting slips in.
    environment = {"PATH": os.environ["PATH"], **server.environment}
    with (folder / "output.txt").open("w") as output, clocks.on_core(core):
        process = subprocess.Popen(
            server.command(port, folder),
            cwd=_PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_open(process, port, folder / "output.txt")
        url = f"http://127.0.0.1:{port}"
        tenant = server.tenant(url) if server.tenant is not None else None
        pids = clocks.family(process.pid)
        try:
            yield Running(server=server, url=url, pids=pids, tenant=tenant)
        finally:
            if tenant is not None:
                tenant.close()
    finally:
        _end(process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
    return port


def _wait_until_open(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise LoadFailed(f"a server did not start; it said:\n{output.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
