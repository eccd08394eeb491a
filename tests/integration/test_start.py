"""`serve` on PostgreSQL and Redis: it starts whole, or says what was found, what is needed and what
to do. Nothing is left behind, and nobody is shown a traceback or a password."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.ports import free_port
from tallystick.storage.migrate import load_migrations, make_migration
from tallystick.storage.postgres.migrate import migrate
from tests.commands import Commands, Result
from tests.server import COMMAND, environment, running_server
from tests.servers.postgres import Postgres, connected, name_of, running, standby_of
from tests.servers.redis import RedisServer, redis_server

KNOWN = load_migrations("postgres")
LATER = make_migration(f"{len(KNOWN) + 1:04}_later.sql", "CREATE TABLE later (id TEXT)")
SECRET = "hunter2"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def guarded(durable: Postgres) -> str:
    """The URL of a role with another password than its own."""
    rules = durable.daemon.folder / "data" / "pg_hba.conf"
    rules.write_text(f"host all guarded all scram-sha-256\n{rules.read_text()}")
    durable.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    durable.execute("SELECT pg_reload_conf()")
    return durable.url(user="guarded", password=SECRET)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    with redis_server(folder, "--requirepass", "right") as server:
        yield server


def new_role(postgres: Postgres) -> str:
    role = f"restricted_{next(_numbers)}"
    postgres.execute(f"CREATE ROLE {role} LOGIN")
    return role


def serve(url: str, *arguments: object, **environ: str) -> Result:
    """A server that must not come to serve, and does not wait."""
    tallystick = Commands(database=url, environ=environ)
    return tallystick("serve", "--port", 0, "--database-wait", 0, *arguments)


def refusal(url: str, *arguments: object, **environ: str) -> str:
    done = serve(url, *arguments, **environ)
    assert done.code == 4, done
    assert done.out == ""
    assert "Traceback" not in done.err
    assert SECRET not in done.err
    assert "Nothing was changed." in done.err
    assert "serving" not in done.err
    return done.err


def run(url: str, statement: str) -> object:
    async def ask() -> object:
        async with connected(url) as connection:
            return await connection.fetchval(statement)

    return asyncio.run(ask())


async def upgrade(url: str) -> None:
    """What a later version does."""
    async with connected(url) as connection:
        await migrate(connection, known=[*KNOWN, LATER])


def tables_of(url: str) -> object:
    return run(url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")


# ── PostgreSQL ──


def test_a_server_that_is_not_there_is_named() -> None:
    said = refusal(f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/tallystick")
    assert "the role me on the database tallystick at 127.0.0.1:" in said
    assert "cannot be reached" in said
    assert "see whether the server runs, listens at that address" in said


def test_a_name_that_nobody_has_is_named() -> None:
    said = refusal("postgresql://me@nowhere.invalid/tallystick?sslmode=disable")
    assert "at nowhere.invalid cannot be reached" in said


def test_a_wrong_password_is_said(guarded: str) -> None:
    said = refusal(guarded)
    assert "the server refuses the password: correct it in the URL" in said


def test_a_password_that_has_to_be_encoded_is_not_repeated() -> None:
    done = serve(f"postgresql://me:{SECRET}/more@127.0.0.1/tallystick")
    assert done.code == 2
    assert "with / ? # @ : % in a password percent-encoded" in done.err
    assert SECRET not in done.err


def test_a_url_without_protection_is_refused() -> None:
    said = refusal(f"postgresql://me:{SECRET}@db.example.com/tallystick")
    assert "the database URL names db.example.com, which is another machine" in said


def test_a_server_without_tls_is_not_waited_for(durable: Postgres) -> None:
    url = f"{durable.empty_database()}?sslmode=require"
    tallystick = Commands(database=url)
    done = tallystick("serve", "--port", 0, "--database-wait", 3600)
    assert done.code == 4
    assert "no TLS as the URL asks for it" in done.err
    assert "set the server's ssl = on" in done.err


def test_a_database_that_is_not_there_is_named(durable: Postgres) -> None:
    assert "there is no such database: make one with CREATE DATABASE" in refusal(
        durable.url("gone")
    )


def test_a_standby_is_refused() -> None:
    with running(fsync=True) as primary, standby_of(primary, {"fsync": "on"}) as standby:
        said = refusal(standby.url("postgres"))
    assert "no server there can be written, only read: name the primary" in said


def test_a_server_that_loses_commits_is_refused(postgres: Postgres) -> None:
    said = refusal(postgres.empty_database())
    assert "fsync is off on the server" in said
    assert "set fsync = on in postgresql.conf and restart it" in said


def test_somebody_elses_tables_are_refused_and_left_alone(durable: Postgres) -> None:
    url = durable.empty_database()
    run(url, "CREATE TABLE recipes (title TEXT)")
    assert "holds 1 tables, but none of Tallystick's: name a new database" in refusal(url)
    assert tables_of(url) == 1


def test_another_encoding_is_refused_before_a_table_is_made(durable: Postgres) -> None:
    durable.execute(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'"
        " LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    said = refusal(durable.url("latin"))
    assert "is encoded in LATIN1" in said
    assert tables_of(durable.url("latin")) == 0


def test_a_schema_from_the_future_is_refused(durable: Postgres) -> None:
    url = durable.database()
    asyncio.run(upgrade(url))
    said = refusal(url)
    assert f"the database is at schema version {LATER.version}" in said
    assert "use a newer Tallystick, or restore an older backup" in said


def test_a_schema_of_another_make_is_refused(durable: Postgres) -> None:
    url = durable.database()
    run(url, "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    assert "was applied in another form than this version of Tallystick has it" in refusal(url)


def test_missing_privileges_are_named(durable: Postgres) -> None:
    url, role = durable.database(), new_role(durable)
    said = refusal(durable.url(name_of(url), user=role))
    assert f"the role {role} lacks DELETE on budgets" in said
    assert f"run `tallystick migrate --role {role}` with the role that owns the tables" in said


def test_several_workers_do_not_start_either(durable: Postgres, redis: RedisServer) -> None:
    """Their parent finds out, before there are any."""
    url, role = durable.database(), new_role(durable)
    limits = f"redis://:right@127.0.0.1:{redis.port}"
    said = refusal(durable.url(name_of(url), user=role), "--workers", 2, TALLYSTICK_LIMITS=limits)
    assert said.count("lacks DELETE on budgets") == 1


# ── roles ──


def test_the_owner_brings_the_schema_up_to_date_and_another_role_finds_it_so(
    durable: Postgres, tmp_path: Path
) -> None:
    url, role = durable.empty_database(), new_role(durable)
    as_role = durable.url(name_of(url), user=role)
    said = refusal(as_role)
    assert f"the database {name_of(url)} is empty: run `tallystick migrate` with a role" in said
    assert tables_of(url) == 0
    tallystick = Commands(database=url)
    done = tallystick.json("migrate", "--role", role)
    applied = [f"{each.version:04} {each.name}" for each in KNOWN]
    assert (done["status"], done["applied"], done["role"]) == ("done", applied, role)
    assert tallystick.json("migrate", "--role", role)["applied"] == []
    with running_server(tmp_path, database=as_role) as server:
        acme = server.organization(allowance=5)
        assert server.grant(acme, 1.5)["remaining"] == 1.5
        assert not any("may change entries" in line for line in server.said)
    with running_server(tmp_path, database=url) as server:
        assert any("the role bench may change entries" in line for line in server.said)


def test_the_owner_migrates_when_a_server_starts(durable: Postgres, tmp_path: Path) -> None:
    url = durable.empty_database()
    with running_server(tmp_path, database=url) as server:
        server.organization()
    assert run(url, "SELECT max(version) FROM schema_migrations") == len(KNOWN)


def test_a_role_that_owns_nothing_is_told_who_has_to_migrate(durable: Postgres) -> None:
    """Where it may make tables of its own, it does not."""
    url, role = durable.empty_database(), new_role(durable)

    async def an_older_version() -> None:
        async with connected(url) as connection:
            await migrate(connection, known=KNOWN[:1])

    asyncio.run(an_older_version())
    assert len(KNOWN) > 1
    durable.execute(f"GRANT CREATE ON SCHEMA public TO {role}", name_of(url))
    durable.execute(f"GRANT SELECT ON schema_migrations TO {role}", name_of(url))
    said = refusal(durable.url(name_of(url), user=role))
    assert f"is at schema version 1, this version of Tallystick needs {len(KNOWN)}" in said
    assert "run `tallystick migrate` with the role that owns the tables" in said
    assert run(url, "SELECT max(version) FROM schema_migrations") == 1


def test_a_role_that_is_not_there_is_granted_nothing(durable: Postgres) -> None:
    done = Commands(database=durable.database())("migrate", "--role", "nobody")
    assert (done.code, done.out) == (4, "")
    assert "there is no role 'nobody' on this server: make it with CREATE ROLE" in done.err


def test_a_file_has_no_roles(tmp_path: Path) -> None:
    done = Commands(database=tmp_path / "ledger.db")("migrate", "--role", "service")
    assert done.code == 2
    assert "an SQLite file has no roles" in done.err
    assert list(tmp_path.iterdir()) == []


# ── Redis ──


def test_a_redis_that_refuses_the_password_is_named(durable: Postgres, redis: RedisServer) -> None:
    limits = f"redis://:{SECRET}@127.0.0.1:{redis.port}"
    said = refusal(durable.database(), TALLYSTICK_LIMITS=limits)
    assert f"Redis at 127.0.0.1:{redis.port} refuses the password" in said


def test_a_redis_url_that_cannot_be_read_is_not_repeated(durable: Postgres) -> None:
    done = serve(durable.database(), TALLYSTICK_LIMITS=f"redis://:{SECRET}@127.0.0.1:x/0")
    assert done.code == 2
    assert "TALLYSTICK_LIMITS: must be of the form redis://host:port/number" in done.err
    assert SECRET not in done.err


def test_a_redis_that_is_not_there_yet_is_done_without(durable: Postgres, tmp_path: Path) -> None:
    limits = f"redis://127.0.0.1:{free_port()}"
    with running_server(tmp_path, database=durable.database(), limits=limits) as server:
        server.organization()


# ── who comes first ──


@contextmanager
def starting(url: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A server that waits for its database, and what it says until then."""
    process = subprocess.Popen(
        [str(COMMAND), "serve", "--port", "0", *arguments],
        env=environment({"TALLYSTICK_DATABASE": url}),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    said: list[str] = []
    try:
        yield process, said
    finally:
        process.kill()
        process.communicate()


def until_said(process: subprocess.Popen[str], said: list[str], word: str) -> None:
    """Reads on until a line has this word."""
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if word in line:
            return
    pytest.fail(f"it ended and never said {word!r}: {said}")


def test_a_database_that_comes_later_is_waited_for() -> None:
    with running(fsync=True) as postgres:
        url = postgres.empty_database()
        postgres.daemon.stop()
        with starting(url) as (process, said):
            until_said(process, said, "waiting for the database")
            postgres.daemon.start()
            until_said(process, said, '"serving"')
            process.terminate()
            until_said(process, said, '"stopped"')
            assert process.wait() == 0
    assert len([line for line in said if "waiting" in line]) == 1
    assert "cannot be reached" in said[0]


def test_waiting_ends_in_time() -> None:
    url = f"postgresql://me@127.0.0.1:{free_port()}/x"
    done = Commands(database=url)("serve", "--port", 0, "--database-wait", 1)
    assert done.code == 4
    assert done.err.count("cannot be reached") == 2
    assert '"seconds": 1' in done.err


def test_who_is_told_to_end_while_waiting_ends() -> None:
    with starting(f"postgresql://me@127.0.0.1:{free_port()}/x") as (process, said):
        until_said(process, said, "waiting for the database")
        process.terminate()
        process.wait()


def test_to_look_at_a_ledger_is_not_to_upgrade_it(durable: Postgres) -> None:
    """Also where the role may: another version may be serving."""
    url = durable.empty_database()
    asyncio.run(_migrate_to(url, len(KNOWN) - 1))
    tallystick = Commands(database=url)
    done = tallystick("organizations", "list")
    assert done.code == 4
    assert "run `tallystick migrate`" in done.err
    assert tallystick("migrate").code == 0
    assert tallystick("organizations", "list").code == 0


async def _migrate_to(url: str, version: int) -> None:
    async with connected(url) as connection:
        await migrate(connection, known=KNOWN[:version])
