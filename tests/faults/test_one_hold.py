"""Capture, release and expiry of one hold arrive at one instant."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.faults.sites import Site
from tests.faults.spenders import micro
from tests.sockets import Answer, Connection, crowd

HOLDS: Final = "/v1/organization/credits/holds"
BALANCE: Final = "/v1/organization/credits/balance"
COUNT: Final = 48
CONNECTIONS: Final = 32
LIFETIMES: Final = (1, 1, 1, 86_400)
"""Of four holds, three expire while they are raced for."""
ENDS: Final = ("capture", "release", "capture", "release")


class Raced(NamedTuple):
    """A hold as it is after the race, and what everybody was told who tried to end it."""

    status: str
    told: Sequence[tuple[str, Answer]]


def test_a_hold_has_exactly_one_outcome(site: Site) -> None:
    acme = site.operator.organization(allowance=100)
    raced, balance = asyncio.run(race(site.urls, site.operator.key(acme)))
    for hold in raced:
        ended_by = [end for end, answer in hold.told if answer.status == 200]
        expected = {"captured": ["capture"], "released": ["release"], "expired": []}
        assert ended_by == expected[hold.status]
        for _, answer in hold.told:
            if answer.status != 200:
                assert (answer.status, answer.body["error"]) == (409, "conflict")
                assert answer.body["details"]["status"] == hold.status
    statuses = [hold.status for hold in raced]
    captured = statuses.count("captured")
    assert "expired" in statuses
    assert len(statuses) - statuses.count("expired") >= COUNT // len(LIFETIMES)
    assert (balance.body["held"], balance.body["consumed"]) == (0, captured)
    facts = site.facts()[acme["id"]]
    assert (len(facts.booked), facts.consumed) == (captured, micro(captured))


async def race(urls: Sequence[str], secret: str) -> tuple[list[Raced], Answer]:
    """Tries to end every hold in four ways at once, from when the first of them expires."""
    async with crowd(urls, secret, CONNECTIONS) as clients:
        first = clients[0]
        holds = [await place(first, number) for number in range(COUNT)]
        while (await first.ask("GET", BALANCE)).body["as_of"] < holds[0].body["expires_at"]:
            pass
        names = [hold.body["id"] for hold in holds]
        told = await end_all(clients, names)
        raced = []
        for name in names:
            now = await first.ask("GET", f"{HOLDS}/{name}")
            raced.append(Raced(now.body["status"], told[name]))
        return raced, await first.ask("GET", BALANCE)


async def place(client: Connection, number: int) -> Answer:
    lifetime = LIFETIMES[number % len(LIFETIMES)]
    return await client.ask("POST", HOLDS, {"credits": 1, "expires_in": lifetime})


async def end_all(
    clients: Sequence[Connection], names: Sequence[str]
) -> dict[str, list[tuple[str, Answer]]]:
    """Each client ends its share, one after the other; the clients do so at once."""
    attempts = [(name, end) for name in names for end in ENDS]
    told: dict[str, list[tuple[str, Answer]]] = {name: [] for name in names}
    numbers = itertools.count()

    async def end_some(client: Connection, share: Sequence[tuple[str, str]]) -> None:
        for name, end in share:
            body = {"id": f"evt-{next(numbers)}", "credits": 1} if end == "capture" else None
            answer = await client.ask("POST", f"{HOLDS}/{name}/{end}", body)
            told[name].append((end, answer))

    shares = [attempts[number::CONNECTIONS] for number in range(CONNECTIONS)]
    await asyncio.gather(*(end_some(*each) for each in zip(clients, shares, strict=True)))
    return told
