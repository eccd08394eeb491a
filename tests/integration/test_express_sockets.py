"""The express lane of a real server, over real sockets: what holds in parts holds in one piece."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.server import running_server
from tests.sockets import CREDITS, GONE, connected, crowd

CLIENTS = 16
ROUNDS = 20


def test_a_crowd_spends_and_reads(tmp_path: Path) -> None:
    """Each reads what it has spent itself, at least; in the end everything is there, once."""
    with running_server(tmp_path) as server:
        key = server.key(server.organization(allowance=1_000))

        async def spend(number: int) -> None:
            async with connected(server.url, key) as connection:
                for round_number in range(ROUNDS):
                    booked = await connection.book(f"evt-{number}-{round_number}", 1)
                    assert (booked.status, booked.body["status"]) == (201, "booked")
                    seen = await connection.ask("GET", CREDITS)
                    assert seen.body["consumed"] >= booked.body["consumed"]
                    again = await connection.book(f"evt-{number}-{round_number}", 1)
                    assert (again.status, again.body["sequence"]) == (200, booked.body["sequence"])

        async def scenario() -> None:
            await asyncio.gather(*(spend(number) for number in range(CLIENTS)))
            async with connected(server.url, key) as connection:
                seen = await connection.ask("GET", CREDITS)
            spent = CLIENTS * ROUNDS
            assert seen.body == {"remaining": 1_000 - spent, "consumed": spent, "total": 1_000}

        asyncio.run(scenario())


def test_pipelined_answers_come_in_order(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        key = server.key(server.organization(allowance=100))

        async def scenario() -> None:
            async with connected(server.url, key) as connection:
                for number in range(9):
                    await connection.send(
                        "POST", f"{CREDITS}/usage", {"id": f"e{number}", "credits": 1}
                    )
                    await connection.send("GET", CREDITS)
                for number in range(9):
                    booked, seen = await connection.receive(), await connection.receive()
                    assert booked.body["id"] == f"e{number}"
                    assert booked.body["consumed"] == seen.body["consumed"] == number + 1

        asyncio.run(scenario())


def test_who_leaves_disturbs_nobody_and_a_revoked_key_is_out_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization(allowance=100)
        key = server.key(acme)
        listed = server.admin.get(f"/v1/admin/organizations/{acme['id']}/keys").json()["data"]

        async def scenario() -> None:
            async with crowd(server.url, key, 8) as connections:
                for number, connection in enumerate(connections):
                    await connection.send(
                        "POST", f"{CREDITS}/usage", {"id": f"e{number}", "credits": 1}
                    )
                for connection in connections[::2]:
                    connection.drop()
                for connection in connections[1::2]:
                    assert (await connection.receive()).status == 201
                stays = connections[1]
                for expected in (200, 200):
                    assert (await stays.ask("GET", CREDITS)).status == expected
                path = f"/v1/admin/organizations/{acme['id']}/keys/{listed[0]['id']}"
                assert (await asyncio.to_thread(server.admin.delete, path)).is_success
                for expected in (401, 401):
                    assert (await stays.ask("GET", CREDITS)).status == expected

        asyncio.run(scenario())


def test_what_was_accepted_is_answered_when_the_server_ends(tmp_path: Path) -> None:
    """Whoever got no answer finds the connection closed, and never a booking that was denied."""
    with running_server(tmp_path) as server:
        key = server.key(server.organization(allowance=100_000))

        async def spend(number: int, answered: list[int]) -> None:
            try:
                async with connected(server.url, key) as connection:
                    while True:
                        answer = await connection.book(f"evt-{number}-{len(answered)}", 1)
                        assert answer.status == 201
                        answered.append(1)
                        if len(answered) == CLIENTS * ROUNDS:
                            server.terminate()
            except GONE:
                return

        async def scenario() -> list[int]:
            answered: list[int] = []
            await asyncio.gather(*(spend(number, answered) for number in range(CLIENTS)))
            return answered

        answered = asyncio.run(scenario())
        server.wait()
        server.start()

        async def look() -> None:
            async with connected(server.url, key) as connection:
                seen = await connection.ask("GET", CREDITS)
            # A request whose answer was cut off may have been booked, one for each client.
            assert len(answered) <= seen.body["consumed"] <= len(answered) + CLIENTS

        asyncio.run(look())
