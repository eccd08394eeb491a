"""`tallystick verify`: whether every number in the database follows from the entries.

It reads the database itself, also beside running servers: who doubts a service does not ask it.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.bootstrap import audit, clock, database_file
from tallystick.cli.anchors import open_anchor
from tallystick.cli.client import refuse_missing
from tallystick.cli.errors import DISAGREES, MISUSED, CommandError
from tallystick.cli.options import as_json as json_option
from tallystick.cli.options import with_settings
from tallystick.cli.output import Output
from tallystick.cli.progress import walking
from tallystick.domain.periods import format_instant
from tallystick.ledger.verify import NOTHING_ANCHORED, verify_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tallystick.cli.anchors import Anchoring
    from tallystick.config import Resolved
    from tallystick.ledger.audit import Audit, Difference, Head
    from tallystick.ledger.verify import Report

_File = click.Path(path_type=Path)


@click.command()
@click.argument("organization", metavar="[ORG]", required=False)
@click.option("--anchor", type=_File, metavar="FILE", help="Check and renew this signed anchor.")
@click.option(
    "--anchor-key", type=_File, metavar="FILE", help="The private key; made where there is none."
)
@click.option("--anchor-public-key", type=_File, metavar="FILE", help="Only check the anchor.")
@click.option("--new-anchor", is_flag=True, help="There is no anchor yet: begin with one.")
@json_option
@with_settings("database")
def verify(
    resolved: Resolved,
    *,
    organization: str | None,
    anchor: Path | None,
    anchor_key: Path | None,
    anchor_public_key: Path | None,
    new_anchor: bool,
    as_json: bool,
) -> int | None:
    """Recompute everything from the entries, and name the first row that disagrees.

    Reads the database in one transaction and changes nothing; a server may run meanwhile. The exit
    code is 6 where something disagrees.

    With --anchor, the chains must also pass through the hashes that FILE says, and then FILE is
    written anew: so even a database that was rewritten as a whole is found out. See docs/proof.md.
    """
    if isinstance(resolved.settings.database, Path):
        refuse_missing(database_file(resolved.settings))
    anchoring = None
    if anchor is not None:
        anchoring = open_anchor(anchor, anchor_key, anchor_public_key, begin=new_anchor)
    elif anchor_key or anchor_public_key or new_anchor:
        raise CommandError(
            "what is said of anchors needs --anchor", todo="Name its file.", exit_code=MISUSED
        )
    out = Output(as_json=as_json)
    with audit(resolved.settings) as source:
        made_at = clock()
        anchored = NOTHING_ANCHORED
        if anchoring is not None and anchoring.anchor is not None:
            anchored = anchoring.anchor.heads
        if organization is not None:
            name = _only(source, organization, anchored)
            anchored = {name: anchored[name]} if name in anchored else {}
        with walking(out, "entries", source.total()) as tick:
            report = verify_all(source, anchored, tick)
    renewed = False
    if anchoring is not None and not report.disagreeing and organization is None:
        anchoring, renewed = anchoring.write(made_at, report.heads)
    _show(out, report, anchoring, renewed=renewed)
    return DISAGREES if report.disagreeing else None


def _only(source: Audit, name: str, anchored: Mapping[str, Head]) -> str:
    """Narrows the audit to one organization, which may be one that only the anchor knows."""
    found = source.only(name)
    if found is None and name not in anchored:
        raise CommandError(
            f"there is no organization with the id or external_id '{name}'",
            todo="See which there are: tallystick organizations list",
        )
    return found or name


def _show(out: Output, report: Report, anchoring: Anchoring | None, *, renewed: bool) -> None:
    differences = [
        {"organization_id": name, **_shown(found)} for name, found in report.differences.items()
    ]
    facts = {
        "object": "verification",
        "agrees": not report.disagreeing,
        "organizations": report.organizations,
        "entries": report.entries,
        "disagreeing": report.disagreeing,
        "differences": differences,
        "anchor": None if anchoring is None else _anchor_facts(anchoring, renewed=renewed),
    }
    out.result(facts, _lines(facts))
    if anchoring is not None and anchoring.made_key:
        out.note(
            "The key of the anchor has just been made. Keep it away from this machine's database: "
            "who has both can rewrite the one and sign the other."
        )
    if report.disagreeing:
        out.note(
            "Nothing was changed. Stop the server, keep a copy of the file as it is, and compare "
            "it with a backup."
        )


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "result", "everything agrees" if facts["agrees"] else "the ledger disagrees with itself"
    yield "organizations", facts["organizations"]
    yield "entries", facts["entries"]
    if facts["differences"]:
        first = facts["differences"][0]
        yield "organization", first["organization_id"]
        yield "table", first["table"]
        yield "row", first["key"]
        yield "column", first["column"]
        yield "said", first["said"]
        yield "expected", first["expected"]
        yield "why", first["why"]
        if facts["disagreeing"] > 1:
            yield "and more", f"{facts['disagreeing'] - 1} further organizations disagree"
    if facts["anchor"] is not None:
        anchor = facts["anchor"]
        yield "anchor", f"number {anchor['number']} of {anchor['made_at']}"
        yield "renewed", anchor["renewed"]
        yield "key", anchor["key"]


def _anchor_facts(anchoring: Anchoring, *, renewed: bool) -> dict[str, object]:
    anchor = anchoring.anchor
    return {
        "number": 0 if anchor is None else anchor.number,
        "made_at": None if anchor is None else format_instant(anchor.made_at),
        "renewed": renewed,
        "key": anchoring.fingerprint,
    }


def _shown(difference: Difference) -> dict[str, object]:
    return {name: _plain(value) for name, value in difference._asdict().items()}


def _plain(value: object) -> object:
    """A value of a row as JSON has it."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return _plain(value._asdict())
        case list() | tuple():
            return [_plain(each) for each in value]
        case None | bool() | int() | str():
            return value
        case _ if is_dataclass(value):
            return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            return str(value)
