"""What the tidy tests look at: the files of this tree, and how a check reports what it finds.

A check is a function over text that yields findings. It knows no paths, so that the tests can show
it a planted violation and see it found; `in_project` then runs it over the real files.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tallystick"
DOMAIN = PACKAGE / "domain"

NOT_OURS = {"node_modules", "__pycache__", "var", "build", "dist", "vendor"}
TOOLS = {".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


class Finding(NamedTuple):
    line: int
    says: str


def python_files(*rooms: Path) -> list[Path]:
    """Every Python file below these rooms, those that are not yet committed included."""
    return sorted(path for room in rooms for path in _walk(room) if path.suffix == ".py")


def kept_files(root: Path = ROOT) -> list[Path]:
    """What a clone contains. Without git, everything that looks like ours."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode or not listed.stdout:
        return sorted(_walk(root))
    paths = (root / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def _walk(room: Path) -> Iterator[Path]:
    for folder, names, leaves in os.walk(room):
        names[:] = [name for name in names if name not in NOT_OURS | TOOLS]
        yield from (Path(folder) / leaf for leaf in leaves)


def text_of(path: Path) -> str | None:
    """The file's text, or None for one that is not text, such as a database or an image."""
    content = path.read_bytes()
    return None if b"\0" in content else content.decode(errors="replace")


def in_project(check: Callable[[str], Iterable[Finding]], paths: Iterable[Path]) -> str:
    """Lines of `path:line: what is wrong` for everything that the check finds in these files."""
    return in_files(lambda text, _: check(text), paths)


def in_files(check: Callable[[str, Path], Iterable[Finding]], paths: Iterable[Path]) -> str:
    """The same for a check that has to know where the text stands."""
    return "\n".join(
        f"{path.relative_to(ROOT)}:{finding.line}: {finding.says}"
        for path in paths
        for finding in check(text_of(path) or "", path)
    )
