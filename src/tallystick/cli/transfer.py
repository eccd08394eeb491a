"""`tallystick transfer`: a ledger moves from its file into PostgreSQL."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tallystick.bootstrap import transfer as transfer_ledger
from tallystick.cli.client import refuse_missing
from tallystick.cli.errors import DISAGREES, MISUSED, UNAVAILABLE, CommandError
from tallystick.cli.options import as_json as json_option
from tallystick.cli.options import with_settings
from tallystick.cli.output import Output
from tallystick.cli.progress import walking
from tallystick.config import Url
from tallystick.config.values import Wrong, database
from tallystick.domain.credits import format_credits
from tallystick.ledger.ports import StoreError
from tallystick.storage.errors import StoreNotUsable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tallystick.bootstrap import Standing, Transferred
    from tallystick.config import Resolved

_SHOWN: Final = 20
"""Organizations that are shown without --json."""
_SUMS: Final = ("remaining", "consumed", "overage", "held")


@click.command()
@click.argument("source", metavar="SOURCE")
@json_option
@with_settings("database", "database_partitions")
def transfer(resolved: Resolved, *, source: str, as_json: bool) -> int | None:
    """Copy the ledger of the SQLite file SOURCE into the PostgreSQL of --database.

    No server may have the file meanwhile, nor be at work on the PostgreSQL, which has to be new or
    left by a transfer of the same file that was interrupted: then this one goes on. Both ends are
    verified, and the exit code is 0 only if they are equal. The file stays as it is. See
    docs/operations/moving-up.md.
    """
    file, url = _file(source), resolved.settings.database
    if not isinstance(url, Url):
        raise CommandError(
            f"the destination is {url} ({resolved.sources['database']}), which is no PostgreSQL",
            todo="Name it: TALLYSTICK_DATABASE=postgresql://ROLE:PASSWORD@HOST/DATABASE.",
            exit_code=MISUSED,
        )
    refuse_missing(file)
    out = Output(as_json=as_json)
    partitions = resolved.settings.database_partitions or None
    try:
        done = transfer_ledger(
            file.resolve(), url.text, partitions=partitions, watch=partial(walking, out)
        )
    except StoreError as failure:
        raise _broken_off(failure) from failure
    _show(out, done)
    return None if done.is_equal else DISAGREES


def _file(source: str) -> Path:
    try:
        file = database(source)
    except Wrong as wrong:
        raise click.BadParameter(str(wrong), param_hint="SOURCE") from None
    if isinstance(file, Url):
        # It may hold a password, and is not repeated.
        raise click.BadParameter(
            "must be an SQLite file: a path, or sqlite:///path. The PostgreSQL that it is copied "
            "to is named by --database or TALLYSTICK_DATABASE",
            param_hint="SOURCE",
        )
    return file


def _broken_off(failure: StoreError) -> CommandError:
    told = isinstance(failure, StoreNotUsable)
    return CommandError(
        str(failure),
        unchanged="The source was not changed. The destination has whole organizations, or none.",
        todo="Then run the command again." if told else "Run the command again: it goes on.",
        exit_code=UNAVAILABLE,
    )


def _show(out: Output, done: Transferred) -> None:
    standings = done.source.standings
    facts = {
        "object": "transfer",
        "equal": done.is_equal,
        "organizations": done.source.report.organizations,
        "copied": done.copied,
        "entries": done.source.report.entries,
        "sums": _sums(standings.values()),
        "ledgers": [_standing(name, standing) for name, standing in standings.items()],
        "differing": _differing(done),
    }
    out.result(facts, _lines(facts))
    if not done.is_equal:
        out.note(
            "The source was not changed, and is the ledger as before. See which row it is with "
            "'tallystick verify' on either database."
        )


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    differing = facts["differing"]
    yield "result", "both ends are equal" if facts["equal"] else "the two ends are not equal"
    yield "organizations", facts["organizations"]
    yield "copied now", facts["copied"]
    yield "entries", facts["entries"]
    for name in _SUMS:
        yield name, facts["sums"][name]
    for each in islice(facts["ledgers"], _SHOWN):
        yield each["organization_id"], _summary(each)
    if len(facts["ledgers"]) > _SHOWN:
        yield "and more", f"{len(facts['ledgers']) - _SHOWN} organizations: --json shows them all"
    if differing:
        yield "differing", differing


def _summary(each: dict[str, Any]) -> str:
    sums = " ".join(f"{name} {each[name]}" for name in _SUMS)
    return f"{sums} entry {each['sequence']} {each['head']}"


def _sums(standings: Iterable[Standing]) -> dict[str, Decimal]:
    """Of all organizations."""
    sums = dict.fromkeys(_SUMS, 0)
    for standing in standings:
        for name in _SUMS:
            sums[name] += getattr(standing, name)
    return {name: _amount(micro) for name, micro in sums.items()}


def _standing(name: str, standing: Standing) -> dict[str, object]:
    return {
        "organization_id": name,
        **{each: _amount(getattr(standing, each)) for each in _SUMS},
        "sequence": standing.head.sequence,
        "head": standing.head.hash.hex(),
    }


def _differing(done: Transferred) -> list[str]:
    """Organizations that disagree with themselves at one end, or with the other end."""
    found = set(done.source.report.differences)
    if done.destination is not None:
        found |= {*done.destination.report.differences, *done.differing()}
    return sorted(found)


def _amount(micro: int) -> Decimal:
    return Decimal(format_credits(micro))
