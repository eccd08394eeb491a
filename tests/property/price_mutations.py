"""One broken price book for each rule about prices (see `mutations`)."""

from __future__ import annotations

from tests.property.mutations import Mutation

PRICE_MUTATIONS = (
    Mutation(
        "up means up",
        "prices",
        "return whole + (rest > 0)",
        "return whole + (2 * rest > self.per)",
    ),
    Mutation(
        "down means down",
        "prices",
        "            case Rounding.DOWN:\n                return whole\n",
        "            case Rounding.DOWN:\n                return whole + (2 * rest >= self.per)\n",
    ),
    Mutation(
        "half of a micro-credit goes up", "prices", "2 * rest >= self.per)", "2 * rest > self.per)"
    ),
    Mutation(
        "half of a micro-credit goes to the even one", "prices", "whole % 2 == 1", "whole % 2 == 0"
    ),
    Mutation(
        "what is rounded is the charge and not the price of a unit",
        "prices",
        "divmod(quantity * self.credits, self.per)",
        "divmod(quantity * (self.credits // self.per), 1)",
    ),
    Mutation(
        "a price holds from its very instant",
        "prices",
        "position = bisect_right(self._starts, instant)\n        if not position:",
        "position = bisect_right(self._starts, instant - 1)\n        if not position:",
    ),
    Mutation(
        "a price no longer holds at its end",
        "prices",
        "price.ends_at <= instant",
        "price.ends_at < instant",
    ),
    Mutation(
        "a price that never took effect leaves the one before it in force",
        "prices",
        "            if price.takes_effect:\n",
        "            if True:\n",
    ),
    Mutation(
        "the most dimensions count",
        "prices",
        "key=lambda item: -len(item[0])",
        "key=lambda item: len(item[0])",
    ),
    Mutation(
        "every dimension of a price has to be there",
        "prices",
        "line = lines.get(tuple(map(dimensions.get, names)))",
        "line = lines.get(tuple(map(dimensions.get, names)), next(iter(lines.values())))",
    ),
    Mutation(
        "where the most specific price has ended, the next one counts",
        "prices",
        "            if price is not None:\n                return price\n        return None",
        "            return price\n        return None",
    ),
    Mutation(
        "no amount is larger than an amount may be",
        "prices",
        "if used > MAX_AMOUNT:",
        "if used > 2 * MAX_AMOUNT:",
    ),
    Mutation(
        "an unknown meter is said to be one",
        "prices",
        "reason=Reason.NO_SUCH_METER",
        "reason=Reason.NO_PRICE",
    ),
    Mutation(
        "usage is rated by its own time",
        "spending",
        "at = now if command.occurred_at is None else command.occurred_at\n    meter",
        "at = now\n    meter",
    ),
    Mutation(
        "what is booked is what it was rated at",
        "spending",
        "command = command._replace(credits=rated.credits)",
        "pass",
    ),
    Mutation(
        "the entry names the price",
        "spending",
        '"price_id": rated.price.id',
        '"price_id": rated.price.meter',
    ),
    Mutation(
        "another quantity is another event",
        "commands",
        "(quantity, moment, overdraw, parts)",
        "(0, moment, overdraw, parts)",
    ),
    Mutation(
        "the same price again changes nothing",
        "price_book",
        "        if first is not None:\n",
        "        if first is not None and first.ends_at is None:\n",
    ),
    Mutation(
        "there is one price for the same events and time",
        "price_book",
        "        if other is not None:\n",
        "        if other is not None and other.credits == price.credits:\n",
    ),
    Mutation(
        "prices between which an event could not choose are refused",
        "price_book",
        "    if ambiguous is None:\n",
        "    if True:\n",
    ),
    Mutation(
        "only prices that hold at the same time can be in doubt",
        "price_book",
        "if start < other_end and other_start < end:",
        "if True:",
    ),
    Mutation(
        "prices that follow each other do not overlap",
        "price_book",
        "if start < other_end and other_start < end:",
        "if start <= other_end and other_start <= end:",
    ),
    Mutation(
        "prices with a dimension in two values cannot meet",
        "price_book",
        "shared = [name for name in names if name in other_names]",
        "shared: list[str] = []",
    ),
    Mutation(
        "prices of different names can meet",
        "price_book",
        "for one, other in combinations(alike, 2):",
        "for one, other in combinations(alike[:1], 2):",
    ),
    Mutation(
        "of two prices in doubt the new one is refused",
        "price_book",
        "(one, other) if one.id in new else (other, one)",
        "(other, one) if one.id in new else (one, other)",
    ),
    Mutation("an end cannot be put off", "price_book", "present < ends_at:", "present > ends_at:"),
    Mutation(
        "an end that lies ahead can be brought forward to now",
        "price_book",
        "present is not None and present <= now",
        "present is not None",
    ),
)
