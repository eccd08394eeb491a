"""Ports of this machine: a free one, and whether somebody is there."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.load import LoadFailed

_START_SECONDS: Final = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
    return port


def wait_until_open(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    """Returns when the process listens at the port; raises LoadFailed where it does not."""
    wait_until(lambda: is_open(port), process, output)


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(
    is_ready: Callable[[], bool], process: subprocess.Popen[bytes], output: Path
) -> None:
    """Returns when it is; raises LoadFailed where it takes too long or the process ends."""
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        if is_ready():
            return
        time.sleep(0.05)
    raise LoadFailed(f"a server did not start; it said:\n{output.read_text('utf-8', 'replace')}")
