"""The domain stays pure, and each impurity is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.imports import module_name
from tests.tidy.project import DOMAIN, PACKAGE, Finding, in_files, in_project, python_files
from tests.tidy.purity import check_calls, check_floats, check_imports, check_zones

IMPURE_IMPORTS = [
    "import time",
    "from time import monotonic_ns",
    "import random",
    "import secrets",
    "import os",
    "import os.path",
    "import logging",
    "import socket",
    "import asyncio",
    "import threading",
    "import io",
    "import uuid",
    "import importlib",
    "from importlib import import_module",
    "from pathlib import Path",
    "import msgspec",
    "import apsw",
    "import structlog",
    "from tallystick.ledger import ports",
    "def f() -> None:\n    import time",
    "if TYPE_CHECKING:\n    from pathlib import Path",
]
PURE_IMPORTS = [
    "from __future__ import annotations",
    "import hashlib",
    "from collections.abc import Iterable",
    "from dataclasses import dataclass",
    "from zoneinfo import ZoneInfo",
    "import tzdata",
    "import importlib.resources",
    "from importlib import resources",
    "from tallystick.domain.credits import Micro",
    "from . import credits",
]
IMPURE_CALLS = [
    "datetime.now(UTC)",
    "datetime.datetime.utcnow()",
    "date.today()",
    "open('x')",
    "path.open('x')",
    "files('elsewhere').joinpath('x').read_text()",
    "print('x')",
    "eval('1')",
]
FLOATS = [
    "x: float = f()",
    "def f(x: float) -> int: ...",
    "def f() -> dict[str, float]: ...",
    "y = float(x)",
    "y = 0.5",
    "y = 1e6",
    "y = a / b",
    "a /= b",
]


def test_the_domain_imports_only_what_is_pure() -> None:
    def check(source: str, path: Path) -> Iterator[Finding]:
        return check_imports(source, module_name(path))

    assert in_files(check, python_files(DOMAIN)) == ""


def test_the_domain_reads_no_clock_and_does_no_io() -> None:
    assert in_project(check_calls, python_files(DOMAIN)) == ""


def test_time_zones_are_the_packaged_ones() -> None:
    assert in_project(check_zones, python_files(PACKAGE)) == ""


@pytest.mark.parametrize(
    "source", ["ZoneInfo('UTC')", "zoneinfo.ZoneInfo(key)", "zoneinfo.available_timezones()"]
)
def test_a_time_zone_of_the_machine_is_found(source: str) -> None:
    assert list(check_zones(source))


def test_a_packaged_time_zone_passes() -> None:
    assert not list(check_zones("ZoneInfo.from_file(file, key=key)"))


def test_no_float_touches_the_domain() -> None:
    assert in_project(check_floats, python_files(DOMAIN)) == ""


@pytest.mark.parametrize("source", IMPURE_IMPORTS)
def test_an_impure_import_is_found(source: str) -> None:
    assert list(check_imports(source))


@pytest.mark.parametrize("source", PURE_IMPORTS)
def test_a_pure_import_passes(source: str) -> None:
    assert not list(check_imports(source))


@pytest.mark.parametrize("source", IMPURE_CALLS)
def test_an_impure_call_is_found(source: str) -> None:
    assert list(check_calls(source))


@pytest.mark.parametrize(
    "source",
    [
        "now + 1",
        "decide(account, command, now)",
        "files('tzdata').joinpath('zones').read_text()",
    ],
)
def test_what_is_given_passes(source: str) -> None:
    assert not list(check_calls(source))


@pytest.mark.parametrize("source", FLOATS)
def test_a_float_is_found(source: str) -> None:
    assert list(check_floats(source))


@pytest.mark.parametrize("source", ["y = a // b", "y: int = 10**6", "y = a % b", "'0.5 / float'"])
def test_whole_numbers_pass(source: str) -> None:
    assert not list(check_floats(source))
