"""Lists of holds, of which some may have expired without anybody having written it yet.

What was written says of such a hold that it is open; the account that was advanced in memory knows
better. It has all holds that were open when it was read, so a list by status is the stored one
without those that have left the status, and with those that have come to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.domain.holds import HoldStatus
from tallystick.ledger.lists import cursor_of, goes_newer
from tallystick.ledger.reading import UnknownCursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.holds import Hold
    from tallystick.ledger.reading import Page, Reader


async def list_holds(
    reader: Reader, account: Account, page: Page, status: HoldStatus | None
) -> list[Hold]:
    """Up to `page.limit` + 1 holds in the order travelled; `account` is as it is now."""
    name, live = account.organization_id, account.holds
    if status is None:
        return [live.get(hold.id, hold) for hold in await reader.holds(name, page, None)]
    if status is HoldStatus.OPEN:
        return _cut(account.open_holds, page, await _position(reader, account, page))
    stored = await reader.holds(name, page, status)
    ended = [hold for hold in live.values() if hold.status is status]
    known = {hold.id for hold in stored}
    position = await _position(reader, account, page)
    return _cut([*stored, *(hold for hold in ended if hold.id not in known)], page, position)


async def _position(reader: Reader, account: Account, page: Page) -> int | None:
    """Where the page begins: the ledger sequence of the hold that the cursor names."""
    cursor = cursor_of(page)
    if cursor is None:
        return None
    hold = account.holds.get(cursor) or await reader.hold(account.organization_id, cursor)
    if hold is None:
        raise UnknownCursor(cursor)
    return hold.placed


def _cut(holds: Sequence[Hold], page: Page, position: int | None) -> list[Hold]:
    towards_newer = goes_newer(page)
    beyond = [
        hold
        for hold in holds
        if position is None or (hold.placed > position if towards_newer else hold.placed < position)
    ]
    beyond.sort(key=lambda hold: hold.placed, reverse=not towards_newer)
    return beyond[: page.limit + 1]
