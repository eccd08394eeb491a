"""What usage would cost, decided like the next command, on an account that nobody writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.commands import Earlier
from tallystick.domain.decide import decide
from tallystick.domain.errors import Refusal
from tallystick.domain.prices import NO_PRICES
from tallystick.domain.spending import rate_usage

if TYPE_CHECKING:
    from tallystick.domain.commands import BookUsage, Outcome
    from tallystick.domain.prices import Rated
    from tallystick.ledger.reads import Reads


class Preview(NamedTuple):
    """What would become of a usage event if it were booked at `as_of`, and how it was rated.

    `available` is what could be spent before it (micro-credits).
    """

    outcome: Outcome
    rated: Rated | None
    available: int
    as_of: int


async def preview_of(
    reads: Reads, organization_id: str, command: BookUsage
) -> Preview | Refusal | None:
    """What booking `command` would come to; the refusal where it cannot be rated.

    None where there is no such organization.
    """
    present = await reads.present(organization_id)
    if present is None:
        return None
    account, now, book, rated = present.account, present.now, NO_PRICES, None
    if command.meter is not None and command.quantity is not None:
        book = await reads.reader.price_book({command.meter})
        rated = rate_usage(command, now, book)
    if isinstance(rated, Refusal):
        return rated
    available = account.available
    outcome, _ = decide(account, command, now, Earlier(prices=book))
    return Preview(outcome, rated, available, now)
