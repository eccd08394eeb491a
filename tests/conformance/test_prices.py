"""The price book: read back as it was written, and seen by whoever comes later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.domain.commands import Booked, BookUsage, usage_content
from tallystick.domain.errors import Reason, Refusal
from tallystick.domain.prices import Price, PriceEnd, Rounding
from tallystick.domain.quantities import NANO
from tallystick.ledger.ports import Changes, Wanted
from tallystick.ledger.prices import AddPrices, EndPrice
from tallystick.ledger.reading import Page
from tallystick.ledger.units import AccountUnit
from tallystick.ledger.work import Work
from tests.conformance.backend import START, Backend
from tests.conformance.samples import ACME, HOME, UNICODE, new_organization
from tests.pricing import price

FULL = Price(
    id="price_full",
    meter=UNICODE,
    dimensions=(("a", UNICODE), ("model", "")),
    credits=10**15,
    per=(10**15 - 1) * NANO,
    rounding=Rounding.HALF_UP,
    effective_at=START - 1,
    created_at=START + 1,
)


def priced(backend: Backend, *meters: str) -> dict[str, tuple[Price, ...]]:
    """What lanes and readers find of these meters, which is the same."""
    book = backend.load(Wanted(prices=set(meters))).prices
    assert backend.run(backend.reader.price_book(set(meters))).meters.keys() == book.meters.keys()
    found = {meter: prices.prices for meter, prices in book.meters.items()}
    for meter, prices in found.items():
        read = backend.run(backend.reader.price_book({meter})).meters[meter].prices
        assert sorted(prices, key=lambda one: one.id) == sorted(read, key=lambda one: one.id)
    return found


def used(event_id: str, quantity: int = NANO, meter: str = "tokens") -> AccountUnit:
    content = usage_content(
        credits_used=0,
        meter=meter,
        occurred_at=None,
        dimensions=None,
        overdraw=True,
        teamspace_id=HOME,
        quantity=quantity,
    )
    command = BookUsage(
        event_id=event_id,
        credits=0,
        meter=meter,
        occurred_at=None,
        dimensions=None,
        overdraw=True,
        teamspace_id=HOME,
        api_key_id=None,
        content=content,
        quantity=quantity,
    )
    return AccountUnit(ACME, [command])


@pytest.mark.parametrize("rounding", Rounding)
def test_prices(backend: Backend, rounding: Rounding) -> None:
    plain = price("price_plain", credits=0, per=1, rounding=rounding)
    backend.write(Changes(prices=[FULL, plain]))
    assert priced(backend, UNICODE, "tokens") == {UNICODE: (FULL,), "tokens": (plain,)}
    for one in (FULL, plain):
        assert backend.run(backend.reader.price(one.id)) == one
    assert backend.run(backend.reader.price("price_?")) is None


def test_the_earliest_end_of_a_price_counts(backend: Backend) -> None:
    backend.write(Changes(prices=[FULL]))
    for ends_at, found in ((START + 9, START + 9), (START - 5, START - 5), (START + 3, START - 5)):
        backend.write(Changes(price_ends=[PriceEnd(FULL.id, ends_at, START)]))
        ended = replace(FULL, ends_at=found)
        assert priced(backend, UNICODE) == {UNICODE: (ended,)}
        assert backend.run(backend.reader.price(FULL.id)) == ended
        assert backend.run(backend.reader.prices(Page(5))) == [ended]


def test_meters_are_named_where_one_is_unknown(backend: Backend) -> None:
    names = [f"meter {number:02}" for number in range(25)]
    prices = [price(f"price_{name}_{n}", meter=name, since=n) for name in names for n in range(2)]
    assert backend.load(Wanted(prices={"?"})).prices.known == ()
    backend.write(Changes(prices=prices))
    assert backend.load(Wanted(prices={"?", names[0]})).prices.known == tuple(names[:20])
    assert backend.load(Wanted(prices={names[0]})).prices.known == ()


def test_usage_is_rated_by_what_came_before_it_in_its_batch(backend: Backend) -> None:
    backend.write(new_organization())
    before, added, (first,), (again,), _, (ended,) = backend.decide(
        used("before"),
        AddPrices(prices=[price(credits=7)]),
        used("first"),
        used("first"),
        EndPrice(meter="tokens", price_id="price_1", ends_at=START),
        used("ended"),
    )
    assert [outcome.reason for outcome in before] == [Reason.NO_SUCH_METER]
    assert [one.duplicate for one in added] == [False]
    assert isinstance(first, Booked)
    assert first.entry.credits == 7
    assert first.entry.detail == '{"price_id":"price_1","quantity":"1"}'
    assert again == Booked(first.entry, duplicate=True)
    assert ended.reason is Reason.NO_PRICE


def test_a_later_batch_sees_what_was_written(backend: Backend) -> None:
    backend.write(new_organization())
    backend.decide(AddPrices(prices=[price("price_1", credits=1)]))
    assert backend.decide(used("a"))[0][0].entry.credits == 1
    backend.decide(AddPrices(prices=[price("price_2", credits=2, since=START)]))
    assert backend.decide(used("b"))[0][0].entry.credits == 2
    backend.decide(EndPrice(meter="tokens", price_id="price_2", ends_at=START))
    assert backend.decide(used("c"))[0][0].entry.credits == 1


def test_what_is_abandoned_rates_nothing(backend: Backend) -> None:
    backend.write(new_organization())

    async def scenario() -> None:
        work = Work(await backend.lane.load(Wanted(prices={"tokens"})))
        assert isinstance(AddPrices(prices=[price()]).decide(work), list)
        await backend.lane.abandon()

    backend.run(scenario())
    (outcome,) = backend.decide(used("a"))[0]
    assert outcome == Refusal(reason=Reason.NO_SUCH_METER)


def test_prices_that_somebody_else_wrote_are_seen(backend: Backend) -> None:
    backend.write(new_organization())
    backend.decide(AddPrices(prices=[price("price_1", credits=1)]))
    assert backend.decide(used("a"))[0][0].entry.credits == 1
    backend.rows("INSERT INTO price_ends (price_id, ends_at, created_at) VALUES ('price_1', 0, 0)")
    (outcome,) = backend.decide(used("b"))[0]
    assert outcome.reason is Reason.NO_PRICE


def test_a_price_is_created_when_its_batch_began(backend: Backend) -> None:
    backend.clock.now = START + 5
    ((added,),) = backend.decide(AddPrices(prices=[price()]))
    assert added.price.created_at == START + 5
    backend.clock.now = START + 9
    ((again,),) = backend.decide(AddPrices(prices=[price("price_2")]))
    assert (again.price.id, again.price.created_at) == ("price_1", START + 5)
