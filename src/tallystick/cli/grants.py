"""`tallystick grants`: lots of credits, issued and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.client import ORGANIZATIONS, in_path
from tallystick.cli.options import asking
from tallystick.cli.output import Column
from tallystick.cli.values import amount, credits_value, day, given, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import msgspec

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

GRANT_COLUMNS = (
    Column("id", "id"),
    Column("kind", "kind"),
    Column("amount", "amount", amount, right=True, extra=True),
    Column("remaining", "remaining", amount, right=True),
    Column("expires", "expires_at", day),
    Column("status", "status"),
)


@click.group()
def grants() -> None:
    """Issue, void and list grants."""


@grants.command("issue")
@click.argument("organization", metavar="ORG")
@click.argument("credits", metavar="CREDITS", callback=credits_value)
@click.option(
    "--kind",
    type=click.Choice(["top_up", "promotional", "adjustment"]),
    default="top_up",
    show_default=True,
)
@click.option("--priority", type=int, metavar="N", help="Lower burns first [default: 50].")
@click.option("--effective-at", metavar="TIME", help="RFC 3339 [default: now].")
@click.option("--expires-at", metavar="TIME", help="RFC 3339 [default: never].")
@click.option("--reference", metavar="ID", help="Your own id, which makes it safe to repeat.")
@asking
async def issue(
    api: Api,
    out: Output,
    /,
    organization: str,
    credits: msgspec.Raw,
    **facts: Any,  # noqa: ANN401 - see the options
) -> None:
    """Give ORG a grant of CREDITS."""
    path = await _grants_of(api, organization)
    made = await api.call("POST", path, given(amount=credits, **facts))
    out.result(made, _lines(made))


@grants.command("void")
@click.argument("organization", metavar="ORG")
@click.argument("grant", metavar="GRANT")
@click.option(
    "--credits",
    callback=credits_value,
    metavar="CREDITS",
    help="Only so much [default: all that is neither spent nor held].",
)
@asking
async def void(
    api: Api, out: Output, /, organization: str, grant: str, credits: msgspec.Raw | None
) -> None:
    """Take back what is left of the grant GRANT of ORG."""
    path = await _grants_of(api, organization)
    made = await api.call("POST", f"{path}/{in_path(grant)}/void", given(credits=credits))
    out.result(made, _lines(made))


@grants.command("list")
@click.argument("organization", metavar="ORG")
@asking
async def list_(api: Api, out: Output, /, organization: str) -> None:
    """List the grants of ORG, newest first."""
    path = await _grants_of(api, organization)
    out.listing([each async for each in api.walk(path)], GRANT_COLUMNS)


async def _grants_of(api: Api, organization: str) -> str:
    return f"{ORGANIZATIONS}/{(await api.organization(organization))['id']}/grants"


def _lines(made: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "id", made["id"]
    yield "kind", made["kind"]
    yield "amount", amount(made["amount"])
    yield "remaining", amount(made["remaining"])
    yield "held", amount(made["held"]) if made["held"] else None
    yield "status", made["status"]
    yield "priority", made["priority"]
    yield "effective", moment(made["effective_at"])
    yield "expires", moment(made["expires_at"])
    yield "reference", made["reference"]
