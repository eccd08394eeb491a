"""What another node changes is in force here within a second, on both lanes and under load."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import pytest

from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import StoreUnavailable
from tests.harness import World, world
from tests.lanes import Connection, Side, common_side, express_side
from tests.later import LaterReader
from tests.messages import CREDITS, HOST, Field, message
from tests.tenants import Json, command, key_of, teamspace, tenant

LANES: Final = pytest.mark.parametrize(
    "lane", [express_side, common_side], ids=["express", "common"]
)
STEP_MS: Final = 50
Lane = Callable[[World], Side]
Change = Callable[[World, Json, Json], Awaitable[Any]]


async def revoke(w: World, acme: Json, key: Json) -> None:
    await command(w, "DELETE", acme, f"/keys/{key['id']}")


async def rotate(w: World, acme: Json, key: Json) -> None:
    await command(w, "POST", acme, f"/keys/{key['id']}/rotate", overlap_seconds=0)


async def forbid(w: World, acme: Json, _: Json) -> None:
    await command(w, "PATCH", acme, "", rate_limits={"get_credits": 0})


async def forbid_in_teamspace(w: World, acme: Json, _: Json) -> None:
    path = f"/teamspaces/{acme['default_teamspace_id']}"
    await command(w, "PATCH", acme, path, rate_limits={"get_credits": 0})


CHANGES: Final[dict[Change, int]] = {
    revoke: 401,
    rotate: 401,
    forbid: 429,
    forbid_in_teamspace: 429,
}


def at_another_node(w: World) -> None:
    """From now on nothing of what is written is told here."""
    w.service.ledger = Ledger(w.service.ledger.store)


def reads(key: Json, *fields: Field) -> bytes:
    bearer = b"Authorization", b"Bearer " + key["secret"].encode()
    return message(b"GET", CREDITS, [HOST, bearer, *fields])


async def status(connection: Connection, said: bytes) -> int:
    heard = await connection.say(said)
    return int(heard.answers.split(b" ", 2)[1])


@LANES
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("kind", ["organization", "account", "elsewhere"])
@pytest.mark.parametrize("phase_ms", [0, 130, 460])
def test_it_is_in_force_within_a_second(
    change: Change, lane: Lane, kind: str, phase_ms: int
) -> None:
    async def scenario() -> None:
        async with world(far=Random(5)) as w:
            acme = await tenant(w, "Acme")
            level = "organization" if kind == "organization" else "account"
            key = await key_of(w, acme, level=level)
            second = await teamspace(w, acme, "Second")
            named = [(b"Datagrid-Teamspace", second["id"].encode())] if kind == "elsewhere" else []
            if kind == "elsewhere":
                acme["default_teamspace_id"] = second["id"]
            connection, said = lane(w).connect(), reads(key, *named)
            at_another_node(w)
            for _ in range(1_000 + phase_ms, 0, -STEP_MS):
                assert await status(connection, said) == 200
                w.clock.now += STEP_MS * 1_000
            await change(w, acme, key)
            found = []
            for _ in range(0, 1_400, STEP_MS):
                found.append(await status(connection, said))
                w.clock.now += STEP_MS * 1_000
            late = found[1_000 // STEP_MS :]
            assert set(late) == {CHANGES[change]}
            # It was remembered indeed, and what changes is in force from one request to the next.
            assert found[0] == 200
            assert found == sorted(found)

    asyncio.run(scenario())


@LANES
def test_a_body_adds_nothing_to_the_second(lane: Lane) -> None:
    """A key that was read 0.9 s ago is looked at again where the body comes 0.2 s later."""

    async def scenario() -> None:
        async with world(far=Random(5)) as w:
            acme = await tenant(w, "Acme")
            key = await key_of(w, acme)
            bearer = b"Authorization", b"Bearer " + key["secret"].encode()
            body = b'{"id": "evt-1", "credits": 1}'
            length = b"Content-Length", b"%d" % len(body)
            fields = [HOST, bearer, (b"Content-Type", b"application/json"), length]
            said = message(b"POST", CREDITS + b"/usage", fields, body)
            connection = lane(w).connect()
            assert await status(connection, said) == 201
            at_another_node(w)
            await revoke(w, acme, key)
            reader = w.service.reads.reader
            assert isinstance(reader, LaterReader)
            # Asked ahead, it would be found sooner.
            reader.failure = StoreUnavailable("by order of the test")
            w.clock.now += 900_000
            connection.wire.arrive(said[:-9])
            await connection.quiet()
            assert connection.heard().answers == b""
            reader.failure = None
            w.clock.now += 200_000
            assert await status(connection, said[-9:]) == 401

    asyncio.run(scenario())


@LANES
def test_a_store_that_is_gone_ends_it_with_503(lane: Lane) -> None:
    async def scenario() -> None:
        async with world(far=Random(5)) as w:
            key = await key_of(w, await tenant(w, "Acme"))
            connection, said = lane(w).connect(), reads(key)
            for _ in range(3):
                assert await status(connection, said) == 200
            reader = w.service.reads.reader
            assert isinstance(reader, LaterReader)
            reader.failure = StoreUnavailable("by order of the test")
            found = Counter[int]()
            for _ in range(0, 1_000, STEP_MS):
                found[await status(connection, said)] += 1
                w.clock.now += STEP_MS * 1_000
            assert found == {200: 1_000 // STEP_MS}
            for _ in range(3):
                assert await status(connection, said) == 503
            reader.failure = None
            assert await status(connection, said) == 200

    asyncio.run(scenario())
