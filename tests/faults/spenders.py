"""Clients that spend while something goes wrong, and remember what they were told."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from tests.ledger_check import Facts
from tests.server import Server
from tests.sockets import GONE, Answer, Connection, connected

ALLOWANCE: Final = 1_000_000
_AMOUNTS: Final = (1, 0.1, 1.25, 0.000001)
_ORGANIZATIONS: Final = 4
_SILENCE: Final = 0.001

Receipt = Mapping[str, Any]


def micro(credits: object) -> int:
    """An amount of an answer or a request in micro-credits."""
    return int(Decimal(str(credits)).scaleb(6))


def figures(answer: Answer) -> Receipt:
    """What every receipt of one event has to say alike."""
    return {name: value for name, value in answer.body.items() if name != "status"}


class Spender:
    """Books events with ids of its own, one after the other.

    `acknowledged` has the first receipt of each event that was answered; `unanswered` those that
    were sent, and whose fate is not known. A patient spender sends those again, another leaves them
    and goes on with new ones.
    """

    def __init__(self, name: str, organization_id: str, secret: str, *, patient: bool) -> None:
        self.organization_id = organization_id
        self.acknowledged: dict[str, Receipt] = {}
        self.unanswered: list[str] = []
        self._patient = patient
        self.secret = secret
        self._names = (f"{name}-{number}" for number in itertools.count())

    async def spend(self, url: str, answered: Callable[[], None]) -> None:
        """Books until the server goes away; calls `answered` at each answer."""
        again = list(self.unanswered) if self._patient else []
        with suppress(*GONE):
            async with connected(url, self.secret) as connection:
                for event_id in itertools.chain(again, self._names):
                    await self._book(connection, event_id)
                    answered()

    async def insist(self, url: str) -> None:
        """Sends what is unanswered until nothing is."""
        async with connected(url, self.secret) as connection:
            for event_id in list(self.unanswered):
                await self._book(connection, event_id)

    async def _book(self, connection: Connection, event_id: str) -> None:
        is_new = event_id not in self.unanswered
        if is_new:
            self.unanswered.append(event_id)
        answer = await connection.book(event_id, amount_of(event_id))
        assert answer.status == 201 or (answer.status == 200 and not is_new), answer
        self.unanswered.remove(event_id)
        self.acknowledged[event_id] = figures(answer)

    async def ask_again(self, url: str, event_ids: Sequence[str]) -> None:
        """Each of these is a duplicate with its first receipt."""
        async with connected(url, self.secret) as connection:
            for event_id in event_ids:
                answer = await connection.book(event_id, amount_of(event_id))
                assert (answer.status, answer.body["status"]) == (200, "duplicate")
                assert figures(answer) == self.acknowledged[event_id]


def amount_of(event_id: str) -> float:
    """Events differ in what they cost; one that is sent again costs the same."""
    number = int(event_id.rpartition("-")[2])
    return _AMOUNTS[number % len(_AMOUNTS)]


def make_spenders(server: Server, count: int) -> list[Spender]:
    """So many spenders, every second one patient, in several organizations."""
    shared: list[tuple[str, str]] = []
    for number in range(_ORGANIZATIONS):
        organization = server.organization(f"Organization {number}", allowance=ALLOWANCE)
        shared.append((organization["id"], server.key(organization)))
    return [
        Spender(f"client{number}", *shared[number % _ORGANIZATIONS], patient=number % 8 < 4)
        for number in range(count)
    ]


def check_acknowledged(spenders: Sequence[Spender], ledger: Mapping[str, Facts]) -> None:
    """What was acknowledged is booked as the receipt says; what is booked was sent."""
    for spender in spenders:
        facts = ledger[spender.organization_id]
        for event_id, receipt in spender.acknowledged.items():
            assert facts.booked.get(event_id) == receipt["sequence"], f"{event_id} was lost"
            assert (
                facts.credits[event_id] == micro(receipt["credits"]) == micro(amount_of(event_id))
            )
    sent = {*sent_by(spenders)}
    assert {event_id for facts in ledger.values() for event_id in facts.booked} <= sent


def sent_by(spenders: Sequence[Spender]) -> Iterator[str]:
    for spender in spenders:
        yield from spender.acknowledged
        yield from spender.unanswered


class Trigger:
    """Does something once, at the first answer of a batch, as soon as enough have come.

    Answers come in batches, one for each transaction, after a silence. What a server wrongly puts
    off until it has answered has hardly begun when the first answer of a batch is read. If there is
    no silence, it is done all the same, only later.
    """

    def __init__(self, answers: int, then: Callable[[], None]) -> None:
        self._missing = answers
        self._latest = answers * 10
        self._last_at = time.monotonic()
        self._then = then

    def answered(self) -> None:
        now = time.monotonic()
        silent_for, self._last_at = now - self._last_at, now
        self._missing -= 1
        self._latest -= 1
        if self._latest == 0 or (self._missing <= 0 < self._latest and silent_for > _SILENCE):
            self._latest = 0
            self._then()


async def ingest(
    server: Server, spenders: Sequence[Spender], answers: int, then: Callable[[], None]
) -> None:
    """Lets them all spend until the server is gone; does `then` after so many answers."""
    trigger = Trigger(answers, then)
    spending = (spender.spend(server.url, trigger.answered) for spender in spenders)
    await asyncio.gather(*spending)
