"""A ledger moves from its file into PostgreSQL, whole, and whatever gets in the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import signal
import subprocess
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import asyncpg
import httpx
import pytest

from tallystick.storage.migrate import load_migrations, make_migration
from tallystick.storage.owner import OwnerLock
from tallystick.storage.postgres.connect import Database
from tallystick.storage.postgres.migrate import migrate
from tallystick.storage.postgres.transfer import destination
from tallystick.storage.sqlite_transfer import SqliteSource
from tests.commands import Commands
from tests.harness import bearer
from tests.histories import history
from tests.moving import (
    EVENT,
    FIRST,
    PRICE,
    RESTING,
    content_of_database,
    content_of_file,
    make_ledger,
)
from tests.server import running_server
from tests.servers.postgres import Postgres, connected, name_of

ORGANIZATIONS = RESTING + 2
MIDDLE = f"org_{3:026d}"
"""One that rests; some come before it and some after."""
EVENTS = 20_000


class Made(NamedTuple):
    """A ledger, and the secret of one of its keys."""

    file: Path
    secret: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    file = tmp_path_factory.mktemp("made") / "tallystick.db"
    return Made(file, make_ledger(file))


@pytest.fixture
def file(made: Made, tmp_path: Path) -> Path:
    """A copy of the ledger of a test's own."""
    copy = tmp_path / "ledger.db"
    shutil.copy(made.file, copy)
    copy.chmod(0o600)
    return copy


@pytest.fixture(scope="module")
def moved_once(postgres: Postgres, made: Made) -> str:
    url = postgres.empty_database()
    assert Commands(database=url).json("transfer", made.file)["equal"]
    return url


@pytest.fixture
def moved(postgres: Postgres, moved_once: str) -> str:
    """A database of a test's own, into which the ledger has been transferred."""
    return postgres.copy(moved_once)


def change(file: Path, statement: str) -> None:
    """As somebody with the file in his hands."""
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute(statement)


def run(url: str, statement: str) -> Any:  # noqa: ANN401 - any value
    async def ask() -> object:
        async with connected(url) as connection:
            return await connection.fetchval(statement)

    return asyncio.run(ask())


def refusal(url: str, source: object, code: int = 4) -> str:
    done = Commands(database=url)("transfer", source)
    assert (done.code, done.out) == (code, ""), done
    assert "Traceback" not in done.err
    return done.err


# ── the whole of it ──


@pytest.mark.parametrize("partitions", [0, 3])
def test_everything_arrives_and_the_file_stays_as_it_was(
    postgres: Postgres, file: Path, partitions: int
) -> None:
    before = hashlib.sha256(file.read_bytes()).digest()
    expected = content_of_file(file)
    assert [table for table, rows in expected.items() if not rows] == [], "nothing shows there"
    url = postgres.empty_database()
    arguments = ("--database-partitions", partitions) if partitions else ()
    done = Commands(database=url).json("transfer", f"sqlite:///{file}", *arguments)
    assert (done["equal"], done["copied"], done["differing"]) == (True, ORGANIZATIONS, [])
    assert asyncio.run(content_of_database(url)) == expected
    assert hashlib.sha256(file.read_bytes()).digest() == before


def test_balances_and_heads_of_chains_are_printed(moved: str, file: Path) -> None:
    done = Commands(database=moved).json("transfer", file)
    with closing(apsw.Connection(str(file))) as connection:
        found: list[Any] = connection.execute(
            "SELECT organization_id, remaining, consumed, overage, held, sequence, hex(head)"
            " FROM accounts ORDER BY 1"
        ).fetchall()
    sums = ("remaining", "consumed", "overage", "held")
    assert [
        (
            each["organization_id"],
            *(int(each[name] * 1_000_000) for name in sums),
            each["sequence"],
            each["head"].upper(),
        )
        for each in done["ledgers"]
    ] == found
    assert [done["sums"][name] * 1_000_000 for name in sums] == [
        sum(Decimal(row[1 + at]) for row in found) for at in range(4)
    ]
    assert done["entries"] == sum(row[5] for row in found)
    lines = Commands(database=moved)("transfer", file).out.splitlines()
    assert lines[0] == "result\tboth ends are equal"
    assert f"entry {found[-1][5]} {found[-1][6].lower()}" in lines[-1]


def test_a_transfer_that_is_done_is_done_once(moved: str, file: Path) -> None:
    again = Commands(database=moved).json("transfer", file)
    assert (again["equal"], again["copied"]) == (True, 0)
    assert asyncio.run(content_of_database(moved)) == content_of_file(file)


def test_a_service_goes_on_where_the_file_ended(
    durable: Postgres, file: Path, made: Made, tmp_path: Path
) -> None:
    """Keys are keys, what was booked is not booked again, and prices go on."""
    url = durable.empty_database()
    assert Commands(database=url).json("transfer", file)["equal"]
    key = bearer(made.secret)
    with running_server(tmp_path, database=url) as server:
        path = f"{server.base_url}/organization/credits"
        before = httpx.get(path, headers=key).json()
        assert httpx.post(f"{path}/usage", headers=key, json=EVENT).is_success
        assert httpx.get(path, headers=key).json() == before
        held = httpx.post(
            f"{path}/holds", headers={**key, "Idempotency-Key": "one"}, json={"credits": 5}
        )
        assert held.is_success
        assert httpx.get(path, headers=key).json() == before, "it was placed in the file"
        server.post("/prices", PRICE | {"meter": "more"})
        event = {"id": "evt-new", "meter": "more", "quantity": 1}
        assert httpx.post(f"{path}/usage", headers=key, json=event).json()["credits"] == 2
    assert Commands(database=url).json("verify")["agrees"]


def test_memory_does_not_grow_with_the_ledger(postgres: Postgres, tmp_path: Path) -> None:
    file, database = tmp_path / "ledger.db", Database(url=postgres.empty_database())

    async def scenario() -> int:
        async with history(5, file) as life:
            for _ in range(EVENTS // 250):
                await life.do(*(life.usage()._replace(overdraw=True) for _ in range(250)))
        async with destination(database, None) as there:
            tracemalloc.start()
            with SqliteSource(file) as source:
                await there.copy_directory(source)
                await there.copy(source, FIRST, lambda _: None)
            with SqliteSource(file) as source:
                await there.compare(source, FIRST, lambda _: None)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    most = asyncio.run(scenario())
    size = "SELECT (pg_table_size('entries') + pg_table_size('usage_events'))::bigint"
    assert most < run(database.url, size) / 2


# ── interruptions ──


@contextmanager
def held_up(url: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A transfer that waits in the middle: somebody else is writing the organization MIDDLE."""
    loop = asyncio.new_event_loop()
    somebody = loop.run_until_complete(asyncpg.connect(url))
    loop.run_until_complete(somebody.execute("BEGIN"))
    loop.run_until_complete(
        somebody.execute(
            "INSERT INTO organizations VALUES ($1, 'x', NULL, 'ts', '{}', '', 1, '[]')", MIDDLE
        )
    )
    transfer = Commands(database=url).start(
        "transfer", file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        while not loop.run_until_complete(somebody.fetchval(waiting)):
            assert transfer.poll() is None, transfer.communicate()
        yield transfer
    finally:
        loop.run_until_complete(somebody.close())
        loop.close()
        transfer.kill()
        transfer.communicate()


def test_a_transfer_that_is_killed_goes_on_where_it_was(postgres: Postgres, file: Path) -> None:
    url = postgres.database()
    with held_up(url, file) as transfer:
        transfer.kill()
        transfer.wait()
    there = run(url, "SELECT count(*) FROM accounts")
    assert 0 < there < ORGANIZATIONS
    assert run(url, "SELECT count(*) FROM organizations") == there
    done = Commands(database=url).json("transfer", file)
    assert (done["equal"], done["copied"]) == (True, ORGANIZATIONS - there)
    assert asyncio.run(content_of_database(url)) == content_of_file(file)


def test_a_transfer_that_is_interrupted_says_so(postgres: Postgres, file: Path) -> None:
    url = postgres.database()
    with held_up(url, file) as transfer:
        transfer.send_signal(signal.SIGINT)
        out, err = transfer.communicate(timeout=30)
    assert (transfer.returncode, out) == (130, b"")
    assert b"Run the same command again to go on." in err
    assert Commands(database=url).json("transfer", file)["equal"]


def test_the_database_goes_away_in_the_middle(postgres: Postgres, file: Path) -> None:
    url = postgres.database()
    with held_up(url, file) as transfer:
        run(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tallystick-transfer' AND datname = current_database()",
        )
        out, err = transfer.communicate(timeout=30)
    assert (transfer.returncode, out) == (4, b"")
    assert b"terminating connection" in err
    assert b"Run the command again: it goes on." in err
    assert Commands(database=url).json("transfer", file)["equal"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE api_keys SET revoked_at = 5 WHERE organization_id > ''", "table api_keys"),
        ("UPDATE api_keys SET name = 'x' WHERE organization_id = ''", "belongs to no organization"),
        ("UPDATE teamspaces SET name = 'Renamed'", "table teamspaces"),
        (
            "UPDATE event_dimensions SET dimensions = NULL, salt = NULL, erased_at = 1",
            "_dimensions",
        ),
        ("DELETE FROM replays", "table replays"),
    ],
)
def test_a_source_that_changed_after_it_was_copied_is_found_out(
    moved: str, file: Path, statement: str, said: str
) -> None:
    """None of it shows in the chains."""
    change(file, statement)
    err = refusal(moved, file)
    assert said in err
    assert "Begin again with a new database" in err


def test_a_source_that_went_on_after_it_was_copied_is_found_out(moved: str, file: Path) -> None:
    Commands(database=file).json("grants", "issue", "acme", 5)
    assert "has changed since it was copied. Begin again" in refusal(moved, file)


def test_a_source_that_disagrees_with_itself_is_not_copied(postgres: Postgres, file: Path) -> None:
    change(file, "UPDATE accounts SET remaining = remaining + 1 WHERE sequence > 5")
    url = postgres.empty_database()
    done = Commands(database=url)("transfer", file, "--json")
    assert done.code == 6
    assert not json.loads(done.out)["equal"]
    assert run(url, "SELECT count(*) FROM pg_class WHERE relname = 'accounts'") == 0


def test_a_destination_that_was_changed_is_not_equal(moved: str, file: Path) -> None:
    run(moved, "UPDATE grants SET remaining = remaining - 1 WHERE remaining > held")
    assert "table grants" in refusal(moved, file)


# ── what is refused, and changes nothing ──


def test_another_ledger_is_not_written_to(moved: str, tmp_path: Path) -> None:
    before = asyncio.run(content_of_database(moved))
    Commands(database=tmp_path / "other.db").json("organizations", "create", "Other")
    err = refusal(moved, tmp_path / "other.db")
    assert "the destination has a ledger of its own: the organization org_" in err
    assert asyncio.run(content_of_database(moved)) == before


def test_a_destination_with_keys_of_operators_is_refused(postgres: Postgres, file: Path) -> None:
    url = postgres.database()
    run(
        url,
        "INSERT INTO api_keys VALUES ('', 'key_1', NULL, 'x', 'account', '[]', false, 1)",
    )
    err = refusal(url, file)
    assert "what belongs to no organization is there and is not the same" in err
    assert run(url, "SELECT count(*) FROM accounts") == 0


def test_somebody_elses_tables_are_left_alone(postgres: Postgres, file: Path) -> None:
    url = postgres.empty_database()
    run(url, "CREATE TABLE recipes (title TEXT)")
    assert "holds 1 tables, but none of Tallystick's: name a new database" in refusal(url, file)


def test_a_destination_from_the_future_is_refused(postgres: Postgres, file: Path) -> None:
    url, known = postgres.database(), load_migrations("postgres")
    later = make_migration(f"{len(known) + 1:04}_later.sql", "CREATE TABLE later (id TEXT)")

    async def upgrade() -> None:
        async with connected(url) as connection:
            await migrate(connection, known=[*known, later])

    asyncio.run(upgrade())
    assert "use a newer Tallystick" in refusal(url, file)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO schema_migrations VALUES (99, 'later', 'x', 1)", "use a newer Tallystick"),
        ("DELETE FROM schema_migrations WHERE version > 5", "run `tallystick migrate`"),
        ("UPDATE schema_migrations SET checksum = 'x'", "was applied in another form"),
    ],
)
def test_a_source_of_another_schema_is_refused(
    postgres: Postgres, file: Path, statement: str, said: str
) -> None:
    change(file, statement)
    assert said in refusal(postgres.empty_database(), file)


def test_a_source_that_is_in_use_is_refused(postgres: Postgres, file: Path) -> None:
    with OwnerLock(file):
        assert f"{file} is in use by process" in refusal(postgres.empty_database(), file)


def test_a_destination_where_services_are_at_work_is_refused(
    postgres: Postgres, file: Path
) -> None:
    """Also by an owner who may not see what others do."""
    postgres.execute("CREATE ROLE moving_owner LOGIN")
    name = name_of(postgres.empty_database())
    postgres.execute(f"ALTER DATABASE {name} OWNER TO moving_owner")
    url = postgres.url(name, user="moving_owner")

    async def scenario() -> str:
        service = await asyncpg.connect(
            postgres.url(name), server_settings={"application_name": "tallystick"}
        )
        try:
            return await asyncio.to_thread(refusal, url, file)
        finally:
            await service.close()

    assert "services are at work on the destination (1 connections): stop" in asyncio.run(
        scenario()
    )


def test_two_transfers_into_one_database_do_not_mix(postgres: Postgres, file: Path) -> None:
    other = shutil.copy(file, file.with_name("other.db"))
    url = postgres.database()
    with held_up(url, file):
        assert "another transfer into this database is under way" in refusal(url, other)


@pytest.mark.parametrize("source", ["postgresql://me:hunter2@there/x", "mysql://x", "sqlite://x"])
def test_a_source_that_is_no_file_is_refused(source: str) -> None:
    err = refusal("postgresql://nobody@127.0.0.1:1/none", source, 2)
    assert "SOURCE" in err
    assert "hunter2" not in err


def test_a_source_that_is_not_there_is_not_made(postgres: Postgres, tmp_path: Path) -> None:
    err = refusal(postgres.empty_database(), tmp_path / "gone.db")
    assert f"there is no database {tmp_path}/gone.db" in err
    assert list(tmp_path.iterdir()) == []


def test_a_destination_that_is_a_file_is_refused(file: Path) -> None:
    err = refusal(str(file.with_name("other.db")), file, 2)
    assert "other.db (TALLYSTICK_DATABASE), which is no PostgreSQL" in err


def test_a_destination_with_a_password_is_no_flag(file: Path) -> None:
    done = Commands(database="unused.db")("transfer", file, "--database", "postgresql://a:b@c/d")
    assert done.code == 2
    assert "--database: holds a password" in done.err


def test_a_destination_that_is_not_there_is_named(file: Path) -> None:
    err = refusal("postgresql://nobody@127.0.0.1:1/none", file)
    assert "the database none at 127.0.0.1:1 cannot be reached" in err
