"""Commands beside a running server go through it; without one they open the file themselves."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tallystick.cli import client
from tallystick.http.server import CannotListen, bind_local, reachable
from tallystick.storage.owner import OwnerLock
from tests.commands import Commands
from tests.harness import bearer
from tests.server import Server, running_server

CREDITS = "/v1/organization/credits"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


def socket_of(server: Server) -> Path:
    return server.database.with_name("tallystick.db.sock")


def test_the_socket_is_for_its_owner_only_and_goes_with_the_server(server: Server) -> None:
    mode = socket_of(server).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    server.stop()
    assert not socket_of(server).exists()


def test_what_a_command_changes_the_server_knows_at_once(server: Server) -> None:
    tallystick = Commands(database=server.database)
    tallystick.json("organizations", "create", "Acme", "--external-id", "acme")
    tallystick.json("grants", "issue", "acme", "12.5")
    secret = tallystick.json("keys", "create", "acme")["secret"]
    with httpx.Client(base_url=server.url, headers=bearer(secret), trust_env=False) as client:
        assert client.get(CREDITS).json() == {"remaining": 12.5, "consumed": 0, "total": 12.5}


def test_a_key_that_a_command_revokes_stops_at_the_server(server: Server) -> None:
    tallystick = Commands(database=server.database)
    tallystick.json("organizations", "create", "Acme", "--external-id", "acme")
    key = tallystick.json("keys", "create", "acme")
    with httpx.Client(base_url=server.url, headers=bearer(key["secret"])) as client:
        assert client.get(CREDITS).status_code == 200
        assert tallystick.json("keys", "revoke", "acme", key["id"])["revoked_at"]
        assert client.get(CREDITS).status_code == 401


def test_what_was_done_without_a_server_is_there_when_it_starts(tmp_path: Path) -> None:
    tallystick = Commands(database=tmp_path / "tallystick.db")
    acme = tallystick.json("organizations", "create", "Acme", "--allowance", "7")
    secret = tallystick.json("keys", "create", acme["id"])["secret"]
    with running_server(tmp_path) as server:
        answer = httpx.get(server.url + CREDITS, headers=bearer(secret))
        assert answer.json() == {"remaining": 7, "consumed": 0, "total": 7}


def test_no_key_is_needed_at_the_socket_and_none_helps_elsewhere(server: Server) -> None:
    acme = server.organization(allowance=7)
    headers = {"Tallystick-Organization": acme["id"]}
    transport = httpx.HTTPTransport(uds=str(socket_of(server)))
    with httpx.Client(transport=transport, base_url="http://local", headers=headers) as local:
        assert local.get(CREDITS).json()["remaining"] == 7
        assert local.get("/v1/admin/organizations").json()["data"] == [acme]
    public = httpx.get(server.url + CREDITS, headers=headers)
    assert public.json()["error"] == "no_authentication"


def test_a_socket_that_was_left_behind_is_replaced(server: Server) -> None:
    server.kill()
    assert socket_of(server).exists()
    tallystick = Commands(database=server.database)
    assert tallystick.json("organizations", "list")["data"] == []
    server.start()
    assert tallystick.json("organizations", "list")["data"] == []
    assert socket_of(server).exists()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.write_text("precious")
    with pytest.raises(CannotListen, match="is no socket: move it away"):
        bind_local(path)
    assert path.read_text() == "precious"


def test_a_server_in_a_deep_folder_has_a_socket_too(tmp_path: Path) -> None:
    """An address of a socket holds 107 bytes, a path 4096."""
    folder = tmp_path.joinpath(*["a-rather-long-name"] * 10)
    folder.mkdir(parents=True)
    with running_server(folder) as server:
        assert len(str(socket_of(server))) > 200
        tallystick = Commands(database=server.database)
        acme = tallystick.json("organizations", "create", "Acme")
        assert server.admin.get(f"/v1/admin/organizations/{acme['id']}").status_code == 200


def test_a_name_that_fits_no_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match="give the database a shorter path"):
        bind_local(tmp_path / ("x" * 120))


def test_two_names_of_one_file_are_one_database(server: Server, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.symlink_to(server.database)
    acme = Commands(database=other).json("organizations", "create", "Acme")
    assert server.admin.get(f"/v1/admin/organizations/{acme['id']}").status_code == 200
    # A lock of its own would have made a second owner.
    assert not (tmp_path / "other.db.lock").exists()


def test_a_command_that_finds_the_database_in_use_says_by_whom(tmp_path: Path) -> None:
    """Held by something that answers at no socket: the command waits a moment, then gives up."""

    database = tmp_path / "tallystick.db"
    with OwnerLock(database):
        result = Commands(database=database)("organizations", "list")
    assert (result.code, result.out) == (4, "")
    assert "is at work on the database" in result.err
    assert "Nothing was changed." in result.err
    assert "try again in a moment" in result.err


def test_a_socket_of_somebody_else_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others may make files, one could wait for commands at the socket's name."""

    database = tmp_path / "tallystick.db"
    database.touch()
    path = tmp_path / "tallystick.db.sock"
    with bind_local(path) as door, reachable(path) as name:
        door.listen()
        assert client._is_served(database, name)
        monkeypatch.setattr(client, "_owner", lambda file: 1 if file == path else 2)
        assert not client._is_served(database, name)


def test_commands_at_once_wait_for_each_other(tmp_path: Path) -> None:
    tallystick = Commands(database=tmp_path / "tallystick.db")

    async def all_at_once() -> None:
        each = ("organizations", "create", "Acme", "--external-id")
        await asyncio.gather(
            *(asyncio.to_thread(tallystick.json, *each, f"acme-{number}") for number in range(4))
        )

    asyncio.run(all_at_once())
    assert len(tallystick.json("organizations", "list")["data"]) == 4


def test_the_socket_never_was_open_to_others(tmp_path: Path) -> None:
    """Its mode is right when it comes into being: before anybody can listen to it."""
    path = tmp_path / "x.sock"
    with bind_local(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
