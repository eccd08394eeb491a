"""A service starts on a database that is right, or says what is wrong and what to do about it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from bench.ports import free_port
from tallystick.storage.errors import SchemaMismatch, StoreNotUsable
from tallystick.storage.migrate import load_migrations, make_migration
from tallystick.storage.postgres.checks import check, explaining
from tallystick.storage.postgres.migrate import applied_migrations, grant_runtime, migrate
from tests.servers.postgres import Postgres, connected, in_loop, name_of, running, standby_of

DURABLE = {"fsync": "on", "full_page_writes": "on"}


async def check_at(url: str, *, requires_durability: bool = False, oldest: int = 15) -> list[str]:
    """What a start of the service does."""
    with explaining(url):
        async with connected(url) as connection:
            return await check(connection, requires_durability=requires_durability, oldest=oldest)


async def refusal(url: str, *, requires_durability: bool = False, oldest: int = 15) -> str:
    with pytest.raises(StoreNotUsable) as refused:
        await check_at(url, requires_durability=requires_durability, oldest=oldest)
    return str(refused.value)


@in_loop
async def test_a_database_that_is_right_is_accepted(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.execute("CREATE ROLE accepted LOGIN")
    async with connected(url) as owner:
        await grant_runtime(owner, "accepted")
    assert await check_at(postgres.url(name_of(url), user="accepted")) == []


@in_loop
async def test_an_owner_may_serve_but_is_advised_not_to(postgres: Postgres) -> None:
    (advice,) = await check_at(postgres.database())
    assert "the role bench may change entries" in advice
    assert "`tallystick migrate --role NAME`" in advice


@in_loop
async def test_an_older_server_is_refused(postgres: Postgres) -> None:
    said = await refusal(postgres.database(), oldest=999)
    assert said.startswith("the server is PostgreSQL 1")
    assert "needs 999 or newer: upgrade the server" in said


@in_loop
async def test_another_encoding_is_refused(postgres: Postgres) -> None:
    postgres.execute(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'"
        " LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    said = await refusal(postgres.url("latin"))
    assert "the database latin is encoded in LATIN1" in said
    assert "ENCODING 'UTF8'" in said


@in_loop
async def test_an_empty_database_is_refused_and_stays_empty(postgres: Postgres) -> None:
    url = postgres.empty_database()
    said = await refusal(url)
    assert f"the database {name_of(url)} is empty: run `tallystick migrate`" in said
    async with connected(url) as connection:
        assert (
            await connection.fetchval(
                "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
            == 0
        )


@in_loop
async def test_somebody_elses_tables_are_refused(postgres: Postgres) -> None:
    url = postgres.empty_database()
    postgres.execute("CREATE TABLE recipes (title TEXT)", name_of(url))
    with pytest.raises(SchemaMismatch, match=r"holds 1 table.* name a new database"):
        await check_at(url)


@in_loop
async def test_a_schema_from_the_future_is_refused(postgres: Postgres) -> None:
    known = [*load_migrations("postgres")]
    later = make_migration(f"{len(known) + 1:04}_later.sql", "CREATE TABLE later (id TEXT)")
    url = postgres.database()
    async with connected(url) as connection:
        await migrate(connection, known=[*known, later])
    with pytest.raises(SchemaMismatch, match="use a newer Tallystick"):
        await check_at(url)


@in_loop
async def test_a_schema_that_lacks_migrations_is_refused(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load_migrations("postgres")
    later = make_migration(f"{len(known) + 1:04}_later.sql", "CREATE TABLE later (id TEXT)")
    monkeypatch.setattr(
        "tallystick.storage.postgres.checks.load_migrations", lambda dialect: (*known, later)
    )
    with pytest.raises(SchemaMismatch, match=rf"needs {len(known) + 1}: run `tallystick migrate`"):
        await check_at(postgres.database())


@in_loop
async def test_missing_privileges_are_named(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.execute("CREATE ROLE lacking LOGIN")
    as_role = postgres.url(name_of(url), user="lacking")
    said = await refusal(as_role)
    assert "the role lacking lacks DELETE on budgets, DELETE on external_ids, " in said
    assert "more: run `tallystick migrate --role lacking`" in said
    async with connected(url) as owner:
        await grant_runtime(owner, "lacking")
        await owner.execute("REVOKE INSERT ON entries FROM lacking")
    assert "the role lacking lacks INSERT on entries: run" in await refusal(as_role)


@in_loop
async def test_a_role_that_may_not_use_the_schema_is_told_so(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.execute("CREATE ROLE outside LOGIN")
    postgres.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC", name_of(url))
    said = await refusal(postgres.url(name_of(url), user="outside"))
    assert "search path of this role names no schema" in said


@in_loop
async def test_a_role_that_may_not_connect_is_told_so(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.execute("CREATE ROLE unwanted LOGIN")
    postgres.execute(f"REVOKE CONNECT ON DATABASE {name_of(url)} FROM PUBLIC")
    said = await refusal(postgres.url(name_of(url), user="unwanted"))
    assert f"the role unwanted on the database {name_of(url)} at 127.0.0.1:" in said
    assert "lacks a privilege" in said


@in_loop
async def test_a_role_that_may_not_make_tables_is_told_who_may(postgres: Postgres) -> None:
    url = postgres.empty_database()
    postgres.execute("CREATE ROLE modest LOGIN")
    with pytest.raises(StoreNotUsable, match=r"the role modest on .* do this as the owner"):
        await migrate_at(postgres.url(name_of(url), user="modest"))
    async with connected(url) as connection:
        assert await applied_migrations(connection) == []


async def migrate_at(url: str) -> None:
    with explaining(url):
        async with connected(url) as connection:
            await migrate(connection)


@in_loop
async def test_a_services_role_finds_that_there_is_nothing_to_migrate(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.execute("CREATE ROLE served LOGIN")
    async with connected(url) as owner:
        await grant_runtime(owner, "served")
    await migrate_at(postgres.url(name_of(url), user="served"))


@in_loop
async def test_transactions_that_are_read_only_are_refused(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.execute(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    assert "set default_transaction_read_only = off" in await refusal(url)
    asked = f"{url}?target_session_attrs=read-write"
    assert "must not have default_transaction_read_only = on" in await refusal(asked)


@in_loop
async def test_a_commit_that_does_not_wait_is_refused() -> None:
    with running(fsync=True) as postgres:
        url = postgres.database()
        await check_at(url, requires_durability=True)
        database = name_of(url)
        postgres.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
        said = await refusal(url, requires_durability=True)
        assert "synchronous_commit is off on the server: a crash loses" in said
        assert "set synchronous_commit = on" in said
        await check_at(url, requires_durability=False)
        # Without standbys, a commit that is durable here is as durable as any.
        postgres.execute(f"ALTER DATABASE {database} SET synchronous_commit = local")
        await check_at(url, requires_durability=True)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_sync_is_refused(setting: str) -> None:
    with running(settings={**DURABLE, setting: "off"}) as postgres:
        url = postgres.database()
        said = asyncio.run(refusal(url, requires_durability=True))
        assert f"{setting} is off on the server" in said
        assert f"set {setting} = on in postgresql.conf" in said
        asyncio.run(check_at(url, requires_durability=False))


def test_commits_that_do_not_wait_for_the_standbys_there_are_are_refused() -> None:
    settings = {"synchronous_standby_names": "*", "synchronous_commit": "local"}
    with running(fsync=True, settings=settings) as postgres:
        said = asyncio.run(refusal(postgres.database(), requires_durability=True))
    assert "synchronous_commit is local on the server: the loss of the primary" in said


def test_a_standby_is_refused() -> None:
    with running() as primary:
        url, empty = primary.database(), primary.empty_database()
        with standby_of(primary) as standby:
            at_standby = standby.url(name_of(url))
            said = asyncio.run(refusal(at_standby))
            assert "the server is a standby, which can only be read" in said
            assert "name the primary" in said
            with pytest.raises(StoreNotUsable, match="can only be read: name the primary"):
                asyncio.run(migrate_at(standby.url(name_of(empty))))
            asked = f"{at_standby}?target_session_attrs=read-write"
            assert "no server there can be written" in asyncio.run(refusal(asked))


@in_loop
async def test_a_database_that_does_not_exist_is_named(postgres: Postgres) -> None:
    said = await refusal(postgres.url("nowhere"))
    assert "the database nowhere at 127.0.0.1:" in said
    assert "make one with CREATE DATABASE" in said


@in_loop
async def test_a_role_that_does_not_exist_is_named(postgres: Postgres) -> None:
    said = await refusal(postgres.url(user="nobody"))
    assert "the role nobody on the database postgres" in said
    assert "make the role" in said


@in_loop
async def test_an_address_where_nobody_listens_is_named() -> None:
    port = free_port()
    said = await refusal(f"postgresql://bench:secret@127.0.0.1:{port}/ledger")
    assert f"the database ledger at 127.0.0.1:{port} cannot be reached" in said
    assert "see whether the server runs" in said
    assert "secret" not in said


@in_loop
async def test_a_name_that_leads_nowhere_is_named() -> None:
    said = await refusal("postgresql://bench:secret@nowhere.invalid/ledger")
    assert "at nowhere.invalid cannot be reached" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bench:se/cret@127.0.0.1:1/ledger",
        "postgresql://bench:12/cret@127.0.0.1:1/ledger",
        "postgresql://bench:secret@127.0.0.1:cret/ledger",
        "cret://bench:secret@127.0.0.1/ledger",
    ],
)
@in_loop
async def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    said = await refusal(url)
    assert "percent-encoded" in said
    assert "cret" not in said
    assert "12" not in said.replace("127.0.0.1", "")


def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path) -> None:
    with running() as postgres:
        rules = postgres.daemon.folder / "data" / "pg_hba.conf"
        rules.write_text(
            "host all guarded 127.0.0.1/32 scram-sha-256\nhost all bench 127.0.0.1/32 trust\n"
        )
        postgres.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        postgres.execute("SELECT pg_reload_conf()")
        url = postgres.database()
        asyncio.run(_grant(url, "guarded"))
        wrong = postgres.url(name_of(url), user="guarded", password="hunter2")
        said = asyncio.run(refusal(wrong))
        assert "the server refuses the password" in said
        assert "hunter2" not in said
        # Somebody whom no line of the file lets in.
        postgres.execute("CREATE ROLE unlisted LOGIN")
        said = asyncio.run(refusal(postgres.url(name_of(url), user="unlisted")))
        assert "or a line for it in pg_hba.conf" in said


async def _grant(url: str, role: str) -> None:
    async with connected(url) as owner:
        await grant_runtime(owner, role)


def test_a_server_without_a_free_connection_says_so() -> None:
    settings = {"max_connections": "4", "superuser_reserved_connections": "3"}
    with running(settings=settings) as postgres:
        url = postgres.database()
        postgres.execute("CREATE ROLE crowded LOGIN")
        asyncio.run(_fill_and_ask(postgres.url(name_of(url), user="crowded")))


async def _fill_and_ask(url: str) -> None:
    async with connected(url):
        assert "no connection left" in await refusal(url)


def test_errors_of_other_kinds_keep_their_words() -> None:
    error = asyncpg.DiskFullError("no space left on device")
    with (
        pytest.raises(StoreNotUsable, match="DiskFullError: no space left") as refused,
        explaining("postgresql://bench@127.0.0.1/ledger"),
    ):
        raise error
    assert refused.value.__cause__ is error
