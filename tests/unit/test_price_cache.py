"""What is remembered of the price book counts only for the state that it was read in."""

from __future__ import annotations

from tallystick.domain.prices import MeterPrices
from tallystick.storage.postgres.prices import PriceCache
from tests.pricing import price

FIRST, SECOND = (1, 0), (2, 0)
OLD = {"tokens": MeterPrices("tokens", [price("price_1")])}
NEW = {"tokens": MeterPrices("tokens", [price("price_1"), price("price_2", since=1)])}


def test_what_was_kept_is_found_as_long_as_the_book_stays() -> None:
    cache = PriceCache()
    assert cache.find(FIRST, {"tokens"}) == {}
    cache.keep(FIRST, OLD)
    assert cache.find(FIRST, {"tokens", "calls"}) == OLD
    assert cache.find(SECOND, {"tokens"}) == {}


def test_what_was_read_late_does_not_count_for_a_newer_book() -> None:
    """Two read at a time: one asks for the state before a change, and comes last."""
    cache = PriceCache()
    cache.find(FIRST, {"tokens"})
    cache.find(SECOND, {"tokens"})
    cache.keep(SECOND, NEW)
    cache.keep(FIRST, OLD)
    assert cache.find(SECOND, {"tokens"}) == NEW
