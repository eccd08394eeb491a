"""One id arrives over many connections at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.faults.sites import Site
from tests.faults.spenders import figures, micro
from tests.sockets import USAGE, Answer, crowd

CONNECTIONS = 50


def test_one_id_is_booked_once_and_every_duplicate_has_the_same_receipt(site: Site) -> None:
    acme = site.operator.organization(allowance=100)
    secret = site.operator.key(acme)
    answers = asyncio.run(send_at_once(site.urls, secret, [1.5] * CONNECTIONS))
    assert sorted(answer.status for answer in answers) == [200] * (CONNECTIONS - 1) + [201]
    said = [(answer.status, answer.body["status"]) for answer in answers]
    assert set(said) == {(201, "booked"), (200, "duplicate")}
    assert all(figures(answer) == figures(answers[0]) for answer in answers)
    facts = site.facts()[acme["id"]]
    assert (list(facts.booked), facts.consumed) == (["evt-1"], micro(1.5))


def test_of_two_contents_under_one_id_one_is_booked_and_the_other_conflicts(site: Site) -> None:
    amounts = [1, 1, 2, 2] * (CONNECTIONS // 4)
    acme = site.operator.organization(allowance=100)
    answers = asyncio.run(send_at_once(site.urls, site.operator.key(acme), amounts))
    [first] = [answer for answer in answers if answer.status == 201]
    for amount, answer in zip(amounts, answers, strict=True):
        if amount == first.body["credits"]:
            assert figures(answer) == figures(first)
        else:
            assert (answer.status, answer.body["error"]) == (409, "conflict")
    facts = site.facts()[acme["id"]]
    assert (list(facts.booked), facts.consumed) == (["evt-1"], micro(first.body["credits"]))


async def send_at_once(urls: Sequence[str], secret: str, amounts: Sequence[float]) -> list[Answer]:
    """The same id, from a client each; all are sent before any answer is read."""
    async with crowd(urls, secret, len(amounts)) as clients:
        for client, amount in zip(clients, amounts, strict=True):
            await client.send("POST", USAGE, {"id": "evt-1", "credits": amount})
        return list(await asyncio.gather(*(client.receive() for client in clients)))
