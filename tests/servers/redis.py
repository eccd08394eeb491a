"""Redis servers of a test's own: on free ports, in a temporary folder, ended by their process ids.

`RedisServer` is one server, which a test may kill, stop, empty and start again; `redis_cluster` are
several masters, with a replica each if wanted.
"""

from __future__ import annotations

import collections
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from redis import Redis

_PLAIN: Final = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1")
_NODE_TIMEOUT_MS: Final = 1000
_START_SECONDS: Final = 20


class RedisServer:
    """One server. It keeps what it has in memory only; `options` are those of its command line."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = free_port() if port is None else port
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=10)

    def start(self) -> None:
        """Returns when it answers."""
        binary = shutil.which("redis-server")
        assert binary is not None, "Redis is not installed: `scripts/setup` does it"
        place = ("--port", str(self.port), "--dir", str(self.folder))
        self._process = subprocess.Popen(
            [binary, *place, *_PLAIN, *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )
        said = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                break
        else:
            raise AssertionError("Redis did not start:\n" + "".join(said))
        # Whatever else it says: a full pipe would hold it up.
        rest = self._process.stdout
        threading.Thread(target=_drain, args=(rest,), daemon=True).start()

    def kill(self) -> None:
        """At once, as by a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


def tell(client: Redis, *words: str | int) -> Any:  # noqa: ANN401 - whatever the command answers  # noqa: ANN401 - each command has its own
    """One command, as it is written."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # it has no types


def _drain(pipe: Iterator[str]) -> None:
    collections.deque(pipe, maxlen=0)
    close = getattr(pipe, "close", None)
    if close is not None:
        close()


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def redis_cluster(
    folder: Path, *, masters: int = 3, replicas: int = 0
) -> Iterator[Sequence[RedisServer]]:
    """A Cluster that has all its slots; its masters first."""
    options = [
        *("--cluster-enabled", "yes", "--cluster-node-timeout", str(_NODE_TIMEOUT_MS)),
        *("--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no"),
    ]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(redis_server(folder / f"node-{number}", *options))
            for number in range(masters * (1 + replicas))
        ]
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        command = ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"]
        command += ["--cluster-replicas", str(replicas)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        for server in servers:
            _wait_for_cluster(server)
        yield servers


def _wait_for_cluster(server: RedisServer) -> None:
    """Returns when the server takes the Cluster for whole."""
    until, pause = time.monotonic() + _START_SECONDS, threading.Event()
    with server.client() as client:
        while b"cluster_state:ok" not in tell(client, "CLUSTER", "INFO"):
            assert time.monotonic() < until, "the Cluster did not come about"
            pause.wait(0.02)


def free_port() -> int:
    """One whose bus port, 10 000 above, is free too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as door:
            port: int = door.getsockname()[1]
        if port + 10_000 < 65_536 and _is_free(port + 10_000):
            return port


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
