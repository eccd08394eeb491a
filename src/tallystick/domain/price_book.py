"""Writing the price book: what may be added to it, and when a price may end.

The book only grows. Adding what is there already changes nothing; another price of the same meter,
dimensions and instant is refused, and so is one that could not be told from another: equally many
dimensions named, none of them with two values, at a time when both hold. An end can be brought
forward but not put off, so what was free of such pairs stays so.

A price may be written for a time that is past. What was booked keeps the price that rated it;
events of that time that come later get the new one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.prices import MeterPrices, Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tallystick.domain.prices import Line, Values

MAX_PRICES: Final = 5000
"""Prices of one meter, past ones included: all of them are loaded to rate its usage."""


class Added(NamedTuple):
    """A price of the book, and whether it had been written before."""

    price: Price
    duplicate: bool


class Clash(NamedTuple):
    """`price` was not written because of `other`, which may be one that came with it.

    They have the same meter, dimensions and instant or, where `is_ambiguous`, some event could be
    rated by either.
    """

    price: Price
    other: Price
    is_ambiguous: bool


class TooManyPrices(NamedTuple):
    """The meter has as many prices as it may have."""

    meter: str
    most: int


class EndsEarlier(NamedTuple):
    """The price ends before the instant at which it was to end: an end cannot be put off."""

    price: Price


def add_prices(
    present: MeterPrices, new: Sequence[Price]
) -> tuple[MeterPrices, list[Added]] | Clash | TooManyPrices:
    """The meter's prices with `new` ones among them, and what became of each; or nothing."""
    places: dict[object, Price] = {
        _place(price): price for price in present.prices if price.takes_effect
    }
    written = {price.terms: price for price in present.prices}
    added: list[Added] = []
    for price in new:
        first = written.get(price.terms)
        if first is not None:
            added.append(Added(first, duplicate=True))
            continue
        other = places.get(_place(price))
        if other is not None:
            return Clash(price, other, is_ambiguous=False)
        written[price.terms] = places[_place(price)] = price
        added.append(Added(price, duplicate=False))
    if len(written) > MAX_PRICES:
        return TooManyPrices(present.meter, MAX_PRICES)
    after = MeterPrices(present.meter, written.values())
    ambiguous = _find_ambiguous(after)
    if ambiguous is None:
        return after, added
    return _newer_first(ambiguous, {one.price.id for one in added if not one.duplicate})


def end_price(price: Price, ends_at: int | None, now: int) -> Price | EndsEarlier:
    """`price` as it is when it was ended at that time (None: now)."""
    present = price.ends_at
    if ends_at is None:
        return price if present is not None and present <= now else replace(price, ends_at=now)
    if present is not None and present < ends_at:
        return EndsEarlier(price)
    return replace(price, ends_at=ends_at)


def _place(price: Price) -> object:
    return price.dimensions, price.effective_at


def _newer_first(pair: tuple[Price, Price], new: set[str]) -> Clash:
    one, other = pair
    return Clash(*((one, other) if one.id in new else (other, one)), is_ambiguous=True)


def _find_ambiguous(prices: MeterPrices) -> tuple[Price, Price] | None:
    """Two prices between which some event could not choose."""
    by_count: dict[int, list[tuple[str, ...]]] = defaultdict(list)
    for names in prices.by_names:
        by_count[len(names)].append(names)
    for alike in by_count.values():
        # Lines that name the same dimensions differ in a value, so no event has both.
        for one, other in combinations(alike, 2):
            for pair in _that_could_meet(one, prices.by_names[one], other, prices.by_names[other]):
                overlap = _overlap(*pair)
                if overlap is not None:
                    return overlap
    return None


def _that_could_meet(
    names: tuple[str, ...],
    lines: Mapping[Values, Line],
    other_names: tuple[str, ...],
    others: Mapping[Values, Line],
) -> Iterator[tuple[Line, Line]]:
    """Pairs of lines that have the same value for each name that both of them name."""
    shared = [name for name in names if name in other_names]
    found: dict[Values, list[Line]] = defaultdict(list)
    for values, line in lines.items():
        found[_values_of(shared, names, values)].append(line)
    for values, other in others.items():
        for line in found.get(_values_of(shared, other_names, values), ()):
            yield line, other


def _values_of(shared: Iterable[str], names: tuple[str, ...], values: Values) -> Values:
    return tuple(values[names.index(name)] for name in shared)


def _overlap(line: Line, other: Line) -> tuple[Price, Price] | None:
    """Two prices of these lines that hold at the same time."""
    for start, end, price in line.spans():
        for other_start, other_end, other_price in other.spans():
            if start < other_end and other_start < end:
                return price, other_price
    return None
