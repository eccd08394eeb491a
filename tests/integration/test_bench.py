"""`make bench` works: a quick run measures both sides and writes figures that hold together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.rows import ROWS
from tests.tidy.project import ROOT


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "bench", "--quick"]
    command += ["--results", str(folder / "results"), "--scratch", str(folder / "scratch")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "results"


@pytest.fixture(scope="module")
def data(results: Path) -> dict[str, Any]:
    [path] = results.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_rows_are_measured_on_both_sides(data: dict[str, Any]) -> None:
    assert [(row["title"], row["connections"]) for row in data["rows"]] == [
        (row.title, row.connections) for row in ROWS if row.connections > 1 and not row.takes_much
    ]
    for row in data["rows"]:
        for side in ("subject", "yardstick"):
            for name in ("cpu_us_per_request", "requests_per_second", "p50_ms", "p99_ms"):
                spread = row[side][name]
                assert 0 < spread["low"] <= spread["median"] <= spread["high"]


def test_the_page_has_the_figures_of_the_data(results: Path, data: dict[str, Any]) -> None:
    [page] = results.glob("*.md")
    lines = page.read_text().splitlines()
    for row in data["rows"]:
        start = f"| {row['title']} | {row['connections']} | "
        cpu = f"{row['subject']['cpu_us_per_request']['median']:,.1f}"
        assert any(line.startswith(start + cpu) for line in lines)


def test_a_quick_run_is_not_taken_for_a_measurement(results: Path, data: dict[str, Any]) -> None:
    [page] = results.glob("*.md")
    assert data["quick"] is True
    assert "measures nothing" in page.read_text()


def test_nothing_is_left_behind(results: Path) -> None:
    assert list((results.parent / "scratch").iterdir()) == []


def test_the_machine_is_described_without_names(results: Path, data: dict[str, Any]) -> None:
    assert set(data["machine"]) >= {"processor", "cores", "kernel", "python", "packages", "sqlite"}
    for path in results.iterdir():
        text = path.read_text()
        assert str(ROOT) not in text
        assert str(results.parent) not in text
