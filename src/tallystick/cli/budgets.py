"""`tallystick budgets`: what single teamspaces and keys may consume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.client import ORGANIZATIONS, in_path
from tallystick.cli.options import asking
from tallystick.cli.output import Column
from tallystick.cli.values import amount, moment, sum_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import msgspec

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

_COLUMNS = (
    Column("id", "id"),
    Column("limit", "limit", amount, right=True),
    Column("used", "used", amount, right=True),
    Column("held", "held", amount, right=True, extra=True),
    Column("available", "available", amount, right=True),
    Column("resets", "resets_at", moment, extra=True),
)


@click.group()
def budgets() -> None:
    """Set, remove and list budgets."""


@budgets.command("set")
@click.argument("organization", metavar="ORG")
@click.argument("subject", metavar="ID")
@click.argument("limit", metavar="CREDITS", callback=sum_value)
@asking
async def set_(
    api: Api, out: Output, /, organization: str, subject: str, limit: msgspec.Raw
) -> None:
    """Let the teamspace or key ID of ORG consume CREDITS a billing period, and no more."""
    path = await _budget_of(api, organization, subject)
    made = await api.call("PUT", path, {"limit": limit})
    out.result(made, _lines(made))


@budgets.command("remove")
@click.argument("organization", metavar="ORG")
@click.argument("subject", metavar="ID")
@asking
async def remove(api: Api, out: Output, /, organization: str, subject: str) -> None:
    """Take the budget of the teamspace or key ID of ORG away."""
    made = await api.call("DELETE", await _budget_of(api, organization, subject))
    out.result(made, [("id", made["id"]), ("removed", made["removed"])])


@budgets.command("list")
@click.argument("organization", metavar="ORG")
@asking
async def list_(api: Api, out: Output, /, organization: str) -> None:
    """List the budgets of ORG, with what is used of them."""
    path = await _budgets_of(api, organization)
    out.listing([each async for each in api.walk(path)], _COLUMNS)


async def _budgets_of(api: Api, organization: str) -> str:
    return f"{ORGANIZATIONS}/{(await api.organization(organization))['id']}/budgets"


async def _budget_of(api: Api, organization: str, subject: str) -> str:
    return f"{await _budgets_of(api, organization)}/{in_path(subject)}"


def _lines(made: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "id", made["id"]
    for name in ("limit", "used", "held", "available"):
        yield name, amount(made[name])
    yield "resets", moment(made["resets_at"])
