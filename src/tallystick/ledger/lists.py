"""Lists whose newest part is not written yet.

A read computes what has fallen due and writes nothing, so a list may begin with objects that only
exist in memory. `walk` serves one page of the whole: the stored rows, which are older, and `ahead`,
which is newer, as if they lay in one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tallystick.ledger.ports import Page

T = TypeVar("T")


async def walk(
    page: Page,
    ahead: Sequence[T],
    identify: Callable[[T], str],
    fetch: Callable[[Page], Awaitable[Sequence[T]]],
) -> list[T]:
    """Up to `page.limit` + 1 objects in the order travelled (`before` walks against the list's).

    `ahead` comes oldest first; `fetch` serves the stored rows, in the order travelled too, and
    raises UnknownCursor.
    """
    towards_newer = page.ascending == (page.before is None)
    cursor = page.before if page.after is None else page.after
    order = {identify(item): index for index, item in enumerate(ahead)}
    if cursor in order and towards_newer:
        rows = list(ahead[order[cursor] + 1 :])
    elif cursor in order:
        rows = [*reversed(ahead[: order[cursor]]), *await fetch(_newest(page))]
    elif towards_newer:
        rows = [*await fetch(page), *ahead]
    elif cursor is not None:
        rows = list(await fetch(page))
    else:
        rows = [*reversed(ahead), *await fetch(page)]
    return rows[: page.limit + 1]


def _newest(page: Page) -> Page:
    return page._replace(after=None, before=None, ascending=False)
