"""Lists whose newest part is not written yet.

A read computes what has fallen due and writes nothing, so a list may begin with objects that only
exist in memory. `walk` serves one page of the whole: the stored rows, which are older, and `ahead`,
which is newer, as if they lay in one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tallystick.ledger.reading import UnknownCursor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tallystick.ledger.reading import Page

T = TypeVar("T")


def _everything(_: object) -> bool:
    return True


async def walk(
    page: Page,
    ahead: Sequence[T],
    identify: Callable[[T], str],
    fetch: Callable[[Page], Awaitable[Sequence[T]]],
    keep: Callable[[T], bool] = _everything,
) -> list[T]:
    """Up to `page.limit` + 1 objects in the order travelled (`before` walks against the list's).

    `ahead` comes oldest first; `fetch` serves the stored rows that are to be kept, in the order
    travelled too, and raises UnknownCursor. A cursor may name an object that is not kept.
    """
    towards_newer = goes_newer(page)
    cursor = cursor_of(page)
    position = next((at for at, item in enumerate(ahead) if identify(item) == cursor), None)
    if position is not None:
        beyond = ahead[position + 1 :] if towards_newer else ahead[:position]
    else:
        beyond = ahead if towards_newer or cursor is None else []
    kept = [item for item in beyond if keep(item)]
    if towards_newer:
        rows = kept if position is not None else [*await fetch(page), *kept]
    else:
        stored = page if position is None else _newest(page)
        rows = [*reversed(kept), *await fetch(stored)]
    return rows[: page.limit + 1]


async def walk_all(page: Page, items: Sequence[T], identify: Callable[[T], str]) -> list[T]:
    """The same of a list that is all at hand, oldest first."""
    return await walk(page, items, identify, _nothing_stored)


async def _nothing_stored(page: Page) -> Sequence[Any]:
    """What the page names and the items at hand have not is unknown."""
    cursor = cursor_of(page)
    if cursor is not None:
        raise UnknownCursor(cursor)
    return ()


def cursor_of(page: Page) -> str | None:
    """The id beyond which the page begins."""
    return page.before if page.after is None else page.after


def goes_newer(page: Page) -> bool:
    """Whether the page walks towards newer objects: `before` walks against the list's order."""
    return page.ascending == (page.before is None)


def _newest(page: Page) -> Page:
    return page._replace(after=None, before=None, ascending=False)
