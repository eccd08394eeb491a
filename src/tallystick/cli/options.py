"""What commands have in common: settings, `--json`, and a connection to the service."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from tallystick import observe
from tallystick.cli.client import connect
from tallystick.cli.output import Output
from tallystick.config import SETTINGS, resolve

if TYPE_CHECKING:
    from tallystick.config import Resolved, Setting

Command = Callable[..., Any]

_TRUTHS: Final = frozenset({"allow_public", "demo"})
FLAGS: Final = tuple(setting for setting in SETTINGS if not setting.secret)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def with_settings(*names: str) -> Callable[[Command], Command]:
    """Gives a command the flags of these settings, and `resolved` in their place."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> Any:  # noqa: ANN401 - as click parsed it, as the command answers
            flags = {name: given.pop(name) for name in (*names, "config")}
            return command(resolved=resolve(flags, os.environ), **given)

        decorated: Command = click.option(
            "--config", metavar="FILE", help="A TOML file of settings."
        )(run)
        for setting in reversed(FLAGS):
            if setting.name in names:
                decorated = _flag(setting)(decorated)
        return decorated

    return decorate


def _flag(setting: Setting) -> Callable[[Command], Command]:
    if setting.name in _TRUTHS:
        return click.option(setting.flag, setting.name, flag_value="true", help=setting.help)
    shown = f"  [default: {setting.default}]" if setting.default else ""
    return click.option(
        setting.flag, setting.name, metavar=setting.metavar, help=setting.help + shown
    )


def asking(command: Callable[..., Awaitable[int | None]]) -> Command:
    """A command that asks the service: called with its connection, its output and its arguments."""
    return _asking(command, may_found=False)


def founding(command: Callable[..., Awaitable[int | None]]) -> Command:
    """The same, of those that make the database where there is none."""
    return _asking(command, may_found=True)


def _asking(command: Callable[..., Awaitable[int | None]], *, may_found: bool) -> Command:
    @as_json
    @with_settings("database")
    @functools.wraps(command)
    def run(*, resolved: Resolved, as_json: bool, **given: Any) -> int | None:  # noqa: ANN401 - see above
        observe.configure(level=resolved.settings.log_level, form=resolved.settings.log_format)
        return asyncio.run(_ask(resolved, Output(as_json=as_json), given))

    async def _ask(resolved: Resolved, out: Output, given: dict[str, Any]) -> int | None:
        async with connect(resolved.settings, may_found=may_found) as api:
            return await command(api, out, **given)

    return run
