"""Random walks of a price book: the core and the oracle, side by side."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Final

from tallystick.domain.account import open_account
from tallystick.domain.commands import Booked, BookUsage, Earlier, usage_content
from tallystick.domain.credits import MAX_AMOUNT
from tallystick.domain.decide import decide
from tallystick.domain.errors import Reason, Refusal
from tallystick.domain.plans import Overage, OverageMode, Plan
from tallystick.domain.price_book import Clash, EndsEarlier, TooManyPrices, add_prices, end_price
from tallystick.domain.prices import MeterPrices, Price, PriceBook, Rounding
from tests.oracle_prices import OraclePrice, candidates, cost, is_ambiguous

START: Final = 1_800_000_000_000_000
TIMES: Final = range(START, START + 8)
MICRO: Final = 10**6
NANO: Final = 10**9
METERS: Final = ("tokens", "calls")
COSTS: Final = (0, 1, 1, 3, MICRO, 3 * MICRO, MAX_AMOUNT)
PERS: Final = (1, 2, 2, 2, 3, NANO // 8, NANO, 2 * NANO, 10**6 * NANO)
QUANTITIES: Final = (0, 1, 1, 3, 5, NANO // 2, NANO, 3 * NANO, 1500 * NANO, 999_999 * 10**18)


def walk(seed: int, steps: int) -> PriceWalk:
    walker = PriceWalk(Random(seed))
    try:
        for _ in range(steps):
            walker.step()
    except AssertionError as failure:
        failure.add_note(f"to see it again: price_walk.walk(seed={seed}, steps={steps})")
        raise
    return walker


class PriceWalk:
    """One book, and one organization whose usage it rates."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.meters = {meter: MeterPrices(meter) for meter in METERS}
        self.oracle: list[OraclePrice] = []
        self.booked: dict[str, tuple[BookUsage, Booked]] = {}
        self.number = 0
        overage = Overage(mode=OverageMode.ALLOW)
        self.account, _ = open_account("org_walk", Plan(overage=overage), START)

    def step(self) -> None:
        steps = (self.add, self.add_again, self.end, self.use, self.use, self.use, self.use_again)
        self.random.choice(steps)()

    # ── the book ──

    def add(self) -> None:
        meter = self.random.choice(METERS)
        self._add(meter, [self._price(meter) for _ in range(self.random.choice((1, 1, 2, 3)))])

    def add_again(self) -> None:
        """A price that is there already, under another id, perhaps with one thing changed."""
        if not self.oracle:
            return
        meter = self.random.choice(self.oracle).meter
        there = self.random.choice([price for price in self.oracle if price.meter == meter])
        written = next(price for price in self.meters[meter].prices if price.id == there.id)
        fresh = self._price(meter)
        change = self.random.choice(("nothing", "credits", "per", "rounding", "effective_at"))
        terms = {
            name: getattr(fresh if name == change else written, name)
            for name in ("dimensions", "credits", "per", "rounding", "effective_at")
        }
        self._add(meter, [Price(id=fresh.id, meter=meter, created_at=0, **terms)])

    def _price(self, meter: str) -> Price:
        choose = self.random.choice
        names = self.random.sample(("a", "b", "c"), choose((0, 1, 1, 2)))
        self.number += 1
        return Price(
            id=f"price_{self.number}",
            meter=meter,
            dimensions=tuple((name, choose("12")) for name in sorted(names)),
            credits=choose(COSTS),
            per=choose(PERS),
            rounding=choose(list(Rounding)),
            effective_at=choose(TIMES),
            created_at=START,
        )

    def _add(self, meter: str, new: list[Price]) -> None:
        expected = self._expected(new)
        found = add_prices(self.meters[meter], new)
        if expected is None:
            assert isinstance(found, Clash), "contradictory prices were taken"
            assert found.price.id in {price.id for price in new}, "the new price is named"
            return
        assert not isinstance(found, Clash | TooManyPrices), f"refused: {found}"
        self.meters[meter], added = found
        assert [(one.price.id, one.duplicate) for one in added] == expected
        self.oracle += [_as_oracle(one.price) for one in added if not one.duplicate]

    def _expected(self, new: list[Price]) -> list[tuple[str, bool]] | None:
        """Each one's id and whether it was there; None where they contradict the book."""
        book, expected = list(self.oracle), []
        for price in map(_as_oracle, new):
            first = next((one for one in book if one.said() == price.said()), None)
            if first is None:
                if any(_at_one_place(one, price) for one in book):
                    return None
                book.append(price)
            expected.append(((first or price).id, first is not None))
        return None if is_ambiguous(book, TIMES) else expected

    def end(self) -> None:
        if not self.oracle:
            return
        position = self.random.randrange(len(self.oracle))
        before = self.oracle[position]
        now, ends_at = self.random.choice(TIMES), self.random.choice((None, *TIMES))
        prices = self.meters[before.meter]
        written = next(price for price in prices.prices if price.id == before.id)
        found = end_price(written, ends_at, now)
        if ends_at is not None and ends_at > before.until:
            assert isinstance(found, EndsEarlier), "an end was put off"
            return
        assert isinstance(found, Price), found
        until = min(before.until, now if ends_at is None else ends_at)
        assert found.ends_at == until
        self.oracle[position] = before._replace(until=until)
        others = [price for price in prices.prices if price.id != before.id]
        self.meters[before.meter] = MeterPrices(before.meter, [*others, found])
        assert not is_ambiguous(self.oracle, TIMES), "ends leave a book as clear as it was"

    # ── usage ──

    def use(self) -> None:
        choose = self.random.choice
        dimensions = {name: value for name in "abcd" if (value := choose((None, "1", "2")))}
        quantity, meter, occurred_at = choose(QUANTITIES), choose(METERS), choose((None, *TIMES))
        content = usage_content(
            credits_used=0,
            meter=meter,
            occurred_at=occurred_at,
            dimensions=dimensions,
            overdraw=True,
            teamspace_id="ts",
            quantity=quantity,
        )
        event_id = f"event-{len(self.booked)}"
        command = BookUsage(
            event_id=event_id,
            credits=0,
            meter=meter,
            occurred_at=occurred_at,
            dimensions=dimensions,
            overdraw=True,
            teamspace_id="ts",
            api_key_id=None,
            content=content,
            quantity=quantity,
        )
        self._use(command)

    def use_again(self) -> None:
        """The same event, whatever has become of the book, or one with another quantity."""
        if not self.booked:
            return
        command, first = self.random.choice(list(self.booked.values()))
        now = max(self.random.choice(TIMES), self.account.advanced_to)
        earlier = Earlier(first.entry)
        outcome, _ = decide(self.account, command, now, earlier)
        assert outcome == Booked(first.entry, duplicate=True), "a repeated event was rated anew"
        other = usage_content(
            credits_used=0,
            meter=command.meter,
            occurred_at=command.occurred_at,
            dimensions=command.dimensions,
            overdraw=True,
            teamspace_id="ts",
            quantity=(command.quantity or 0) + 1,
        )
        outcome, _ = decide(self.account, command._replace(content=other), now, earlier)
        assert isinstance(outcome, Refusal), "another quantity passed for the same event"

    def _use(self, command: BookUsage) -> None:
        meter, quantity = command.meter or "", command.quantity or 0
        now = max(self.random.choice(TIMES), self.account.advanced_to)
        at = now if command.occurred_at is None else command.occurred_at
        known = {name: prices for name, prices in self.meters.items() if prices.prices}
        consumed = self.account.consumed
        earlier = Earlier(prices=PriceBook(known, ("known",)))
        outcome, _ = decide(self.account, command, now, earlier)
        found = candidates(self.oracle, meter, command.dimensions or {}, at)
        if meter not in known:
            _assert_refused(outcome, Reason.NO_SUCH_METER)
        elif not found:
            _assert_refused(outcome, Reason.NO_PRICE)
        else:
            micro = cost(found[0], Fraction(quantity, NANO)) * MICRO
            if micro > MAX_AMOUNT:
                _assert_refused(outcome, Reason.CHARGE_LIMIT)
            elif consumed + micro <= 8 * 10**15:
                assert isinstance(outcome, Booked), outcome
                assert outcome.entry.credits == micro == self.account.consumed - consumed
                said = f'{{"price_id":"{found[0].id}","quantity":"{_plain(quantity)}"}}'
                assert outcome.entry.detail == said
                self.booked[command.event_id] = command, outcome
                return
        assert isinstance(outcome, Refusal)
        assert self.account.consumed == consumed, "a refusal changes nothing"


def _assert_refused(outcome: object, reason: Reason) -> None:
    assert isinstance(outcome, Refusal), f"{outcome} where {reason.name} is due"
    assert outcome.reason is reason


def _as_oracle(price: Price) -> OraclePrice:
    return OraclePrice(
        price.id,
        price.meter,
        frozenset(price.dimensions),
        Fraction(price.credits, MICRO),
        Fraction(price.per, NANO),
        str(price.rounding),
        price.effective_at,
    )


def _at_one_place(one: OraclePrice, other: OraclePrice) -> bool:
    same = (one.meter, one.dimensions, one.since) == (other.meter, other.dimensions, other.since)
    return same and one.until > one.since


def _plain(quantity: int) -> str:
    whole, fraction = divmod(quantity, NANO)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
