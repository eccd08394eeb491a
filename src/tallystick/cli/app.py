"""The commands, and what becomes of their failures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from tallystick.cli.balance import balance
from tallystick.cli.budgets import budgets
from tallystick.cli.client import to_json
from tallystick.cli.entries import entries
from tallystick.cli.errors import (
    INTERRUPTED,
    MISUSED,
    NOTHING_CHANGED,
    UNAVAILABLE,
    CommandError,
)
from tallystick.cli.grants import grants
from tallystick.cli.holds import holds
from tallystick.cli.keys import keys
from tallystick.cli.organizations import organizations
from tallystick.cli.prices import prices
from tallystick.cli.serve import serve
from tallystick.cli.settings import config, migrate
from tallystick.cli.transfer import transfer
from tallystick.cli.usage import usage
from tallystick.cli.verify import verify
from tallystick.config import ConfigError
from tallystick.http.server import CannotListen
from tallystick.ledger.ports import StoreError
from tallystick.limits.redis import LimitsError
from tallystick.storage.errors import StoreNotUsable

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from flags, then TALLYSTICK_… variables, then the file of --config.",
)
@click.version_option(package_name="tallystick", prog_name="tallystick")
def tallystick() -> None:
    """Exact credits for API and agent platforms."""


for command in (
    serve,
    migrate,
    transfer,
    organizations,
    keys,
    grants,
    prices,
    holds,
    budgets,
    balance,
    usage,
    entries,
    verify,
    config,
):
    tallystick.add_command(command)


def main() -> None:
    """The entry point: runs what the command line says and exits."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The exit code of a command line; what went wrong is on standard error.

    Where nobody reads the output to its end, click exits with 1 and says nothing.
    """
    try:
        result = tallystick.main(list(arguments), prog_name="tallystick", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        return _fail(_INTERRUPTED, arguments)
    except CommandError as error:
        return _fail(error, arguments)
    except click.UsageError as error:
        if error.ctx is not None and error.message == error.ctx.get_help():
            # A group without a command. That is what click calls the error: the help.
            click.echo(error.message, err=True)
            return MISUSED
        return _fail(_misused(error), arguments)
    except click.ClickException as error:
        return _fail(_misused(error), arguments)
    except ConfigError as error:
        return _fail(_wrong_settings(error), arguments)
    except (StoreError, CannotListen, LimitsError) as error:
        return _fail(_unusable(error), arguments)
    return result if isinstance(result, int) else 0


_INTERRUPTED: Final = CommandError(
    "interrupted",
    unchanged="What was done before that stays.",
    todo="Run the same command again to go on.",
    exit_code=INTERRUPTED,
)


def _misused(error: click.ClickException) -> CommandError:
    path = "tallystick"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
    return CommandError(
        error.format_message().rstrip("."), todo=f"See {path} --help.", exit_code=MISUSED
    )


def _wrong_settings(error: ConfigError) -> CommandError:
    return CommandError(
        "\n       ".join(error.problems),
        todo="Mend this where it says, then run the command again.",
        exit_code=MISUSED,
    )


def _unusable(error: StoreError | CannotListen | LimitsError) -> CommandError:
    told = isinstance(error, StoreNotUsable | CannotListen | LimitsError)
    return CommandError(
        str(error),
        unchanged=NOTHING_CHANGED,
        todo="Then run the command again." if told else "Try again in a moment.",
        exit_code=UNAVAILABLE,
    )


def _fail(error: CommandError, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        click.echo(to_json(error.to_json()), err=True)
    else:
        for number, line in enumerate(error.lines()):
            head, colon, rest = line.partition(":") if number == 0 else ("", "", line)
            click.echo(click.style(head + colon, fg="red", bold=True) + rest, err=True)
    return error.exit_code
