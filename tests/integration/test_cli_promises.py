"""The commands about holds and budgets, without a server and beside one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import httpx

from tests.commands import Commands
from tests.harness import bearer
from tests.server import running_server

HOLDS = "/v1/organization/credits/holds"


def test_holds_are_listed_and_released(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        tallystick = Commands(database=server.database)
        acme = server.organization("Acme", external_id="acme", allowance=100)
        key = bearer(server.key(acme))
        placed = [
            httpx.post(server.url + HOLDS, json={"credits": 2.5}, headers=key).json()["id"]
            for _ in range(2)
        ]
        listed = tallystick.json("holds", "list", "acme")["data"]
        assert [one["id"] for one in listed] == placed[::-1]
        released = tallystick.json("holds", "release", "acme", placed[0])
        assert (released["status"], released["held"]) == ("released", 0)
        lines = tallystick("holds", "list", acme["id"], "--status", "open").out.splitlines()
        [head, line] = [line.split("\t") for line in lines]
        shown = dict(zip(head, line, strict=True))
        assert (shown["id"], shown["held"], shown["status"]) == (placed[1], "2.5", "open")
        failed = tallystick("holds", "release", "acme", placed[0])
        assert (failed.code, failed.out) == (3, "")
        assert "the hold has ended: it is released" in failed.err
        assert tallystick("holds", "list", "acme", "--status", "gone").code == 2


def test_budgets_are_set_listed_and_removed(tmp_path: Path) -> None:
    database = tmp_path / "tallystick.db"
    database.touch(0o600)
    tallystick = Commands(database=database)
    acme = tallystick.json("organizations", "create", "Acme", "--external-id", "acme")
    home = acme["default_teamspace_id"]
    key = tallystick.json("keys", "create", "acme", "--name", "backend")["id"]
    made = tallystick.json("budgets", "set", "acme", home, "12.5")
    assert (made["limit"], made["available"]) == (Decimal("12.5"), Decimal("12.5"))
    tallystick.json("budgets", "set", "acme", key, "0")
    listed = tallystick.json("budgets", "list", "acme")["data"]
    assert [(one["id"], one["limit"]) for one in listed] == [(home, Decimal("12.5")), (key, 0)]
    assert tallystick.json("budgets", "remove", "acme", home)["removed"] is True
    assert [one["id"] for one in tallystick.json("budgets", "list", "acme")["data"]] == [key]
    failed = tallystick("budgets", "set", "acme", "ts_nowhere", "1")
    assert (failed.code, failed.out) == (3, "")
    assert "there is no such teamspace or API key" in failed.err
    assert tallystick("budgets", "set", "acme", home, "-1").code == 2
