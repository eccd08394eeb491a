"""Changes to the price book, as units of a batch.

Prices belong to no organization. They pass through the same batches as usage, so each event is
rated by the book as it stood when the event was booked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.price_book import (
    Clash,
    EndsEarlier,
    TooManyPrices,
    add_prices,
    end_price,
)
from tallystick.domain.prices import MeterPrices, PriceBook, PriceEnd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tallystick.domain.price_book import Added
    from tallystick.domain.prices import Price
    from tallystick.ledger.ports import Wanted
    from tallystick.ledger.work import Work

LANE = ""
"""What takes the place of an organization where the lane of a unit is chosen."""


class NoSuchPrice(NamedTuple):
    price_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPrices:
    """Adds prices, which lack their time of creation, to the book: all of them or none."""

    prices: Sequence[Price]

    @property
    def weight(self) -> int:
        return len(self.prices)

    def wants(self, wanted: Wanted) -> None:
        wanted.prices.update(price.meter for price in self.prices)
        wanted.book = True

    def decide(self, work: Work) -> list[Added] | Clash | TooManyPrices:
        by_meter: dict[str, list[Price]] = {}
        for price in self.prices:
            new = replace(price, created_at=work.snapshot.now)
            by_meter.setdefault(price.meter, []).append(new)
        after: list[MeterPrices] = []
        outcomes: dict[str, Iterator[Added]] = {}
        for meter, those in by_meter.items():
            found = add_prices(_of_meter(work, meter), those)
            if isinstance(found, Clash | TooManyPrices):
                return found
            prices, added = found
            after.append(prices)
            outcomes[meter] = iter(added)

        # ── decided: from here on, only changes ──
        for prices in after:
            _put(work, prices)
        in_order = [next(outcomes[price.meter]) for price in self.prices]
        work.changes.prices += [one.price for one in in_order if not one.duplicate]
        return in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPrice:
    """Ends a price at `ends_at` (None: now), or earlier than was said before."""

    meter: str
    price_id: str
    ends_at: int | None

    @property
    def weight(self) -> int:
        return 1

    def wants(self, wanted: Wanted) -> None:
        wanted.prices.add(self.meter)
        wanted.book = True

    def decide(self, work: Work) -> Price | NoSuchPrice | EndsEarlier:
        prices = _of_meter(work, self.meter)
        before = next((price for price in prices.prices if price.id == self.price_id), None)
        if before is None:
            return NoSuchPrice(self.price_id)
        now = work.snapshot.now
        after = end_price(before, self.ends_at, now)
        if isinstance(after, EndsEarlier) or after.ends_at in {before.ends_at, None}:
            return after
        others = [price for price in prices.prices if price is not before]
        _put(work, MeterPrices(self.meter, [*others, after]))
        work.changes.price_ends.append(PriceEnd(after.id, after.ends_at, now))
        return after


def _of_meter(work: Work, meter: str) -> MeterPrices:
    return work.snapshot.prices.meters.get(meter) or MeterPrices(meter)


def _put(work: Work, prices: MeterPrices) -> None:
    """Lets later units of the batch see what is written with them."""
    book = work.snapshot.prices
    work.snapshot.prices = PriceBook({**book.meters, prices.meter: prices}, book.known)
