"""What the concept pages tell a reader to type works, as it stands there, against the demo."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import COMMAND, Server, running_server

_BLOCKS = re.MULTILINE | re.DOTALL
DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    *("holds.md", "reversals.md", "budgets.md", "prices.md", "usage.md", "exports.md"),
    *("statements.md", "time-travel.md", "proof.md", "requests.md"),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A demo that made its operator's key itself."""
    folder = tmp_path_factory.mktemp("demo")
    with running_server(folder, demo=True, environ={"TALLYSTICK_ADMIN_KEY": None}) as server:
        yield server


@pytest.mark.parametrize("page", PAGES)
def test_the_lines_of_a_page_work(demo: Server, page: str, tmp_path: Path) -> None:
    text = (DOCS / page).read_text()
    for name, content in re.findall(r"^```toml\n# (\S+)\n(.*?)^```", text, _BLOCKS):
        (tmp_path / name).write_text(content)
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", text, _BLOCKS))
    assert lines.count("curl ") + lines.count("\ntallystick ") >= 3
    script = (
        lines.replace("curl ", "curl --silent --show-error --fail-with-body ")
        .replace("http://127.0.0.1:8080", demo.url)
        .replace("var/demo.db", str(demo.database))
    )
    path = f"{COMMAND.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={"PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "curl: " not in done.stderr, done.stdout + done.stderr
