"""The commands: what they do, print and answer to programs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
import httpx
import pytest

from tallystick.cli.app import tallystick as group
from tallystick.cli.errors import INTERRUPTED, MISUSED, REFUSED, SOME_REJECTED, UNAVAILABLE
from tallystick.config import SETTINGS
from tallystick.http.server import bind_local
from tests.commands import Commands
from tests.harness import bearer
from tests.server import Server, running_server

CREDITS = "/v1/organization/credits"


@pytest.fixture
def tallystick(tmp_path: Path) -> Commands:
    """Commands on a new database, without a server."""
    database = tmp_path / "tallystick.db"
    database.touch(0o600)
    return Commands(database=database)


# ── organizations, grants, balances ──


def test_an_organization_is_created_shown_and_listed(tallystick: Commands) -> None:
    terms = {
        "--external-id": "acme",
        "--allowance": "1e-6",
        "--interval": "week",
        "--count": "2",
        "--anchor": "2026-01-05T00:00:00",
        "--timezone": "Europe/Paris",
        "--rollover": "percent",
        "--rollover-cap": "50",
        "--rollover-periods": "3",
        "--overage": "limit",
        "--overage-limit": "0.5",
    }
    made = tallystick.json("organizations", "create", "Acme", *sum(terms.items(), ()))
    assert (made["name"], made["external_id"]) == ("Acme", "acme")
    assert made["allowance"] == Decimal("0.000001")
    assert made["billing_period"] == {
        "interval": "week",
        "count": 2,
        "anchor": "2026-01-05T00:00:00",
        "timezone": "Europe/Paris",
    }
    assert made["rollover"] == {"mode": "percent", "cap": 50, "periods": 3}
    assert made["overage"] == {"mode": "limit", "limit": Decimal("0.5")}
    assert tallystick.json("organizations", "show", made["id"]) == made
    assert tallystick.json("organizations", "show", "acme") == made
    assert tallystick.json("organizations", "list") == {
        "object": "list",
        "data": [made],
        "has_more": False,
    }


def test_creating_with_an_external_id_is_safe_to_repeat(tallystick: Commands) -> None:
    create = ("organizations", "create", "Acme", "--external-id", "acme", "--allowance")
    first = tallystick.json(*create, "5")
    assert tallystick.json(*create, "5") == first
    failed = tallystick(*create, "6")
    assert (failed.code, failed.out) == (3, "")


def test_grants_are_issued_voided_and_listed(tallystick: Commands) -> None:
    tallystick.json("organizations", "create", "Acme", "--external-id", "acme")
    issue = ["grants", "issue", "acme", "12.5", "--kind", "promotional", "--priority", "7"]
    issue += ["--expires-at", "2099-01-01T00:00:00Z", "--reference", "invoice-1"]
    made = tallystick.json(*issue)
    assert (made["amount"], made["kind"], made["priority"]) == (Decimal("12.5"), "promotional", 7)
    assert tallystick.json(*issue) == made
    part = tallystick.json("grants", "void", "acme", made["id"], "--credits", "2.5")
    assert (part["remaining"], part["status"]) == (10, "active")
    assert tallystick.json("grants", "void", "acme", made["id"])["status"] == "voided"
    [listed] = tallystick.json("grants", "list", "acme")["data"]
    assert (listed["id"], listed["status"]) == (made["id"], "voided")


def test_a_balance_shows_figures_and_grants(tallystick: Commands) -> None:
    acme = tallystick.json("organizations", "create", "Acme", "--allowance", "1234.5")
    shown = tallystick.json("balance", acme["id"])
    assert shown["remaining"] == shown["total"] == Decimal("1234.5")
    assert [grant["kind"] for grant in shown["grants"]] == ["allowance"]
    lines = dict(line.split("\t") for line in tallystick("balance", acme["id"]).out.splitlines())
    assert lines["organization"] == f"Acme ({acme['id']})"
    assert (lines["remaining"], lines["consumed"], lines["total"]) == ("1234.5", "0", "1234.5")


# ── keys ──


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


def status(server: Server, secret: str, path: str = CREDITS) -> int:
    return httpx.get(server.url + path, headers=bearer(secret)).status_code


def test_keys_are_made_rotated_and_revoked(server: Server) -> None:
    tallystick = Commands(database=server.database)
    acme = server.organization()
    options = ("--name", "CI", "--scope", "credits:read", "--level", "account")
    made = tallystick.json("keys", "create", acme["id"], *options)
    assert (made["name"], made["scopes"], made["level"]) == ("CI", ["credits:read"], "account")
    assert status(server, made["secret"]) == 200
    rotated = tallystick.json("keys", "rotate", acme["id"], made["id"], "--overlap", "60")
    assert rotated["id"] == made["id"]
    assert status(server, made["secret"]) == status(server, rotated["secret"]) == 200
    tallystick.json("keys", "rotate", acme["id"], made["id"])
    assert status(server, rotated["secret"]) == 401
    [listed] = tallystick.json("keys", "list", acme["id"])["data"]
    assert "secret" not in listed
    assert tallystick.json("keys", "revoke", acme["id"], made["id"])["revoked_at"]


def test_operators_have_keys_of_their_own(server: Server) -> None:
    tallystick = Commands(database=server.database)
    made = tallystick.json("keys", "create", "--operator", "--name", "Ada")
    assert made["teamspace_id"] is None
    assert status(server, made["secret"], "/v1/admin/organizations") == 200
    rotated = tallystick.json("keys", "rotate", "--operator", made["id"])
    assert [key["id"] for key in tallystick.json("keys", "list", "--operator")["data"]] == [
        made["id"]
    ]
    tallystick.json("keys", "revoke", "--operator", made["id"])
    assert status(server, rotated["secret"], "/v1/admin/organizations") == 401


@pytest.mark.parametrize("secret", ["sk-from-elsewhere", "with spaces in it", "ünïcödé"])
def test_a_key_of_elsewhere_is_imported_and_goes_on_working(server: Server, secret: str) -> None:
    tallystick = Commands(database=server.database)
    acme = server.organization()
    stdin = f"{secret}\n".encode()
    made = tallystick.json("keys", "import", acme["id"], "--name", "Old", stdin=stdin)
    assert made["imported"]
    assert "secret" not in made
    headers = {b"authorization": b"Bearer " + secret.encode()}
    assert httpx.get(server.url + CREDITS, headers=headers).status_code == 200


def test_a_key_is_imported_by_its_hash_too(server: Server) -> None:
    tallystick = Commands(database=server.database)
    acme = server.organization()
    digest = hashlib.sha256(b"sk-from-elsewhere").hexdigest()
    tallystick.json("keys", "import", acme["id"], "--sha256", digest)
    assert status(server, "sk-from-elsewhere") == 200


def test_the_secret_is_said_to_be_shown_once(tallystick: Commands) -> None:
    acme = tallystick.json("organizations", "create", "Acme")
    result = tallystick("keys", "create", acme["id"])
    assert re.search(r"^secret\ttsk_\w+$", result.out, re.MULTILINE)
    assert "never shown again" in result.err
    assert "tsk_" not in result.err


# ── how commands fail ──

NO_ACME = "there is no organization with the id or external_id 'acme'"
FAILURES = {
    "no such organization": (["balance", "acme"], 3, NO_ACME),
    "no such organization to import for": (
        ["usage", "import", "-", "--format", "csv", "--organization", "acme"],
        3,
        NO_ACME,
    ),
    "no such command": (["balances"], 2, "No such command 'balances'"),
    "no such option": (["balance", "--at"], 2, "No such option '--at'"),
    "an argument is missing": (["balance"], 2, "Missing argument 'ORG'"),
    "no organization for a key": (["keys", "create"], 2, "expected ORG"),
    "an organization for an operator": (
        ["keys", "create", "acme", "--operator"],
        2,
        "expected no ORG with --operator",
    ),
    "no key to revoke": (["keys", "revoke", "acme"], 2, "expected ORG and KEY"),
    "an empty secret": (
        ["keys", "import", "--operator"],
        2,
        "there is no secret on standard input",
    ),
    "an amount that is none": (
        ["grants", "issue", "acme", "abc"],
        2,
        "'abc' is no amount of credits: must be a number",
    ),
    "an amount too fine": (
        ["grants", "issue", "acme", "0.0000001"],
        2,
        "'0.0000001' is no amount of credits: round to 6 decimals",
    ),
    "an amount below zero": (["grants", "issue", "acme", "--", "-1"], 2, "must be at least 0"),
    "a wrong setting": (["balance", "acme", "--database", ""], 2, "--database: must be the path"),
    "a file that is not there": (
        ["usage", "import", "/nowhere.csv", "--organization", "acme"],
        2,
        "cannot read /nowhere.csv: No such file or directory",
    ),
    "a file that could be anything": (
        ["usage", "import", "/nowhere", "--organization", "acme"],
        2,
        "the name '/nowhere' does not say what format the file has",
    ),
    "terms that the service refuses": (
        ["organizations", "create", "Acme", "--timezone", "Mars/Base"],
        3,
        "the request is not valid: /billing_period/timezone",
    ),
}


@pytest.mark.parametrize(("arguments", "code", "what"), FAILURES.values(), ids=FAILURES)
def test_a_failure_says_what_what_not_and_what_next(
    tallystick: Commands, arguments: list[str], code: int, what: str
) -> None:
    failed = tallystick(*arguments)
    assert (failed.code, failed.out) == (code, "")
    happened, unchanged, todo = failed.err.splitlines()
    assert happened.startswith("error: ")
    assert what in happened
    assert unchanged == "  Nothing was changed."
    assert todo.startswith("  ")


@pytest.mark.parametrize("group", [[], ["keys"]], ids=["tallystick", "keys"])
def test_a_group_without_a_command_shows_its_help(tallystick: Commands, group: list[str]) -> None:
    shown = tallystick(*group)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.splitlines() == tallystick(*group, "--help").out.splitlines()


def test_who_mistypes_a_database_does_not_make_one(tmp_path: Path) -> None:
    tallystick = Commands(database=tmp_path / "tallystik.db")
    failed = tallystick("balance", "acme")
    assert (failed.code, failed.out) == (4, "")
    assert failed.err.startswith(f"error: there is no database {tallystick.database}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_json_for_programs(tallystick: Commands) -> None:
    failed = tallystick("grants", "void", "acme", "grant_x", "--json")
    said = json.loads(failed.err)
    assert (failed.code, failed.out) == (3, "")
    assert said["what"] == NO_ACME
    assert said["unchanged"] == "Nothing was changed."
    assert said["exit_code"] == 3
    acme = tallystick.json("organizations", "create", "Acme")
    said = json.loads(tallystick("grants", "void", acme["id"], "grant_x", "--json").err)
    assert said["error"]["error"] == "resource_not_found"


def test_an_answer_that_is_lost_leaves_a_doubt(tmp_path: Path) -> None:
    database = tmp_path / "tallystick.db"
    database.touch()
    with bind_local(tmp_path / "tallystick.db.sock") as door:
        door.settimeout(20)
        door.listen()
        server = threading.Thread(target=hear_and_hang_up, args=(door,))
        server.start()
        failed = Commands(database=database)("keys", "create", "--operator")
        server.join()
    assert (failed.code, failed.out) == (4, "")
    assert "the connection to the running server broke off" in failed.err
    assert "It is not known whether anything was changed." in failed.err


def hear_and_hang_up(door: socket.socket) -> None:
    """First comes a command's question whether anybody is there, then its request."""
    door.accept()[0].close()
    with door.accept()[0] as connection:
        assert connection.recv(65_536)


# ── what they print ──


def test_lines_are_fit_for_other_tools(tallystick: Commands) -> None:
    name = "Tab\there \x1b[31mred\x1b[0m \u202eturned"
    made = tallystick.json("organizations", "create", name, "--allowance", "10000")
    head, line = tallystick("organizations", "list").out.splitlines()
    assert head == "id\tname\texternal id\tallowance\tstatus"
    shown = r"Tab\there \x1b[31mred\x1b[0m \u202eturned"
    assert line == f"{made['id']}\t{shown}\t\t10000\tactive"
    assert tallystick.json("organizations", "show", made["id"])["name"] == name


def test_who_reads_only_the_beginning_is_no_error_to_talk_about(tallystick: Commands) -> None:
    """As in `tallystick organizations list | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    process = tallystick.start("organizations", "list", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, b"")


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands that are no groups of others."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from leaves(each, f"{path} {name}".strip())
    else:
        yield path, command


COMMANDS = dict(leaves(group))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_settings_and_json(path: str) -> None:
    options = {name for param in COMMANDS[path].params for name in param.opts}
    assert {"--config", "--database"} <= options
    assert ("--json" in options) == (path != "serve")
    assert COMMANDS[path].help


def test_the_manual_has_every_command_setting_and_exit_code() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for path in COMMANDS:
        assert f"`{path}" in manual, path
    for setting in SETTINGS:
        assert f"`{setting.name}`" in manual, setting.name
    for code in (0, 1, MISUSED, REFUSED, UNAVAILABLE, SOME_REJECTED, INTERRUPTED):
        assert f"| {code} |" in manual, code


# ── prices ──

BOOK = """\
[[prices]]
meter = "llm.tokens"
credits = 2.50
per = 1_000_000
rounding = "up"
effective_at = 2026-01-01T01:00:00+01:00

[[prices]]
meter = "llm.tokens"
dimensions = { model = "m-large" }
credits = 0.000001
effective_at = "2026-06-01T00:00:00Z"
"""


def test_a_book_of_prices_is_imported_however_often(tallystick: Commands, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(BOOK)
    tallystick.json("organizations", "create", "Acme")
    tally = {"object": "price_import", "added": 2, "unchanged": 0}
    assert tallystick.json("prices", "import", path) == tally
    assert tallystick.json("prices", "import", path) == tally | {"added": 0, "unchanged": 2}
    large, plain = tallystick.json("prices", "list")["data"]
    assert (plain["credits"], plain["per"], plain["rounding"]) == (Decimal("2.5"), 1_000_000, "up")
    assert plain["effective_at"] == "2026-01-01T00:00:00.000000Z"
    assert (large["credits"], large["dimensions"]) == (Decimal("0.000001"), {"model": "m-large"})
    assert "llm.tokens\tmodel=m-large\t0.000001\t1\t" in tallystick("prices", "list").out


def test_a_book_of_more_prices_than_a_request_takes(tallystick: Commands, tmp_path: Path) -> None:
    entry = '[[prices]]\nmeter = "{}"\ncredits = 1\neffective_at = {}T00:00:00Z\n'
    path = tmp_path / "prices.toml"
    path.write_text("".join(entry.format(f"m{number}", "2026-01-01") for number in range(1001)))
    tallystick.json("organizations", "create", "Acme")
    assert tallystick.json("prices", "import", path)["added"] == 1001
    path.write_text(path.read_text() + entry.format("late", "1999-01-01"))
    failure = tallystick("prices", "import", path)
    assert failure.code == REFUSED
    assert "/prices/1/effective_at" in failure.err
    assert "The first 1000 prices of the file are in the book." in failure.err


@pytest.mark.parametrize(
    ("content", "code", "what"),
    [
        (b"prices = [", MISUSED, "is no TOML"),
        (b"\xff", MISUSED, "is no TOML"),
        (b"", REFUSED, "/prices"),
        (b"price = 1", REFUSED, "/price"),
        (b"prices = 1", REFUSED, "/prices"),
        (b'[[prices]]\nmeter = "m"\ncredits = 1\n', REFUSED, "effective_at"),
        (b'[[prices]]\nmeter = "m"\ncredits = nan\neffective_at = 2026-01-01T00:00:00Z\n',
         REFUSED, "/prices/0/credits"),
        (b'[[prices]]\nmeter = "m"\ncredits = 1\neffective_at = 2026-01-01T00:00:00\n',
         REFUSED, "/prices/0/effective_at"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_book_is_refused(
    tallystick: Commands, tmp_path: Path, content: bytes, code: int, what: str
) -> None:
    path = tmp_path / "prices.toml"
    path.write_bytes(content)
    tallystick.json("organizations", "create", "Acme")
    failure = tallystick("prices", "import", path)
    assert (failure.code, failure.out) == (code, "")
    assert what in failure.err
    assert tallystick.json("prices", "list")["data"] == []


def test_a_price_is_ended(tallystick: Commands, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(BOOK)
    tallystick.json("organizations", "create", "Acme")
    tallystick.json("prices", "import", path)
    large, _ = tallystick.json("prices", "list")["data"]
    ended = tallystick.json("prices", "end", large["id"], "--at", "2026-07-01T00:00:00Z")
    assert ended == large | {"ends_at": "2026-07-01T00:00:00.000000Z"}
    later = tallystick("prices", "end", large["id"], "--at", "2026-08-01T00:00:00Z")
    assert (later.code, later.out) == (REFUSED, "")
    assert tallystick("prices", "end", "price_none").code == REFUSED
