"""The checks look at all of the project, and at nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.tidy.project import ROOT, kept_files, python_files


def test_a_clone_is_what_git_keeps(tmp_path: Path) -> None:
    (tmp_path / "kept.md").touch()
    (tmp_path / "removed.md").touch()
    (tmp_path / "build.log").touch()
    for command in (["init", "-q"], ["add", "kept.md", "removed.md"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    (tmp_path / "removed.md").unlink()
    assert kept_files(tmp_path) == [tmp_path / "kept.md"]


def test_without_git_what_tools_leave_behind_is_left_out(tmp_path: Path) -> None:
    for name in ("src/ours.py", ".venv/theirs.py", "tests/node_modules/theirs.md"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert kept_files(tmp_path) == [tmp_path / "src" / "ours.py"]


def test_this_file_is_looked_at() -> None:
    assert Path(__file__).resolve() in python_files(ROOT / "tests")
    assert ROOT / "README.md" in kept_files()
