"""Imports point inwards.

cli → bootstrap → http, webhooks → storage, limits → ledger → domain, and never back, nor between
neighbours. An import counts wherever it stands: in a function, under `TYPE_CHECKING`, or as a
string given to `import_module`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.tidy.project import PACKAGE, Finding

_ADAPTER_ROOMS = frozenset({"storage", "limits", "ledger", "domain"})
_SERVICE_ROOMS = _ADAPTER_ROOMS | {"http", "webhooks", "config", "observe"}

# Room → the rooms it may import from, besides itself. A new room takes its place here first.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "domain": frozenset(),
    "observe": frozenset(),
    "ledger": frozenset({"domain", "observe"}),
    "storage": frozenset({"ledger", "domain", "observe"}),
    "limits": frozenset({"ledger", "domain", "observe"}),
    "http": _ADAPTER_ROOMS | {"observe"},
    "webhooks": _ADAPTER_ROOMS | {"observe"},
    "config": _ADAPTER_ROOMS,
    "bootstrap": _SERVICE_ROOMS,
    "cli": _SERVICE_ROOMS | {"bootstrap"},
    "__main__": frozenset({"cli"}),
}

# Only what wires the service together knows which store and which limiter it is.
ADAPTERS = (
    "tallystick.storage.sqlite",
    "tallystick.storage.postgres",
    "tallystick.limits.memory",
    "tallystick.limits.redis",
)
WIRING = frozenset({"bootstrap", "cli"})

# A driver or a framework stays behind the room that adapts it.
HOMES: dict[str, frozenset[str]] = {
    "apsw": frozenset({"storage"}),
    "asyncpg": frozenset({"storage"}),
    "cryptography": frozenset({"cli"}),
    "sqlite3": frozenset(),
    "redis": frozenset({"limits"}),
    "hiredis": frozenset({"limits"}),
    "starlette": frozenset({"http", "bootstrap"}),
    "httptools": frozenset({"http"}),
    "uvicorn": frozenset({"http", "bootstrap", "cli"}),
    "uvloop": frozenset({"http", "bootstrap", "cli"}),
    "click": frozenset({"cli"}),
    "rich": frozenset({"cli"}),
    "httpx": frozenset({"cli", "webhooks"}),
}


class Import(NamedTuple):
    line: int
    target: str


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """`tallystick.domain.periods` → `domain`; empty for the package itself and its dunder names."""
    parts = module.split(".")
    return "" if len(parts) < 2 or parts[1] in {"__version__", "__all__"} else parts[1]


def imports_of(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        for target in _targets(node, package):
            yield Import(getattr(node, "lineno", 0), target)


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, package)
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and _is_dynamic_import(node.func):
        yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _is_dynamic_import(func: ast.expr) -> bool:
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    return name in {"import_module", "__import__"}


def check_direction(source: str, module: str, *, is_package: bool = False) -> Iterator[Finding]:
    room = room_of(module)
    if room and room not in MAY_IMPORT:
        yield Finding(1, f"the room {room!r} has no place in the order of imports")
        return
    for line, target in imports_of(source, module, is_package=is_package):
        problem = _problem(room, target)
        if problem:
            yield Finding(line, f"{module} imports {target}: {problem}")


def _problem(room: str, target: str) -> str | None:
    top = target.partition(".")[0]
    if top in HOMES and room not in HOMES[top]:
        return f"{top} stays in {sorted(HOMES[top]) or 'nobody'}"
    if top != "tallystick":
        return None
    if room not in WIRING and _room_of_adapter(target) not in {None, room}:
        return "only the wiring names a concrete adapter"
    other = room_of(target)
    inward = other in {"", room} or other in MAY_IMPORT.get(room, frozenset())
    return None if inward else "points outwards or sideways"


def _room_of_adapter(target: str) -> str | None:
    named = any(target == adapter or target.startswith(f"{adapter}.") for adapter in ADAPTERS)
    return room_of(target) if named else None
