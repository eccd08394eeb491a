"""The wiring: from settings to a service, and the only place that names concrete adapters."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uuid_utils

from tallystick.config import ConfigError
from tallystick.domain.ids import encode_id
from tallystick.http.app import create_app
from tallystick.http.auth import Authenticator
from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.operations import Audience
from tallystick.http.service import Service
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import StoreError
from tallystick.ledger.reads import Reads
from tallystick.limits.fallback import Fallback, Policy
from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import ADDRESS_WINDOWS, Limits
from tallystick.limits.redis import RedisLimiter
from tallystick.observe import logger
from tallystick.storage.owner import OwnerLock
from tallystick.storage.postgres.audit import AUDITING, PostgresAudit
from tallystick.storage.postgres.connect import Database
from tallystick.storage.postgres.store import PostgresStore
from tallystick.storage.postgres.upgrade import upgrade
from tallystick.storage.sqlite import SqliteStore
from tallystick.storage.sqlite_audit import SqliteAudit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from starlette.types import ASGIApp

    from tallystick.config import Resolved, Settings, Url
    from tallystick.http.service import Limiter
    from tallystick.ledger.audit import Audit
    from tallystick.ledger.ports import Store


REMEMBERED_MS: Final = 1_000
"""How long a process believes what it has read of a key, where others may change it: what is
revoked is revoked everywhere within a second."""


def clock() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def new_id(prefix: str) -> str:
    return encode_id(prefix, uuid_utils.uuid7().bytes)


def wire(
    store: Store,
    limiter: Limiter,
    settings: Settings,
    *,
    now: Callable[[], int] = clock,
    remembered_for_ms: int | None = None,
) -> Service:
    """The service over `store`. `now` is the ledger's clock; `remembered_for_ms` says for how long
    a key that was looked up may be believed, where other processes change keys too."""
    window_ms = settings.window_ms
    limits = Limits(
        default=settings.rate_limit, window_ms=window_ms, operations=settings.rate_limits
    )
    admin = settings.admin_key
    authenticator = Authenticator(
        store.reader,
        limits=limits,
        clock=now,
        monotonic_ms=monotonic_ms,
        admin_secrets=[] if admin is None else [admin.encode()],
        pepper=settings.pepper,
        remembered_for_ms=remembered_for_ms,
    )
    ledger = Ledger(store)
    ledger.listen(authenticator.forget)
    return Service(
        ledger=ledger,
        reads=Reads(store.reader, now),
        authenticator=authenticator,
        limiter=limiter,
        strangers=MemoryLimiter(window_ms=window_ms, capacity=ADDRESS_WINDOWS),
        limits=limits,
        clock=now,
        monotonic_ms=monotonic_ms,
        epoch_ms=lambda: time.time_ns() // 1_000_000,
        new_id=new_id,
        entropy=os.urandom,
        pepper=settings.pepper,
        trusted_proxies=settings.trusted_proxies,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The service on its database, and its two applications.

    `companion` is the path of a file that belongs to the database, by its suffix: beside it or,
    where it is a server's, in the working folder. `advice` is what could be better with the
    database, for the log.
    """

    service: Service
    database: Path | Url
    public: ASGIApp
    local: ASGIApp
    advice: Sequence[str] = ()

    def companion(self, suffix: str) -> Path:
        database = self.database
        return beside(database if isinstance(database, Path) else Path("tallystick"), suffix)


def running(settings: Settings, *, migrates: bool = True) -> AbstractAsyncContextManager[Running]:
    """The service without a server, while the block lasts; what was submitted is finished first.

    Raises StoreNotUsable (AlreadyOwned where another process has the file) or StoreUnavailable.
    """
    database = settings.database
    return (
        embedded(settings)
        if isinstance(database, Path)
        else clustered(settings, database, migrates=migrates)
    )


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[Running]:
    """The service on a database file that this process owns."""
    database = database_file(settings)
    with OwnerLock(database):
        store = SqliteStore.open(database, clock=clock, owned=True)
        async with _serving(store, database, settings, clock) as found:
            yield found


@asynccontextmanager
async def clustered(
    settings: Settings, database: Url, *, migrates: bool = True
) -> AsyncIterator[Running]:
    """The service on a PostgreSQL that other processes write too.

    Where it `migrates` and its role owns the tables, they are brought up to date first; otherwise
    they are found so, or it is said what to do.
    """
    store = await PostgresStore.open(
        database.text,
        lanes=settings.database_lanes,
        migrates=migrates,
        partitions=settings.database_partitions or None,
    )
    async with _serving(store, database, settings, store.clock, REMEMBERED_MS) as found:
        yield replace(found, advice=store.advice)


async def migrated(settings: Settings, database: Url, role: str | None) -> list[str]:
    """Brings a PostgreSQL to the schema of this version, and gives `role` what a service needs.

    The names of the scripts that were applied. Raises StoreNotUsable.
    """
    return await upgrade(
        Database(url=database.text), partitions=settings.database_partitions or None, role=role
    )


@asynccontextmanager
async def _serving(
    store: Store,
    database: Path | Url,
    settings: Settings,
    now: Callable[[], int],
    remembered_for_ms: int | None = None,
) -> AsyncIterator[Running]:
    async with AsyncExitStack() as ending:
        ending.push_async_callback(_close, store)
        limiter = await _limiter(settings, ending)
        service = wire(store, limiter, settings, now=now, remembered_for_ms=remembered_for_ms)
        ending.push_async_callback(service.ledger.drained)
        yield Running(
            service=service,
            database=database,
            public=create_app(service, OPERATIONS),
            local=create_app(service, OPERATIONS, local=True),
        )


async def _limiter(settings: Settings, ending: AsyncExitStack) -> Limiter:
    """What counts requests, until `ending`. Raises LimitsNotUsable."""
    window_ms = settings.window_ms
    if settings.limits == "memory":
        return MemoryLimiter(window_ms=window_ms)
    fallback = Fallback(Policy(settings.limits_fallback), window_ms=window_ms)
    limiter = RedisLimiter(settings.limits.text, fallback, window_ms=window_ms)
    await limiter.start()
    ending.push_async_callback(limiter.close)
    return limiter


async def _close(store: Store) -> None:
    """What was acknowledged is safe whether or not the database can be closed in order."""
    try:
        await store.close()
    except StoreError as failure:
        logger().warning(
            "the database was not closed in order; its next start puts that right",
            reason=str(failure),
        )


def database_file(settings: Settings) -> Path:
    """The file itself: two names of one database must not make two owners."""
    if not isinstance(settings.database, Path):
        raise TypeError("the database is no file")
    return settings.database.resolve()


def audit(settings: Settings) -> AbstractContextManager[Audit]:
    """The database as a verifier reads it, whoever else has it open."""
    if isinstance(settings.database, Path):
        return SqliteAudit(database_file(settings))
    database = Database(url=settings.database.text)
    return PostgresAudit(partial(database.connect, AUDITING))


def beside(database: Path, suffix: str) -> Path:
    """A companion of the database: its socket, its keys."""
    return database.with_name(database.name + suffix)


def check_operations(resolved: Resolved) -> None:
    """Raises ConfigError where `rate_limits` names what is no operation with a limit."""
    known = {each.name for each in OPERATIONS if each.audience is not Audience.OPEN}
    source = resolved.sources["rate_limits"]
    unknown = sorted(set(resolved.settings.rate_limits) - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise ConfigError(
            [f"{source}: {name} is no operation; there are {names}" for name in unknown]
        )
