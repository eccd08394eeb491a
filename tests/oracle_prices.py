"""What prices mean, written to be read and not to be fast; it shares no code with the core.

A book is a list of prices; times are any numbers, amounts fractions of a credit and of a unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, product
from typing import NamedTuple

MICRO = Fraction(1, 1_000_000)


class OraclePrice(NamedTuple):
    """`cost` credits for `per` units, for events with these dimensions."""

    id: str
    meter: str
    dimensions: frozenset[tuple[str, str]]
    cost: Fraction
    per: Fraction
    rounding: str
    since: int
    until: float = math.inf

    def said(self) -> tuple[object, ...]:
        """All but its id and its end."""
        return self[1:7]


def line(price: OraclePrice) -> tuple[object, ...]:
    return price.meter, price.dimensions


def holds(book: Iterable[OraclePrice], price: OraclePrice, at: int) -> bool:
    """Whether `price` is in effect at `at`, and no later one of its line has taken effect."""
    superseded = any(
        line(other) == line(price) and price.since < other.since <= at and other.until > other.since
        for other in book
    )
    return price.since <= at < price.until and not superseded


def candidates(
    book: Sequence[OraclePrice], meter: str, dimensions: Mapping[str, str], at: int
) -> list[OraclePrice]:
    """The prices that could rate an event, those that name the most dimensions first."""
    found = [
        price
        for price in book
        if price.meter == meter
        and price.dimensions <= set(dimensions.items())
        and holds(book, price, at)
    ]
    return sorted(found, key=lambda price: -len(price.dimensions))


def cost(price: OraclePrice, quantity: Fraction) -> Fraction:
    """What the quantity costs, in whole micro-credits, rounded as the price says."""
    micro = quantity * price.cost / price.per / MICRO
    match price.rounding:
        case "up":
            whole = math.ceil(micro)
        case "down":
            whole = math.floor(micro)
        case "half_up":
            whole = math.floor(micro + Fraction(1, 2))
        case _:
            whole = round(micro)
    return whole * MICRO


def is_ambiguous(book: Sequence[OraclePrice], times: Iterable[int]) -> bool:
    """Whether at one of these times two prices that name equally many dimensions hold for some
    event: every event is tried that has some of the names and values in the book."""
    values: dict[str, set[str]] = {}
    for price in book:
        for name, value in price.dimensions:
            values.setdefault(name, set()).add(value)
    choices = [[None, *sorted(of_name)] for of_name in values.values()]
    meters = {price.meter for price in book}
    for chosen, meter, at in product(list(product(*choices)), meters, times):
        event = {name: value for name, value in zip(values, chosen, strict=True) if value}
        counts = [len(price.dimensions) for price in candidates(book, meter, event, at)]
        if any(one == other for one, other in combinations(counts, 2)):
            return True
    return False
