"""Habits a reviewer would have to catch by eye: swallowed errors, silenced tools, sleeps."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.tidy.project import Finding

MOST_LINES = 400
BROAD = {"Exception", "BaseException"}
SKIPS = {
    *("skip", "skipif", "skipIf", "skipUnless", "importorskip"),
    *("xfail", "expectedFailure", "flaky"),
}

# A silenced tool is named with its rule, and a person says why: behind it or on the line above.
_SILENCER = re.compile(r"#\s*(?:type:\s*ignore|noqa)\b")
_WITH_CODE = re.compile(
    r"#\s*(?:type:\s*ignore\[[\w\-, ]+\]|noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)\s*(?P<why>.*)"
)
_WHOLE_FILE = re.compile(r"#\s*(?:mypy|ruff|flake8):\s*(?:ignore-errors|noqa)")


def check_length(source: str) -> Iterator[Finding]:
    lines = source.count("\n")
    if lines > MOST_LINES:
        yield Finding(lines, f"{lines} lines, more than {MOST_LINES}: split by idea")


def check_excepts(source: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and _too_broad(node):
            yield Finding(node.lineno, "catches everything; name what is expected")
        if isinstance(node, ast.Call) and _suppresses_everything(node):
            yield Finding(node.lineno, "suppresses everything; name what is expected")


def _suppresses_everything(call: ast.Call) -> bool:
    suppresses = _dotted(call.func) in {"suppress", "contextlib.suppress"}
    return suppresses and any(_dotted(arg) in BROAD for arg in call.args)


def _too_broad(handler: ast.ExceptHandler) -> bool:
    """Cleaning up on the way out may see everything, if what came goes on."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {"" if each is None else _dotted(each) for each in caught}
    passed_on = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool(names & {"", "Exception"}) or ("BaseException" in names and not passed_on)


def check_silencers(source: str) -> Iterator[Finding]:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if _WHOLE_FILE.search(token.string):
            yield Finding(token.start[0], "silences a tool for a whole file")
        elif _SILENCER.search(token.string):
            yield from _judge_silencer(token, lines)


def _judge_silencer(token: tokenize.TokenInfo, lines: list[str]) -> Iterator[Finding]:
    row = token.start[0]
    coded = _WITH_CODE.search(token.string)
    above = lines[row - 2].strip() if row > 1 else ""
    if coded is None:
        yield Finding(row, "silences a tool without naming the rule")
    elif not re.search(r"\w", coded["why"]) and not above.startswith("#"):
        yield Finding(row, "silences a tool without a reason")


def check_waiting(source: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and _dotted(node) == "time.sleep":
            yield Finding(node.lineno, "time.sleep: wait for what is awaited, not for time to pass")
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (
                Finding(node.lineno, "imports sleep from time")
                for alias in node.names
                if alias.name == "sleep"
            )


def check_skips(source: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and _is_skip(node):
            yield Finding(node.lineno, f"{_dotted(node)}: a test runs everywhere, or it is none")


def _is_skip(node: ast.Attribute) -> bool:
    return node.attr in SKIPS and _dotted(node).startswith(("pytest.", "mark.", "unittest."))


def check_globals(source: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Global):
            yield Finding(
                node.lineno, f"global {', '.join(node.names)}: state belongs to an object"
            )


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain, as far as it consists of names."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""
