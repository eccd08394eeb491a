"""The domain is a function of data: no clock, no randomness, no I/O, no logging, no floats.

Its imports come from a list of what is pure, so that nothing impure gets in under a name that
nobody thought of. One thing is read: the packaged time-zone data, which is as constant as code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.imports import imports_of
from tests.tidy.project import Finding

PURE = (
    *("__future__", "abc", "base64", "binascii", "bisect", "calendar", "collections", "copy"),
    *("dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq"),
    *("hmac", "importlib.resources", "itertools", "json", "math", "numbers", "operator", "re"),
    *("string", "struct", "tallystick.domain", "types", "typing", "tzdata", "unicodedata"),
    *("zlib", "zoneinfo"),
)
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "breakpoint"}
FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir"}
CLOCKS = {"now", "utcnow", "today"}
ZONES_OF_THE_MACHINE = {"ZoneInfo", "available_timezones"}


def check_imports(source: str, module: str = "tallystick.domain.x") -> Iterator[Finding]:
    for line, target in imports_of(source, module, is_package=module.count(".") == 1):
        if not any(target == pure or target.startswith(f"{pure}.") for pure in PURE):
            yield Finding(
                line, f"the domain imports {target}, which is not on the list of what is pure"
            )


def check_calls(source: str) -> Iterator[Finding]:
    for call in _calls(source):
        if isinstance(call.func, ast.Name) and call.func.id in IMPURE_CALLS:
            yield Finding(call.lineno, f"the domain calls {call.func.id}()")
        if isinstance(call.func, ast.Attribute) and _reads_the_world(call.func):
            yield Finding(call.lineno, f"the domain calls .{call.func.attr}()")


def _reads_the_world(func: ast.Attribute) -> bool:
    packaged = "files('tzdata')" in ast.unparse(func)
    return func.attr in CLOCKS or (func.attr in FILE_CALLS and not packaged)


def check_zones(source: str) -> Iterator[Finding]:
    """`ZoneInfo(key)` prefers the machine's own data, so that two nodes need not agree."""
    for call in _calls(source):
        name = ast.unparse(call.func).rpartition(".")[2]
        if name in ZONES_OF_THE_MACHINE:
            yield Finding(call.lineno, f"{name}() looks at the machine; read the packaged data")


def _calls(source: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def check_floats(source: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "float":
            yield Finding(node.lineno, "float in the domain; amounts and instants are integers")
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield Finding(node.lineno, f"the float {node.value} in the domain")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield Finding(node.lineno, "true division in the domain; divide whole numbers with //")
