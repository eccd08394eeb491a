"""The answer is lost after the commit, and the client sends its request again."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from datagrid_ai import AsyncDatagrid

from tests.faults.sites import Site
from tests.faults.spenders import figures, micro
from tests.server import Json
from tests.sockets import USAGE, Answer, connected, crowd

CLIENTS = 50


class Thief:
    """Passes requests on to servers, in turn, and keeps the first answers for itself."""

    def __init__(self, urls: Sequence[str], thefts: int) -> None:
        self.stolen: list[bytes] = []
        self.url = ""
        self._targets = itertools.cycle(map(urlsplit, urls))
        self._thefts = thefts

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Thief]:
        door = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        host, port = door.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        async with door:
            yield self

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer, which comes in one piece as the request does."""
        target = next(self._targets)
        behind, ahead = await asyncio.open_connection(target.hostname, target.port)
        ahead.write(await _message(reader))
        answer = await _message(behind)
        if len(self.stolen) < self._thefts:
            self.stolen.append(answer)
        else:
            writer.write(answer)
            await writer.drain()
        for each in (ahead, writer):
            each.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A whole request or answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0].partition(b":")[2]))


@pytest.mark.parametrize("thefts", [1, 2])
def test_the_official_client_gets_the_first_receipt(site: Site, thefts: int) -> None:
    acme = site.operator.organization(allowance=100)
    secret = site.operator.key(acme)
    stolen, received = asyncio.run(book_past_a_thief(site.urls, secret, thefts))
    assert stolen[0] == {**received, "status": "booked"}
    assert [receipt["status"] for receipt in [*stolen[1:], received]] == ["duplicate"] * thefts
    facts = site.facts()[acme["id"]]
    assert (list(facts.booked), facts.consumed) == (["evt-1"], micro(2.5))


async def book_past_a_thief(
    urls: Sequence[str], secret: str, thefts: int
) -> tuple[list[Json], Json]:
    """What the thief kept, and what the client was told in the end."""
    async with Thief(urls, thefts).at_work() as thief:
        client = AsyncDatagrid(base_url=f"{thief.url}/v1", api_key=secret)
        body = {"id": "evt-1", "credits": 2.5}
        received = await client.post("/organization/credits/usage", body=body, cast_to=Json)
        await client.close()
    return [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in thief.stolen], received


def test_who_hangs_up_at_once_is_booked_at_most_once(site: Site) -> None:
    acme = site.operator.organization(allowance=1000)
    answers = asyncio.run(hang_up_and_come_back(site.urls, site.operator.key(acme)))
    for first, second in answers:
        assert first.status in {200, 201}
        assert (second.status, figures(second)) == (200, figures(first))
    facts = site.facts()[acme["id"]]
    assert len(facts.booked) == CLIENTS
    assert facts.consumed == micro(CLIENTS)


async def hang_up_and_come_back(urls: Sequence[str], secret: str) -> list[tuple[Answer, Answer]]:
    """Every client sends its event, hangs up (politely or not), and then sends it twice more."""
    async with crowd(urls, secret, CLIENTS) as clients:
        for number, client in enumerate(clients):
            await client.send("POST", USAGE, {"id": f"evt-{number}", "credits": 1})
            if number % 2:
                client.drop()
            else:
                await client.close()
    async with connected(urls[0], secret) as first, connected(urls[-1], secret) as second:
        return [
            (await first.book(f"evt-{number}", 1), await second.book(f"evt-{number}", 1))
            for number in range(CLIENTS)
        ]
