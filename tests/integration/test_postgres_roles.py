"""The service's role can do what a service does, and nothing that would change what was."""

from __future__ import annotations

import asyncio
import itertools
import re

import asyncpg
import pytest

from tallystick.storage.errors import StoreNotUsable
from tallystick.storage.migrate import load_migrations, make_migration
from tallystick.storage.postgres.migrate import grant_runtime, migrate, missing_privileges
from tallystick.storage.queries import parse, sql_folder
from tests.servers.postgres import Connection, Postgres, connected, in_loop, name_of

_numbers = itertools.count(1)


def new_role(postgres: Postgres, terms: str = "") -> str:
    """One that may log in, with a name that has to be quoted."""
    role = f"service-{next(_numbers)}"
    postgres.execute(f'CREATE ROLE "{role}" LOGIN {terms}')
    return role


def as_role(postgres: Postgres, url: str, role: str) -> str:
    return postgres.url(name_of(url), user=role)


async def granted(postgres: Postgres, partitions: int = 0) -> tuple[str, str]:
    """The URLs of a new database: as its owner, and as a role of a service."""
    url, role = postgres.database(partitions=partitions), new_role(postgres)
    async with connected(url) as owner:
        await grant_runtime(owner, role)
    return url, as_role(postgres, url, role)


ALLOWED = [
    "INSERT INTO organizations VALUES ('org_1', 'Acme', 'acme', 'ts_1', '{}', 'x', 1)",
    "UPDATE organizations SET name = 'Acme Ltd' WHERE organization_id = 'org_1'",
    "INSERT INTO external_ids VALUES ('acme', 'org_1')",
    "DELETE FROM external_ids WHERE external_id = 'acme'",
    "INSERT INTO teamspaces VALUES ('org_1', 'ts_1', 'Default', 'open', 'aws', '{}', 1)",
    "INSERT INTO key_directory VALUES ('hash', 'org_1', 'key_1', NULL)",
    "UPDATE key_directory SET expires_at = 5",
    "SELECT * FROM accounts WHERE organization_id = 'org_1' FOR UPDATE SKIP LOCKED",
    "SELECT * FROM price_book FOR UPDATE",
    "INSERT INTO prices VALUES (NULL, 'price_1', 'tokens', '{}', 1, '1', 'up', 1, 1)",
    "INSERT INTO price_ends (price_id, ends_at, created_at) VALUES ('price_1', 2, 1)",
    "INSERT INTO usage_events VALUES ('org_1', 'event_1', 1, false)",
    "INSERT INTO budgets VALUES ('org_1', 'ts_1', 5, 0) ON CONFLICT DO NOTHING",
    "UPDATE budgets SET budget = 7",
    "DELETE FROM budgets",
    "SELECT * FROM replays FOR UPDATE SKIP LOCKED",
    "DELETE FROM replays WHERE created_at < 5",
    "SELECT * FROM refused_requests FOR UPDATE SKIP LOCKED",
    "DELETE FROM refused_requests WHERE at < 5",
    "SELECT * FROM api_keys FOR UPDATE SKIP LOCKED",
    "UPDATE holds SET dimensions = NULL, salt = NULL",
    "SELECT version, name, checksum FROM schema_migrations",
]
FORBIDDEN = [
    "UPDATE entries SET credits = 2",
    "DELETE FROM entries",
    "TRUNCATE entries",
    "SELECT * FROM entries FOR UPDATE",
    "UPDATE usage_events SET sequence = 2",
    "DELETE FROM usage_events",
    "UPDATE event_dimensions SET digest = 'x'",
    "DELETE FROM event_dimensions",
    "DELETE FROM milestones",
    "UPDATE milestones SET state = 'x'",
    "UPDATE prices SET credits = 2",
    "DELETE FROM prices",
    "UPDATE price_ends SET ends_at = 2",
    "DELETE FROM price_ends",
    "DELETE FROM price_book",
    "UPDATE accounts SET organization_id = 'org_2'",
    "DELETE FROM accounts",
    "UPDATE grants SET kind = 'top_up'",
    "UPDATE grants SET issued = 2",
    "DELETE FROM grants",
    "UPDATE holds SET credits = 2",
    "DELETE FROM holds",
    "DELETE FROM organizations",
    "UPDATE key_directory SET organization_id = 'org_2'",
    "DELETE FROM api_keys",
    "INSERT INTO schema_migrations VALUES (99, 'x', 'x', 1)",
    "UPDATE schema_migrations SET checksum = 'x'",
    "DELETE FROM schema_migrations",
    "ALTER TABLE entries ADD COLUMN note TEXT",
    "ALTER TABLE entries DISABLE TRIGGER ALL",
    "ALTER TABLE accounts DROP CONSTRAINT accounts_held_is_there",
    "DROP TRIGGER entries_refuse_change ON entries",
    "DROP TABLE entries",
    "DROP INDEX entries_by_kind",
    "CREATE TABLE mine (id TEXT)",
    "SET session_replication_role = replica",
]


@pytest.mark.parametrize("partitions", [0, 2])
@in_loop
async def test_the_services_role_does_what_a_service_does(
    postgres: Postgres, partitions: int
) -> None:
    _, url = await granted(postgres, partitions)
    async with connected(url) as service:
        for statement in ALLOWED:
            await service.execute(statement)


@pytest.mark.parametrize("partitions", [0, 2])
@in_loop
async def test_the_services_role_changes_nothing_that_was(
    postgres: Postgres, partitions: int
) -> None:
    _, url = await granted(postgres, partitions)
    async with connected(url) as service:
        for statement in FORBIDDEN:
            assert await refusal(service, statement) == "42501", statement


async def refusal(service: Connection, statement: str) -> str | None:
    """The SQLSTATE with which a statement was refused."""
    try:
        await service.execute(statement)
    except asyncpg.PostgresError as error:
        return error.sqlstate
    return None


_STATEMENT = re.compile(r"SELECT|INSERT|UPDATE|DELETE|WITH")
_OF_THE_OWNER = {"migrate.sql", "schema.sql", "schema_dump.sql"}


def statements() -> dict[str, str]:
    """Those of the service, by their names."""
    files = [file for file in sql_folder("postgres").iterdir() if file.name.endswith(".sql")]
    return {
        f"{file.name} {name}": text
        for file in files
        if file.name not in _OF_THE_OWNER
        for name, text in parse(file.read_text("utf-8"))
        if _STATEMENT.match(text) and "pg_temp." not in text
    }


@pytest.mark.parametrize("partitions", [0, 2])
@in_loop
async def test_the_services_role_may_run_each_of_its_statements(
    postgres: Postgres, partitions: int
) -> None:
    """Privileges are looked at when a statement's plan is about to be run, as EXPLAIN does."""
    _, url = await granted(postgres, partitions)
    async with connected(url) as service:
        refused = [name for name, text in statements().items() if not await may_run(service, text)]
    assert refused == []


async def may_run(service: Connection, statement: str) -> bool:
    prepared = await service.prepare(statement)
    try:
        await service.fetch(f"EXPLAIN {statement}", *[None] * len(prepared.get_parameters()))
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


@in_loop
async def test_a_partition_is_no_way_around(postgres: Postgres) -> None:
    _, url = await granted(postgres, partitions=2)
    async with connected(url) as service:
        for statement in ("DELETE FROM entries_0", "SELECT * FROM accounts_1"):
            assert await refusal(service, statement) == "42501"


@in_loop
async def test_what_is_missing_is_named(postgres: Postgres) -> None:
    url, role = postgres.database(), new_role(postgres)
    async with connected(url) as owner:
        missing = await missing_privileges(owner, role)
        assert {"SELECT on accounts", "INSERT on entries", "DELETE on budgets"} <= set(missing)
        assert "UPDATE (amount, remaining, held, status) on grants" in missing
        assert not any("entries" in one and "UPDATE" in one for one in missing)
        await grant_runtime(owner, role)
        assert await missing_privileges(owner, role) == []
        await owner.execute(f'REVOKE UPDATE (held) ON grants FROM "{role}"')
        assert await missing_privileges(owner, role) == [
            "UPDATE (amount, remaining, held, status) on grants"
        ]


@in_loop
async def test_granting_takes_away_what_else_was_granted(postgres: Postgres) -> None:
    url, role = postgres.database(), new_role(postgres)
    async with connected(url) as owner, connected(as_role(postgres, url, role)) as service:
        await owner.execute(f'GRANT ALL ON entries, accounts, prices TO "{role}"')
        assert await refusal(service, "SELECT * FROM entries FOR UPDATE") is None
        await grant_runtime(owner, role)
        assert await refusal(service, "SELECT * FROM entries FOR UPDATE") == "42501"
        assert await refusal(service, "SELECT * FROM entries") is None


@in_loop
async def test_many_may_grant_at_once(postgres: Postgres) -> None:
    url, role = postgres.database(), new_role(postgres)

    async def grant() -> None:
        async with connected(url) as owner:
            await grant_runtime(owner, role)

    await asyncio.gather(*(grant() for _ in range(6)))
    async with connected(url) as owner:
        assert await missing_privileges(owner, role) == []


@in_loop
async def test_a_role_is_granted_what_later_migrations_need(postgres: Postgres) -> None:
    """Here a column is added to a table of which a service may change all but the key."""
    known = [*load_migrations("postgres")]
    script = "ALTER TABLE accounts ADD COLUMN note TEXT;"
    known.append(make_migration(f"{len(known) + 1:04}_note.sql", script))
    url, service_url = await granted(postgres)
    async with connected(url) as owner, connected(service_url) as service:
        await migrate(owner, known=known)
        await service.execute("UPDATE accounts SET note = 'x'")


@in_loop
async def test_functions_are_granted_where_they_are_not_everybodys(postgres: Postgres) -> None:
    url, role = postgres.database(), new_role(postgres)
    async with connected(url) as owner:
        await owner.execute(
            "CREATE FUNCTION tallystick_load_9(text) RETURNS int LANGUAGE sql AS 'SELECT 42';"
            "REVOKE EXECUTE ON FUNCTION tallystick_load_9 FROM PUBLIC"
        )
        assert "EXECUTE on tallystick_load_9(text)" in await missing_privileges(owner, role)
        await grant_runtime(owner, role)
    async with connected(as_role(postgres, url, role)) as service:
        assert await service.fetchval("SELECT tallystick_load_9('')") == 42


@in_loop
async def test_the_owner_needs_no_superuser(postgres: Postgres) -> None:
    """As where a provider keeps that for itself: a role that owns one database, and no more."""
    owner, service = new_role(postgres), new_role(postgres)
    database = name_of(postgres.empty_database())
    postgres.execute(f'ALTER DATABASE {database} OWNER TO "{owner}"')
    async with connected(postgres.url(database, user=owner)) as connection:
        assert await migrate(connection, partitions=2) == list(load_migrations("postgres"))
        await grant_runtime(connection, service)
    async with connected(postgres.url(database, user=service)) as connection:
        assert await missing_privileges(connection, service) == []


@in_loop
async def test_a_role_that_does_not_exist_is_named(postgres: Postgres) -> None:
    async with connected(postgres.database()) as owner:
        with pytest.raises(StoreNotUsable, match=r"there is no role 'nobody'.* CREATE ROLE"):
            await grant_runtime(owner, "nobody")
