"""The wiring: from settings to a service, and the only place that names concrete adapters."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uuid_utils

from tallystick.config import ConfigError
from tallystick.domain.directory import ApiKey
from tallystick.domain.ids import encode_id
from tallystick.domain.keys import ENTROPY_BYTES, make_secret
from tallystick.http.app import create_app
from tallystick.http.auth import Authenticator
from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.operations import Audience
from tallystick.http.service import Service
from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.directory import CreateKey, Housekeeping
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import StoreError
from tallystick.ledger.reading import Page
from tallystick.ledger.reads import Reads
from tallystick.ledger.sweeper import INTERVAL_SECONDS, keep_sweeping
from tallystick.ledger.units import REPLAYS_KEPT
from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import ADDRESS_WINDOWS, Limits
from tallystick.observe import logger
from tallystick.storage.owner import PRIVATE, OwnerLock
from tallystick.storage.sqlite import SqliteStore
from tallystick.storage.sqlite_audit import SqliteAudit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp

    from tallystick.config import Resolved, Settings
    from tallystick.ledger.ports import Store

HOUSEKEEPING_SECONDS: Final = 60
NOTING_SECONDS: Final = 1
"""How long a refused request waits to be written; a crash loses those that wait."""


def clock() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def new_id(prefix: str) -> str:
    return encode_id(prefix, uuid_utils.uuid7().bytes)


def wire(store: Store, settings: Settings) -> Service:
    """The service over `store`."""
    window_ms = settings.window_ms
    limits = Limits(
        default=settings.rate_limit, window_ms=window_ms, operations=settings.rate_limits
    )
    admin = settings.admin_key
    authenticator = Authenticator(
        store.reader,
        limits=limits,
        clock=clock,
        monotonic_ms=monotonic_ms,
        admin_secrets=[] if admin is None else [admin.encode()],
        pepper=settings.pepper,
    )
    ledger = Ledger(store)
    ledger.listen(authenticator.forget)
    return Service(
        ledger=ledger,
        reads=Reads(store.reader, clock),
        authenticator=authenticator,
        limiter=MemoryLimiter(window_ms=window_ms),
        strangers=MemoryLimiter(window_ms=window_ms, capacity=ADDRESS_WINDOWS),
        limits=limits,
        clock=clock,
        monotonic_ms=monotonic_ms,
        epoch_ms=lambda: time.time_ns() // 1_000_000,
        new_id=new_id,
        entropy=os.urandom,
        pepper=settings.pepper,
        trusted_proxies=settings.trusted_proxies,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """The service on a database file that this process owns, and its two applications."""

    service: Service
    database: Path
    public: ASGIApp
    local: ASGIApp


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[Embedded]:
    """The service without a server, while the block lasts; what was submitted is finished first.

    Raises StoreNotUsable (AlreadyOwned where another process has the file) or StoreUnavailable.
    """
    database = database_file(settings)
    with OwnerLock(database):
        service = wire(SqliteStore.open(database, clock=clock, owned=True), settings)
        try:
            yield Embedded(
                service=service,
                database=database,
                public=create_app(service, OPERATIONS),
                local=create_app(service, OPERATIONS, local=True),
            )
        finally:
            await _close(service)


async def _close(service: Service) -> None:
    """What was acknowledged is safe whether or not the database can be closed in order."""
    try:
        await service.ledger.close()
    except StoreError as failure:
        logger().warning(
            "the database was not closed in order; its next start puts that right",
            reason=str(failure),
        )


def database_file(settings: Settings) -> Path:
    """The file itself: two names of one database must not make two owners."""
    return settings.database.resolve()


def audit(settings: Settings) -> SqliteAudit:
    """The database as a verifier reads it, whoever else has it open."""
    return SqliteAudit(database_file(settings))


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


@asynccontextmanager
async def upkeep(service: Service) -> AsyncIterator[None]:
    """Runs what a server does besides answering, while the block lasts."""
    tasks = [
        _start(keep_sweeping(service.ledger, clock, _pause(INTERVAL_SECONDS), _report), "sweeper"),
        _start(_keep_house(service, _pause(HOUSEKEEPING_SECONDS)), "housekeeping"),
        _start(_keep_noting(service, _pause(NOTING_SECONDS)), "noting of refused requests"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await tidy(service)


def _start(work: Awaitable[None], name: str) -> asyncio.Task[None]:
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda ended: _ended(ended, name))
    return task


def _ended(task: asyncio.Task[None], name: str) -> None:
    if not task.cancelled():
        logger().error(f"{name} stopped; restart the server", exc_info=task.exception())


def _pause(seconds: int) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


def _report(failure: BaseException) -> None:
    is_bug = not isinstance(failure, StoreError | Overloaded)
    logger().warning(
        "not done now, tried again later",
        reason=str(failure),
        exc_info=failure if is_bug else None,
    )


async def _keep_house(service: Service, pause: Callable[[], Awaitable[None]]) -> None:
    while True:
        await pause()
        await tidy(service)


async def _keep_noting(service: Service, pause: Callable[[], Awaitable[None]]) -> None:
    while True:
        await pause()
        try:
            await service.refused.write()
        except (StoreError, Overloaded) as failure:
            _report(failure)


async def tidy(service: Service) -> None:
    """Writes when keys were last used and what was refused, and forgets what nobody needs."""
    last_used = service.authenticator.last_used
    used = dict(last_used)
    last_used.clear()
    unit = Housekeeping(keys_used=used, forget_replays_before=clock() - REPLAYS_KEPT)
    try:
        await service.ledger.submit("", unit)
    except (StoreError, Overloaded) as failure:
        for name, moment in used.items():
            last_used.setdefault(name, moment)
        _report(failure)
        return
    await _tidy_refused(service)


async def _tidy_refused(service: Service) -> None:
    if dropped := service.refused.take_dropped():
        logger().warning("too many requests were refused to note them all", dropped=dropped)
    try:
        await service.refused.write()
        await service.refused.forget()
    except (StoreError, Overloaded) as failure:
        _report(failure)


async def make_first_operator(service: Service, path: Path) -> str | None:
    """An operator key for a new database, also written to `path`; None where it is not new."""
    reader = service.reads.reader
    if await reader.keys(None, Page(1)) or await reader.organizations(Page(1)):
        return None
    secret = make_secret(os.urandom(ENTROPY_BYTES))
    # The file first: if what follows fails, the database is as new as before.
    write_private(path, secret)
    key = ApiKey(
        id=new_id("key"),
        organization_id=None,
        teamspace_id=None,
        name="The first operator",
        created_at=clock(),
    )
    digest = service.authenticator.digest(secret.encode())
    await service.ledger.submit("", CreateKey(key=key, digest=digest))
    return secret


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, PRIVATE)
            file.write(f"{text}\n")
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
