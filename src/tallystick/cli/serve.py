"""`tallystick serve`: the server, from its settings to its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import click
import uvloop

from tallystick import observe
from tallystick.bootstrap import (
    beside,
    check_operations,
    make_first_operator,
    upkeep,
)
from tallystick.cli.client import owned
from tallystick.cli.demo import make_demo
from tallystick.cli.options import FLAGS, with_settings
from tallystick.http.handlers.table import OPERATIONS, REFERENCE
from tallystick.http.server import ENDING_SIGNALS, Server, bind_local, bind_public, url_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.bootstrap import Embedded
    from tallystick.config import Resolved, Settings


@click.command()
@with_settings(*(setting.name for setting in FLAGS))
def serve(resolved: Resolved) -> None:
    """Start the server.

    It owns the database file until it ends; other commands then speak to it through a socket beside
    the file. Ctrl-C or SIGTERM end it, after what is under way; a second one ends it at once.
    """
    check_operations(resolved)
    settings = resolved.settings
    secrets = [settings.admin_key, (settings.pepper or b"").decode()]
    observe.configure(
        level=settings.log_level, form=settings.log_format, secrets=filter(None, secrets)
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))
        # What is left takes a moment, and is not to end as if the process had been killed.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)


async def _serve(settings: Settings) -> None:
    with ExitStack() as doors:
        # First, for where the address is taken no new database is to be left behind.
        public = bind_public(settings.host, settings.port)
        for door in public:
            doors.callback(door.close)
        async with owned(settings) as running:
            REFERENCE.prepare()
            path = beside(running.database, ".sock")
            local_door = bind_local(path)
            doors.callback(path.unlink, missing_ok=True)
            doors.callback(local_door.close)
            if settings.admin_key is None:
                await _show_first_operator(running)
            urls = [url_of(door) for door in public]
            introduce = await make_demo(running) if settings.demo else None
            server = Server(
                running.service,
                public=running.public,
                local=running.local,
                express=[operation for operation in OPERATIONS if operation.is_hot],
                local_door=local_door,
                ready=lambda: _announce(settings, running, urls, introduce),
            )
            async with upkeep(running.service):
                await server.serve(sockets=public)
    observe.logger().info("stopped")


async def _show_first_operator(running: Embedded) -> None:
    path = beside(running.database, ".admin-key")
    secret = await make_first_operator(running.service, path)
    if secret is None:
        return
    observe.logger().info("made the first operator key", file=str(path))
    if sys.stderr.isatty():
        click.echo(f"The first operator key, also in {path}:\n  {secret}", err=True)


def _announce(
    settings: Settings, running: Embedded, urls: list[str], introduce: Callable[[str], str] | None
) -> None:
    observe.logger().info(
        "serving",
        url=" ".join(urls),
        database=str(running.database),
        limits=settings.limits,
        rate_limit=settings.rate_limit,
    )
    if introduce is not None:
        click.echo(introduce(urls[0]))
        with suppress(OSError):
            sys.stdout.flush()
