"""The documents hold together, and each loose end is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tidy.documents import (
    ADRS,
    anchors,
    check_dependencies,
    check_figures,
    check_index,
    check_links,
    dependencies,
    named_in,
)
from tests.tidy.project import ROOT, in_files, in_project, kept_files

RECORDS = sorted(ADRS.glob("[0-9]*.md"))
OLD = {"0007", "0011", "0012", "0014", "0017"}
"""Records that state figures and name no command yet: a number leaves when its record does."""


def test_every_relative_link_resolves() -> None:
    pages = [path for path in kept_files() if path.suffix == ".md"]
    assert in_files(check_links, pages) == ""


def test_every_decision_is_listed() -> None:
    index = (ADRS / "README.md").read_text()
    assert list(check_index(index, [path.name for path in RECORDS])) == []


def test_every_dependency_has_its_record() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert list(check_dependencies(pyproject, [path.read_text() for path in RECORDS])) == []


def test_figures_of_a_record_can_be_seen_again() -> None:
    assert in_project(check_figures, [path for path in RECORDS if path.name[:4] not in OLD]) == ""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "there.md").write_text("# The `one` heading: it is here\n")
    return tmp_path / "page.md"


@pytest.mark.parametrize(
    "link",
    [
        "[x](gone.md)",
        "[x](folder/)",
        "![x](picture.png)",
        "[x](there.md#no-such-heading)",
        "[x](#no-such-heading)",
        '[x](gone.md "with a title")',
    ],
)
def test_a_loose_link_is_found(page: Path, link: str) -> None:
    page.write_text(f"# Page\n\n{link}\n")
    assert [finding.line for finding in check_links(page.read_text(), page)] == [3]


@pytest.mark.parametrize(
    "link",
    [
        "[x](there.md)",
        "[x](there.md#the-one-heading-it-is-here)",
        "[x](#page)",
        "[x](https://example.com/gone.md)",
        "[x](mailto:ada@example.com)",
        "`[x](gone.md)`",
        "```\n[x](gone.md)\n```",
    ],
)
def test_a_link_that_holds_passes(page: Path, link: str) -> None:
    page.write_text(f"# Page\n\n{link}\n")
    assert not list(check_links(page.read_text(), page))


def test_anchors_are_made_of_headings_only() -> None:
    assert anchors("# One, two\n```\n# not a heading\n```\n## Three_four\n") == {
        "one-two",
        "three_four",
    }


def test_a_record_that_is_not_listed_is_found() -> None:
    index = "| [0001](0001-a.md) | a |\n| [0002](0002-b.md) | b |\n"
    assert list(check_index(index, ["0001-a.md", "0002-b.md"])) == []
    assert list(check_index(index, ["0001-a.md", "0002-b.md", "0003-c.md"]))
    assert list(check_index(index + index, ["0001-a.md", "0002-b.md"]))


def test_a_number_used_twice_is_found() -> None:
    index = "[0001](0001-a.md) [0001](0001-b.md)"
    assert ["0001" in f.says for f in check_index(index, ["0001-a.md", "0001-b.md"])] == [True]


PYPROJECT = """
[build-system]
requires = ["maker"]
[project]
dependencies = ["Run_it>=1.0"]
[project.optional-dependencies]
more = ["extra[x]~=2; python_version < '3.12'"]
[dependency-groups]
dev = ["tool", {include-group = "other"}]
"""


def test_dependencies_are_read_from_every_list() -> None:
    assert dependencies(PYPROJECT) == {"maker", "run-it", "extra", "tool"}


def test_a_dependency_without_a_record_is_found() -> None:
    records = [
        "# A\n\n- Dependencies: `run-it`, `Extra`\n",
        "- Dependencies: `maker`\n\n`tool` is not named\n",
    ]
    [finding] = check_dependencies(PYPROJECT, records)
    assert "tool" in finding.says


def test_only_the_line_of_dependencies_names_them() -> None:
    assert named_in("Dependencies are `a`.\n- Dependencies: `b`, `c-d`\n") == {"b", "c-d"}


@pytest.mark.parametrize("figure", ["8 to 9 µs", "20–22 µs", "0.25 ms", "1.3 ×", "0.4×"])
def test_a_figure_without_a_command_is_found(figure: str) -> None:
    record = f"# A\n\nIt takes {figure}, see `serve`.\n"
    assert [finding.line for finding in check_figures(record)] == [3]


@pytest.mark.parametrize("command", ["`make bench`", "```sh\npython -m timeit x\n```"])
def test_a_figure_with_its_command_passes(command: str) -> None:
    assert not list(check_figures(f"# A\n\nIt takes 8 µs:\n\n{command}\n"))


def test_code_is_no_figure() -> None:
    assert not list(check_figures("# A\n\nThe setting `5 ms` and 3 messages.\n"))
