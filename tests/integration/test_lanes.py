"""The same bytes down both lanes: the same answers, the same connection, the same ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

import pytest

from tests.lanes import HOT, Twins, twins
from tests.messages import (
    BAD_BODIES,
    CREDITS,
    HOST,
    HOSTILE_LINES,
    METHODS,
    ODD_FIELDS,
    ODD_HOSTS,
    TARGETS,
    TYPES,
    USAGE,
    Field,
    Senders,
    any_message,
    message,
    usual_get,
    usual_post,
    with_line,
)
from tests.tenants import Tenants, bearer_field, every_kind

CONVERSATIONS: Final = 250
MEBIBYTE: Final = 1 << 20
FAR: Final = pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
BODY: Final = b'{"id": "evt-%d", "credits": 1}'
CODINGS: Final[Sequence[Field]] = (
    (b"Transfer-Encoding", b"chunked"),
    (b"Transfer-Encoding", b"gzip, chunked"),
)


async def assert_same_state(both: Twins, tenants: Tenants) -> None:
    windows = [((name, operation.name), 1_000) for name in tenants.teamspaces for operation in HOT]
    await both.assert_same_state(windows)


def cut(rng: Random, data: bytes) -> list[bytes]:
    """The same bytes in some pieces."""
    places = sorted(rng.sample(range(1, len(data)), min(rng.randint(1, 4), len(data) - 1)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


async def converse(both: Twins, rng: Random, senders: Senders) -> int:
    """One connection, on which something is said, and mostly said again; how many requests."""
    make = rng.choice((any_message, usual_get, usual_post))
    messages = [make(rng, senders) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    said, times, manner = b"".join(messages), rng.choice((1, 2, 4)), rng.random()
    if b"transfer-encoding" in said.lower():
        # A request that breaks after its head may have been counted by then, or not: that depends
        # on how soon the one before it was answered.
        manner = 0
    pair = both.connect()
    for _ in range(times):
        if manner < 0.4:
            await pair.say(*messages)
        elif manner < 0.6:
            await pair.say(said)
        else:
            await pair.say(*cut(rng, said), at_once=rng.random() < 0.5)
    pair.hang_up()
    both.pass_time(ms=rng.choice((0, 1, 250, 999, 3_000)))
    return len(messages) * times


@pytest.mark.parametrize("seed", range(8))
@FAR
def test_whatever_is_said_is_answered_alike(seed: int, far: bool) -> None:
    async def scenario() -> None:
        rng = Random(seed)
        async with twins(far=far) as both:
            tenants = await both.each(every_kind)
            requests = sum(
                [await converse(both, rng, tenants.senders) for _ in range(CONVERSATIONS)]
            )
            await assert_same_state(both, tenants)
        tally = both.express.tally
        print(f"seed {seed}: {requests} requests, {tally}")
        # Both lanes were taken, and heads were remembered: else nothing has been compared.
        assert requests / 3 < tally.taken < requests * 2 / 3
        assert tally.known > requests / 20

    asyncio.run(scenario())


def key_field(tenants: Tenants) -> Field:
    return b"Authorization", b"Bearer " + tenants.senders.good[0]


def get(key: Field, *fields: Field) -> bytes:
    return message(b"GET", CREDITS, [HOST, key, *fields])


def post(key: Field, *fields: Field, body: bytes = BODY % 1) -> bytes:
    said = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
    return message(b"POST", USAGE, [HOST, key, *fields, *said], body)


def one_of_each(tenants: Tenants) -> list[bytes]:
    """Whatever makes a request unusual, once for each of the two operations."""
    key = key_field(tenants)
    usual = get(key), post(key)
    fields = [b"%b: %b" % field for field in ODD_FIELDS]
    kind = (b"Content-Type", b"application/json")
    return [
        *usual,
        *(with_line(good, line) for good in usual for line in (*fields, *HOSTILE_LINES)),
        *(with_line(good, b"Accept: application/problem+json\r\nTE: a") for good in usual),
        *(message(method, target, [HOST, key]) for method in METHODS for target in TARGETS),
        *(message(b"GET", target, [key], version=b"1.0") for target in TARGETS),
        *(post(key, body=body) for body in BAD_BODIES),
        *(post(key).replace(kind[1], one) for one in TYPES),
        message(b"POST", USAGE, [HOST, key, kind]),
        message(b"GET", CREDITS, [HOST, key, (b"Content-Length", b"4")], b"body"),
        *(message(b"POST", USAGE, [HOST, key, kind, one], b"0\r\n\r\n") for one in CODINGS),
        message(b"GET", CREDITS, [HOST]),
        message(b"POST", USAGE, [HOST]),
        message(b"GET", CREDITS, [key]),
        *(message(b"GET", CREDITS, [(b"Host", host), key]) for host in ODD_HOSTS),
    ]


@pytest.mark.parametrize("manner", ["whole", "byte by byte", "behind another", "before another"])
@FAR
def test_each_oddity_is_answered_alike(manner: str, far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            tenants = await both.each(every_kind)
            another = get(key_field(tenants))
            for said in one_of_each(tenants):
                # Longer ones differ in nothing but their length.
                drips = manner == "byte by byte" and len(said) < 1_000
                pair = both.connect()
                for _ in range(2):
                    if manner == "behind another":
                        await pair.say(another + said)
                    elif manner == "before another":
                        await pair.say(said + another)
                    elif drips:
                        await pair.say(
                            *(said[at : at + 1] for at in range(len(said))), at_once=True
                        )
                    else:
                        await pair.say(said)
                pair.hang_up()
                both.pass_time(ms=200)
            await assert_same_state(both, tenants)
            assert both.express.tally.taken > 80

    asyncio.run(scenario())


def representative(tenants: Tenants) -> Sequence[bytes]:
    key, stranger = key_field(tenants), (b"Authorization", b"Bearer nobody")
    chunks = b"5\r\n" + (BODY % 1)[:5] + b"\r\n18\r\n" + (BODY % 1)[5:] + b"\r\n0\r\n\r\n"
    chunked = [(b"Content-Type", b"application/json"), (b"Transfer-Encoding", b"chunked")]
    return (
        get(key),
        post(key),
        post(stranger),
        post(key, (b"Accept", b"application/problem+json"), body=b'{"id": 1}'),
        get(key) + post(key) + get(stranger),
        post(key) + post(key, body=BODY % 2) + b"GARBAGE\r\n\r\n",
        message(b"POST", USAGE, [HOST, key, *chunked], chunks),
        with_line(post(key), b"Content-Length: 3"),
        get(key, (b"Connection", b"close")) + get(key),
    )


@pytest.mark.parametrize("at_once", [True, False])
@FAR
def test_it_does_not_matter_where_the_bytes_are_cut(at_once: bool, far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            tenants = await both.each(every_kind)
            for said in representative(tenants):
                for place in range(1, len(said)):
                    pair = both.connect()
                    await pair.say(said[:place], said[place:], at_once=at_once)
                    pair.hang_up()
                    both.pass_time(ms=200)
            await assert_same_state(both, tenants)

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 2 * MEBIBYTE])
@pytest.mark.parametrize("secret", ["good", "refused"])
@FAR
def test_large_bodies_are_answered_alike(size: int, secret: str, far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            tenants = await both.each(every_kind)
            senders = tenants.senders
            named = senders.good[0] if secret == "good" else senders.refused[0]
            body = (BODY % 1).ljust(size)
            said = post((b"Authorization", b"Bearer " + named), body=body)
            pair = both.connect()
            pieces = [said[at : at + 65_536] for at in range(0, len(said), 65_536)]
            for at_once in (True, False):
                heard = await pair.say(*pieces, at_once=at_once)
                within = size <= MEBIBYTE
                expected = b"401" if secret == "refused" else b"20" if within else b"413"
                assert heard.answers.startswith(b"HTTP/1.1 " + expected)
            await assert_same_state(both, tenants)

    asyncio.run(scenario())


@pytest.mark.parametrize("limit", [1, 2])
@FAR
def test_the_window_counts_from_the_head_however_late_the_body_comes(limit: int, far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            limits = {"book_usage": limit}
            key = await both.each(lambda w: bearer_field(w, rate_limits=limits))
            pair, said = both.connect(), post(key)
            first = both.express.w.clock() // 1_000_000
            await pair.say(said[:-9])
            both.pass_time(ms=20_000)
            heard = await pair.say(said[-9:])
            assert heard.answers.startswith(b"HTTP/1.1 201")
            assert b"\r\nx-ratelimit-reset: %d\r\n" % (first + 60) in heard.answers
            assert (b"\r\nretry-after: 40\r\n" in heard.answers) == (limit == 1)

    asyncio.run(scenario())
