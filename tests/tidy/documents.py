"""Documents hold together: links resolve, decisions are listed, dependencies have their records."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.tidy.project import ROOT, Finding

ADRS = ROOT / "docs" / "adr"

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_links(text: str, path: Path) -> Iterator[Finding]:
    """Every relative link leads to a file, and its `#fragment` to a heading there."""
    prose = _blank(_CODE, _blank(_FENCE, text))
    for match in _LINK.finditer(prose):
        target, _, fragment = match[1].partition("#")
        if not _OUTSIDE.match(match[1]) and not _resolves(path, target, fragment):
            yield Finding(
                prose.count("\n", 0, match.start()) + 1, f"the link {match[1]} leads nowhere"
            )


def _resolves(path: Path, target: str, fragment: str) -> bool:
    there = path.parent / target if target else path
    if not there.exists():
        return False
    return not fragment or there.suffix != ".md" or fragment in anchors(there.read_text())


def anchors(text: str) -> set[str]:
    """The fragments under which the headings of a page can be reached."""
    titles = (
        re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(_blank(_FENCE, text))
    )
    return {title.replace(" ", "-") for title in titles}


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """Takes code out and keeps the lines, so that findings point to the right one."""
    return pattern.sub(lambda match: "\n" * match[0].count("\n"), text)


def check_index(index: str, records: Iterable[str]) -> Iterator[Finding]:
    """Each record `NNNN-title.md` has one line in the list, and each number one record."""
    listed = re.findall(r"\((\d{4}-[^)]+\.md)\)", index)
    records = sorted(records)
    for name in records:
        if listed.count(name) != 1:
            yield Finding(1, f"{name} stands {listed.count(name)} times in the list of decisions")
    numbers = [name[:4] for name in records]
    for number in sorted({n for n in numbers if numbers.count(n) > 1}):
        yield Finding(1, f"two records have the number {number}")


def dependencies(pyproject: str) -> set[str]:
    """The names of all packages a pyproject.toml asks for: to run, as extras, and to develop."""
    table = tomllib.loads(pyproject)
    project = table.get("project", {})
    lists = [
        project.get("dependencies", []),
        *project.get("optional-dependencies", {}).values(),
        *table.get("dependency-groups", {}).values(),
        table.get("build-system", {}).get("requires", []),
    ]
    return {normal(spec) for specs in lists for spec in specs if isinstance(spec, str)}


def normal(spec: str) -> str:
    """`Datagrid_AI>=1.0` → `datagrid-ai`."""
    name = _NAME.match(spec)
    return re.sub(r"[-_.]+", "-", name[0] if name else spec).lower()


def named_in(record: str) -> set[str]:
    """The packages that a record's line `- Dependencies:` names, each in backticks."""
    lines = re.findall(r"^- Dependencies:(.*)$", record, re.MULTILINE)
    return {normal(name) for line in lines for name in re.findall(r"`([^`]+)`", line)}


def check_dependencies(pyproject: str, records: Iterable[str]) -> Iterator[Finding]:
    named = set().union(*(named_in(record) for record in records))
    for name in sorted(dependencies(pyproject) - named):
        yield Finding(1, f"no record names the dependency {name}")


_FIGURE = re.compile(r"\d\s?(?:[µm]s|×)(?!\w)")
_COMMAND = re.compile(r"(?:\bmake|\bpython -m|\bpytest) [\w.]")


def check_figures(record: str) -> Iterator[Finding]:
    """A record that states times or ratios names a command that shows them on another machine."""
    commands = (match[0] for pattern in (_FENCE, _CODE) for match in pattern.finditer(record))
    if any(_COMMAND.search(command) for command in commands):
        return
    prose = _blank(_CODE, _blank(_FENCE, record))
    if figure := _FIGURE.search(prose):
        line = prose.count("\n", 0, figure.start()) + 1
        yield Finding(line, "a figure without a command that shows it")
