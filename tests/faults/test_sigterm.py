"""The server is told to end while 64 clients book usage."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.spenders import check_acknowledged, ingest, make_spenders
from tests.server import END_SECONDS, Server, running_server
from tests.sockets import USAGE, Answer, connected
from tests.verified import check_twice

CLIENTS = 64


def test_under_load_requests_finish_or_were_not_booked(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        spenders = make_spenders(server, CLIENTS)
        asyncio.run(ingest(server, spenders, 300, server.terminate))
        server.wait()
    ledger = check_twice(server.database)
    check_acknowledged(spenders, ledger)
    acknowledged = {event_id for spender in spenders for event_id in spender.acknowledged}
    booked = {event_id for facts in ledger.values() for event_id in facts.booked}
    assert booked == acknowledged


def test_a_request_that_is_under_way_is_finished(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization(allowance=10)
        answer = asyncio.run(be_interrupted(server, server.key(acme)))
        server.wait()
    assert (answer.status, answer.body["status"]) == (201, "booked")
    assert list(check_twice(server.database)[acme["id"]].booked) == ["evt-1"]


async def be_interrupted(server: Server, secret: str) -> Answer:
    """Sends a body only after the server has been told to end, and has closed its door."""
    body = b'{"id": "evt-1", "credits": 1}'
    async with asyncio.timeout(END_SECONDS), connected(server.url, secret) as connection:
        await connection.send_head("POST", USAGE, len(body), "expect: 100-continue")
        await connection.receive_continue()
        server.terminate()
        while await is_open(server):
            pass
        await connection.send_bytes(body)
        return await connection.receive()


async def is_open(server: Server) -> bool:
    """Whether a newcomer is still let in."""
    try:
        async with connected(server.url, ""):
            return True
    except ConnectionError:
        return False
