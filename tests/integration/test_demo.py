"""`tallystick serve --demo`: what it makes, once, and how it introduces itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness import bearer
from tests.server import Server, running_server
from tests.servers.postgres import Postgres
from tests.sizes import running_workers

CREDITS = "/v1/organization/credits"


def introduced(server: Server) -> str:
    """What the demo said at the server's last start."""
    return "".join(server.said).rpartition("Tallystick is serving a demo")[2]


def test_the_demo_is_ready_to_be_copied(tmp_path: Path) -> None:
    with running_server(tmp_path, demo=True, rate_limit=200) as server:
        file = server.database.with_name("tallystick.db.demo-key")
        assert file.stat().st_mode & 0o777 == 0o600
        secret = file.read_text().strip()
        said = introduced(server)
        assert secret in said
        read, spend, hold = re.findall(r"curl (?:.|\\\n)*?(?=\n\n)", said)
        before = shell(read)
        assert before["total"] == 10_000
        assert before["remaining"] + before["consumed"] == 10_000
        assert 4_000 < before["consumed"] < 8_000
        assert shell(spend)["status"] == "booked"
        assert shell(spend)["status"] == "duplicate"
        assert shell(read)["consumed"] == pytest.approx(before["consumed"] + 1.25)
        assert (shell(hold)["status"], shell(hold)["held"]) == ("open", 25)
        [python] = re.findall(r"python -c (.*)", said)
        command = f"DATAGRID_BASE_URL={server.base_url} DATAGRID_API_KEY={secret} "
        printed = run_shell(command + python_of(python))
        assert printed.startswith("CreditsReport(")
        assert httpx.get(re.findall(r"http://\S+/docs", said)[0]).status_code == 200


def shell(command: str) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(run_shell(command.replace("curl ", "curl --silent --show-error ")))


def run_shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return done.stdout


def python_of(arguments: str) -> str:
    return f"{sys.executable} -c {arguments}"


def test_the_demo_is_made_once(tmp_path: Path) -> None:
    with running_server(tmp_path, demo=True) as server:
        secret = server.database.with_name("tallystick.db.demo-key").read_text().strip()
        first = httpx.get(server.url + CREDITS, headers=bearer(secret)).json()
        server.stop()
        server.start()
        assert secret in introduced(server)
        assert httpx.get(server.url + CREDITS, headers=bearer(secret)).json() == first
        organizations = server.admin.get("/v1/admin/organizations").json()["data"]
        assert [each["name"] for each in organizations] == ["Demo"]


def test_the_demo_gets_a_new_key_where_the_old_one_is_lost(tmp_path: Path) -> None:
    with running_server(tmp_path, demo=True) as server:
        file = server.database.with_name("tallystick.db.demo-key")
        lost = file.read_text()
        server.stop()
        file.unlink()
        server.start()
        assert file.read_text() != lost
        key = bearer(file.read_text().strip())
        assert httpx.get(server.url + CREDITS, headers=key).status_code == 200


def test_the_demo_has_usage_of_several_kinds_over_a_month(tmp_path: Path) -> None:
    with running_server(tmp_path, demo=True) as server:
        key = bearer(server.database.with_name("tallystick.db.demo-key").read_text().strip())
        path = f"{CREDITS}/entries?kind=usage.booked&limit=100"
        found = httpx.get(server.url + path, headers=key).json()["data"]
        assert {entry["meter"] for entry in found} == {
            "llm.tokens",
            "agent.steps",
            "search.queries",
            "documents.pages",
        }
        teamspaces = httpx.get(f"{server.url}/v1/organization/teamspaces", headers=key).json()
        assert {each["name"] for each in teamspaces["data"]} == {"Default", "Research", "Support"}


def test_the_demo_has_holds_a_reversal_and_a_budget(tmp_path: Path) -> None:
    with running_server(tmp_path, demo=True) as server:
        key = bearer(server.database.with_name("tallystick.db.demo-key").read_text().strip())

        def listed(path: str) -> list[dict[str, Any]]:
            answer = httpx.get(f"{server.url}{CREDITS}/{path}", headers=key).json()
            found: list[dict[str, Any]] = answer["data"]
            return found

        assert [(hold["status"], hold["captured"]) for hold in listed("holds")] == [
            ("captured", 27.15),
            ("open", 0),
        ]
        [budget] = listed("budgets")
        assert budget["held"] == 60
        assert 0 < budget["used"] < budget["limit"]
        assert len(listed("entries?kind=usage.reversed")) == 1


def test_the_demo_on_postgresql_is_made_once(tmp_path: Path, durable: Postgres) -> None:
    """Its key lies in the folder in which the server was started; two workers know it."""
    url = durable.empty_database()
    file = tmp_path / "tallystick.demo-key"
    found = []
    for _ in range(2):
        with running_workers(tmp_path, url, demo=True) as server:
            secret = file.read_text().strip()
            assert secret in introduced(server)
            answer = httpx.get(server.url + CREDITS, headers=bearer(secret))
            found.append((secret, answer.json()["consumed"], answer.json()["total"]))
    assert file.stat().st_mode & 0o777 == 0o600
    assert found[0] == found[1]
    assert 4_000 < found[0][1] < 8_000
