"""A real server process, for tests of what is promised to those outside it.

    with running_server(tmp_path, rate_limit=5) as server:
        acme = server.organization(allowance=100)
        key = server.key(acme)
        Datagrid(base_url=server.base_url, api_key=key).organization.credits.get()

It is the installed command on a port that the system chooses. What it says appears in the report of
a test that fails. It is ended by its own process id, and by nothing else.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import httpx

from tests.harness import bearer

COMMAND: Final = Path(sys.executable).with_name("tallystick")
ADMIN_KEY: Final = "admin-key-of-the-tests-of-processes"
START_SECONDS: Final = 30
"""How long a start may take on a busy machine; it usually takes less than one."""
END_SECONDS: Final = 15
"""More than the server's grace for requests under way."""
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+")
_UNLIMITED: Final = 1_000_000

Json = dict[str, Any]


class Server:
    """One database, and the process that serves it between `start` and `stop` or `kill`.

    `database` is the file in the folder, or would be: the companions of a database lie beside it.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object],
        environ: Mapping[str, str | None] | None = None,
    ) -> None:
        self.folder = folder
        self.database = folder / "tallystick.db"
        self.url = ""
        self.said: list[str] = []
        """The lines that the process has written."""
        self.admin = httpx.Client(headers=bearer(ADMIN_KEY), trust_env=False)
        self._settings = {"database": self.database, "rate_limit": _UNLIMITED, **settings}
        self._environ = {"TALLYSTICK_ADMIN_KEY": ADMIN_KEY, **(environ or {})}
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def base_url(self) -> str:
        """What the official clients want to know."""
        return f"{self.url}/v1"

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Starts the process and waits until it is ready; the port is another one each time."""
        assert self._process is None, "it is running"
        command = [str(COMMAND), "serve", "--host", "127.0.0.1", "--port", "0"]
        for name, value in self._settings.items():
            command += ["--" + name.replace("_", "-"), *([] if value is True else [str(value)])]
        # Nothing of the environment but what every process needs: no setting slips in.
        environment = {"PATH": os.environ["PATH"]}
        environment |= {name: text for name, text in self._environ.items() if text is not None}
        self._process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # A demo is introduced after the log has named the address.
        last = "All operations: " if self._settings.get("demo") else ""
        self.url = _address_in(self._process, self.said, last)
        self.admin.base_url = httpx.URL(self.url)
        answer = self.admin.get("/readyz")
        assert answer.status_code == 200, answer.text

    def kill(self) -> None:
        """SIGKILL: the process gets no say in it."""
        process = self._running()
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(END_SECONDS) == -signal.SIGKILL
        self._process = None

    def terminate(self) -> None:
        """SIGTERM, without waiting for what comes of it."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> None:
        """The process that was told to end does so by itself, in time and without complaint."""
        status = self._running().wait(END_SECONDS)
        self._process = None
        assert status == 0, f"the server ended with status {status}"

    def stop(self) -> None:
        self.terminate()
        self.wait()

    def close(self) -> None:
        """Leaves no process behind, whatever became of the test."""
        self.admin.close()
        if self._process is not None:
            self.kill()

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "it is not running"
        return self._process

    # ── what an operator does ──

    def post(self, path: str, body: Json) -> Json:
        """An operator's request that has to succeed."""
        answer = self.admin.post(f"/v1/admin{path}", json=body)
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found

    def organization(self, name: str = "Acme", **terms: object) -> Json:
        return self.post("/organizations", {"name": name, **terms})

    def key(self, organization: Json, **terms: object) -> str:
        """The secret of a new key."""
        path = f"/organizations/{organization['id']}/keys"
        return str(self.post(path, {"name": "A key of the tests", **terms})["secret"])

    def grant(self, organization: Json, amount: float, **terms: object) -> Json:
        path = f"/organizations/{organization['id']}/grants"
        return self.post(path, {"amount": amount, "kind": "top_up", **terms})


def _address_in(process: subprocess.Popen[str], said: list[str], last: str) -> str:
    """Where the server listens, as it says itself, in a line with `last`; whatever it says is
    passed on."""
    found: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    assert process.stdout is not None
    threading.Thread(target=_pass_on, args=(process.stdout, found, said, last), daemon=True).start()
    address = found.get(timeout=START_SECONDS)
    assert address is not None, "the server ended without saying where it listens"
    return address


def _pass_on(
    output: IO[str], found: queue.SimpleQueue[str | None], said: list[str], last: str
) -> None:
    """Copies what the server says to where pytest keeps it for the report of a failure."""
    with output:
        for line in output:
            sys.stderr.write(line)
            said.append(line)
            if last in line and (address := _ADDRESS.search(line)):
                found.put(address[0])
    found.put(None)


@contextmanager
def running_server(
    folder: Path, *, environ: Mapping[str, str | None] | None = None, **settings: object
) -> Iterator[Server]:
    """A server on a database in `folder`, while the block lasts; `settings` as `serve` has them,
    and may name another database. `environ` adds to its environment, or takes away (None).
    """
    server = Server(folder, settings, environ)
    try:
        server.start()
        yield server
        if server.is_running:
            server.stop()
    finally:
        server.close()
