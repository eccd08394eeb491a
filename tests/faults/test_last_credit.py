"""Many clients race for the last credits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from tests.faults.sites import Site
from tests.sockets import CREDITS, Answer, Connection, crowd

CLIENTS = 64


@pytest.mark.parametrize(
    ("allowance", "price", "bought", "left"),
    [(300, 1, 300, "0"), (100.5, 1, 100, "0.5"), (10, 0.3, 33, "0.1"), (0.9, 1, 0, "0.9")],
)
def test_exactly_what_was_there_is_spent(
    site: Site, allowance: float, price: float, bought: int, left: str
) -> None:
    acme = site.operator.organization(allowance=allowance)
    answers, balance = asyncio.run(race(site.urls, site.operator.key(acme), price, bought))
    assert [answer.status for answer in answers].count(201) == bought
    refused = [answer for answer in answers if answer.status != 201]
    assert [answer.status for answer in refused] == [402] * CLIENTS
    # Whoever was refused was told what there was, and it was too little.
    for answer in refused:
        assert answer.body["details"]["required"] > answer.body["details"]["available"]
    assert (Decimal(balance["remaining"]), Decimal(balance["total"])) == (
        Decimal(left),
        Decimal(str(allowance)),
    )
    facts = site.facts()[acme["id"]]
    assert (len(facts.booked), facts.overage) == (bought, 0)


async def race(
    urls: Sequence[str], secret: str, price: float, most: int
) -> tuple[list[Answer], dict[str, Decimal]]:
    """Each client buys until it is refused, or has bought more than there was."""
    async with crowd(urls, secret, CLIENTS) as clients:
        shopping = [
            buy(each, f"client{number}", price, most) for number, each in enumerate(clients)
        ]
        answers = [answer for bought in await asyncio.gather(*shopping) for answer in bought]
        return answers, (await clients[0].ask("GET", CREDITS)).body


async def buy(connection: Connection, name: str, price: float, most: int) -> list[Answer]:
    answers = [await connection.book(f"{name}-0", price)]
    while answers[-1].status == 201 and len(answers) <= most:
        answers.append(await connection.book(f"{name}-{len(answers)}", price))
    return answers
