"""The habits hold in the project, and each bad one is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.tidy.habits import (
    MOST_LINES,
    check_excepts,
    check_globals,
    check_length,
    check_silencers,
    check_skips,
    check_waiting,
)
from tests.tidy.project import PACKAGE, ROOT, Finding, in_project, python_files

Check = Callable[[str], Iterator[Finding]]

EVERYWHERE = (PACKAGE, ROOT / "tests", ROOT / "bench")
HOLDS: dict[Check, tuple[str, ...]] = {
    check_length: ("src",),
    check_excepts: ("src", "tests", "bench"),
    check_silencers: ("src", "tests", "bench"),
    check_waiting: ("src", "tests"),
    check_skips: ("tests",),
    check_globals: ("src", "tests"),
}
BAD: dict[Check, list[str]] = {
    check_length: ["x = 1\n" * (MOST_LINES + 1)],
    check_excepts: [
        "try: f()\nexcept: pass",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept Exception as error: raise",
        "try: f()\nexcept (ValueError, Exception): pass",
        "try: f()\nexcept BaseException: g()",
        "try: f()\nexcept BaseException as error: raise Other() from error",
        "with suppress(Exception): f()",
        "with contextlib.suppress(ValueError, BaseException): f()",
    ],
    check_silencers: [
        "x = 1  # type: ignore\n",
        "x = 1  #type:ignore because\n",
        "x = 1  # noqa\n",
        "x = 1  # noqa because I say so\n",
        "x = 1  # type: ignore[attr-defined]\n",
        "x = 1  # noqa: S608\n",
        "x = 1\ny = 2  # noqa: S608, S101\n",
        "# mypy: ignore-errors\n",
        "# ruff: noqa: S101 - all of it\n",
    ],
    check_waiting: ["time.sleep(1)", "import time\npause = time.sleep", "from time import sleep"],
    check_skips: [
        "pytest.skip('not here')",
        "@pytest.mark.skipif(True)\ndef test(): ...",
        "@pytest.mark.xfail\ndef test(): ...",
        "@mark.skip\ndef test(): ...",
        "pytest.importorskip('x')",
        "pytestmark = pytest.mark.flaky(reruns=3)",
        "@unittest.skipIf(True)\ndef test(): ...",
        "@unittest.skip('x')\ndef test(): ...",
    ],
    check_globals: ["def f():\n    global cache\n    cache = 1"],
}
GOOD: dict[Check, list[str]] = {
    check_length: ["x = 1\n" * MOST_LINES],
    check_excepts: [
        "try: f()\nexcept (ValueError, OSError): pass",
        "try: f()\nexcept BaseException:\n    rollback()\n    raise",
        "with suppress(ValueError): f()",
        "try: f()\nexcept* TimeoutError: pass",
    ],
    check_silencers: [
        "x = 1  # type: ignore[attr-defined]  # the stubs lack it\n",
        "x = 1  # noqa: S608 - the name comes from this file\n",
        "# The stubs lack it.\nx = 1  # type: ignore[attr-defined]\n",
        "x = '# noqa'\n",
    ],
    check_waiting: ["await asyncio.sleep(0)", "clock.sleep(1)"],
    check_skips: ["rows.skip(3)", "pytest.mark.parametrize('x', [])"],
    check_globals: ["def f():\n    nonlocal count\n    count = 1\n"],
}


def pairs(table: dict[Check, list[str]]) -> list[tuple[Check, str]]:
    return [(check, source) for check, sources in table.items() for source in sources]


@pytest.mark.parametrize("check", HOLDS, ids=lambda check: check.__name__)
def test_the_project_keeps_its_habits(check: Check) -> None:
    rooms = [ROOT / room for room in HOLDS[check]]
    assert in_project(check, python_files(*rooms)) == ""


@pytest.mark.parametrize(("check", "source"), pairs(BAD))
def test_a_bad_habit_is_found(check: Check, source: str) -> None:
    assert list(check(source))


@pytest.mark.parametrize(("check", "source"), pairs(GOOD))
def test_a_good_habit_passes(check: Check, source: str) -> None:
    assert not list(check(source))
