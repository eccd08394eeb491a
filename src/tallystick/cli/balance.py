"""`tallystick balance`: what an organization has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.client import acting_for
from tallystick.cli.grants import GRANT_COLUMNS
from tallystick.cli.options import asking
from tallystick.cli.values import amount, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output


@click.command()
@click.argument("organization", metavar="ORG")
@asking
async def balance(api: Api, out: Output, /, organization: str) -> None:
    """Show what ORG has left, and the grants it consists of in the order in which they burn."""
    found = await api.organization(organization)
    state = await api.call(
        "GET", "/v1/organization/credits/balance", headers=acting_for(found["id"])
    )
    out.result(state, _lines(found, state))
    if out.on_terminal and not out.as_json:
        click.echo()
        out.listing(state["grants"], GRANT_COLUMNS)


def _lines(
    organization: Mapping[str, Any], state: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    yield "organization", f"{organization['name']} ({organization['id']})"
    for name in ("remaining", "consumed", "total"):
        yield name, amount(state[name])
    for name in ("held", "available", "overage"):
        # Where nothing is held or over, these say nothing new.
        yield name, amount(state[name]) if state["held"] or state["overage"] else None
    period = state["period"]
    yield "period", f"{moment(period['start'])} to {moment(period['end'])} UTC"
    yield "burn rate", f"{amount(state['burn_rate_per_day'])} a day"
    yield "exhausted by", moment(state["projected_exhaustion_at"])
