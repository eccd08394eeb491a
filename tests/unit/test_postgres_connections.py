"""Connections for reading: how many there are, which are used again, and what is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest
from asyncpg.exceptions import PostgresError

from tallystick.ledger.ports import StatementRejected, StoreError, StoreUnavailable
from tallystick.storage.postgres.connections import Connection, Connections


class Line:
    """A connection that fails as it is told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.in_transaction = False
        self.closed = False

    async def fetch(self, query: str, *_: object) -> list[tuple[str]]:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        await asyncio.sleep(0)
        return [(query,)]

    def is_in_transaction(self) -> bool:
        return self.in_transaction

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True


class Exchange:
    """Connections, and the lines they made."""

    def __init__(self, most: int, seconds: float) -> None:
        self.lines: list[Line] = []
        self.fails_at_once: Exception | None = None
        self.connections = Connections(self._connect, most=most, seconds=seconds)

    async def _connect(self) -> Line:
        self.lines.append(Line())
        self.lines[-1].failure = self.fails_at_once
        return self.lines[-1]

    async def ask(self, question: str = "?") -> object:
        return await self.connections.run(lambda connection: connection.fetch(question))


def exchange(
    scenario: Callable[[Exchange], Coroutine[Any, Any, None]], most: int = 1, seconds: float = 30
) -> None:
    async def run() -> None:
        await scenario(Exchange(most, seconds))

    asyncio.run(run())


def test_a_connection_is_used_again() -> None:
    async def scenario(x: Exchange) -> None:
        assert [await x.ask("a"), await x.ask("b")] == [[("a",)], [("b",)]]
        assert len(x.lines) == 1

    exchange(scenario)


@pytest.mark.parametrize(
    "farewell",
    [
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.AdminShutdownError("terminated by an administrator"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12"),
        ConnectionResetError(),
    ],
)
def test_one_that_was_lost_while_it_lay_idle_is_replaced_and_nobody_notices(
    farewell: Exception,
) -> None:
    async def scenario(x: Exchange) -> None:
        await x.ask()
        x.lines[0].failure = farewell
        assert await x.ask("again") == [("again",)]
        assert len(x.lines) == 2

    exchange(scenario)


def test_one_that_is_lost_at_once_is_an_error() -> None:
    async def scenario(x: Exchange) -> None:
        x.fails_at_once = ConnectionResetError()
        with pytest.raises(StoreUnavailable):
            await x.ask()
        assert [line.closed for line in x.lines] == [True]

    exchange(scenario)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (asyncpg.QueryCanceledError("timeout"), StoreUnavailable),
        (asyncpg.exceptions._base.DataError("value out of int64 range"), StatementRejected),
        (asyncpg.UndefinedTableError("?"), StatementRejected),
    ],
)
def test_a_statement_that_fails_is_not_asked_twice_and_leaves_its_connection(
    failure: PostgresError, kind: type[StoreError]
) -> None:
    async def scenario(x: Exchange) -> None:
        await x.ask()
        x.lines[0].failure = failure
        with pytest.raises(kind):
            await x.ask()
        await x.ask()
        assert [line.closed for line in x.lines] == [False]

    exchange(scenario)


def test_one_that_is_left_in_a_transaction_is_given_up() -> None:
    async def scenario(x: Exchange) -> None:
        await x.ask()
        x.lines[0].in_transaction = True
        await x.ask()
        await x.ask()
        assert [line.closed for line in x.lines] == [True, False]

    exchange(scenario)


def test_who_waits_for_a_place_waits_no_longer_than_for_an_answer() -> None:
    async def scenario(x: Exchange) -> None:
        async def forever(_: Connection) -> None:
            await asyncio.Event().wait()

        asked = [asyncio.ensure_future(x.connections.run(forever)) for _ in range(5)]
        for one in asked:
            with pytest.raises(StoreUnavailable, match="did not answer within"):
                await one
        assert [line.closed for line in x.lines] == [True] * len(x.lines)
        assert await x.ask() == [("?",)]

    exchange(scenario, most=2, seconds=0.05)


def test_there_are_no_more_than_there_may_be() -> None:
    async def scenario(x: Exchange) -> None:
        await asyncio.gather(*(x.ask() for _ in range(20)))
        assert len(x.lines) <= 3

    exchange(scenario, most=3)


def test_none_outlives_the_end() -> None:
    async def scenario(x: Exchange) -> None:
        await x.ask()
        x.connections.close()
        assert [line.closed for line in x.lines] == [True]

    exchange(scenario)
