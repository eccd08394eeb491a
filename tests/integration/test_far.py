"""Requests whose key, window and balance are asked for elsewhere: who waits, and who leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

import pytest

from tallystick.ledger.coalesce import Coalescer
from tallystick.ledger.reading import Page
from tallystick.limits.policy import LimiterUnavailable
from tests.harness import World, in_world, world
from tests.lanes import (
    Connection,
    Heard,
    Pair,
    Side,
    common_side,
    express_side,
    is_express,
    twins,
)
from tests.later import HeldLimiter, LaterReader, Unreachable
from tests.messages import CREDITS, HOST, USAGE, Field, message
from tests.tenants import bearer_field, command, key_of, tenant

ALL: Final = Page(10)
GONE: Final = LimiterUnavailable("by order of the test", 1_500)
LANES: Final = pytest.mark.parametrize(
    "lane", [express_side, common_side], ids=["express", "common"]
)
Lane = Callable[[World], Side]


def get(key: Field) -> bytes:
    return message(b"GET", CREDITS, [HOST, key])


def post(key: Field, number: int = 1) -> bytes:
    body = b'{"id": "evt-%d", "credits": 1}' % number
    kind, length = (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))
    return message(b"POST", USAGE, [HOST, key, kind, length], body)


def answers(heard: Heard) -> list[tuple[int, Any]]:
    """Status and body of each."""
    found, rest = [], heard.answers
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append((int(head.split()[1]), json.loads(rest[:length])))
        rest = rest[length:]
    return found


def statuses(heard: Heard) -> list[int]:
    return [status for status, _ in answers(heard)]


def hold(w: World) -> HeldLimiter:
    """From now on, windows answer when the test lets them."""
    w.service.limiter = held = HeldLimiter(w.service.limiter)
    return held


async def turns() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


# ── order ──


@LANES
@pytest.mark.parametrize("seed", range(3))
def test_each_connection_has_its_answers_in_order(lane: Lane, seed: int) -> None:
    """Whatever comes back first: on each, every read sees what was booked before it there."""

    async def scenario() -> None:
        async with world(far=Random(seed)) as w:
            key, side = await bearer_field(w), lane(w)
            crowd = [side.connect() for _ in range(20)]
            for number, connection in enumerate(crowd):
                for turn in range(3):
                    connection.wire.arrive(post(key, 10 * number + turn) + get(key) + get(key))
            for number, connection in enumerate(crowd):
                await connection.quiet()
                found = answers(connection.heard())
                assert [status for status, _ in found] == [201, 200, 200] * 3
                booked = [body["id"] for _, body in found[::3]]
                assert booked == [f"evt-{10 * number + turn}" for turn in range(3)]
                seen = [body["consumed"] for _, body in found]
                assert seen == sorted(seen)
            [(_, body)] = answers(await crowd[0].say(get(key)))
            assert body["consumed"] == 60

    asyncio.run(scenario())


def test_the_express_lane_makes_no_task_for_what_it_waits_for() -> None:
    async def scenario() -> None:
        async with world(far=Random(1)) as w:
            keys, side = [await bearer_field(w) for _ in range(9)], express_side(w)
            made: list[str] = []
            asyncio.get_running_loop().set_task_factory(
                lambda loop, work, **_: note(made, loop, work)
            )
            for key in keys:
                # New, marked, remembered, and known by its head: one after the other.
                connection = side.connect()
                for said in [get(key), post(key), post(key, 2)] * 3:
                    assert answers(await connection.say(said))[0][0] in {200, 201}
                    assert is_express(connection)
            flights = [name for name in made if name.startswith(Coalescer.__name__)]
            assert len(flights) == len(made) == 6 * len(keys)

    asyncio.run(scenario())


def note(
    made: list[str], loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]
) -> asyncio.Task[Any]:
    made.append(getattr(work, "__qualname__", ""))
    return asyncio.Task(work, loop=loop)


@LANES
@in_world
async def test_who_is_pipelined_behind_one_who_waits_comes_after_them(w: World, lane: Lane) -> None:
    key = await bearer_field(w)
    held, connection = hold(w), lane(w).connect()
    connection.wire.arrive(post(key) + get(key))
    connection.wire.arrive(get(key))
    await turns()
    assert (len(held), connection.heard().answers) == (1, b"")
    found = []
    for _ in range(3):
        held.let_go()
        await written(connection)
        await turns()
        found += answers(connection.heard())
    assert [(status, body["consumed"]) for status, body in found] == [(201, 1), (200, 1), (200, 1)]


async def written(connection: Connection) -> None:
    """Returns when something has been answered."""
    async with asyncio.timeout(20):
        while not connection.wire.sent:
            connection.wire.news.clear()
            await connection.wire.news.wait()


# ── bodies that come before the verdict, or after it ──


@pytest.mark.parametrize("limit", [0, 1_000], ids=["refused", "admitted"])
@pytest.mark.parametrize("cut_at", [1, 9, 29])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("body_first", [False, True])
def test_body_and_verdict_may_come_in_either_order(
    limit: int, cut_at: int, known: bool, body_first: bool
) -> None:
    async def scenario() -> None:
        async with twins() as both:
            key = await both.each(lambda w: bearer_field(w, rate_limits={"book_usage": limit}))
            held = [hold(side.w) for side in (both.express, both.common)]
            pair = both.connect()
            said = post(key)
            if known:
                for _ in range(2):
                    await say_and_let_go(pair, held, said)
                assert pair.express.heard() == pair.common.heard()
            for connection, limiter in zip((pair.express, pair.common), held, strict=True):
                connection.wire.arrive(said[:-cut_at])
                await turns()
                if not body_first:
                    limiter.let_go()
                    await turns()
                connection.wire.arrive(said[-cut_at:])
                await turns()
                limiter.let_go()
                await connection.quiet()
            heard = pair.express.heard()
            assert heard == pair.common.heard()
            assert statuses(heard) == [429 if limit == 0 else 200 if known else 201]
            # What follows on the connection is read as what it is.
            await say_and_let_go(pair, held, get(key))
            assert statuses(pair.express.heard()) == statuses(pair.common.heard()) == [200]
            await both.assert_same_state([])

    asyncio.run(scenario())


async def say_and_let_go(pair: Pair, held: list[HeldLimiter], said: bytes) -> None:
    for connection, limiter in zip((pair.express, pair.common), held, strict=True):
        connection.wire.sent.clear()
        connection.wire.arrive(said)
        await turns()
        limiter.let_go()
        await connection.quiet()


@pytest.mark.parametrize("ms", [999, 1_000])
@LANES
@in_world
async def test_a_key_that_ends_while_the_window_is_asked(w: World, ms: int, lane: Lane) -> None:
    """As while a body arrives: within a second it passes, after that it is looked at again."""
    acme = await tenant(w, "Acme")
    made = await key_of(w, acme)
    key = b"Authorization", b"Bearer " + made["secret"].encode()
    connection = lane(w).connect()
    for number in range(3):
        await connection.say(post(key, number))
    connection.heard()
    admin = w.service.limiter
    held = hold(w)
    connection.wire.arrive(post(key, 7))
    await turns()
    w.service.limiter = admin
    await command(w, "DELETE", acme, f"/keys/{made['id']}")
    w.clock.now += ms * 1_000
    held.let_go()
    await connection.quiet()
    assert statuses(connection.heard()) == [201 if ms < 1_000 else 401]


# ── who leaves ──


@LANES
@pytest.mark.parametrize("known", [False, True])
@in_world
async def test_who_leaves_before_the_verdict_books_nothing(
    w: World, lane: Lane, known: bool
) -> None:
    key, side = await bearer_field(w), lane(w)
    if known:
        for _ in range(2):
            await side.connect().say(post(key, 0))
    held = hold(w)
    crowd = [side.connect() for _ in range(4)]
    for number, connection in enumerate(crowd, 1):
        connection.wire.arrive(post(key, number))
    await turns()
    assert len(held) == 4
    crowd[0].wire.hang_up()
    crowd[2].wire.hang_up()
    held.let_go()
    for connection in (crowd[1], crowd[3]):
        await connection.quiet()
        assert statuses(connection.heard()) == [201]
    reader = side.connect()
    reader.wire.arrive(get(key))
    await turns()
    held.let_go()
    await reader.quiet()
    [(_, body)] = answers(reader.heard())
    assert body["consumed"] == 2 + known


@LANES
def test_who_leaves_while_a_key_is_looked_up_disturbs_nobody(lane: Lane) -> None:
    """They wait for one look-up, which none of them may take from the others."""

    async def scenario() -> None:
        async with world(far=Random(3)) as w:
            key, reader = await bearer_field(w), w.service.reads.reader
            assert isinstance(reader, LaterReader)
            reader.asked.clear()
            crowd = [lane(w).connect() for _ in range(6)]
            for connection in crowd:
                connection.wire.arrive(get(key))
            await asyncio.sleep(0)
            for connection in crowd[::2]:
                connection.wire.hang_up()
                for task in connection.protocol.tasks:
                    task.cancel()
            for connection in crowd[1::2]:
                await connection.quiet()
                assert statuses(connection.heard()) == [200]
            assert len([name for name in reader.asked if isinstance(name, bytes)]) == 1

    asyncio.run(scenario())


@in_world
async def test_a_server_that_ends_answers_who_waits_for_a_window(w: World) -> None:
    key, side = await bearer_field(w), express_side(w)
    await side.connect().say(get(key), get(key))
    held, connection = hold(w), side.connect()
    connection.wire.arrive(get(key))
    connection.protocol.shutdown()
    assert not connection.heard().is_closed
    held.let_go()
    await connection.quiet()
    heard = connection.heard()
    assert (statuses(heard), heard.is_closed) == ([200], True)
    assert b"\r\nconnection: close\r\n\r\n" in heard.answers


# ── a limiter that cannot be asked ──


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("stranger", [False, True])
def test_a_limiter_that_is_gone_is_answered_alike(at_once: bool, stranger: bool) -> None:
    async def scenario() -> None:
        async with twins() as both:
            key = await both.each(bearer_field)
            pair = both.connect()
            for _ in range(2):
                await pair.say(get(key))
                await pair.say(post(key))
            held = []
            for side in (both.express, both.common):
                broken = Unreachable(GONE) if at_once else HeldLimiter(side.w.service.limiter)
                side.w.service.limiter = side.w.service.strangers = broken
                if isinstance(broken, HeldLimiter):
                    broken.failure = GONE
                    held.append(broken)
            asked = (b"Authorization", b"Bearer nobody") if stranger else key
            for said in (get(asked), post(asked, 2), get(asked)):
                for connection in (pair.express, pair.common):
                    connection.wire.arrive(said)
                await turns()
                for limiter in held:
                    limiter.let_go()
                await pair.express.quiet()
                await pair.common.quiet()
                heard = pair.express.heard()
                assert heard == pair.common.heard()
                [(status, body)] = answers(heard)
                assert (status, body["error"], body["retryable"]) == (
                    503,
                    "service_unavailable",
                    True,
                )
                assert b"\r\nretry-after: 2\r\n" in heard.answers
                assert not heard.is_closed
            assert await entries_booked(both.express.w) == await entries_booked(both.common.w) == 1

    asyncio.run(scenario())


async def entries_booked(w: World) -> int:
    rows = w.service.reads
    [name] = [each.id for each in await rows.reader.organizations(ALL)]
    balance = await rows.balance(name)
    assert balance is not None
    return balance.state.consumed // 1_000_000


# ── what is counted ──


@LANES
@in_world
async def test_refusals_by_the_window_are_counted_by_operation(w: World, lane: Lane) -> None:
    key = await bearer_field(w, rate_limits={"get_credits": 2, "book_usage": 0})
    connection = lane(w).connect()
    for said in [get(key)] * 5 + [post(key)] * 2:
        await connection.say(said)
    stranger = b"Authorization", b"Bearer nobody"
    for _ in range(32):
        await connection.say(get(stranger))
    assert w.service.throttled == {"get_credits": 3 + 2, "book_usage": 2}
