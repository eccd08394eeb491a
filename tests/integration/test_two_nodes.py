"""Two nodes: what is changed at one is in force at the other within a second."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.server import Json, Server
from tests.servers.postgres import Postgres
from tests.sizes import running_nodes
from tests.sockets import CREDITS, USAGE, Answer, Connection, connected

AT_MOST_SECONDS: Final = 1.0
AGAIN: Final = 8
"""Answers that have to stay as they are once the change is in force."""


class Tenant(NamedTuple):
    organization: Json
    key: Json

    @property
    def home(self) -> str:
        return str(self.organization["default_teamspace_id"])


class Change(NamedTuple):
    """What an operator does at one node, and what a client sees at the other.

    `sees` finds what matters in an answer; it is `before` until it is `after` for ever.
    """

    act: Callable[[Server, Tenant], object]
    before: object
    after: object
    method: str = "GET"
    sees: Callable[[Answer], object] = lambda answer: answer.status
    event: Json = {"credits": 0}  # noqa: RUF012 - nobody changes it


def do(method: str, path: str, body: Json | None = None) -> Callable[[Server, Tenant], object]:
    def act(node: Server, tenant: Tenant) -> object:
        place = path.format(key=tenant.key["id"], home=tenant.home)
        url = f"{node.base_url}/admin/organizations/{tenant.organization['id']}{place}"
        return node.admin.request(method, url, json=body).raise_for_status()

    return act


def limit_of(answer: Answer) -> object:
    return answer.headers["x-ratelimit-limit"]


def booked(answer: Answer) -> object:
    return answer.body.get("credits", answer.status)


def price_anew(node: Server, _: Tenant) -> object:
    price = {"meter": "pages", "credits": 5, "effective_at": "2020-02-01T00:00:00Z"}
    return node.post("/prices", price)


NO_LIMIT: Final = "1000000"
PAGES: Final = {"meter": "pages", "quantity": 1}
CHANGES: Final = {
    "a key is revoked": Change(do("DELETE", "/keys/{key}"), 200, 401),
    "a key is rotated": Change(do("POST", "/keys/{key}/rotate"), 200, 401),
    "an organization is limited": Change(
        do("PATCH", "", {"rate_limits": {"get_credits": 5_000}}), NO_LIMIT, "5000", sees=limit_of
    ),
    "a teamspace is limited": Change(
        do("PATCH", "/teamspaces/{home}", {"rate_limits": {"get_credits": 5_000}}),
        NO_LIMIT,
        "5000",
        sees=limit_of,
    ),
    "an organization is suspended": Change(do("POST", "/suspend"), 201, 403, "POST"),
    "an allowance is raised": Change(
        do("PATCH", "", {"allowance": 500, "apply": "now"}),
        100,
        500,
        sees=lambda answer: answer.body["total"],
    ),
    "overage is allowed": Change(
        do("PATCH", "", {"overage": {"mode": "allow"}}),
        402,
        201,
        "POST",
        event={"credits": 1_000},
    ),
    "a budget is set": Change(
        do("PUT", "/budgets/{home}", {"limit": 0}), 201, 402, "POST", event={"credits": 0.000001}
    ),
    "a price is written": Change(price_anew, 1, 5, "POST", sees=booked, event=PAGES),
}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, durable: Postgres) -> Iterator[list[Server]]:
    folder = tmp_path_factory.mktemp("nodes")
    with running_nodes(folder, durable.empty_database()) as nodes:
        price = {"meter": "pages", "credits": 1, "effective_at": "2020-01-01T00:00:00Z"}
        nodes[0].post("/prices", price)
        yield nodes


class Client:
    """Asks the same again and again."""

    def __init__(self, connection: Connection, change: Change) -> None:
        self._connection = connection
        self._change = change
        self._numbers = itertools.count()

    async def see(self) -> object:
        change = self._change
        if change.method == "GET":
            answer = await self._connection.ask("GET", CREDITS)
        else:
            event: dict[str, Any] = {"id": f"evt-{next(self._numbers)}", **change.event}
            answer = await self._connection.ask("POST", USAGE, event)
        return change.sees(answer)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_in_force_within_a_second(nodes: list[Server], name: str) -> None:
    change = CHANGES[name]
    here, there = nodes
    acme = here.organization(allowance=100)
    key = here.post(f"/organizations/{acme['id']}/keys", {"name": "A key"})

    async def watch() -> None:
        async with connected(there.url, key["secret"]) as connection:
            client = Client(connection, change)
            for _ in range(AGAIN):
                assert await client.see() == change.before
            await asyncio.to_thread(change.act, here, Tenant(acme, key))
            changed = asked = time.monotonic()
            while (seen := await client.see()) != change.after:
                assert seen == change.before
                assert asked - changed <= AT_MOST_SECONDS
                asked = time.monotonic()
            for _ in range(AGAIN):
                assert await client.see() == change.after

    asyncio.run(watch())
