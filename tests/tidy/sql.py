"""No SQL is put together from strings: it stands in named files, and values are bound.

What is looked for is a string with SQL in it to which something is added that is only known at run
time: an f-string with a value, `%`, `+`, `.format`, `.join`, `.replace`. A constant statement is no
finding here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.tidy.project import Finding

# Pairs of words are SQL in either case; single ones only in capitals, where English has them not.
_STATEMENT = re.compile(
    r"\bselect\b.+\bfrom\b|\binsert\s+(?:or\s+\w+\s+)?into\b|\bupdate\b.+\bset\b|\bdelete\s+from\b"
    r"|\b(?:create|drop|alter)\s+(?:temp\s+|unique\s+)?(?:table|index|trigger|view)\b"
    r"|\bpragma\s+\w|\border\s+by\b|\bgroup\s+by\b",
    re.IGNORECASE | re.DOTALL,
)
_CAPITALS = re.compile(
    r"\b(?:SELECT|FROM|WHERE|VALUES|LIMIT|JOIN|RETURNING|SAVEPOINT|PRAGMA|AND|OR)\b"
)
_ASSEMBLERS = {"format", "format_map", "join", "replace"}


def looks_like_sql(text: str) -> bool:
    return bool(_STATEMENT.search(text) or _CAPITALS.search(text))


def check_assembly(source: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(source)):
        if any(looks_like_sql(text) for text in _constant_parts(node)):
            yield Finding(getattr(node, "lineno", 0), "SQL assembled from strings")


def _constant_parts(node: ast.AST) -> list[str]:
    """The constant text of an expression that adds something variable to it, else nothing."""
    if isinstance(node, ast.JoinedStr) and any(
        isinstance(v, ast.FormattedValue) for v in node.values
    ):
        return ["?".join(_texts(node.values))]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _texts([node.left])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [node.left, node.right]
        return _texts(sides) if len(_texts(sides)) == 1 else []
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return _texts([node.value])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _texts([node.func.value]) if node.func.attr in _ASSEMBLERS else []
    return []


def _texts(nodes: list[ast.expr]) -> list[str]:
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
