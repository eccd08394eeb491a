"""Rows of the price book and what they stand for (see `rows`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tallystick.domain.entries import canonical_json
from tallystick.domain.prices import Price, Rounding
from tallystick.domain.quantities import format_quantity, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.storage.rows import Row

_decode_dimensions: Final = msgspec.json.Decoder(dict[str, str]).decode


def price_from(row: Sequence[Any]) -> Price:
    """A price from its columns and, last, the earliest of its ends."""
    return Price(
        id=row[0],
        meter=row[1],
        dimensions=tuple(_decode_dimensions(row[2]).items()),
        credits=row[3],
        per=parse_quantity(row[4].encode()),
        rounding=Rounding(row[5]),
        effective_at=row[6],
        created_at=row[7],
        ends_at=row[8],
    )


def price_row(price: Price) -> Row:
    """Without its end, which is a row of its own."""
    return (
        price.id,
        price.meter,
        canonical_json(dict(price.dimensions)),
        price.credits,
        format_quantity(price.per),
        price.rounding,
        price.effective_at,
        price.created_at,
    )
