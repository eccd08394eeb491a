"""`tallystick entries export`: the ledger of an organization as a file."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tallystick.cli.client import acting_for
from tallystick.cli.errors import MISUSED, CommandError
from tallystick.cli.options import asking
from tallystick.cli.values import amount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

ENTRIES: Final = "/v1/organization/credits/entries"
_ACCEPT: Final = {"csv": "text/csv", "ndjson": "application/x-ndjson"}


@click.group()
def entries() -> None:
    """Look at the ledger itself."""


@entries.command("export")
@click.argument("organization", metavar="ORG")
@click.option(
    "--format",
    "form",
    type=click.Choice([*_ACCEPT]),
    default="csv",
    show_default=True,
    help="What is written.",
)
@click.option(
    "--output", metavar="FILE", default="-", help="A new file [default: standard output]."
)
@click.option("--order", type=click.Choice(["desc", "asc"]), help="Newest first, or oldest first.")
@click.option("--after", metavar="ENTRY", help="Go on after the entry with this id.")
@click.option("--kind", help="Entries of this kind.")
@click.option("--event", "event_id", metavar="ID", help="The entries of this usage event.")
@click.option("--grant", "grant_id", metavar="ID", help="Entries that have to do with this grant.")
@click.option("--from", "from_", metavar="TIME", help="Booked at this time or later.")
@click.option("--to", metavar="TIME", help="Booked before this time.")
@asking
async def export(
    api: Api,
    out: Output,
    /,
    organization: str,
    form: str,
    output: str,
    from_: str | None,
    **conditions: str | None,
) -> None:
    """Write all entries of ORG that match, as of now, to a file.

    A file whose writing failed half way is not left behind.
    """
    found = await api.organization(organization)
    asked = {"from": from_, **conditions}
    query = {name: value for name, value in asked.items() if value is not None}
    headers = {**acting_for(found["id"]), "Accept": _ACCEPT[form]}
    written = 0
    with _new_file(output) as file:
        async for part in api.stream(ENTRIES, query=query, headers=headers):
            file.write(part)
            written += len(part)
    if output != "-":
        report = {"object": "export", "file": output, "format": form, "bytes": written}
        out.result(report, [("file", output), ("bytes", amount(written))])


@contextmanager
def _new_file(name: str) -> Iterator[BinaryIO]:
    """Standard output, or a file of its own that only its owner may read, and that is there only
    when it is whole."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(
            f"cannot make {name}: {error.strerror}",
            todo="Name a new file in a folder that you may write to.",
            exit_code=MISUSED,
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
