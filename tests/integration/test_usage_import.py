"""`usage import`: every line of a file once, however often, and the bad ones by their numbers."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import termios
from array import array
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from tallystick.cli.usage_files import MAX_LINE, Line, read_lines
from tests.commands import Commands
from tests.harness import bearer
from tests.server import running_server

CREDITS = "/v1/organization/credits"
ENTRIES = f"{CREDITS}/entries"

CSV = b'''\
id,credits,meter,timestamp,on_insufficient,dimension:model,dimension:region
c1,0.1,llm.tokens,2026-11-01T00:00:00Z,,m-large,
c2,0.2,,,overdraw,,
"c3",1e-6,"a, b",,,"m ""x""",eu
'''
NDJSON = b"""\
{"id": "n1", "credits": 0.1}

{"id": "n2", "credits": 0.2, "meter": "llm.tokens", "dimensions": {"model": "m-large"}}
"""
CLOUD_EVENT = {"specversion": "1.0", "source": "/gateway", "type": "llm.tokens"}


def cloud_event(event_id: str, credits: object) -> dict[str, Any]:
    return {**CLOUD_EVENT, "id": event_id, "data": {"credits": credits}}


@pytest.fixture
def tallystick(tmp_path: Path) -> Commands:
    """Commands on a database with the organization acme, which has 1000 credits."""
    commands = Commands(database=tmp_path / "tallystick.db")
    commands.json("organizations", "create", "Acme", "--external-id", "acme", "--allowance", "1000")
    return commands


Counts = tuple[int, int, int]
"""Booked, duplicates, rejected."""


def import_usage(tallystick: Commands, path: Path, *options: str) -> tuple[Counts, list[int]]:
    """The counts, and the numbers of the rejected lines."""
    result = tallystick("usage", "import", path, "--organization", "acme", *options, "--json")
    found = json.loads(result.out)
    assert (result.code, result.err) == (5 if found["rejected"] else 0, "")
    counts = (found["booked"], found["duplicates"], found["rejected"])
    return counts, [error["line"] for error in found["errors"]]


def file_of(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def consumed(tallystick: Commands) -> str:
    return str(tallystick.json("balance", "acme")["consumed"])


# ── the three formats ──


def test_csv_says_everything_that_an_event_can_say(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization(external_id="acme", allowance=10)
        tallystick = Commands(database=server.database)
        path = file_of(tmp_path, "usage.csv", CSV)
        assert import_usage(tallystick, path) == ((3, 0, 0), [])
        assert import_usage(tallystick, path) == ((0, 3, 0), [])
        key = bearer(server.key(acme))
        entries = httpx.get(f"{server.url}{ENTRIES}?kind=usage.booked&order=asc", headers=key)
        found = entries.json()["data"]
        assert [(each["event_id"], each["credits"], each["meter"]) for each in found] == [
            ("c1", 0.1, "llm.tokens"),
            ("c2", 0.2, None),
            ("c3", 0.000001, "a, b"),
        ]
        assert found[0]["occurred_at"] == "2026-11-01T00:00:00.000000Z"
        # The same content by another way in is the same event.
        dimensions = {"model": 'm "x"', "region": "eu"}
        again = {"id": "c3", "credits": 1e-6, "meter": "a, b", "dimensions": dimensions}
        answer = httpx.post(f"{server.url}{CREDITS}/usage", headers=key, json=again)
        assert answer.json()["status"] == "duplicate"


@pytest.mark.parametrize("separator", [b",", b";", b"\t"])
def test_csv_comes_with_several_separators(
    tallystick: Commands, tmp_path: Path, separator: bytes
) -> None:
    content = b"\xef\xbb\xbfid,credits\r\nc1,1\r\nc2,2\r\n".replace(b",", separator)
    assert import_usage(tallystick, file_of(tmp_path, "a.csv", content)) == ((2, 0, 0), [])
    assert consumed(tallystick) == "3"


def test_ndjson_is_imported(tallystick: Commands, tmp_path: Path) -> None:
    path = file_of(tmp_path, "usage.jsonl", NDJSON)
    assert import_usage(tallystick, path) == ((2, 0, 0), [])
    assert import_usage(tallystick, path) == ((0, 2, 0), [])
    assert consumed(tallystick) == "0.3"


def test_cloud_events_are_imported(tallystick: Commands, tmp_path: Path) -> None:
    events = [cloud_event(f"e{number}", 0.5) for number in range(150)]
    content = "\n".join(map(json.dumps, events)).encode()
    path = file_of(tmp_path, "events.json", content)
    options = ("--format", "cloudevents")
    assert import_usage(tallystick, path, *options) == ((150, 0, 0), [])
    assert import_usage(tallystick, path, *options) == ((0, 150, 0), [])
    assert consumed(tallystick) == "75"


# ── bad lines ──

BAD_CSV = b'''\
id,credits,timestamp,on_insufficient
good-1,1,,
,1,,
"two
lines",1,,
no-credits,,,
word,abc,,
"injected","1, ""id"": ""x""",,
negative,-1,,
too-fine,0.0000001,,
infinite,Infinity,,
yesterday,1,yesterday,
good-2,1,,

whim,1,,maybe
good-1,2,,
too-much,1000000,,
extra,1,,,more
latin-\xe9,1,,
good-3,+1,,
good-4, 1 ,,
'''
BAD_NDJSON = b"""\
{"id": "good-1", "credits": 1}
{"id": "good-2", "credits": 1

[]
{"id": "good-1", "credits": 2}
{"id": "twice", "credits": 1, "credits": 1}
{"id": "unknown", "credits": 1, "price": 1}
{"id": "latin-\xe9", "credits": 1}
{"id": "good-2", "credits": 1}{"id": "good-3", "credits": 1}
{"id": "good-2", "credits": 1}\r
"""


def test_bad_rows_are_rejected_by_number_and_the_others_booked(
    tallystick: Commands, tmp_path: Path
) -> None:
    path = file_of(tmp_path, "bad.csv", BAD_CSV)
    counts, lines = import_usage(tallystick, path)
    assert counts == (3, 0, 15)
    assert lines == [3, 4, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 18, 19, 20]
    assert consumed(tallystick) == "3"


def test_bad_lines_are_rejected_by_number_and_the_others_booked(
    tallystick: Commands, tmp_path: Path
) -> None:
    path = file_of(tmp_path, "bad.ndjson", BAD_NDJSON)
    assert import_usage(tallystick, path) == ((2, 0, 7), [2, 4, 5, 6, 7, 8, 9])
    assert import_usage(tallystick, path) == ((0, 2, 7), [2, 4, 5, 6, 7, 8, 9])
    assert consumed(tallystick) == "2"


def test_a_bad_cloud_event_does_not_keep_its_neighbours(
    tallystick: Commands, tmp_path: Path
) -> None:
    good = [json.dumps(cloud_event(f"e{number}", 1)) for number in range(4)]
    bad = ["{", "[]", json.dumps({**cloud_event("e9", 1), "data": {}}), f"{good[0]},{good[1]}"]
    clash = json.dumps(cloud_event("e0", 2))
    lines = [good[0], bad[0], good[1], *bad[1:], good[2], clash, good[3]]
    path = file_of(tmp_path, "events.ndjson", "\n".join(lines).encode())
    counts, numbers = import_usage(tallystick, path, "--format", "cloudevents")
    assert (counts, numbers) == ((4, 0, 5), [2, 4, 5, 6, 8])
    assert consumed(tallystick) == "4"


def test_what_is_not_covered_is_rejected_line_by_line(tallystick: Commands, tmp_path: Path) -> None:
    """All are described, also where nearly all of a long file are rejected."""
    lines = [json.dumps({"id": f"e{number}", "credits": 300}) for number in range(450)]
    path = file_of(tmp_path, "usage.ndjson", "\n".join(lines).encode())
    counts, numbers = import_usage(tallystick, path)
    assert counts == (3, 0, 447)
    assert numbers == list(range(4, 451))


def test_rejected_lines_are_listed_for_a_person(tallystick: Commands, tmp_path: Path) -> None:
    path = file_of(tmp_path, "bad.ndjson", b'{"id": "good-1", "credits": 1}\n{"id": "bad"}\n')
    result = tallystick("usage", "import", path, "--organization", "acme")
    assert result.code == 5
    assert result.out.splitlines() == [
        "booked\t1",
        "duplicates\t0",
        "rejected\t1",
        "line\tid\twhy",
        "2\tbad\tvalidation_failed: /credits: is required (or 'quantity', beside 'meter')",
    ]
    assert "nothing is booked twice" in result.err


HEADERS = {
    b"credits,meter\n": "'id' is missing",
    b"id,credit\n": "'credit' is unknown",
    b"id,credits,id\n": "'id' is repeated",
    b"": "'id' is missing",
}


@pytest.mark.parametrize("content", HEADERS)
def test_a_table_without_its_columns_is_refused(
    tallystick: Commands, tmp_path: Path, content: bytes
) -> None:
    path = file_of(tmp_path, "bad.csv", content + b"c1,1\n")
    result = tallystick("usage", "import", path, "--organization", "acme")
    assert (result.code, result.out) == (3, "")
    assert HEADERS[content] in result.err or "'c1' is unknown" in result.err
    assert "Nothing was changed." in result.err


def test_no_line_is_read_without_end(tmp_path: Path) -> None:
    content = b'{"id": "e1"}\n' + b"x" * 1_000_000 + b'\n{"id": "e2"}\n' + b"y" * MAX_LINE
    with file_of(tmp_path, "long.ndjson", content).open("rb") as file:
        assert list(read_lines(file, "ndjson")) == [
            Line(1, b'{"id": "e1"}'),
            Line(2, None),
            Line(3, b'{"id": "e2"}'),
            Line(4, b"y" * MAX_LINE),
        ]


def test_a_line_that_is_too_long_is_rejected(tallystick: Commands, tmp_path: Path) -> None:
    content = b'{"id": "good-1", "credits": 1}\n' + b"x" * 1_000_000 + b"\n"
    path = file_of(tmp_path, "long.ndjson", content)
    assert import_usage(tallystick, path) == ((1, 0, 1), [2])


# ── interruptions ──


def test_a_table_may_be_left_before_its_end() -> None:
    file = io.BytesIO(b"id,credits\ne1,1\ne2,1\n")
    lines = read_lines(file, "csv")
    assert isinstance(lines, Generator)
    next(lines)
    file.close()
    lines.close()


def test_an_import_that_was_interrupted_is_run_again(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = server.organization(external_id="acme", allowance=1000)
        key = bearer(server.key(acme))
        lines = [b'{"id": "e%d", "credits": 1}\n' % number for number in range(450)]
        tallystick = Commands(database=server.database)
        arguments = ("--organization", "acme", "--format", "ndjson")
        process = tallystick.start(
            *("usage", "import", "-", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(b"".join(lines[:250]))
        process.stdin.flush()
        # Two hundreds are booked; the command waits for the rest of the third.
        while httpx.get(server.url + CREDITS, headers=key).json()["consumed"] < 200:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        process.wait(20)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (130, b"")
        # The answer to the second hundred may have been on its way still.
        assert re.search(b"until then: [12]00 booked, 0 duplicates, 0 rejected", err)
        assert b"Run the same command again to go on." in err
        path = file_of(tmp_path, "all.ndjson", b"".join(lines))
        assert import_usage(tallystick, path) == ((250, 200, 0), [])
        credits = httpx.get(server.url + CREDITS, headers=key).json()
        assert credits == {"remaining": 550, "consumed": 450, "total": 1000}


def test_an_import_without_a_server_survives_kill_9(tmp_path: Path) -> None:
    tallystick = Commands(database=tmp_path / "tallystick.db")
    tallystick.json("organizations", "create", "Acme", "--external-id", "acme", "--allowance", 1000)
    lines = [b'{"id": "e%d", "credits": 1}\n' % number for number in range(250)]
    arguments = ("usage", "import", "-", "--organization", "acme", "--format", "ndjson")
    process = tallystick.start(*arguments, stdin=subprocess.PIPE)
    assert process.stdin is not None
    for line in lines[:150]:
        process.stdin.write(line)
    process.stdin.flush()
    wait_until_it_has_read(process, process.stdin)
    process.kill()
    process.communicate()
    path = file_of(tmp_path, "all.ndjson", b"".join(lines))
    (booked, duplicates, rejected), _ = import_usage(tallystick, path)
    assert (booked + duplicates, rejected) == (250, 0)
    assert consumed(tallystick) == "250"


def wait_until_it_has_read(process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
    """Returns when the process has taken all that was written."""
    unread = array("i", [1])
    while unread[0]:
        fcntl.ioctl(pipe, termios.FIONREAD, unread)
        assert process.poll() is None


# ── on a terminal ──


def on_terminal(command: Commands, arguments: Sequence[object]) -> tuple[int, str]:
    """What a person sees, in 80 columns, without the colours."""
    ours, theirs = os.openpty()
    columns = {"COLUMNS": "80", "TERM": "xterm"}
    commands = Commands(database=command.database, environ=columns)
    with commands.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            while more := read_terminal(terminal.fileno()):
                said += more
        process.wait()
    return process.returncode, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode())


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        # How Linux says that nobody writes to a terminal any more.
        return b""


def test_on_a_terminal_progress_is_shown(tallystick: Commands, tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"e{number}", "credits": 1}) for number in range(1_250)]
    path = file_of(tmp_path, "usage.ndjson", "\n".join(lines).encode())
    code, said = on_terminal(tallystick, ["usage", "import", path, "--organization", "acme"])
    assert code == 5
    assert re.search(r"\d+% [\d,]+ booked, 0 duplicates, \d+ rejected", said)
    assert "booked      1,000" in said
    assert "… and 230 more" in said


def test_on_a_terminal_tables_fit_and_ids_stay_whole(tallystick: Commands) -> None:
    [allowance] = tallystick.json("grants", "list", "acme")["data"]
    for arguments in (["grants", "list", "acme"], ["balance", "acme"]):
        code, said = on_terminal(tallystick, arguments)
        assert code == 0
        assert allowance["id"] in said
        assert "1,000" in said
        assert max(len(line.rstrip()) for line in said.splitlines()) <= 80


def test_csv_may_say_quantities(tallystick: Commands, tmp_path: Path) -> None:
    book = file_of(
        tmp_path,
        "prices.toml",
        b'[[prices]]\nmeter = "m"\ncredits = 1\nper = 1000\neffective_at = 2026-01-01T00:00:00Z\n',
    )
    tallystick.json("prices", "import", book)
    content = b"id,credits,quantity,meter\na,,1500,m\nb,0.5,,m\nc,1,1,m\nd,,one,m\ne,,1,?\n"
    assert import_usage(tallystick, file_of(tmp_path, "a.csv", content)) == ((2, 0, 3), [4, 5, 6])
    assert consumed(tallystick) == "2"
    only = file_of(tmp_path, "b.csv", b"id,quantity,meter\na,1500,m\nf,1e3,m\n")
    assert import_usage(tallystick, only) == ((1, 1, 0), [])
