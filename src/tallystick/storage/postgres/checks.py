"""What is looked at before a service starts on PostgreSQL, and what is said where it cannot.

Every message says what was found, what is needed, and how to get there. None has a password in it.
Nothing is changed; a service starts whole or not at all.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from tallystick.storage.errors import NotReachable, SchemaMismatch, StoreNotUsable
from tallystick.storage.migrate import load_migrations, pending
from tallystick.storage.postgres.migrate import applied_migrations, missing_privileges
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncpg import Connection, Record

OLDEST: Final = 15
"""The oldest major version that Tallystick is tested with."""
_NAMED: Final = 5
_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
_SQL: Final = load_statements("postgres", "checks")

_ADVICE: Final = {
    "08P01": "what answers there does not take the settings of a session, as poolers do not "
    "(PgBouncer): name PostgreSQL itself, Tallystick has pools of its own",
    "25006": "this server can only be read: name the primary",
    "28000": "the server lets no such role in from here: make the role, or a line for it in "
    "pg_hba.conf",
    "28P01": "the server refuses the password: correct it in the URL, or set it with ALTER ROLE",
    "3D000": "there is no such database: make one with CREATE DATABASE … ENCODING 'UTF8'",
    "42501": "the role lacks a privilege: do this as the owner of the database and its tables, or "
    "let the owner grant it",
    "42P05": "what answers there mixes sessions up, as poolers do (PgBouncer in transaction mode): "
    "name PostgreSQL itself, Tallystick has pools of its own",
    "53300": "the server has no connection left: raise its max_connections, or use fewer elsewhere",
    "55P03": "a table was in use for too long, and nothing was changed: try again, and look for "
    "long transactions in pg_stat_activity",
    "57P03": "the server is starting or stopping: try again in a moment",
}
"""By SQLSTATE, what to do about what the server says."""
_PASSING: Final = frozenset({"08000", "08001", "08003", "08004", "08006", "53300", "57P03"})
"""What may be over in a moment."""
_NO_TLS: Final = "rejected SSL upgrade"


@contextmanager
def explaining(url: str) -> Iterator[None]:
    """Raises StoreNotUsable for what goes wrong with a database before the service has started;
    NotReachable, where waiting may mend it."""
    try:
        yield
    except ssl.SSLError as error:
        # A certificate that is not trusted is a ValueError besides.
        raise StoreNotUsable(_explain(error, url)) from error
    except ValueError:
        # The driver's is one of these. It quotes what it cannot read, which may be of the password.
        raise StoreNotUsable(
            "the database URL cannot be read: it is postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE, "
            "with each of / ? # @ : % in role or password percent-encoded"
        ) from None
    except _ERRORS as error:
        kind = NotReachable if _may_pass(error, url) else StoreNotUsable
        raise kind(_explain(error, url)) from error


async def check_server(connection: Connection[Record], *, oldest: int = OLDEST) -> Record:
    """Raises StoreNotUsable unless the server and the database can have a ledger, whatever is there
    by now; returns the facts."""
    facts = await connection.fetchrow(_SQL["facts"])
    if facts is None:
        raise StoreNotUsable("the server did not say what it is")
    _check_version(facts, oldest)
    _check_encoding(facts)
    _check_writable(facts)
    return facts


async def check(
    connection: Connection[Record], *, requires_durability: bool = True, oldest: int = OLDEST
) -> list[str]:
    """Raises StoreNotUsable (SchemaMismatch) unless a service may start; returns what could be
    better, for the log.

    `connection` is as lanes use it. Without `requires_durability` a server that loses commits in a
    crash will do: for development.
    """
    facts = await check_server(connection, oldest=oldest)
    if requires_durability:
        _check_durability(facts)
    await _check_schema(connection, facts)
    await _check_privileges(connection, facts)
    return await _advice(connection, facts)


def _check_version(facts: Record, oldest: int) -> None:
    if facts["major"] < oldest:
        raise StoreNotUsable(
            f"the server is PostgreSQL {facts['version']}, and Tallystick needs {oldest} or newer: "
            "upgrade the server (pg_upgrade), or name a newer one"
        )


def _check_encoding(facts: Record) -> None:
    if facts["encoding"] != "UTF8":
        raise StoreNotUsable(
            f"the database {facts['database']} is encoded in {facts['encoding']}, which cannot "
            "hold all text: make a new one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE "
            "template0"
        )


def _check_writable(facts: Record) -> None:
    if facts["is_standby"]:
        raise StoreNotUsable(
            "the server is a standby, which can only be read, and balances are never read from "
            "one: name the primary, or all servers (postgresql://…@HOST1,HOST2/DATABASE)"
        )
    if facts["is_read_only"]:
        raise StoreNotUsable(
            f"transactions of the role {facts['role']} on the database {facts['database']} are "
            "read-only: set default_transaction_read_only = off where it was set on (ALTER ROLE, "
            "ALTER DATABASE or postgresql.conf)"
        )


def _check_durability(facts: Record) -> None:
    for setting in ("fsync", "full_page_writes"):
        if not facts[setting]:
            raise StoreNotUsable(
                f"{setting} is off on the server: a crash of its machine loses what was "
                f"acknowledged, or all: set {setting} = on in postgresql.conf and restart it"
            )
    mode, standbys = facts["synchronous_commit"], facts["synchronous_standbys"]
    if mode == "off" or (mode == "local" and standbys):
        lost = "a crash" if mode == "off" else f"the loss of the primary (standbys: {standbys})"
        raise StoreNotUsable(
            f"synchronous_commit is {mode} on the server: {lost} loses what was acknowledged: set "
            "synchronous_commit = on where it was set otherwise (ALTER ROLE, ALTER DATABASE or "
            "postgresql.conf)"
        )


async def _check_schema(connection: Connection[Record], facts: Record) -> None:
    try:
        applied = await applied_migrations(connection)
    except asyncpg.InsufficientPrivilegeError:
        # The record cannot be read either; what is missing is said below.
        return
    todo = pending(load_migrations("postgres"), applied)
    if not applied:
        raise SchemaMismatch(
            f"the database {facts['database']} is empty: run `tallystick migrate` with a role "
            "that may create tables there"
        )
    if todo:
        raise SchemaMismatch(
            f"the database is at schema version {applied[-1].version}, this version of Tallystick "
            f"needs {todo[-1].version}: run `tallystick migrate` with the role that owns the tables"
        )


async def _check_privileges(connection: Connection[Record], facts: Record) -> None:
    missing = await missing_privileges(connection, facts["role"])
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise StoreNotUsable(
            f"the role {facts['role']} lacks {', '.join(missing[:_NAMED])}{more}: run `tallystick "
            f"migrate --role {facts['role']}` with the role that owns the tables"
        )


async def _advice(connection: Connection[Record], facts: Record) -> list[str]:
    if not await connection.fetchval(_SQL["may_change_entries"]):
        return []
    advice = (
        f"the role {facts['role']} may change entries: let the service work as another role than "
        "the one that owns the tables (`tallystick migrate --role NAME`)"
    )
    return [advice]


def _may_pass(error: Exception, url: str) -> bool:
    """Whether a server that is starting, or another one that takes over, would be the end of it."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "," in urlsplit(url).netloc
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return state in _PASSING
    refuses_tls = isinstance(error, ssl.SSLError) or _NO_TLS in str(error)
    return isinstance(error, OSError) and not refuses_tls


def _explain(error: Exception, url: str) -> str:
    where = describe(url)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return (
            f"{where}: no server there can be written, only read: name the primary, or all servers "
            "(postgresql://…@HOST1,HOST2/DATABASE); a primary must not have "
            "default_transaction_read_only = on"
        )
    state = getattr(error, "sqlstate", None)
    if state in _ADVICE:
        said, _, _ = str(error).partition("\n")
        return f"{where}: {_ADVICE[state]} (it says: {said})"
    if _NO_TLS in str(error) or isinstance(error, ssl.SSLError):
        return (
            f"{where}: no TLS as the URL asks for it ({error}): correct sslmode and sslrootcert, "
            "or set the server's ssl = on with a certificate for that name"
        )
    if state is None and isinstance(error, OSError):
        said = str(error) or "no answer in time"
        return (
            f"{where} cannot be reached: {said}: see whether the server runs, listens at that "
            "address, and is let through by what lies between"
        )
    return f"{where}: {type(error).__name__}: {error}"


def describe(url: str) -> str:
    """Role, servers and database of a URL, without its password."""
    parts = urlsplit(url)
    user_info, _, hosts = parts.netloc.rpartition("@")
    if not user_info and "@" in url:
        return (
            "the database URL, whose password has to be percent-encoded where it contains any of "
            "/ ? #,"
        )
    role = unquote(user_info.partition(":")[0])
    who = f"the role {role} on " if role else ""
    return f"{who}the database {parts.path.lstrip('/') or '(none named)'} at {hosts or 'a socket'}"
