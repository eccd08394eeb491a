"""What requests on the express lane wait for that is no balance, window or batch: rare, and asked
of the database by whatever means it has."""

from __future__ import annotations

import json
from typing import Any

from tests.harness import SECOND, World, in_world
from tests.lanes import Connection, express_side, is_express
from tests.messages import CREDITS, HOST, USAGE, Field, message
from tests.pricing import price_of
from tests.tenants import Json, bearer_field, key_of, tenant

DAY = 24 * 3600
Answered = tuple[int, Any]


async def get(connection: Connection, *fields: Field) -> Answered:
    return await answered(connection, message(b"GET", CREDITS, [HOST, *fields]))


async def post(connection: Connection, key: Field, **event: object) -> Answered:
    return await answered(connection, *posted(key, **event))


def posted(key: Field, **event: object) -> tuple[bytes, bytes]:
    """A head and its body."""
    body = json.dumps(event).encode()
    kind, length = (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))
    return message(b"POST", USAGE, [HOST, key, kind, length]), body


async def answered(connection: Connection, *pieces: bytes) -> Answered:
    heard = await connection.say(*pieces)
    assert is_express(connection)
    return int(heard.answers.split()[1]), json.loads(heard.answers.partition(b"\r\n\r\n")[2])


def account_key(made: Json) -> Field:
    return b"Authorization", b"Bearer " + made["secret"].encode()


@in_world
async def test_a_teamspace_of_nobody(w: World) -> None:
    key = account_key(await key_of(w, await tenant(w, "Acme"), level="account"))
    status, body = await get(express_side(w).connect(), key, (b"Datagrid-Teamspace", b"ts_nobody"))
    assert (status, body["error"]) == (404, "resource_not_found")


@in_world
async def test_a_balance_where_something_has_fallen_due(w: World) -> None:
    key = await bearer_field(w, allowance=10)
    connection = express_side(w).connect()
    assert (await post(connection, key, id="a", credits=4))[0] == 201
    for days, consumed in (0, 4), (40, 0):
        w.clock.now += days * DAY * SECOND
        status, body = await get(connection, key)
        assert (status, body["consumed"], body["total"]) == (200, consumed, 10)


@in_world
async def test_usage_that_a_price_rates(w: World) -> None:
    key = await bearer_field(w, allowance=10)
    await price_of(w, "tokens", credits=3, per=1000)
    event = {"id": "a", "meter": "tokens", "quantity": 500}
    status, body = await post(express_side(w).connect(), key, **event)
    assert (status, body["credits"]) == (201, 1.5)


@in_world
async def test_a_key_that_is_looked_at_again_when_the_body_has_come(w: World) -> None:
    key = await bearer_field(w, allowance=10)
    connection = express_side(w).connect()
    head, body = posted(key, id="a", credits=1)
    await connection.say(head)
    w.clock.advance(seconds=5)
    assert (await answered(connection, body))[0] == 201
