"""The reference page: complete, self-contained, and safe to open."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

from tallystick.http.errors import CODES
from tallystick.http.handlers.table import OPERATIONS, REFERENCE
from tests.harness import World, in_world

VOID = {"meta", "link", "wbr"}


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.style = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [found[attribute] for _, found in self.elements if attribute in found]


async def fetched(w: World) -> tuple[Page, str]:
    """The page, and the policy that it is served with."""
    answer = await w.client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text), answer.headers["content-security-policy"]


@in_world
async def test_every_element_is_closed(w: World) -> None:
    page, _ = await fetched(w)
    assert page.open == []


@in_world
async def test_the_policy_allows_the_pages_own_style_and_nothing_else(w: World) -> None:
    page, policy = await fetched(w)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@in_world
async def test_nothing_is_asked_of_anybody(w: World) -> None:
    page, _ = await fetched(w)
    assert {name for name, _ in page.elements} & {
        "script",
        "img",
        "iframe",
        "link",
        "form",
    } == set()
    assert page.values("src") == []
    assert {target for target in page.values("href") if target[0] != "#"} == {"/openapi.json"}
    assert "url(" not in page.style
    assert "@import" not in page.style


@in_world
async def test_nothing_is_styled_or_scripted_in_place(w: World) -> None:
    page, _ = await fetched(w)
    attributes = {name for _, found in page.elements for name in found}
    assert [name for name in attributes if name == "style" or name.startswith("on")] == []


@in_world
async def test_links_lead_somewhere(w: World) -> None:
    page, _ = await fetched(w)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    missing = {link[1:] for link in page.values("href") if link[0] == "#"} - set(ids)
    assert missing == set()


@in_world
async def test_everything_is_on_it(w: World) -> None:
    page, _ = await fetched(w)
    ids = set(page.values("id"))
    assert ids >= {operation.name for operation in OPERATIONS}
    assert ids >= {f"error-{code}" for code in CODES}
    schemas = REFERENCE.document["components"]["schemas"]
    assert ids >= {f"schema-{name}" for name, one in schemas.items() if "allOf" not in one}
    words = " ".join(page.text)
    for operation in OPERATIONS:
        assert operation.summary in words
    whole = re.sub(r"\s", "", "".join(page.text))
    for operation in OPERATIONS:
        assert operation.path in whole


@in_world
async def test_it_says_what_it_is_to_every_reader(w: World) -> None:
    """Language and headings for those who listen, a viewport for the small, dark for the night."""
    page, _ = await fetched(w)
    found = dict(page.elements)
    assert found["html"]["lang"] == "en"
    headings = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(headings))
    metas = {one.get("name"): one.get("content") for name, one in page.elements if name == "meta"}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in page.style
    assert all(one.get("tabindex") == "0" for name, one in page.elements if name == "pre")


@in_world
async def test_who_has_it_is_not_sent_it_again(w: World) -> None:
    first = await w.client.get("/docs")
    again = await w.client.get("/docs", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
