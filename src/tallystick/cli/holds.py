"""`tallystick holds`: credits set aside, listed and released."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.client import acting_for, in_path
from tallystick.cli.options import asking
from tallystick.cli.output import Column
from tallystick.cli.values import amount, moment
from tallystick.domain.holds import HoldStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

_HOLDS = "/v1/organization/credits/holds"
_STATUSES = [status.value for status in HoldStatus]

_COLUMNS = (
    Column("id", "id"),
    Column("credits", "credits", amount, right=True),
    Column("held", "held", amount, right=True),
    Column("captured", "captured", amount, right=True, extra=True),
    Column("expires", "expires_at", moment),
    Column("status", "status"),
    Column("reference", "reference", extra=True),
)


@click.group()
def holds() -> None:
    """List and release holds."""


@holds.command("list")
@click.argument("organization", metavar="ORG")
@click.option(
    "--status",
    type=click.Choice([each.value for each in HoldStatus]),
    help="Only these [default: all].",
)
@asking
async def list_(api: Api, out: Output, /, organization: str, status: str | None) -> None:
    """List the holds of ORG, newest first."""
    headers = acting_for((await api.organization(organization))["id"])
    query = {} if status is None else {"status": status}
    found = [each async for each in api.walk(_HOLDS, query=query, headers=headers)]
    out.listing(found, _COLUMNS)


@holds.command("release")
@click.argument("organization", metavar="ORG")
@click.argument("hold", metavar="HOLD")
@asking
async def release(api: Api, out: Output, /, organization: str, hold: str) -> None:
    """Give back what the hold HOLD of ORG still holds."""
    headers = acting_for((await api.organization(organization))["id"])
    made = await api.call("POST", f"{_HOLDS}/{in_path(hold)}/release", headers=headers)
    out.result(made, _lines(made))


def _lines(hold: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "id", hold["id"]
    yield "status", hold["status"]
    yield "credits", amount(hold["credits"])
    yield "captured", amount(hold["captured"])
    yield "reference", hold["reference"]
