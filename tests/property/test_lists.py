"""A list that is partly stored and partly ahead pages as if it lay in one table."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tallystick.ledger.lists import walk
from tallystick.ledger.reading import Page, UnknownCursor


def page_of(rows: list[int], page: Page) -> list[int]:
    """The rule itself, over rows that come oldest first: what an ordinary table would answer."""
    listed = rows if page.ascending else rows[::-1]
    if page.after is not None:
        travelled = listed[listed.index(int(page.after)) + 1 :]
    elif page.before is not None:
        travelled = listed[: listed.index(int(page.before))][::-1]
    else:
        travelled = listed
    return travelled[: page.limit + 1]


@st.composite
def lists_and_pages(draw: st.DrawFn) -> tuple[list[int], list[int], Page]:
    rows = list(range(draw(st.integers(1, 12))))
    stored = draw(st.integers(0, len(rows)))
    cursor = draw(st.sampled_from(["none", "after", "before"]))
    row = str(draw(st.sampled_from(rows)))
    page = Page(
        draw(st.integers(1, 6)),
        after=row if cursor == "after" else None,
        before=row if cursor == "before" else None,
        ascending=draw(st.booleans()),
    )
    return rows[:stored], rows[stored:], page


@given(lists_and_pages())
def test_both_parts_page_as_one(case: tuple[list[int], list[int], Page]) -> None:
    stored, ahead, page = case

    async def fetch(asked: Page) -> list[int]:
        cursor = asked.after or asked.before
        if cursor is not None and int(cursor) not in stored:
            raise UnknownCursor
        return page_of(stored, asked)

    assert asyncio.run(walk(page, ahead, str, fetch)) == page_of(stored + ahead, page)


@given(lists_and_pages(), st.sets(st.integers(0, 11)))
def test_what_is_not_kept_may_still_be_the_cursor(
    case: tuple[list[int], list[int], Page], kept: set[int]
) -> None:
    stored, ahead, page = case

    def kept_page_of(rows: list[int], asked: Page) -> list[int]:
        whole = page_of(rows, asked._replace(limit=len(rows)))
        return [row for row in whole if row in kept][: asked.limit + 1]

    async def fetch(asked: Page) -> list[int]:
        cursor = asked.after or asked.before
        if cursor is not None and int(cursor) not in stored:
            raise UnknownCursor
        return kept_page_of(stored, asked)

    found = asyncio.run(walk(page, ahead, str, fetch, kept.__contains__))
    assert found == kept_page_of(stored + ahead, page)
