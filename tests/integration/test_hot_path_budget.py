"""What a hot request may cost, counted and not timed: calls of Python functions.

The figures are today's. Who needs more has to say so here; who needs less lowers them, for a budget
that is not used up guards nothing.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

import pytest

import tallystick
from tallystick.http.exchange import Lane
from tallystick.http.express import ExpressProtocol
from tallystick.http.gate import Gate
from tests.harness import World, in_world, world
from tests.lanes import HOT, Connection, config_of, is_express, new_state
from tests.messages import CREDITS, HOST, USAGE, Field, message
from tests.tenants import key_of, tenant

PACKAGE: Final = Path(tallystick.__file__).parent
# Of a constructor that dataclasses or NamedTuple made, the code has no file.
GENERATED: Final = "<string>"

GET_CALLS: Final = 21
FAR_GET_CALLS: Final = 30
POST_CALLS: Final = 41
"""Between the client and the ledger; what the ledger does is shared by a batch."""
UNUSED: Final = 2
"""Versions of Python differ by a call or two."""


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Counts the calls of this package's functions, by room, in this thread."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            file = frame.f_code.co_filename
            if file == GENERATED:
                calls[GENERATED] += 1
            elif file.startswith(str(PACKAGE)):
                calls[Path(file).relative_to(PACKAGE).parts[0]] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def connect(w: World) -> Connection:
    lane = Lane(w.service, Gate(w.service), HOT)
    return Connection(
        ExpressProtocol(lane, config=config_of(w), server_state=new_state(), app_state={})
    )


async def key_field(w: World) -> Field:
    key = await key_of(w, await tenant(w, "Acme"))
    return b"Authorization", b"Bearer " + key["secret"].encode()


def get(key: Field) -> bytes:
    return message(b"GET", CREDITS, [HOST, key])


def post(key: Field, number: int) -> bytes:
    body = b'{"id": "evt-%d", "credits": 1}' % number
    kind, length = (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))
    return message(b"POST", USAGE, [HOST, key, kind, length], body)


def assert_within(calls: int, budget: int) -> None:
    assert calls <= budget, "a hot request calls more functions than it did"
    assert calls >= budget - UNUSED, "it calls fewer by now: lower the budget"


@in_world
async def test_a_repeated_get(w: World) -> None:
    key, connection = await key_field(w), connect(w)
    await connection.say(get(key), get(key))
    with counting() as calls:
        connection.wire.arrive(get(key))
    assert is_express(connection)
    assert connection.heard().answers.count(b" 200 OK\r\n") == 1
    print(dict(calls))
    assert_within(calls.total(), GET_CALLS)


@in_world
async def test_a_repeated_post(w: World) -> None:
    key, connection = await key_field(w), connect(w)
    await connection.say(post(key, 1), post(key, 2))
    with counting() as calls:
        connection.wire.arrive(post(key, 3))
        await connection.quiet()
    assert is_express(connection)
    assert connection.heard().answers.count(b" 201 Created\r\n") == 1
    print(dict(calls))
    assert_within(calls["http"] + calls["limits"], POST_CALLS)


def test_a_repeated_get_of_what_is_elsewhere() -> None:
    """The window and the balance each come later, from doubles of which nothing is counted."""

    async def scenario() -> None:
        async with world(far=Random(1)) as w:
            key, connection = await key_field(w), connect(w)
            await connection.say(get(key))
            await connection.say(get(key))
            connection.heard()
            with counting() as calls:
                connection.wire.arrive(get(key))
                await connection.quiet()
            assert is_express(connection)
            assert connection.heard().answers.count(b" 200 OK\r\n") == 1
            print(dict(calls))
            assert_within(calls["http"] + calls["ledger"] + calls[GENERATED], FAR_GET_CALLS)

    asyncio.run(scenario())


@in_world
async def test_hot_requests_leave_the_garbage_collector_nothing_to_find(w: World) -> None:
    """A full collection holds the loop, and is not worth a thing where nothing is in a cycle."""
    key, connection = await key_field(w), connect(w)
    await connection.say(get(key), post(key, 1))
    gc.collect()
    gc.disable()
    try:
        for number in range(2, 22):
            await connection.say(get(key), post(key, number), post(key, number))
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("calls", [0, GET_CALLS - UNUSED - 1, GET_CALLS + 1])
def test_a_budget_that_is_missed_or_out_of_date_fails(calls: int) -> None:
    with pytest.raises(AssertionError):
        assert_within(calls, GET_CALLS)
