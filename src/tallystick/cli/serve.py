"""`tallystick serve`: the server, from its settings to its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    suppress,
)
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import uvloop

from tallystick import observe
from tallystick.bootstrap import check_operations, make_first_operator, running, upkeep
from tallystick.cli.client import owned
from tallystick.cli.demo import make_demo
from tallystick.cli.errors import UNAVAILABLE
from tallystick.cli.options import FLAGS, with_settings
from tallystick.cli.workers import Handed, Leash, Workers, same_command
from tallystick.http.handlers.table import OPERATIONS, REFERENCE
from tallystick.http.server import ENDING_SIGNALS, Server, bind_local, bind_public, url_of
from tallystick.ledger.reading import Page
from tallystick.storage.errors import NotReachable

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from tallystick.bootstrap import Running
    from tallystick.config import Resolved, Settings

    Introduction = Callable[[str], str]

_PAUSE_SECONDS: Final = 0.5
"""Between two attempts to reach a database that is not there yet."""


def _read_handed(_: click.Context, __: click.Parameter, text: str | None) -> Handed | None:
    """What a parent hands down to a worker; nobody else says `--worker`, unless by mistake."""
    try:
        return None if text is None else Handed.parse(text)
    except ValueError:
        raise click.UsageError(
            "--worker is what a server says to the processes that it starts. How many there are to "
            "be is --workers N."
        ) from None


@click.command()
@click.option("--worker", "handed", hidden=True, callback=_read_handed, help="For workers.")
@with_settings(*(setting.name for setting in FLAGS))
def serve(resolved: Resolved, *, handed: Handed | None) -> int | None:
    """Start the server.

    A database file is owned until the server ends; other commands then speak to it through a socket
    beside the file. A PostgreSQL that is not there yet is waited for. Ctrl-C or SIGTERM end it,
    after what is under way; a second one ends it at once. With several workers, SIGHUP replaces
    them one by one, with settings read anew; a single process ends on it as on SIGTERM.
    """
    check_operations(resolved)
    settings = resolved.settings
    secrets = [settings.admin_key, (settings.pepper or b"").decode()]
    observe.configure(
        level=settings.log_level, form=settings.log_format, secrets=filter(None, secrets)
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if handed is not None:
            served = runner.run(_work(settings, handed))
        elif settings.workers > 1:
            served = runner.run(_serve_by_workers(settings))
        else:
            served = runner.run(_serve(settings))
        # What is left takes a moment, and is not to end as if the process had been killed.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    return None if served else UNAVAILABLE


async def _serve(settings: Settings) -> bool:
    """One process that does everything."""
    with ExitStack() as doors:
        # First, for where the address is taken no new database is to be left behind.
        public = _bind(settings, doors)
        async with _opened(settings) as served:
            local_door = _local_door(served, doors)
            urls = [url_of(door) for door in public]
            introduce = await _prepare(settings, served)
            server = _server(
                served, local_door, lambda: _announce(settings, served, urls, introduce)
            )
            async with upkeep(served.service):
                await server.serve(sockets=public)
    observe.logger().info("stopped")
    return True


async def _serve_by_workers(settings: Settings) -> bool:
    """The parent of several: what would keep them from serving is found before there are any."""
    with ExitStack() as doors:
        public = _bind(settings, doors)
        async with _opened(settings) as served:
            introduce = await _prepare(settings, served)
        urls = [url_of(door) for door in public]
        workers = Workers(same_command(), public, settings.workers)
        served_by_all = await workers.run(lambda: _announce(settings, served, urls, introduce))
    observe.logger().info("stopped")
    return served_by_all


async def _work(settings: Settings, handed: Handed) -> bool:
    """A worker: it serves at its parent's doors. The first one sweeps for all."""
    async with _opened(settings) as served:
        leash = Leash(handed.leash)
        server = _server(served, None, leash.serves, is_worker=True)
        leash.when_gone = server.end
        async with upkeep(served.service, sweeps=handed.number == 0):
            await server.serve(sockets=handed.open_doors())
    return True


def _opened(settings: Settings) -> AbstractAsyncContextManager[Running]:
    return owned(settings) if isinstance(settings.database, Path) else _reached(settings)


@asynccontextmanager
async def _reached(settings: Settings) -> AsyncIterator[Running]:
    """The service on a PostgreSQL, which is waited for where it is not there yet."""
    clock = asyncio.get_running_loop().time
    until = clock() + settings.database_wait
    async with AsyncExitStack() as stack:
        served = await _attempt(settings, stack)
        if isinstance(served, NotReachable) and settings.database_wait:
            observe.logger().warning(
                "waiting for the database", reason=str(served), seconds=settings.database_wait
            )
        while isinstance(served, NotReachable):
            if clock() >= until:
                raise served
            await asyncio.sleep(_PAUSE_SECONDS)
            served = await _attempt(settings, stack)
        yield served


async def _attempt(settings: Settings, stack: AsyncExitStack) -> Running | NotReachable:
    try:
        return await stack.enter_async_context(running(settings))
    except NotReachable as error:
        return error


def _bind(settings: Settings, doors: ExitStack) -> list[socket.socket]:
    public = bind_public(settings.host, settings.port)
    for door in public:
        doors.callback(door.close)
    return public


def _local_door(served: Running, doors: ExitStack) -> socket.socket | None:
    if not isinstance(served.database, Path):
        return None
    path = served.companion(".sock")
    door = bind_local(path)
    doors.callback(path.unlink, missing_ok=True)
    doors.callback(door.close)
    return door


def _server(
    served: Running,
    local_door: socket.socket | None,
    ready: Callable[[], None],
    *,
    is_worker: bool = False,
) -> Server:
    REFERENCE.prepare()
    return Server(
        served.service,
        public=served.public,
        local=served.local,
        express=[operation for operation in OPERATIONS if operation.is_hot],
        local_door=local_door,
        ready=ready,
        is_worker=is_worker,
    )


async def _prepare(settings: Settings, served: Running) -> Introduction | None:
    """What is done once, before anybody is served."""
    for advice in served.advice:
        observe.logger().info("the database could serve better", advice=advice)
    if settings.admin_key is None:
        await _see_to_operator(served)
    return await make_demo(served) if settings.demo else None


async def _see_to_operator(served: Running) -> None:
    """Makes the first operator's key of a new file. A PostgreSQL is set up by people, and several
    nodes may start at once: there it is only said how."""
    if not isinstance(served.database, Path):
        if not await served.service.reads.reader.keys(None, Page(1)):
            observe.logger().warning(
                "there is no operator key yet: make one with 'tallystick keys create --operator'"
            )
        return
    path = served.companion(".admin-key")
    secret = await make_first_operator(served.service, path)
    if secret is None:
        return
    observe.logger().info("made the first operator key", file=str(path))
    if sys.stderr.isatty():
        click.echo(f"The first operator key, also in {path}:\n  {secret}", err=True)


def _announce(
    settings: Settings, served: Running, urls: list[str], introduce: Introduction | None
) -> None:
    observe.logger().info(
        "serving",
        url=" ".join(urls),
        database=str(served.database),
        limits=str(settings.limits),
        rate_limit=settings.rate_limit,
        workers=settings.workers,
    )
    if introduce is not None:
        click.echo(introduce(urls[0]))
        with suppress(OSError):
            sys.stdout.flush()
