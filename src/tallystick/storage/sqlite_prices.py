"""The price book of an SQLite store, and what is remembered of it.

Prices never change and everybody gets the same objects, so what is remembered needs no owner. What
may change is the book, and it only grows: before anything that is remembered is used, the file is
asked for the numbers of the last rows, in the transaction that uses it. What is read is never older
than the numbers that were read before it, so at worst it is read once more than necessary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.prices import MeterPrices, PriceBook
from tallystick.storage.price_rows import price_from
from tallystick.storage.queries import load_statements
from tallystick.storage.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Collection

    import apsw

_SQL: Final = load_statements("sqlite", "prices")
MOST: Final = 64
"""Meters remembered; one with as many prices as it may have takes some 3 MB."""
_NAMED: Final = 20
"""How many meters are named to whoever asks for an unknown one."""


def load_prices(connection: apsw.Connection, meters: Collection[str]) -> PriceBook:
    """The prices of these meters."""
    found: dict[str, MeterPrices] = {}
    for meter in meters:
        prices = [price_from(row) for row in connection.execute(_SQL["load_prices"], (meter,))]
        if prices:
            found[meter] = MeterPrices(meter, prices)
    if len(found) == len(meters):
        return PriceBook(found)
    known: list[Any] = connection.execute(_SQL["known_meters"], (_NAMED,)).fetchall()
    return PriceBook(found, tuple(name for (name,) in known))


class PriceCache:
    """Prices of meters, as they stand in the file, for one connection."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: Remembered[MeterPrices] = Remembered(most)
        self._state: object = None

    def kept(self, connection: apsw.Connection, meters: Collection[str]) -> PriceBook | None:
        """The prices of these meters, where all of them are kept; looks at one row."""
        found = self._find(connection, meters)
        return PriceBook(found) if len(found) == len(meters) else None

    def book(self, connection: apsw.Connection, meters: Collection[str]) -> PriceBook:
        """The prices of these meters, loaded where they are not kept, which may take a while."""
        found = self._find(connection, meters)
        missing = [meter for meter in meters if meter not in found]
        if not missing:
            return PriceBook(found)
        loaded = load_prices(connection, missing)
        for meter, prices in loaded.meters.items():
            self._kept.put(meter, prices)
        return PriceBook({**found, **loaded.meters}, loaded.known)

    def _find(self, connection: apsw.Connection, meters: Collection[str]) -> dict[str, MeterPrices]:
        (state,) = connection.execute(_SQL["book_state"]).fetchall()
        if state != self._state:
            self._kept.clear()
            self._state = state
        kept = {meter: self._kept.get(meter) for meter in meters}
        return {meter: prices for meter, prices in kept.items() if prices is not None}
