"""Who is asking: the key, the teamspace in which it acts, and those in which it may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tallystick.domain.directory import KeyLevel, Scope
from tallystick.http.operations import Answer, Call, Operation, answer
from tallystick.http.shapes import Response
from tallystick.ledger.reading import Page

if TYPE_CHECKING:
    from tallystick.http.auth import Principal

_AT_ONCE: Final = 100


class Permissions(Response, kw_only=True):
    role: Literal["member", "admin"]


class Membership(Response, kw_only=True):
    teamspace_id: str
    permissions: Permissions


class Identity(Response, kw_only=True):
    object: Literal["identity"] = "identity"
    user_id: str
    current_teamspace_id: str
    teamspaces: list[Membership]


async def get_identity(call: Call) -> Answer:
    who = call.principal
    permissions = Permissions(role="admin" if Scope.TEAMSPACES_WRITE in who.scopes else "member")
    identity = Identity(
        user_id=who.key_id,
        current_teamspace_id=who.teamspace_id,
        teamspaces=[
            Membership(teamspace_id=teamspace_id, permissions=permissions)
            for teamspace_id in await _teamspace_ids(call, who)
        ],
    )
    return answer(200, identity)


async def _teamspace_ids(call: Call, who: Principal) -> list[str]:
    """Where `who` may act: for a key of the account everywhere, oldest first."""
    if who.level is KeyLevel.ORGANIZATION and not who.is_local:
        return [who.home_teamspace_id]
    found: list[str] = []
    while True:
        page = Page(_AT_ONCE, after=found[-1] if found else None, ascending=True)
        rows = await call.service.reads.reader.teamspaces(who.organization_id, page)
        found.extend(teamspace.id for teamspace in rows[:_AT_ONCE])
        if len(rows) <= _AT_ONCE:
            return found


OPERATIONS = (
    Operation(
        name="get_identity",
        method="GET",
        path="/v1/identity",
        handle=get_identity,
        tag="Identity",
        response=Identity,
        summary="Get the identity of the key",
        description=(
            "The `user_id` is the key's id. A key of level `account` may act in every teamspace of "
            "the organization, named by the header `Datagrid-Teamspace`; any other acts in its own."
        ),
    ),
)
