"""The commands on PostgreSQL, beside servers and without: they are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.commands import Commands
from tests.harness import bearer
from tests.server import Server
from tests.servers.postgres import Postgres, name_of
from tests.sizes import running_workers

CREDITS = "/v1/organization/credits"
USAGE = b"""\
id,credits,quantity,meter
a,1.25,,
b,,2000,llm.tokens
c,1000000,,
"""
PRICES = """
[[prices]]
meter = "llm.tokens"
credits = 3
per = 1_000_000
effective_at = "2020-01-01T00:00:00Z"
"""


@pytest.fixture
def url(durable: Postgres) -> str:
    return durable.empty_database()


@pytest.fixture
def tallystick(url: str) -> Commands:
    return Commands(database=url)


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    with running_workers(tmp_path, url) as server:
        yield server


def status(server: Server, secret: str, path: str = CREDITS) -> int:
    return httpx.get(server.url + path, headers=bearer(secret)).status_code


def test_a_ledger_without_a_server(tallystick: Commands, tmp_path: Path) -> None:
    """From an empty database to an anchor."""
    for _ in range(2):
        assert tallystick.json("migrate")["status"] == "done"
    acme = tallystick.json(
        "organizations", "create", "Acme", "--external-id", "acme", "--allowance", "100"
    )
    grant = tallystick.json("grants", "issue", "acme", "12.5", "--reference", "invoice-1")
    assert tallystick.json("grants", "void", "acme", grant["id"], "--credits", "2.5")
    book = tmp_path / "prices.toml"
    book.write_text(PRICES)
    assert tallystick.json("prices", "import", book)["added"] == 1
    assert tallystick.json("prices", "import", book)["unchanged"] == 1
    home = acme["default_teamspace_id"]
    assert tallystick.json("budgets", "set", "acme", home, "50")["limit"] == 50
    usage = ["usage", "import", "-", "--format", "csv", "--organization", "acme"]
    for booked, again in (2, 0), (0, 2):
        result = tallystick(*usage, "--json", stdin=USAGE)
        told = json.loads(result.out)
        assert (result.code, told["booked"], told["duplicates"]) == (5, booked, again)
    shown = tallystick.json("balance", "acme")
    assert shown["consumed"] == Decimal("1.256")
    assert shown["total"] == 110
    [budget] = tallystick.json("budgets", "list", "acme")["data"]
    assert (budget["used"], tallystick.json("holds", "list", "acme")["data"]) == (
        Decimal("1.256"),
        [],
    )
    exported = tallystick("entries", "export", "acme", "--format", "ndjson", "--order", "asc")
    kinds = [json.loads(line)["kind"] for line in exported.out.splitlines()]
    assert kinds.count("usage.booked") == 2
    anchors = ["--anchor", tmp_path / "anchor", "--anchor-key", tmp_path / "key"]
    for number in (1, 2):
        verified = tallystick.json("verify", *anchors)
        assert (verified["agrees"], verified["entries"]) == (True, len(kinds))
        assert verified["anchor"]["number"] == number


def test_operators_and_keys_beside_a_server(tallystick: Commands, server: Server) -> None:
    made = tallystick.json("keys", "create", "--operator", "--name", "Ada")
    assert status(server, made["secret"], "/v1/admin/organizations") == 200
    acme = server.organization(external_id="acme", allowance=10)
    key = tallystick.json("keys", "create", "acme", "--scope", "credits:read")
    assert status(server, key["secret"]) == 200
    rotated = tallystick.json("keys", "rotate", "acme", key["id"], "--overlap", "60")
    assert status(server, key["secret"]) == status(server, rotated["secret"]) == 200
    secret = server.key(acme)
    hold = httpx.post(
        f"{server.url}{CREDITS}/holds", headers=bearer(secret), json={"credits": 4}
    ).json()
    assert tallystick.json("balance", "acme")["held"] == 4
    assert tallystick.json("holds", "release", "acme", hold["id"])["status"] == "released"
    assert tallystick.json("verify", "acme")["agrees"]


def test_settings_are_shown_without_the_password(url: str) -> None:
    secret = url.replace("@", ":hunter2@")
    tallystick = Commands(database=secret, environ={"TALLYSTICK_LIMITS": "redis://:hunter2@here"})
    shown = tallystick("config", "show")
    assert shown.code == 0
    assert name_of(url) in shown.out
    assert "redis://" in shown.out
    assert "hunter2" not in shown.out
