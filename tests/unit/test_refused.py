"""Refused requests in memory: bounded, found until they are durable, not lost to a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import pytest

from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import OutcomeUnknown, StoreUnavailable
from tallystick.ledger.refused import KEPT_FOR, NoteRefused, RefusedRequest, RefusedRequests

NOW = 2_000_000_000_000_000


def request(number: int, organization_id: str = "org_a") -> RefusedRequest:
    return RefusedRequest(
        organization_id=organization_id,
        id=f"req_{number}",
        at=NOW,
        operation="book_usage",
        method="POST",
        path="/",
        status=402,
        code="credit_exceeded",
        details=b"{}",
        teamspace_id="ts_a",
        api_key_id=None,
        event_ids=(),
        rejected=0,
    )


class Book:
    """In the place of a ledger with its store: takes units as a test lets it."""

    def __init__(self) -> None:
        self.units: list[NoteRefused] = []
        self.rows: dict[tuple[str, str], RefusedRequest] = {}
        self.answers: list[asyncio.Future[None]] = []
        self.store = self.reader = self

    def submit(self, _: str, unit: NoteRefused) -> asyncio.Future[None]:
        self.units.append(unit)
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def commit(self) -> None:
        for unit, answer in zip(self.units, self.answers, strict=True):
            self.rows |= {(one.organization_id, one.id): one for one in unit.requests}
            answer.set_result(None)
        self.clear()

    def fail(self, failure: Exception) -> None:
        for answer in self.answers:
            answer.set_exception(failure)
        self.clear()

    def clear(self) -> None:
        self.units, self.answers = [], []

    async def refused_request(self, *name: str) -> RefusedRequest | None:
        return self.rows.get(cast("tuple[str, str]", name))


def in_book(test: Callable[[Book, RefusedRequests], Awaitable[None]]) -> None:
    async def scenario() -> None:
        book = Book()
        refused = RefusedRequests(
            cast("Ledger", book), lambda: NOW, latest=9, waiting_each=3, waiting=5
        )
        await test(book, refused)

    asyncio.run(scenario())


async def found(refused: RefusedRequests, name: str, numbers: Iterable[int]) -> list[int]:
    return [n for n in numbers if await refused.find(name, f"req_{n}") is not None]


async def started(work: Awaitable[Any]) -> asyncio.Future[Any]:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    return task


def test_it_is_found_before_while_and_after_it_is_written() -> None:
    async def test(book: Book, refused: RefusedRequests) -> None:
        refused.note(request(1))
        assert await refused.find("org_a", "req_1") == request(1)
        writing = await started(refused.write())
        assert await refused.find("org_a", "req_1") == request(1)
        refused.note(request(2))
        book.commit()
        await writing
        assert await found(refused, "org_a", range(4)) == [1, 2]
        assert await found(refused, "org_b", range(4)) == []
        assert list(book.rows) == [("org_a", "req_1")]

    in_book(test)


def test_each_organization_is_a_unit_of_its_own() -> None:
    async def test(book: Book, refused: RefusedRequests) -> None:
        for one in (request(1), request(1, "org_b"), request(2)):
            refused.note(one)
        await started(refused.write())
        assert [unit.requests for unit in book.units] == [
            (request(1), request(2)),
            (request(1, "org_b"),),
        ]
        assert {unit.kept for unit in book.units} == {(9, NOW - KEPT_FOR)}
        assert [unit.weight for unit in book.units] == [2, 1]

    in_book(test)


def test_nothing_is_written_where_nothing_waits() -> None:
    async def test(book: Book, refused: RefusedRequests) -> None:
        await refused.write()
        assert book.units == []

    in_book(test)


@pytest.mark.parametrize("failure", [StoreUnavailable(), OutcomeUnknown()])
def test_what_could_not_be_written_waits_on_before_what_came_since(failure: Exception) -> None:
    async def test(book: Book, refused: RefusedRequests) -> None:
        refused.note(request(1))
        writing = await started(refused.write())
        refused.note(request(2))
        book.fail(failure)
        with pytest.raises(type(failure)):
            await writing
        await started(refused.write())
        assert [unit.requests for unit in book.units] == [(request(1), request(2))]

    in_book(test)


def test_of_a_flood_the_latest_are_kept() -> None:
    async def test(_: Book, refused: RefusedRequests) -> None:
        for number in range(10):
            refused.note(request(number))
        assert await found(refused, "org_a", range(10)) == [7, 8, 9]
        assert (refused.take_dropped(), refused.take_dropped()) == (7, 0)

    in_book(test)


def test_a_flood_costs_others_nothing_that_was_noted() -> None:
    async def test(_: Book, refused: RefusedRequests) -> None:
        refused.note(request(0, "org_b"))
        refused.note(request(1, "org_c"))
        for number in range(10):
            refused.note(request(number))
        assert await found(refused, "org_a", range(10)) == [7, 8, 9]
        # No room in all: a newcomer finds none, others make it themselves.
        refused.note(request(0, "org_d"))
        refused.note(request(2, "org_c"))
        assert await found(refused, "org_b", range(3)) == [0]
        assert await found(refused, "org_c", range(3)) == [2]
        assert await found(refused, "org_d", range(3)) == []
        assert refused.take_dropped() == 9

    in_book(test)


def test_a_store_that_fails_for_long_does_not_make_memory_grow() -> None:
    async def test(book: Book, refused: RefusedRequests) -> None:
        for number in range(10):
            refused.note(request(number))
            writing = await started(refused.write())
            book.fail(StoreUnavailable())
            await asyncio.wait([writing])
            assert isinstance(writing.exception(), StoreUnavailable)
        assert await found(refused, "org_a", range(10)) == [7, 8, 9]

    in_book(test)
