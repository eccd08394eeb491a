"""Clients that spend while something goes wrong, and remember what they were told."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from tests.ledger_check import Facts
from tests.server import Server
from tests.sockets import CREDITS, GONE, Answer, Connection, connected

ALLOWANCE: Final = 1_000_000
_AMOUNTS: Final = (1, 0.1, 1.25, 0.000001)
_ORGANIZATIONS: Final = 4
_SILENCE: Final = 0.001
_PAUSE_SECONDS: Final = 0.05
"""Before one who was told to come again does so."""
PATIENCE_SECONDS: Final = 25
"""Nobody waits longer for an answer, whatever happens: a request waits at most for the batch before
its own, and each has eight seconds for a step."""

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
        self.spent = 0
        """What it was told to have spent, in micro-credits, and what it may have spent at most."""
        self.sent = 0
        self.setbacks = 0
        """How often it was told to come again, or hung up on."""
        self._patient = patient
        self.secret = secret
        self._names: Iterator[str] = (f"{name}-{number}" for number in itertools.count())

    async def spend(self, url: str, answered: Callable[[], None]) -> None:
        """Books until the server goes away; calls `answered` at each answer."""
        again = list(self.unanswered) if self._patient else []
        with suppress(*GONE):
            async with connected(url, self.secret) as connection:
                for event_id in itertools.chain(again, self._names):
                    await self._book(connection, event_id)
                    answered()

    async def endure(
        self, urls: Callable[[], str], answered: Callable[[], None], over: asyncio.Event
    ) -> None:
        """Books, through whatever happens, until something that it sent when all was over is
        booked; asks for an address whenever it needs one."""
        is_done = False
        while not is_done:
            with suppress(*GONE):
                async with connected(urls(), self.secret) as connection:
                    while not is_done:
                        was_over = over.is_set()
                        if await self._try(connection):
                            answered()
                            is_done = was_over
            if not is_done:
                self.setbacks += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _try(self, connection: Connection) -> bool:
        """Whether the next event was booked, and not put off."""
        again = self._patient and self.unanswered
        event_id = self.unanswered[0] if again else next(self._names)
        if not again:
            self.unanswered.append(event_id)
            self.sent += micro(amount_of(event_id))
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await connection.book(event_id, amount_of(event_id))
        if answer.status == 503:
            self._put_off(event_id, answer, is_new=not again)
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        assert answer.status == 201 or (answer.status == 200 and again), answer
        self.unanswered.remove(event_id)
        self.acknowledged[event_id] = figures(answer)
        self.spent += micro(amount_of(event_id))
        return True

    def _put_off(self, event_id: str, answer: Answer, *, is_new: bool) -> None:
        check_unavailable(answer)
        self.setbacks += 1
        if is_new and answer.body["error"] == "service_unavailable":
            # Nothing was changed, the answer says, so this one must not be found in the ledger.
            self.unanswered.remove(event_id)
            self.sent -= micro(amount_of(event_id))
            if self._patient:
                self._names = itertools.chain([event_id], self._names)

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


def check_unavailable(answer: Answer) -> None:
    """503, and the official clients may try again."""
    assert answer.status == 503, answer
    assert answer.body["error"] in {"service_unavailable", "outcome_unknown"}
    assert answer.body["retryable"] is True
    assert "x-should-retry" not in answer.headers


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
    theirs = {spender.organization_id for spender in spenders}
    assert booked_by(theirs, ledger) <= {*sent_by(spenders)}


def booked_by(organization_ids: Iterable[str], ledger: Mapping[str, Facts]) -> set[str]:
    """The events of these organizations."""
    return {event_id for name in organization_ids for event_id in ledger[name].booked}


def sent_by(spenders: Sequence[Spender]) -> Iterator[str]:
    for spender in spenders:
        yield from spender.acknowledged
        yield from spender.unanswered


async def check_balances(
    url: str, spenders: Sequence[Spender], ledger: Mapping[str, Facts]
) -> None:
    """The server says of each organization what the ledger says."""
    for organization_id, secret in {each.organization_id: each.secret for each in spenders}.items():
        async with connected(url, secret) as connection:
            balance = (await connection.ask("GET", CREDITS)).body
        facts = ledger[organization_id]
        assert micro(balance["consumed"]) == facts.consumed == sum(facts.credits.values())
        assert micro(balance["remaining"]) == facts.remaining == micro(ALLOWANCE) - facts.consumed


def check_all_booked(spenders: Sequence[Spender], ledger: Mapping[str, Facts]) -> None:
    """In the end all that was ever sent is booked, once."""
    check_acknowledged(spenders, ledger)
    theirs = {spender.organization_id for spender in spenders}
    booked = sum(len(ledger[organization_id].booked) for organization_id in theirs)
    assert booked == sum(len(spender.acknowledged) for spender in spenders)


async def insist(server: Server, spenders: Sequence[Spender]) -> None:
    """Everybody sends what is unanswered until nothing is."""
    await asyncio.gather(*(spender.insist(server.url) for spender in spenders))


class Trigger:
    """Does something once, at the first answer of a batch, as soon as enough have come.

    Answers come in batches, one for each transaction, after a silence. What a server wrongly puts
    off until it has answered has hardly begun when the first answer of a batch is read. If there is
    no silence, it is done all the same, only later.
    """

    def __init__(self, answers: int, then: Callable[[], object]) -> None:
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


async def endure(
    nodes: Sequence[Server], spenders: Sequence[Spender], answers: int, fault: Callable[[], None]
) -> None:
    """Lets them all spend, at one node or another, while `fault` happens in a thread after so many
    answers; returns when each has been served by what is there then."""
    over = asyncio.Event()
    for spender in spenders:
        spender.spent = sum(micro(each["credits"]) for each in spender.acknowledged.values())
        spender.sent = spender.spent + sum(micro(amount_of(each)) for each in spender.unanswered)

    async def happen() -> None:
        await asyncio.to_thread(fault)
        over.set()

    async with asyncio.TaskGroup() as group:
        trigger = Trigger(answers, lambda: group.create_task(happen()))
        watching = [
            group.create_task(watch(from_one_to_the_next(nodes, number), theirs))
            for number, theirs in enumerate(by_organization(spenders))
        ]
        spending = [
            spender.endure(from_one_to_the_next(nodes, number), trigger.answered, over)
            for number, spender in enumerate(spenders)
        ]
        await asyncio.gather(*spending)
        for each in watching:
            each.cancel()


async def watch(urls: Callable[[], str], spenders: Sequence[Spender]) -> None:
    """Looks at the balance of one organization, again and again: where it is told, it has all that
    was acknowledged before, and nothing that was not sent."""
    while True:
        with suppress(*GONE):
            async with connected(urls(), spenders[0].secret) as connection:
                while True:
                    least = sum(spender.spent for spender in spenders)
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        answer = await connection.ask("GET", CREDITS)
                    if answer.status == 503:
                        check_unavailable(answer)
                    else:
                        consumed = micro(answer.body["consumed"])
                        assert least <= consumed <= sum(spender.sent for spender in spenders)
                        assert micro(answer.body["remaining"]) == micro(ALLOWANCE) - consumed
                    await asyncio.sleep(_PAUSE_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)


def by_organization(spenders: Sequence[Spender]) -> list[list[Spender]]:
    names = {spender.organization_id for spender in spenders}
    return [[each for each in spenders if each.organization_id == name] for name in sorted(names)]


def from_one_to_the_next(nodes: Sequence[Server], first: int) -> Callable[[], str]:
    """The address of another node each time, as it is then."""
    turns = itertools.cycle((*nodes[first % len(nodes) :], *nodes[: first % len(nodes)]))
    return lambda: next(turns).url


async def ingest(
    server: Server, spenders: Sequence[Spender], answers: int, then: Callable[[], None]
) -> None:
    """Lets them all spend until the server is gone; does `then` after so many answers."""
    trigger = Trigger(answers, then)
    spending = (spender.spend(server.url, trigger.answered) for spender in spenders)
    await asyncio.gather(*spending)
