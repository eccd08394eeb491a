"""`tallystick config show` and `tallystick migrate`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tallystick import observe
from tallystick.bootstrap import check_operations, migrated
from tallystick.cli.client import connect
from tallystick.cli.errors import MISUSED, CommandError
from tallystick.cli.options import FLAGS, as_json, with_settings
from tallystick.cli.output import Column, Output, plain
from tallystick.config import Url

if TYPE_CHECKING:
    from tallystick.config import Resolved, Settings


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command("show")
@as_json
@with_settings(*(setting.name for setting in FLAGS))
def show(resolved: Resolved, *, as_json: bool) -> None:
    """Show each setting in force and where it comes from. Secrets are not shown."""
    check_operations(resolved)
    out = Output(as_json=as_json)
    settings = [
        {"name": name, "value": value, "source": resolved.sources[name]}
        for name, value in resolved.shown().items()
    ]
    if as_json:
        out.json(
            {each["name"]: {"value": each["value"], "source": each["source"]} for each in settings}
        )
    else:
        out.listing(
            settings,
            [
                Column("setting", "name"),
                Column("value", "value", lambda value: plain(value) or "not set"),
                Column("source", "source"),
            ],
        )


@click.command()
@click.option(
    "--role", metavar="NAME", help="Give this role of the PostgreSQL what a service needs there."
)
@as_json
@with_settings("database", "database_partitions")
def migrate(resolved: Resolved, *, role: str | None, as_json: bool) -> None:
    """Bring the database to the schema of this version; make it where there is none.

    `serve` does so too, with a role that owns the tables. Use it to find out beforehand whether an
    upgrade goes well, and for services whose role owns nothing: see docs/operations/postgresql.md.
    """
    settings = resolved.settings
    observe.configure(level=settings.log_level, form=settings.log_format)
    applied: list[str] | None = None
    if isinstance(settings.database, Url):
        applied = asyncio.run(migrated(settings, settings.database, role))
    elif role is None:
        asyncio.run(_migrate_file(settings))
    else:
        raise CommandError(
            "--role is for PostgreSQL: an SQLite file has no roles",
            todo="Name the database with TALLYSTICK_DATABASE, or leave --role out.",
            exit_code=MISUSED,
        )
    facts = {"object": "migration", "status": "done", "applied": applied, "role": role}
    lines = [("schema", "up to date"), ("applied", applied), ("granted to", role)]
    Output(as_json=as_json).result(facts, lines)


async def _migrate_file(settings: Settings) -> None:
    """A server that runs has done it, and any that starts does; which scripts, it does not say."""
    async with connect(settings, may_found=True) as api:
        await api.call("GET", "/readyz")
