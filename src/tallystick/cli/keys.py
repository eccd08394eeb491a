"""`tallystick keys`: API keys of organizations and of operators."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.client import OPERATOR_KEYS, ORGANIZATIONS, in_path
from tallystick.cli.options import asking
from tallystick.cli.output import Column
from tallystick.cli.values import day, given, moment
from tallystick.domain.directory import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

_COLUMNS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("last used", "last_used_at", day),
    Column("expires", "expires_at", day),
    Column("revoked", "revoked_at", day),
    Column("scopes", "scopes", extra=True),
)
_MOST_SECRET_BYTES = 65_536

operator = click.option(
    "--operator", is_flag=True, help="A key of operators, who belong to no organization: no ORG."
)
name = click.option("--name", default="API key", show_default=True, help="What it is for.")
expires_at = click.option("--expires-at", metavar="TIME", help="RFC 3339: 2027-01-01T00:00:00Z.")
teamspace = click.option("--teamspace", metavar="ID", help="Where it acts [default: the first].")
level = click.option(
    "--level",
    type=click.Choice(["organization", "account"]),
    help="account: may name another teamspace in each request.",
)
scope = click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([str(scope) for scope in Scope]),
    help="What it may do; repeat for more [default: credits:read, usage:write, holds:write].",
)


@click.group()
def keys() -> None:
    """Create, import, rotate, revoke and list API keys."""


@keys.command("create")
@click.argument("names", nargs=-1, metavar="ORG")
@operator
@name
@teamspace
@level
@scope
@expires_at
@asking
async def create(api: Api, out: Output, /, names: Sequence[str], **facts: Any) -> None:  # noqa: ANN401 - see the options
    """Make a key for ORG. Its secret is shown this once."""
    path, _ = await _whose(api, names, 0, operator=facts.pop("operator"))
    made = await api.call("POST", path, _new(**facts))
    out.result(made, _lines(made))
    out.note("Keep the secret now: it is stored as a hash only, and never shown again.")


@keys.command("import")
@click.argument("names", nargs=-1, metavar="ORG")
@operator
@name
@teamspace
@level
@scope
@expires_at
@click.option(
    "--sha256", metavar="HEX", help="The secret's SHA-256, instead of the secret on standard input."
)
@asking
async def import_(
    api: Api,
    out: Output,
    /,
    names: Sequence[str],
    sha256: str | None,
    **facts: Any,  # noqa: ANN401 - see the options
) -> None:
    """Make ORG a key of a secret that exists already, read from standard input.

    Whoever has the secret goes on using it. Only its hash leaves this command.
    """
    path, _ = await _whose(api, names, 0, operator=facts.pop("operator"))
    digest = _hash_of_secret() if sha256 is None else sha256
    made = await api.call("POST", path, {**_new(**facts), "secret_sha256": digest})
    out.result(made, _lines(made))


def _hash_of_secret() -> str:
    if sys.stdin.isatty():
        secret: bytes = click.prompt("Secret", hide_input=True, err=True).encode()
    else:
        secret = sys.stdin.buffer.read(_MOST_SECRET_BYTES + 1)
    # A header's value has no space around it, and a file mostly ends with a line.
    secret = secret.strip(b" \t\r\n")
    if not secret or len(secret) > _MOST_SECRET_BYTES:
        raise click.UsageError("there is no secret on standard input")
    return hashlib.sha256(secret).hexdigest()


def _new(
    *,
    name: str,
    teamspace: str | None,
    level: str | None,
    scopes: Sequence[str],
    expires_at: str | None,
) -> dict[str, object]:
    return given(
        name=name,
        teamspace_id=teamspace,
        level=level,
        scopes=list(scopes) or None,
        expires_at=expires_at,
    )


@keys.command("rotate")
@click.argument("names", nargs=-1, metavar="ORG KEY")
@operator
@click.option(
    "--overlap", type=int, metavar="SECONDS", help="How long the old secret works on [default: 0]."
)
@asking
async def rotate(
    api: Api,
    out: Output,
    /,
    names: Sequence[str],
    operator: bool,
    overlap: int | None,
) -> None:
    """Give the key KEY of ORG a new secret. It is shown this once."""
    path, (key,) = await _whose(api, names, 1, operator=operator)
    body = given(overlap_seconds=overlap)
    made = await api.call("POST", f"{path}/{in_path(key)}/rotate", body)
    out.result(made, _lines(made))
    ends = f"in {overlap} s" if overlap else "at once"
    out.note(f"Keep the secret now: it is never shown again. The old one stops working {ends}.")


@keys.command("revoke")
@click.argument("names", nargs=-1, metavar="ORG KEY")
@operator
@asking
async def revoke(
    api: Api,
    out: Output,
    /,
    names: Sequence[str],
    operator: bool,
) -> None:
    """Revoke the key KEY of ORG, at once and for good."""
    path, (key,) = await _whose(api, names, 1, operator=operator)
    made = await api.call("DELETE", f"{path}/{in_path(key)}")
    out.result(made, _lines(made))


@keys.command("list")
@click.argument("names", nargs=-1, metavar="ORG")
@operator
@asking
async def list_(
    api: Api,
    out: Output,
    /,
    names: Sequence[str],
    operator: bool,
) -> None:
    """List the keys of ORG, newest first."""
    path, _ = await _whose(api, names, 0, operator=operator)
    out.listing([each async for each in api.walk(path)], _COLUMNS)


async def _whose(
    api: Api, names: Sequence[str], more: int, *, operator: bool
) -> tuple[str, Sequence[str]]:
    """The path of the keys meant, and the `more` arguments that follow the organization."""
    if len(names) != more + (not operator):
        wanted = [*([] if operator else ["ORG"]), *(["KEY"] * more)]
        raise click.UsageError(f"expected {' and '.join(wanted) or 'no ORG with --operator'}")
    if operator:
        return OPERATOR_KEYS, names
    organization = await api.organization(names[0])
    return f"{ORGANIZATIONS}/{organization['id']}/keys", names[1:]


def _lines(made: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "id", made["id"]
    yield "secret", made.get("secret")
    yield "name", made["name"]
    yield "teamspace", made["teamspace_id"]
    yield "level", made["level"]
    yield "scopes", made["scopes"]
    yield "imported", "yes" if made["imported"] else None
    yield "expires", moment(made["expires_at"])
    yield "revoked", moment(made["revoked_at"])
    yield "created", moment(made["created_at"])
