"""`tallystick config show` and `tallystick migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tallystick.bootstrap import check_operations
from tallystick.cli.options import FLAGS, as_json, founding, with_settings
from tallystick.cli.output import Column, Output, plain

if TYPE_CHECKING:
    from tallystick.cli.client import Api
    from tallystick.config import Resolved


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
@founding
async def migrate(api: Api, out: Output, /) -> None:
    """Bring the database to the schema of this version; make it where there is none.

    `serve` does so too. Use it to find out beforehand whether an upgrade goes well.
    """
    await api.call("GET", "/readyz")
    out.result({"object": "migration", "status": "done"}, [("schema", "up to date")])
