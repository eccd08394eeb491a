"""PostgreSQL for tests: a cluster of our own, and a new database wherever one is wanted.

    def test_something(postgres: Postgres) -> None:
        url = postgres.database()                # migrated, with nothing in it
        url = postgres.database(partitions=4)
        url = postgres.empty_database()
        with postgres.lent() as url: …           # as new, several times faster

The cluster that a whole run of tests shares neither syncs nor keeps anything. It sorts text by the
rules of a language, so that what relies on the order of bytes has to say so. A test that kills its
server or sets it up in another way runs one of its own: `with running(fsync=True) as postgres:`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, ParamSpec, TypeAlias

import asyncpg

from bench.daemons import Daemon
from bench.postgres import (
    SUPERUSER,
    find_binary,
    own,
    postgres_daemon,
    run_as_owner,
    running_postgres,
)
from tallystick.storage.postgres.migrate import migrate

P = ParamSpec("P")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_SETTINGS: Final = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "autovacuum": "off",
}
_NO_DURABILITY: Final = {"fsync": "off", "full_page_writes": "off"}
_EMPTY: Final = """
SET session_replication_role = replica;
DO $$
DECLARE
    filled name;
BEGIN
    FOR filled IN
        SELECT relname FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
            AND NOT relispartition AND relname NOT IN ('schema_migrations', 'price_book')
    LOOP
        EXECUTE format('DELETE FROM %I', filled);
    END LOOP;
END
$$;
UPDATE price_book SET last_price = 0, last_end = 0;
"""
"""Takes out whatever was written, past the triggers that forbid it."""
_LANGUAGE: Final = ("--locale-provider=icu", "--icu-locale=en-US")


class Postgres:
    """A running cluster."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self._numbers = itertools.count(1)
        self._templates: dict[int, str] = {}
        self._returned: dict[int, list[str]] = {}

    def url(self, database: str = "postgres", *, user: str = SUPERUSER, password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.daemon.port}/{database}"

    def database(self, *, partitions: int = 0) -> str:
        """The URL of a new database with all tables, which are empty."""
        if partitions not in self._templates:
            url = self.empty_database()
            _finish(_migrate(url, partitions))
            self._templates[partitions] = name_of(url)
        return self._create(self._templates[partitions])

    @contextmanager
    def lent(self, *, partitions: int = 0) -> Iterator[str]:
        """The URL of a database with all tables, which are empty, for who leaves no schema changed
        and no connection open. It is emptied and lent again: to make one takes much longer."""
        returned = self._returned.setdefault(partitions, [])
        url = returned.pop() if returned else self.database(partitions=partitions)
        yield url
        self.execute(_EMPTY, name_of(url))
        returned.append(url)

    def empty_database(self) -> str:
        """The URL of a new database without tables."""
        return self._create("template0")

    def copy(self, url: str) -> str:
        """The URL of a new database with all that stands in the one at `url`."""
        return self._create(name_of(url))

    def promote(self) -> None:
        """Makes a primary of a standby; returns when it is one."""
        files = str(self.daemon.folder / "data")
        run_as_owner([str(find_binary("pg_ctl")), "promote", "--wait", "-D", files])

    def execute(self, statement: str, database: str = "postgres") -> None:
        """As the superuser."""
        _finish(_execute(self.url(database), statement))

    def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


def name_of(url: str) -> str:
    """The database in a URL."""
    return url.rpartition("/")[2]


@contextmanager
def running(
    *, fsync: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Postgres]:
    """A cluster in a temporary folder. Not below pytest's own, which nobody else may enter."""
    given = {**_SETTINGS, **({} if fsync else _NO_DURABILITY), **(settings or {})}
    with tempfile.TemporaryDirectory(prefix="tallystick-postgres-") as folder:
        Path(folder).chmod(0o711)
        with running_postgres(Path(folder) / "cluster", given, initdb=_LANGUAGE) as daemon:
            yield Postgres(daemon)


@contextmanager
def standby_of(primary: Postgres, settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A second server that follows one that `running` has started."""
    folder = primary.daemon.folder.with_name("standby")
    folder.mkdir()
    own(folder)
    source = ["-h", "127.0.0.1", "-p", str(primary.daemon.port), "-U", SUPERUSER]
    copy = [str(find_binary("pg_basebackup")), *source, "-D", str(folder / "data"), "-R"]
    run_as_owner([*copy, "-X", "stream", "-c", "fast"])
    daemon = postgres_daemon(folder, {**_SETTINGS, **_NO_DURABILITY, **(settings or {})})
    try:
        daemon.start()
        yield Postgres(daemon)
    finally:
        daemon.stop()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def in_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Makes a test of a coroutine function, which runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def _finish(work: Coroutine[None, None, None]) -> None:
    """In a loop of its own, whether or not the caller is in one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _migrate(url: str, partitions: int) -> None:
    async with connected(url) as connection:
        await migrate(connection, partitions=partitions)


async def _execute(url: str, statement: str) -> None:
    async with connected(url) as connection:
        await connection.execute(statement)
