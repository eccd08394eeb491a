"""`tallystick organizations`: who owns credits, on which terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.client import ORGANIZATIONS
from tallystick.cli.options import asking, founding
from tallystick.cli.output import Column
from tallystick.cli.values import amount, credits_value, given, moment, period

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import msgspec

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

_COLUMNS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("external id", "external_id"),
    Column("allowance", "allowance", amount, right=True),
    Column("status", "status"),
)


@click.group()
def organizations() -> None:
    """Create, list and show organizations."""


@organizations.command("create")
@click.argument("name")
@click.option("--external-id", metavar="ID", help="Your own id for it, unique.")
@click.option(
    "--allowance", callback=credits_value, metavar="CREDITS", help="Credits a period [default: 0]."
)
@click.option(
    "--interval",
    type=click.Choice(["day", "week", "month", "year"]),
    help="The billing period's unit [default: month].",
)
@click.option("--count", type=int, metavar="N", help="How many of them [default: 1].")
@click.option("--anchor", metavar="LOCAL-TIME", help="When one begins: 2026-01-31T00:00:00.")
@click.option("--timezone", metavar="ZONE", help="Where: Europe/Paris [default: UTC].")
@click.option(
    "--rollover",
    type=click.Choice(["none", "all", "amount", "percent"]),
    help="What of the allowance lives on [default: none].",
)
@click.option(
    "--rollover-cap", callback=credits_value, metavar="N", help="At most so much, or so many %."
)
@click.option("--rollover-periods", type=int, metavar="N", help="For so many periods.")
@click.option(
    "--overage",
    type=click.Choice(["deny", "limit", "allow"]),
    help="Whether usage may exceed the grants [default: deny].",
)
@click.option(
    "--overage-limit", callback=credits_value, metavar="CREDITS", help="How far, in a period."
)
@founding
async def create(api: Api, out: Output, /, name: str, **terms: Any) -> None:  # noqa: ANN401 - see the options
    """Create an organization called NAME.

    With --external-id it is safe to repeat: the same again shows the one there is.
    """
    body = given(
        name=name,
        external_id=terms["external_id"],
        allowance=terms["allowance"],
        billing_period=_some(
            interval=terms["interval"],
            count=terms["count"],
            anchor=terms["anchor"],
            timezone=terms["timezone"],
        ),
        rollover=_moded(
            terms["rollover"], cap=terms["rollover_cap"], periods=terms["rollover_periods"]
        ),
        overage=_moded(terms["overage"], limit=terms["overage_limit"]),
    )
    made = await api.call("POST", ORGANIZATIONS, body)
    out.result(made, _lines(made))


def _some(**fields: object) -> dict[str, object] | None:
    return given(**fields) or None


def _moded(mode: str | None, **fields: msgspec.Raw | int | None) -> dict[str, object] | None:
    """The mode with what belongs to it; the service says what is missing."""
    rest = given(**fields)
    return {"mode": mode, **rest} if mode is not None or rest else None


@organizations.command("list")
@asking
async def list_(api: Api, out: Output, /) -> None:
    """List all organizations, newest first."""
    out.listing([each async for each in api.walk(ORGANIZATIONS)], _COLUMNS)


@organizations.command("show")
@click.argument("organization", metavar="ORG")
@asking
async def show(api: Api, out: Output, /, organization: str) -> None:
    """Show the organization ORG (its id or external id)."""
    found = await api.organization(organization)
    out.result(found, _lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    terms = found["billing_period"]
    yield "id", found["id"]
    yield "name", found["name"]
    yield "external id", found["external_id"]
    yield "status", found["status"]
    yield "allowance", amount(found["allowance"])
    anchor = terms["anchor"].replace("T", " ")
    yield "period", f"{period(terms)}, counted from {anchor} ({terms['timezone']})"
    yield "rollover", _mode(found["rollover"])
    yield "overage", _mode(found["overage"])
    yield "rate limits", found["rate_limits"]
    yield "new terms from", moment(found["takes_effect_at"])
    yield "teamspace", found["default_teamspace_id"]
    yield "created", moment(found["created_at"])


def _mode(terms: Mapping[str, Any]) -> str:
    rest = [f"{name} {terms[name]}" for name in terms if name != "mode"]
    return ", ".join([terms["mode"], *rest])
