"""A real server process, for tests of what is promised to those outside it.

    with running_server(tmp_path, rate_limit=5) as server:
        acme = server.organization(allowance=100)
        key = server.key(acme)
        Datagrid(base_url=server.base_url, api_key=key).organization.credits.get()

    with running_server(tmp_path, database=url, limits=redis.url, workers=2) as server: …

It is the installed command, with the program of the tree that the tests are of, on a port that the
system chooses. What it says appears in the report of a test that fails. It is ended by its own
process id, and by nothing else.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import httpx

from bench.daemons import children_of, kill_all
from tests.harness import bearer
from tests.tidy.project import PACKAGE

COMMAND: Final = Path(sys.executable).with_name("tallystick")
ADMIN_KEY: Final = "admin-key-of-the-tests-of-processes"
START_SECONDS: Final = 30
"""How long a start may take on a busy machine; it usually takes less than one."""
END_SECONDS: Final = 15
"""More than the server's grace for requests under way."""
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+")
_UNLIMITED: Final = 1_000_000

Json = dict[str, Any]


def environment(given: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """For a process of ours: what every process needs, the program of this tree, and what is given
    on top or (None) taken away. No setting slips in."""
    found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE.parent), **(given or {})}
    return {name: text for name, text in found.items() if text is not None}


class Server:
    """One database, and the process that serves it between `start` and `stop` or `kill`.

    `database` is the file; where the settings name another one, nothing is there.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object],
        environ: Mapping[str, str | None] | None = None,
    ) -> None:
        self.database = folder / "tallystick.db"
        self.url = ""
        self.said: list[str] = []
        """The lines that the process has written."""
        self.admin = httpx.Client(headers=bearer(ADMIN_KEY), trust_env=False)
        self._settings = {"database": self.database, "rate_limit": _UNLIMITED, **settings}
        self._environ = environment({"TALLYSTICK_ADMIN_KEY": ADMIN_KEY, **(environ or {})})
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

    @property
    def place(self) -> str:
        """The file or URL of the database."""
        return str(self._settings["database"])

    @property
    def workers(self) -> Sequence[int]:
        """The process ids of its workers, where it has several."""
        return children_of(self.pid)

    def start(self) -> None:
        """Starts the process and waits until it is ready; the port is another one each time."""
        assert self._process is None, "it is running"
        command = [str(COMMAND), "serve", "--host", "127.0.0.1", "--port", "0"]
        for name, value in self._settings.items():
            command += ["--" + name.replace("_", "-"), *([] if value is True else [str(value)])]
        self._process = subprocess.Popen(
            command,
            env=self._environ,
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
        """SIGKILL: the process gets no say in it, nor do its workers."""
        process = self._running()
        kill_all(process.pid)
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
            kill_all(self._process.pid)
            self._process.wait()

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
    """A server on a database in `folder`, unless `settings`, which are those of `serve`, name
    another, while the block lasts.

    `environ` adds to its environment, or takes away (None).
    """
    server = Server(folder, settings, environ)
    try:
        server.start()
        yield server
        if server.is_running:
            server.stop()
    finally:
        server.close()
