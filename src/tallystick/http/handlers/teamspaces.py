"""Teamspaces: a tenant's own, in Datagrid's shape, and their rate limits, which operators set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.directory import Access, CloudProvider, Scope, Teamspace
from tallystick.http.handlers.organizations import checked_limits
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Audience, Call, Operation, answer
from tallystick.http.outcomes import expect
from tallystick.http.shapes import (
    PAGING,
    Name,
    RateLimits,
    Request,
    Response,
    Time,
    list_answer,
    list_type,
    not_found,
    read_page,
)
from tallystick.http.wire import decode_strictly, text_field, time_json
from tallystick.ledger.directory import CreateTeamspace, UpdateTeamspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tallystick.ledger.reading import Page


class NewTeamspace(Request, kw_only=True):
    name: Name
    access: Access = Access.OPEN
    cloud_provider: Annotated[
        CloudProvider | None, Meta(description="Left out or null: gcp; it never changes")
    ] = None


class TeamspaceChange(Request, kw_only=True):
    name: Name | UnsetType = UNSET
    access: Access | UnsetType = UNSET


class TeamspaceLimits(Request, kw_only=True):
    rate_limits: Annotated[
        RateLimits, Meta(description="Operation → requests per 60 seconds; replaces all of them")
    ]


class TeamspaceView(Response, kw_only=True):
    id: str
    name: str
    access: Access
    cloud_provider: CloudProvider
    created_at: Time


class LimitedTeamspaceView(TeamspaceView, kw_only=True):
    """A teamspace as operators see it."""

    rate_limits: dict[str, int]


_decode_new: Final = msgspec.json.Decoder(NewTeamspace)
_decode_change: Final = msgspec.json.Decoder(TeamspaceChange)
_decode_limits: Final = msgspec.json.Decoder(TeamspaceLimits)


def list_teamspaces(call: Call) -> Awaitable[Answer]:
    return _list(call, teamspace_view)


def list_organization_teamspaces(call: Call) -> Awaitable[Answer]:
    return _list(call, limited_teamspace_view)


def _list(call: Call, show: Callable[[Teamspace], TeamspaceView]) -> Awaitable[Answer]:
    async def fetch(page: Page) -> Sequence[Teamspace] | None:
        reader = call.service.reads.reader
        if await reader.organization(call.organization_id) is None:
            return None
        return await reader.teamspaces(call.organization_id, page)

    return list_answer(read_page(call.query), fetch, show)


def create_teamspace(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_new, call.body)
    unit = CreateTeamspace(
        organization_id=call.organization_id,
        teamspace_id=call.service.new_id("ts"),
        name=text_field("/name", body.name),
        access=body.access,
        cloud_provider=body.cloud_provider or CloudProvider.GCP,
    )
    return carry_out(call, call.organization_id, unit, _show_created)


def _show_created(outcome: object) -> Shown:
    return Shown(201, teamspace_view(expect(Teamspace, outcome)))


async def get_teamspace(call: Call) -> Answer:
    reader = call.service.reads.reader
    teamspace = await reader.teamspace(call.organization_id, call.params["teamspace_id"])
    if teamspace is None:
        raise not_found("teamspace")
    return answer(200, teamspace_view(teamspace))


def update_teamspace(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_change, call.body)
    unit = UpdateTeamspace(
        organization_id=call.organization_id,
        teamspace_id=call.params["teamspace_id"],
        name=None if body.name is UNSET else text_field("/name", body.name),
        access=None if body.access is UNSET else body.access,
    )
    return carry_out(call, call.organization_id, unit, _show_updated)


def _show_updated(outcome: object) -> Shown:
    return Shown(200, teamspace_view(expect(Teamspace, outcome)))


def limit_teamspace(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_limits, call.body)
    unit = UpdateTeamspace(
        organization_id=call.organization_id,
        teamspace_id=call.params["teamspace_id"],
        rate_limits=checked_limits(call, body.rate_limits),
    )
    return carry_out(call, call.organization_id, unit, _show_limited)


def _show_limited(outcome: object) -> Shown:
    return Shown(200, limited_teamspace_view(expect(Teamspace, outcome)))


def teamspace_view(teamspace: Teamspace) -> TeamspaceView:
    return TeamspaceView(
        id=teamspace.id,
        name=teamspace.name,
        access=teamspace.access,
        cloud_provider=teamspace.cloud_provider,
        created_at=time_json(teamspace.created_at) or "",
    )


def limited_teamspace_view(teamspace: Teamspace) -> LimitedTeamspaceView:
    return LimitedTeamspaceView(
        id=teamspace.id,
        name=teamspace.name,
        access=teamspace.access,
        cloud_provider=teamspace.cloud_provider,
        created_at=time_json(teamspace.created_at) or "",
        rate_limits=dict(teamspace.rate_limits),
    )


_PATH: Final = "/v1/organization/teamspaces"
_ONE: Final = _PATH + "/{teamspace_id}"
_ADMIN: Final = "/v1/admin/organizations/{organization_id}/teamspaces"

OPERATIONS = (
    Operation(
        name="list_teamspaces",
        method="GET",
        path=_PATH,
        handle=list_teamspaces,
        tag="Teamspaces",
        response=list_type(TeamspaceView, "TeamspaceList"),
        errors=("validation_failed",),
        query=PAGING,
        summary="List the organization's teamspaces",
    ),
    Operation(
        name="create_teamspace",
        method="POST",
        path=_PATH,
        handle=create_teamspace,
        scope=Scope.TEAMSPACES_WRITE,
        tag="Teamspaces",
        request=NewTeamspace,
        response=TeamspaceView,
        status=201,
        errors=("validation_failed",),
        idempotent=True,
        summary="Create a teamspace",
    ),
    Operation(
        name="get_teamspace",
        method="GET",
        path=_ONE,
        handle=get_teamspace,
        tag="Teamspaces",
        response=TeamspaceView,
        errors=("resource_not_found",),
        summary="Get a teamspace",
    ),
    Operation(
        name="update_teamspace",
        method="PATCH",
        path=_ONE,
        handle=update_teamspace,
        scope=Scope.TEAMSPACES_WRITE,
        tag="Teamspaces",
        request=TeamspaceChange,
        response=TeamspaceView,
        errors=("resource_not_found", "validation_failed"),
        summary="Change a teamspace",
        description="What is left out stays.",
    ),
    Operation(
        name="list_organization_teamspaces",
        method="GET",
        path=_ADMIN,
        handle=list_organization_teamspaces,
        audience=Audience.OPERATOR,
        tag="Teamspaces",
        response=list_type(LimitedTeamspaceView, "LimitedTeamspaceList"),
        errors=("resource_not_found", "validation_failed"),
        query=PAGING,
        summary="List an organization's teamspaces with their rate limits",
    ),
    Operation(
        name="limit_teamspace",
        method="PATCH",
        path=_ADMIN + "/{teamspace_id}",
        handle=limit_teamspace,
        audience=Audience.OPERATOR,
        tag="Teamspaces",
        request=TeamspaceLimits,
        response=LimitedTeamspaceView,
        errors=("resource_not_found", "validation_failed"),
        summary="Set a teamspace's rate limits",
        description=(
            "What is named here wins over the organization's and the server's limits; an empty "
            "object takes all of a teamspace's own limits away."
        ),
    ),
)
