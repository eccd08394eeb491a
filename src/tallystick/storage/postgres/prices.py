"""The price book, and what a process remembers of it.

Prices never change, and everybody gets the same objects. What may change is the book, and it only
grows: before anything that is remembered is used, the database is asked for the book's state, the
numbers of its last rows. What is read is never older than the state that was read before it, so at
worst it is read once more than necessary; and it is kept only where nobody has seen another state
meanwhile, for what was read under an older one need not be the newest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.prices import MeterPrices, PriceBook
from tallystick.storage.price_rows import price_from
from tallystick.storage.queries import load_statements
from tallystick.storage.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tallystick.domain.prices import Price
    from tallystick.storage.postgres.connections import Connection

_SQL: Final = load_statements("postgres", "prices")
MOST: Final = 64
"""Meters remembered; one with as many prices as it may have takes some 3 MB."""
_NAMED: Final = 20
"""How many meters are named to whoever asks for an unknown one."""

State = tuple[int, ...]
"""The numbers of the book's last price and last end."""


class PriceCache:
    """Prices of meters, as they stand in the database."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: Remembered[MeterPrices] = Remembered(most)
        self._state: State | None = None

    def find(self, state: State, meters: Collection[str]) -> dict[str, MeterPrices]:
        """Those of the meters that are remembered, where the book is in this state."""
        if state != self._state:
            self._kept.clear()
            self._state = state
        kept = {meter: self._kept.get(meter) for meter in meters}
        return {meter: prices for meter, prices in kept.items() if prices is not None}

    def keep(self, state: State, prices: Mapping[str, MeterPrices]) -> None:
        """Remembers what was read after the book had been in this state."""
        if state == self._state:
            for meter, one in prices.items():
                self._kept.put(meter, one)


async def read_book(
    connection: Connection, cache: PriceCache, meters: Collection[str]
) -> PriceBook:
    """The prices of these meters, and the names of some where one of these has none."""
    (row,) = await connection.fetch(_SQL["book_state"])
    state = tuple(row)
    found = cache.find(state, meters)
    missing = [meter for meter in meters if meter not in found]
    if not missing:
        return PriceBook(found)
    loaded = by_meter(await connection.fetch(_SQL["load_prices"], missing))
    cache.keep(state, loaded)
    book = {**found, **loaded}
    if len(book) == len(meters):
        return PriceBook(book)
    known = await connection.fetch(_SQL["known_meters"], _NAMED)
    return PriceBook(book, tuple(name for (name,) in known))


def by_meter(found: Iterable[Sequence[Any]]) -> dict[str, MeterPrices]:
    """The prices in rows of `load_prices`."""
    prices: dict[str, list[Price]] = {}
    for price in map(price_from, found):
        prices.setdefault(price.meter, []).append(price)
    return {meter: MeterPrices(meter, each) for meter, each in prices.items()}
