"""nginx with the configuration of `deploy/`, in front of nodes of a test's own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.daemons import Daemon
from bench.ports import free_port
from tests.tidy.project import ROOT

_AROUND = """
daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{0}
}}
"""


@contextmanager
def proxy(folder: Path, nodes: Sequence[str]) -> Iterator[Daemon]:
    """In front of these addresses (host:port), which take the places of those in the file."""
    port = free_port()
    given = (ROOT / "deploy" / "nginx.conf").read_text()
    for number, node in enumerate(nodes, start=1):
        given = given.replace(f"node{number}:8080", node)
    given, count = re.subn(r"listen 80;", f"listen 127.0.0.1:{port};", given)
    assert count == 1
    assert "node" not in re.sub(r"#.*", "", given), "there are more nodes in the file"
    configuration = folder / "nginx.conf"
    configuration.write_text(_AROUND.format(given))
    binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert binary is not None, "nginx is not installed: `scripts/setup servers` does it"
    log = str(folder / "error.txt")
    daemon = Daemon(
        command=[binary, "-p", str(folder), "-c", str(configuration), "-e", log],
        folder=folder,
        port=port,
    )
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()
