"""The part of the audit that is about prices: what was rated, rated again (see `ledger_check`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from tests.oracle_prices import MICRO, OraclePrice, cost

Row = Mapping[str, Any]


def check_ratings(booked: Iterable[Row], dimensions: Iterable[Row], prices: Iterable[Row]) -> None:
    """The price that an entry names was for such events at that time, and comes to its credits."""
    by_id = {row["price_id"]: row for row in prices}
    said = {
        row["sequence"]: json.loads(row["dimensions"])
        for row in dimensions
        if row["erased_at"] is None
    }
    for entry in booked:
        rated = json.loads(entry["detail"] or "{}")
        if "price_id" in rated:
            price = by_id[rated["price_id"]]
            _check_price(entry, price, said.get(entry["sequence"]))
            charge = cost(_oracle_price(price), Fraction(rated["quantity"])) / MICRO
            assert charge == entry["credits"], f"{entry} comes to {charge}"


def _check_price(entry: Row, price: Row, said: Mapping[str, str] | None) -> None:
    """Dimensions that were erased (None) say nothing any more."""
    assert price["meter"] == entry["meter"], entry
    assert price["effective_at"] <= entry["occurred_at"], f"{entry}: before there was a price"
    if said is not None:
        assert json.loads(price["dimensions"]).items() <= said.items(), entry


def _oracle_price(row: Row) -> OraclePrice:
    return OraclePrice(
        row["price_id"],
        row["meter"],
        frozenset(json.loads(row["dimensions"]).items()),
        row["credits"] * MICRO,
        Fraction(row["per"]),
        row["rounding"],
        row["effective_at"],
    )
