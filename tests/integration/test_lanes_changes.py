"""What changes between two requests, or within one, is in force on both lanes alike and at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from tests.harness import World
from tests.lanes import Heard, twins
from tests.messages import CREDITS, HOST, USAGE, Field, message
from tests.tenants import Json, command, key_of, teamspace, tenant

BODY: Final = b'{"id": "evt-1", "credits": 1}'
FAR: Final = pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
TYPE: Final = (b"Content-Type", b"application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organization, a key of it, and a second teamspace in which the key may act."""

    organization: Json
    key: Json
    second: Json

    def fields(self, *, elsewhere: bool) -> list[Field]:
        named = [(b"Datagrid-Teamspace", self.second["id"].encode())] if elsewhere else []
        return [HOST, (b"Authorization", b"Bearer " + self.key["secret"].encode()), *named]


async def settle(w: World) -> Tenant:
    acme = await tenant(w, "Acme")
    second = await teamspace(w, acme, "Second")
    key = await key_of(w, acme, level="account", expires_at=w.clock.text(seconds=3600))
    return Tenant(organization=acme, key=key, second=second)


def get(t: Tenant, *, elsewhere: bool) -> bytes:
    return message(b"GET", CREDITS, t.fields(elsewhere=elsewhere))


def post(t: Tenant, *, elsewhere: bool, body: bytes = BODY) -> bytes:
    fields = [*t.fields(elsewhere=elsewhere), TYPE, (b"Content-Length", b"%d" % len(body))]
    return message(b"POST", USAGE, fields, body)


def status(heard: Heard) -> int:
    return int(heard.answers.split(b" ", 2)[1])


Change = Callable[[World, Tenant], Awaitable[Any]]


async def revoke(w: World, t: Tenant) -> None:
    await command(w, "DELETE", t.organization, f"/keys/{t.key['id']}")


async def rotate(w: World, t: Tenant) -> None:
    await command(w, "POST", t.organization, f"/keys/{t.key['id']}/rotate", overlap_seconds=0)


async def rotate_with_overlap(w: World, t: Tenant) -> None:
    await command(w, "POST", t.organization, f"/keys/{t.key['id']}/rotate", overlap_seconds=9)


async def let_the_overlap_pass(w: World, t: Tenant) -> None:
    await rotate_with_overlap(w, t)
    w.clock.advance(seconds=9)


async def expire(w: World, t: Tenant) -> None:
    w.clock.advance(seconds=3600)


async def forbid(w: World, t: Tenant) -> None:
    limits = {"get_credits": 0, "book_usage": 0}
    await command(w, "PATCH", t.organization, "", rate_limits=limits)


async def suspend(w: World, t: Tenant) -> None:
    await command(w, "POST", t.organization, "/suspend")


async def close(w: World, t: Tenant) -> None:
    await command(w, "POST", t.organization, "/close")


async def grant(w: World, t: Tenant) -> None:
    path = f"/v1/admin/organizations/{t.organization['id']}/grants"
    answer = await w.send("POST", path, w.admin, {"amount": 5, "kind": "top_up"})
    assert answer.status_code == 201, answer.text


async def renew(w: World, t: Tenant) -> None:
    """A new billing period; the key has ended by then, unless it has no end."""
    w.clock.set("2026-04-01T00:00:00Z")


# What comes of a GET and of a POST afterwards.
CHANGES: Final[dict[Change, tuple[int, int]]] = {
    revoke: (401, 401),
    rotate: (401, 401),
    rotate_with_overlap: (200, 200),
    let_the_overlap_pass: (401, 401),
    expire: (401, 401),
    forbid: (429, 429),
    suspend: (200, 200),
    close: (200, 200),
    grant: (200, 200),
    renew: (401, 401),
}


def named(change: Change) -> str:
    return getattr(change, "__name__", "")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["at home", "elsewhere"])
@pytest.mark.parametrize("change", CHANGES, ids=named)
@FAR
def test_it_is_in_force_for_heads_that_are_remembered(
    change: Change, elsewhere: bool, far: bool
) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            t = await both.each(settle)
            said = get(t, elsewhere=elsewhere), post(t, elsewhere=elsewhere)
            pair = both.connect()
            for one in (*said, *said, *said):
                assert status(await pair.say(one)) in {200, 201}
            assert both.express.tally.known >= 2
            await both.each(lambda w: change(w, t))
            for one, expected in zip(said * 2, CHANGES[change] * 2, strict=True):
                assert status(await pair.say(one)) == expected
            new = post(t, elsewhere=elsewhere, body=BODY.replace(b"1", b"2", 1))
            expected = 403 if change in (suspend, close) else CHANGES[change][1]
            assert status(await pair.say(new)) == (201 if expected == 200 else expected)
            await both.assert_same_state([])

    asyncio.run(scenario())


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("of_teamspace", [False, True])
@FAR
def test_a_limit_counts_what_was_there_before_it(limit: int, of_teamspace: bool, far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            t = await both.each(settle)
            said, pair = get(t, elsewhere=False), both.connect()
            await pair.say(said)
            path = f"/teamspaces/{t.organization['default_teamspace_id']}" if of_teamspace else ""
            limits = {"get_credits": limit}
            await both.each(lambda w: command(w, "PATCH", t.organization, path, rate_limits=limits))
            answers = [status(await pair.say(said)) for _ in range(4)]
            assert answers == [200] * (limit - 1) + [429] * (5 - limit)
            both.pass_time(ms=60_000)
            assert status(await pair.say(said)) == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "proxies", [frozenset[str](), frozenset({"198.51.100.1"})], ids=["", "proxy"]
)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["at home", "elsewhere"])
@pytest.mark.parametrize("ms", [999, 1_000])
@pytest.mark.parametrize("change", [revoke, rotate, grant], ids=named)
@FAR
def test_it_is_in_force_for_a_body_that_took_its_time(
    change: Change, ms: int, elsewhere: bool, proxies: frozenset[str], far: bool
) -> None:
    """Within a second a request whose key was good passes; after that the key is looked at anew."""

    async def scenario() -> None:
        async with twins(far=far) as both:
            for side in (both.express, both.common):
                side.w.service.trusted_proxies = proxies
            t = await both.each(settle)
            said, pair = post(t, elsewhere=elsewhere), both.connect()
            await pair.say(said)
            # Whoever was looked up is remembered, until something changes.
            await pair.say(said[:-9])
            await both.each(lambda w: change(w, t))
            both.pass_time(ms=ms)
            ended = change is not grant and ms == 1_000
            assert status(await pair.say(said[-9:])) == (401 if ended else 200)
            # The head was found before the change: it means nothing, and holds a secret.
            assert both.express.lane is not None
            found = both.express.lane.heads.get(said[: -len(BODY)])
            assert found is None or change is grant
            assert status(await pair.say(said)) == (200 if change is grant else 401)
            await both.assert_same_state([])

    asyncio.run(scenario())


@FAR
def test_who_was_shown_out_is_not_told_what_is_wrong_with_the_body(far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            t = await both.each(settle)
            said = post(t, elsewhere=False).replace(TYPE[1], b"text/plain")
            pair = both.connect()
            await pair.say(said[:-9])
            await both.each(lambda w: revoke(w, t))
            both.pass_time(ms=1_000)
            assert status(await pair.say(said[-9:])) == 401

    asyncio.run(scenario())


@FAR
def test_a_change_while_requests_wait_for_the_ledger_comes_after_them(far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            t = await both.each(settle)
            for side in (both.express, both.common):
                connection = side.connect()
                connection.wire.arrive(post(t, elsewhere=False))
                await revoke(side.w, t)
                await connection.quiet()
                assert status(connection.heard()) == 201
                assert status(await connection.say(post(t, elsewhere=False))) == 401
            await both.assert_same_state([])

    asyncio.run(scenario())


@FAR
def test_it_is_in_force_for_a_key_without_an_end_as_well(far: bool) -> None:
    async def scenario() -> None:
        async with twins(far=far) as both:
            t = await both.each(settle)
            key = await both.each(lambda w: key_of(w, t.organization))
            t = replace(t, key=key)
            said, pair = get(t, elsewhere=False), both.connect()
            spent = await pair.say(post(t, elsewhere=False))
            assert status(spent) == 201
            before = [(await pair.say(said)).answers.rpartition(b"\r\n")[2] for _ in range(2)]
            assert before == [b'{"remaining":9999,"consumed":1,"total":10000}'] * 2
            await both.each(lambda w: renew(w, t))
            after = (await pair.say(said)).answers.rpartition(b"\r\n")[2]
            assert after == b'{"remaining":10000,"consumed":0,"total":10000}'

    asyncio.run(scenario())
