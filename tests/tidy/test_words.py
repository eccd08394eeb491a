"""Words of the workshop stay in the workshop."""

from __future__ import annotations

import pytest

from tests.tidy.project import in_project, kept_files
from tests.tidy.words import check_words

# Written in halves, as in the check itself: this file is searched too.
WORKSHOP = [
    "cd /" + "work/main",
    "'/" + "root/.cache/x'",
    "see /" + "home/ada/notes",
    "fixes issue" + " #12",
    "Issue" + " 7 says so",
    "https://pypi" + ".org/simple",
    "https://files.python" + "hosted.org/x",
    '"resolved": "https://registry.npm' + 'js.org/x"',
    "http://deb.debian" + ".org/debian",
    "decided in this" + " session",
    "an AI" + " assistant wrote this",
]
PLAIN = [
    "/v1/work/items",
    "docs/work/",
    "~/work/",
    "a credits service for API and AI-agent platforms",
    "the official client from PyPI and npm",
    "an issue of 3 grants",
    "/home page",
]


def test_no_word_of_the_workshop_is_left() -> None:
    assert in_project(check_words, kept_files()) == ""


@pytest.mark.parametrize("line", WORKSHOP)
def test_a_word_of_the_workshop_is_found(line: str) -> None:
    assert [finding.line for finding in check_words(f"first line\n{line}\n")] == [2]


@pytest.mark.parametrize("line", PLAIN)
def test_plain_words_pass(line: str) -> None:
    assert not list(check_words(line))
