"""The order of imports, and each way of going round it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.imports import MAY_IMPORT, check_direction, module_name, room_of
from tests.tidy.project import PACKAGE, Finding, in_files, python_files

OUTWARDS = {
    "plain": ("domain.x", "import tallystick.ledger"),
    "from": ("domain.x", "from tallystick.ledger.ports import Store"),
    "from the package": ("domain.x", "from tallystick import storage"),
    "relative": ("domain.x", "from ..ledger import ports"),
    "relative, only dots": ("domain.x", "from .. import ledger"),
    "in a function": ("ledger.x", "def f() -> None:\n    from tallystick.http import app"),
    "type-only": ("storage.x", "if TYPE_CHECKING:\n    from tallystick.http import app"),
    "import_module": ("limits.x", "importlib.import_module('tallystick.http.app')"),
    "__import__": ("limits.x", "__import__('tallystick.http')"),
    "neighbour": ("limits.x", "from tallystick.storage import store"),
    "neighbour above": ("http.x", "from tallystick.webhooks import outbox"),
    "outermost": ("bootstrap", "from tallystick.cli import main"),
    "settings": ("http.x", "from tallystick.config import Settings"),
}
ADAPTERS = {
    "module": ("http.x", "from tallystick.storage import sqlite"),
    "name": ("http.x", "from tallystick.limits.memory import MemoryLimiter"),
    "neighbour": ("storage.x", "import tallystick.limits.memory"),
}
DRIVERS = {
    "database": ("ledger.x", "import apsw"),
    "framework": ("ledger.x", "from starlette.requests import Request"),
    "terminal": ("http.x", "import click"),
    "the old sqlite": ("storage.x", "import sqlite3"),
}
INWARDS = {
    "one step": ("ledger.x", "from tallystick.domain.decide import decide"),
    "many steps": ("http.x", "from tallystick.domain import credits"),
    "itself": ("domain.x", "from tallystick.domain import periods"),
    "itself, relative": ("domain.x", "from . import periods"),
    "the version": ("http.x", "from tallystick import __version__"),
    "adapters in the wiring": ("bootstrap", "from tallystick.storage.sqlite import SqliteStore"),
    "adapters at home": ("storage.x", "from tallystick.storage.sqlite import SqliteStore"),
    "adapters in commands": ("cli.verify", "from tallystick.storage import sqlite"),
    "driver at home": ("storage.x", "import apsw"),
    "anything else": ("domain.x", "import dataclasses"),
}


def check_file(source: str, path: Path) -> Iterator[Finding]:
    return check_direction(source, module_name(path), is_package=path.name == "__init__.py")


def found(module: str, source: str) -> list[str]:
    return [finding.says for finding in check_direction(source, f"tallystick.{module}")]


def test_imports_point_inwards() -> None:
    assert in_files(check_file, python_files(PACKAGE)) == ""


@pytest.mark.parametrize(("module", "source"), OUTWARDS.values(), ids=OUTWARDS)
def test_an_import_outwards_is_found(module: str, source: str) -> None:
    assert "points outwards or sideways" in found(module, source)[0]


@pytest.mark.parametrize(("module", "source"), ADAPTERS.values(), ids=ADAPTERS)
def test_naming_an_adapter_is_found(module: str, source: str) -> None:
    assert "only the wiring names a concrete adapter" in found(module, source)[0]


@pytest.mark.parametrize(("module", "source"), DRIVERS.values(), ids=DRIVERS)
def test_a_driver_away_from_home_is_found(module: str, source: str) -> None:
    assert "stays in" in found(module, source)[0]


@pytest.mark.parametrize(("module", "source"), INWARDS.values(), ids=INWARDS)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert found(module, source) == []


def test_a_package_resolves_its_dots_from_itself() -> None:
    """`from . import x` means something else in `__init__.py` than in the modules beside it."""
    [finding] = check_direction("from .. import http", "tallystick.limits", is_package=True)
    assert "tallystick.http" in finding.says
    assert not list(check_direction("from . import policy", "tallystick.limits", is_package=True))


def test_a_room_without_a_place_is_found() -> None:
    assert "has no place" in found("utils.x", "")[0]


def test_the_order_has_no_circle() -> None:
    settled: set[str] = set()
    for _ in MAY_IMPORT:
        settled |= {room for room, below in MAY_IMPORT.items() if below <= settled}
    assert settled == set(MAY_IMPORT)


def test_names_of_modules_and_rooms() -> None:
    assert module_name(PACKAGE / "domain" / "periods.py") == "tallystick.domain.periods"
    assert module_name(PACKAGE / "domain" / "__init__.py") == "tallystick.domain"
    assert room_of("tallystick.domain.periods") == "domain"
    assert room_of("tallystick") == ""
