"""Prices: what a quantity of what a meter measures costs, and when.

A price is for one meter and for events that have the dimensions it names (others they may have as
well): so many credits for so many units, rounded to a micro-credit by a rule that has a name. It
holds from its instant until the next one of the same meter and dimensions takes effect, or until
it is ended. Prices are never changed; what an event was rated by stays what it was.

Of the prices that hold for an event at its time, the one that names the most dimensions counts. Two
that name equally many and could meet in one event are refused when they are written
(`price_book`), so there is never a choice to make: `rate` is a function of its arguments.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.credits import MAX_AMOUNT
from tallystick.domain.errors import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Dimensions = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""
Values = tuple[str | None, ...]
"""Values by themselves; None where an event lacks the name, which no line does."""

FOREVER: Final = 1 << 62
"""Later than any instant there is."""


class Rounding(enum.StrEnum):
    """What becomes of a part of a micro-credit."""

    UP = "up"
    DOWN = "down"
    HALF_UP = "half_up"
    HALF_EVEN = "half_even"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """`credits` micro-credits for `per` billionths of a unit of `meter`.

    `ends_at` is the earliest instant at which it was said to end; one that is not after
    `effective_at` means that the price never takes effect.
    """

    id: str
    meter: str
    dimensions: Dimensions
    credits: int
    per: int
    rounding: Rounding
    effective_at: int
    created_at: int
    ends_at: int | None = None

    @property
    def terms(self) -> tuple[object, ...]:
        """What makes two prices the same, whenever and under whatever id they were written."""
        return (
            self.meter,
            self.dimensions,
            self.credits,
            self.per,
            self.rounding,
            self.effective_at,
        )

    @property
    def takes_effect(self) -> bool:
        return self.ends_at is None or self.ends_at > self.effective_at

    def charge(self, quantity: int) -> int:
        """The micro-credits for `quantity` billionths of a unit, rounded once, at the end."""
        whole, rest = divmod(quantity * self.credits, self.per)
        match self.rounding:
            case Rounding.DOWN:
                return whole
            case Rounding.UP:
                return whole + (rest > 0)
            case Rounding.HALF_UP:
                return whole + (2 * rest >= self.per)
            case Rounding.HALF_EVEN:
                return whole + (2 * rest > self.per or (2 * rest == self.per and whole % 2 == 1))


class PriceEnd(NamedTuple):
    """When a price is to end: of several ends of one price, the earliest counts."""

    price_id: str
    ends_at: int
    created_at: int


class Line:
    """The prices of one meter and one set of dimensions, one after the other in time."""

    __slots__ = ("_starts", "prices")

    def __init__(self, prices: Iterable[Price]) -> None:
        """Of prices that take effect, no two at one instant."""
        self.prices = sorted(prices, key=lambda price: price.effective_at)
        self._starts = [price.effective_at for price in self.prices]

    def at(self, instant: int) -> Price | None:
        """The price that holds at `instant`."""
        position = bisect_right(self._starts, instant)
        if not position:
            return None
        price = self.prices[position - 1]
        return None if price.ends_at is not None and price.ends_at <= instant else price

    def after(self, instant: int) -> int | None:
        """When the first price that is later than `instant` takes effect."""
        position = bisect_right(self._starts, instant)
        return self._starts[position] if position < len(self._starts) else None

    def spans(self) -> Iterator[tuple[int, int, Price]]:
        """From when until when each price holds."""
        for price, following in zip(self.prices, [*self._starts[1:], FOREVER], strict=True):
            ends_at = FOREVER if price.ends_at is None else price.ends_at
            yield price.effective_at, min(ends_at, following), price


class MeterPrices:
    """All prices of one meter that were ever written, and how to find the one that counts."""

    __slots__ = ("by_names", "meter", "prices")

    def __init__(self, meter: str, prices: Iterable[Price] = ()) -> None:
        self.meter = meter
        self.prices = tuple(prices)
        lines: dict[Dimensions, list[Price]] = {}
        for price in self.prices:
            if price.takes_effect:
                lines.setdefault(price.dimensions, []).append(price)
        by_names: dict[tuple[str, ...], dict[Values, Line]] = {}
        for dimensions, of_line in lines.items():
            names = tuple(name for name, _ in dimensions)
            values: Values = tuple(value for _, value in dimensions)
            by_names.setdefault(names, {})[values] = Line(of_line)
        most_first = sorted(by_names.items(), key=lambda item: -len(item[0]))
        self.by_names: Mapping[tuple[str, ...], Mapping[Values, Line]] = dict(most_first)
        """Lines by the names of their dimensions, most names first, and by the values."""

    def price_at(self, dimensions: Mapping[str, str] | None, instant: int) -> Price | None:
        """The price of an event with these dimensions at that time."""
        for line in self.lines_for(dimensions or {}):
            price = line.at(instant)
            if price is not None:
                return price
        return None

    def dimension_names(self) -> tuple[str, ...]:
        """The names of all dimensions that prices of the meter ask for."""
        return tuple(sorted({name for names in self.by_names for name in names}))

    def lines_for(self, dimensions: Mapping[str, str]) -> Iterator[Line]:
        """Lines whose dimensions are among these, those with the most of them first."""
        for names, lines in self.by_names.items():
            line = lines.get(tuple(map(dimensions.get, names)))
            if line is not None:
                yield line


class PriceBook(NamedTuple):
    """What of the price book is at hand.

    Of the meters asked for, those that have prices; where one of them has none, `known` names some
    that do.
    """

    meters: Mapping[str, MeterPrices]
    known: tuple[str, ...] = ()


NO_PRICES: Final = PriceBook({})


class Rated(NamedTuple):
    """What a quantity costs (micro-credits), and by which price."""

    price: Price
    credits: int


def rate(
    book: PriceBook, meter: str, dimensions: Mapping[str, str] | None, quantity: int, at: int
) -> Rated | Refusal:
    """What `quantity` billionths of a unit cost that were used at that time."""
    prices = book.meters.get(meter)
    if prices is None:
        return Refusal(reason=Reason.NO_SUCH_METER, names=book.known)
    price = prices.price_at(dimensions, at)
    if price is None:
        figures = _other_times(prices, dimensions or {}, at)
        return Refusal(reason=Reason.NO_PRICE, figures=figures, names=prices.dimension_names())
    used = price.charge(quantity)
    if used > MAX_AMOUNT:
        return Refusal(reason=Reason.CHARGE_LIMIT, figures={"most": MAX_AMOUNT})
    return Rated(price, used)


def _other_times(prices: MeterPrices, dimensions: Mapping[str, str], at: int) -> dict[str, int]:
    """When there is no price, and when, if ever, there was one or will be one."""
    figures = {"at": at}
    lines = list(prices.lines_for(dimensions))
    later = [start for line in lines if (start := line.after(at)) is not None]
    if later:
        figures["takes_effect_at"] = min(later)
    ended = [end for line in lines for _, end, _ in line.spans() if end <= at]
    if ended:
        figures["ended_at"] = max(ended)
    return figures
