"""One id arrives over many connections at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.faults.spenders import figures, micro
from tests.server import running_server
from tests.sockets import USAGE, Answer, crowd
from tests.verified import check_twice

CONNECTIONS = 50


def test_one_id_is_booked_once_and_every_duplicate_has_the_same_receipt(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization(allowance=100)
        answers = asyncio.run(send_at_once(server.url, server.key(acme), [1.5] * CONNECTIONS))
    assert sorted(answer.status for answer in answers) == [200] * (CONNECTIONS - 1) + [201]
    said = [(answer.status, answer.body["status"]) for answer in answers]
    assert set(said) == {(201, "booked"), (200, "duplicate")}
    assert all(figures(answer) == figures(answers[0]) for answer in answers)
    facts = check_twice(server.database)[acme["id"]]
    assert (list(facts.booked), facts.consumed) == (["evt-1"], micro(1.5))


def test_of_two_contents_under_one_id_one_is_booked_and_the_other_conflicts(tmp_path: Path) -> None:
    amounts = [1, 2] * (CONNECTIONS // 2)
    with running_server(tmp_path) as server:
        acme = server.organization(allowance=100)
        answers = asyncio.run(send_at_once(server.url, server.key(acme), amounts))
    [first] = [answer for answer in answers if answer.status == 201]
    for amount, answer in zip(amounts, answers, strict=True):
        if amount == first.body["credits"]:
            assert figures(answer) == figures(first)
        else:
            assert (answer.status, answer.body["error"]) == (409, "conflict")
    facts = check_twice(server.database)[acme["id"]]
    assert (list(facts.booked), facts.consumed) == (["evt-1"], micro(first.body["credits"]))


async def send_at_once(url: str, secret: str, amounts: Sequence[float]) -> list[Answer]:
    """The same id, from a client each; all are sent before any answer is read."""
    async with crowd(url, secret, len(amounts)) as clients:
        for client, amount in zip(clients, amounts, strict=True):
            await client.send("POST", USAGE, {"id": "evt-1", "credits": amount})
        return list(await asyncio.gather(*(client.receive() for client in clients)))
