"""`tallystick serve` from its start to its end, as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tallystick.storage.owner import OwnerLock
from tests.commands import Commands
from tests.harness import bearer
from tests.server import ADMIN_KEY, COMMAND, END_SECONDS, Server, running_server

CREDITS = "/v1/organization/credits"
OPERATORS = "/v1/admin/keys"
NO_ADMIN_KEY = {"TALLYSTICK_ADMIN_KEY": None}
PEPPER = "a pepper of the tests"


def serve(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A server that must not come to serve."""
    return subprocess.run(
        [str(COMMAND), "serve", "--port", "0", "--database", f"{folder}/tallystick.db", *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )


def logged(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.said if line.startswith("{")]


# ── how it starts ──


def test_a_command_that_is_at_work_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    lock = OwnerLock(tmp_path / "tallystick.db")
    let_go = threading.Timer(1.5, lock.release)
    let_go.start()
    with running_server(tmp_path) as server:
        assert lock.path == Path(f"{server.database}.lock")
        assert httpx.get(f"{server.url}/readyz").json() == {"status": "ready"}
    let_go.join()


def test_it_says_where_it_listens_and_what_it_serves(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        [line] = [line for line in logged(server) if line["event"] == "serving"]
        assert line["url"] == server.url
        assert line["database"] == str(server.database)
        assert (line["limits"], line["rate_limit"]) == ("memory", 1_000_000)
        assert httpx.get(f"{server.url}/healthz").json() == {"status": "up"}
        assert httpx.get(f"{server.url}/readyz").json() == {"status": "ready"}


def test_a_second_server_on_the_file_is_turned_away(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        second = serve(tmp_path)
        assert (second.returncode, second.stdout) == (4, "")
        assert f"{server.database} is in use by process {server.pid}" in second.stderr
        assert "Nothing was changed." in second.stderr
        assert server.admin.get("/readyz").status_code == 200


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = serve(tmp_path, "--port", str(port))
    assert failed.returncode == 4
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in failed.stderr
    assert "--port" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_address_is_named(tmp_path: Path) -> None:
    failed = serve(tmp_path, "--host", "nowhere.invalid", "--allow-public")
    assert failed.returncode == 4
    assert "nowhere.invalid is no address of this machine" in failed.stderr


def test_wrong_settings_are_all_named_and_nothing_is_made(tmp_path: Path) -> None:
    failed = serve(tmp_path, "--workers", "0", TALLYSTICK_ADMIN_KEY="hunter2", TALLYSTICK_PROT="1")
    assert failed.returncode == 2
    assert "--workers: must be a whole number from 1" in failed.stderr
    assert "TALLYSTICK_ADMIN_KEY: must have at least 24 characters, and has 7" in failed.stderr
    assert "TALLYSTICK_PROT: is no setting; did you mean TALLYSTICK_PORT?" in failed.stderr
    assert "hunter2" not in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_no_operation_is_named(tmp_path: Path) -> None:
    failed = serve(tmp_path, TALLYSTICK_RATE_LIMITS="get_credit=5")
    assert failed.returncode == 2
    assert "TALLYSTICK_RATE_LIMITS: get_credit is no operation; there are " in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_listens_for_others_only_when_told_to(tmp_path: Path) -> None:
    failed = serve(tmp_path, "--host", "0.0.0.0")  # noqa: S104 - it has to be refused
    assert failed.returncode == 2
    assert "keys would travel in the clear" in failed.stderr
    assert "--allow-public" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    failed = serve(tmp_path / "nowhere")
    assert failed.returncode == 4
    assert "No such file or directory" in failed.stderr
    assert "Nothing was changed." in failed.stderr


def test_a_database_that_others_can_read_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "tallystick.db"
    database.touch(mode=0o644)
    database.chmod(0o644)
    failed = serve(tmp_path)
    assert failed.returncode == 4
    assert f"chmod 600 {database}" in failed.stderr


def test_who_opens_its_address_is_shown_what_it_is(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        shown = httpx.get(server.url, follow_redirects=True)
        assert (shown.status_code, shown.url.path) == (200, "/docs")
        assert [each.status_code for each in shown.history] == [302]
        assert "x-request-id" in shown.history[0].headers
        assert httpx.head(server.url).headers["location"] == "docs"
        assert httpx.post(server.url).json()["error"] == "resource_not_found"


def test_the_servers_limits_are_in_force(tmp_path: Path) -> None:
    environ = {"TALLYSTICK_RATE_LIMITS": "get_identity=3"}
    with running_server(tmp_path, environ=environ, rate_limit=5) as server:
        key = bearer(server.key(server.organization()))
        limits = [
            httpx.get(server.url + path, headers=key).headers["x-ratelimit-limit"]
            for path in ("/v1/identity", CREDITS)
        ]
        assert limits == ["3", "5"]


# ── its first operator ──


def test_a_new_database_gets_an_operator_key_in_a_private_file(tmp_path: Path) -> None:
    with running_server(tmp_path, environ=NO_ADMIN_KEY) as server:
        file = server.database.with_name("tallystick.db.admin-key")
        assert file.stat().st_mode & 0o777 == 0o600
        secret = file.read_text().strip()
        assert httpx.get(server.url + OPERATORS, headers=bearer(secret)).status_code == 200
        server.stop()
        server.start()
        assert file.read_text().strip() == secret
        keys = httpx.get(server.url + OPERATORS, headers=bearer(secret)).json()["data"]
        assert [key["name"] for key in keys] == ["The first operator"]
        assert secret not in "".join(server.said)


def test_the_first_operator_key_is_shown_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    arguments = ["serve", "--port", "0", "--database", f"{tmp_path}/tallystick.db"]
    with subprocess.Popen(
        [str(COMMAND), *arguments],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb") as terminal:
            said = b""
            while b"serving" not in said:
                said += os.read(terminal.fileno(), 65_536)
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_SECONDS) == 0
    secret = Path(f"{tmp_path}/tallystick.db.admin-key").read_text().strip()
    assert secret in said.decode()


def test_where_one_is_configured_none_is_made(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert server.admin.get(OPERATORS).json()["data"] == []
        assert not server.database.with_name("tallystick.db.admin-key").exists()


def test_a_configured_key_is_valid_while_it_is_set(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("another-admin-key-of-the-tests\n")
    environ = {**NO_ADMIN_KEY, "TALLYSTICK_ADMIN_KEY_FILE": str(file)}
    with running_server(tmp_path) as server:
        server.organization()
        server.stop()
        with running_server(tmp_path, environ=environ) as other:
            assert other.admin.get(OPERATORS).status_code == 401
            named = bearer("another-admin-key-of-the-tests")
            assert httpx.get(other.url + OPERATORS, headers=named).status_code == 200


def test_no_secret_is_in_what_the_server_says_nor_in_its_arguments(tmp_path: Path) -> None:
    environ = {"TALLYSTICK_PEPPER": PEPPER}
    with running_server(tmp_path, environ=environ, log_level="debug") as server:
        key = server.key(server.organization())
        httpx.get(server.url + CREDITS, headers=bearer(key))
        httpx.get(server.url + CREDITS, headers=bearer(key[:-1]))
        arguments = Path(f"/proc/{server.pid}/cmdline").read_text()
    said = "".join(server.said) + arguments
    assert '"event": "stopped"' in said
    for secret in (ADMIN_KEY, PEPPER, key, key[:-1]):
        assert secret not in said


def test_keys_that_commands_make_share_the_servers_pepper(tmp_path: Path) -> None:
    environ = {"TALLYSTICK_PEPPER": PEPPER}
    tallystick = Commands(database=tmp_path / "tallystick.db", environ=environ)
    acme = tallystick.json("organizations", "create", "Acme")
    key = bearer(tallystick.json("keys", "create", acme["id"])["secret"])
    with running_server(tmp_path, environ=environ) as server:
        assert httpx.get(server.url + CREDITS, headers=key).status_code == 200
    with running_server(tmp_path) as server:
        assert httpx.get(server.url + CREDITS, headers=key).status_code == 401


# ── while it runs, and how it ends ──


def test_it_is_not_ready_when_its_database_is_gone(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.database.rename(tmp_path / "elsewhere")
        answer = httpx.get(f"{server.url}/readyz")
        assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
        assert "No such file or directory" in answer.json()["details"]["reason"]
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        (tmp_path / "elsewhere").rename(server.database)
        assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    server = Server(tmp_path, {})
    try:
        server.start()
        process = server.pid
        # A connection that is open and idle does not hold it up.
        assert server.admin.get("/healthz").status_code == 200
        os.kill(process, number)
        server.wait()
        assert not tmp_path.joinpath("tallystick.db-wal").exists()
        assert not tmp_path.joinpath("tallystick.db.sock").exists()
    finally:
        server.close()


def test_a_sender_who_never_ends_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        key = server.key(server.organization(allowance=5))
        place = urlsplit(server.url)
        with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
            connection.sendall(
                b"POST /v1/organization/credits/usage HTTP/1.1\r\nhost: a\r\n"
                b"authorization: Bearer %b\r\ncontent-type: application/x-ndjson\r\n"
                b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n" % key.encode()
            )
            # It has judged the head, and waits for the body.
            assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
            server.stop()
            assert connection.recv(65_536).startswith(b"HTTP/1.1 503 ")


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        key = server.key(server.organization(allowance=5))
        place = urlsplit(server.url)
        with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
            connection.sendall(
                b"POST /v1/organization/credits/usage HTTP/1.1\r\nhost: a\r\n"
                b"authorization: Bearer %b\r\ncontent-type: application/x-ndjson\r\n"
                b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n" % key.encode()
            )
            assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
            server.terminate()
            with suppress(ConnectionError):
                while True:
                    socket.create_connection((place.hostname, place.port), timeout=20).close()
            server.terminate()
            server.wait()
            # It has not been waited for until it could be told that the server ends.
            with suppress(ConnectionError):
                assert connection.recv(65_536) == b""
        assert not server.database.with_name("tallystick.db-wal").exists()
        assert "Traceback" not in "".join(server.said)


def test_signals_without_end_do_not_break_off_its_end(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.organization()
        has_ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while os.waitid(os.P_PID, server.pid, has_ended) is None:
            server.terminate()
        server.wait()
        assert not server.database.with_name("tallystick.db-wal").exists()


def test_when_keys_were_used_is_written_before_it_ends(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization()
        httpx.get(server.url + CREDITS, headers=bearer(server.key(acme)))
    tallystick = Commands(database=server.database)
    [key] = tallystick.json("keys", "list", acme["id"])["data"]
    assert key["last_used_at"] is not None
