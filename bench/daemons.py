"""Servers of others, each on a free port and ended by its own process id."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.ports import is_open, wait_until

_END_SECONDS: Final = 15


@dataclass(slots=True, kw_only=True)
class Daemon:
    """One server with its files in `folder`, which can be started and ended again and again."""

    command: Sequence[str]
    folder: Path
    port: int
    user: str | None = None
    """Whose process it is; None: ours."""
    is_ready: Callable[[int], bool] | None = None
    """Whether the process with this id answers requests; None: as soon as it listens."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        assert self._process is not None, "it has not been started"
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said since it was last started."""
        return self._output.read_text("utf-8", "replace")

    def start(self) -> None:
        """Returns when it is ready; raises LoadFailed, with what it said, where it does not."""
        with self._output.open("w") as file:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=plain_environment(),
                user=self.user,
                process_group=0,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        wait_until(self._is_ready, self._process, self._output)

    def stop(self) -> None:
        """Ends it in order. PostgreSQL and Redis do so at once on SIGINT; on SIGTERM PostgreSQL
        would wait for its clients."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends it and every process that it has started, with no time to tidy up."""
        assert self._process is not None, "it has not been started"
        kill_all(self._process.pid)
        self._process.wait()

    def _is_ready(self) -> bool:
        return is_open(self.port) and (self.is_ready is None or self.is_ready(self.pid))

    @property
    def _output(self) -> Path:
        return self.folder / "output.txt"


def kill_all(pid: int) -> None:
    """Kills a process and all that come from it, wherever they have gone: those of PostgreSQL lead
    groups of their own. Returns when they have ended."""
    with suppress(ProcessLookupError), _handle(pid) as handle:
        # Who is stopped starts nobody, and outlives none of its children.
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        for child in children_of(pid):
            kill_all(child)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [])


@contextmanager
def _handle(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def children_of(pid: int) -> list[int]:
    """The processes that it has started and that have not ended."""
    found: list[int] = []
    # Each thread has children of its own.
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, file.read_text().split())
    return found


def plain_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C"}
