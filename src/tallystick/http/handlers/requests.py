"""Why a request was refused: looked up by its id, as long as it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from tallystick.domain.directory import Scope
from tallystick.http.errors import CODES
from tallystick.http.operations import Answer, Call, Operation, answer
from tallystick.http.shapes import Response, Time, not_found
from tallystick.http.wire import time_json

if TYPE_CHECKING:
    from tallystick.ledger.refused import RefusedRequest

_Details = Annotated[
    msgspec.Raw,
    Meta(
        description="The reason, and the figures that decided it",
        extra_json_schema={
            "type": "object",
            "required": ["reason"],
            "properties": {"reason": {"type": "string"}},
        },
    ),
]


class RefusedRequestView(Response, kw_only=True):
    """A request that was refused or failed, or some of whose events were rejected."""

    object: Literal["credits.request"] = "credits.request"
    id: str
    operation: Annotated[str, Meta(description="The operation's name in this document")]
    method: str
    path: Annotated[str, Meta(description="The operation's path, with the names of its parameters")]
    at: Time
    status: Annotated[int, Meta(description="200 where only events of a batch were rejected")]
    error: Annotated[str, Meta(description="The error's code; of events, that of the first")]
    message: str
    details: _Details
    teamspace_id: Annotated[str, Meta(description="The teamspace that was acted in")]
    api_key_id: str | None
    event_ids: Annotated[list[str], Meta(description="The first 100 events that were rejected")]
    rejected: Annotated[int, Meta(description="How many events were rejected", ge=0)]


async def get_request(call: Call) -> Answer:
    found = await call.service.refused.find(call.organization_id, call.params["request_id"])
    if found is None:
        raise not_found("request: it succeeded, is not kept any more, or has never been")
    return answer(200, _view(found))


def _view(request: RefusedRequest) -> RefusedRequestView:
    return RefusedRequestView(
        id=request.id,
        operation=request.operation,
        method=request.method,
        path=request.path,
        at=time_json(request.at) or "",
        status=request.status,
        error=request.code,
        message=CODES[request.code].message,
        details=msgspec.Raw(request.details),
        teamspace_id=request.teamspace_id,
        api_key_id=request.api_key_id,
        event_ids=list(request.event_ids),
        rejected=request.rejected,
    )


OPERATIONS = (
    Operation(
        name="get_request",
        method="GET",
        path="/v1/organization/credits/requests/{request_id}",
        handle=get_request,
        scope=Scope.CREDITS_READ,
        response=RefusedRequestView,
        errors=("resource_not_found",),
        summary="Get why a request was refused",
        description=(
            "Every answer names its request in `X-Request-Id`. Those that were refused or failed "
            "after their key was known can be asked about for 7 days, as long as they are among "
            "the latest 10,000 of the organization; so can batches of which events were rejected. "
            "Requests that succeeded are not kept, nor are those beyond the rate limit."
        ),
    ),
)
