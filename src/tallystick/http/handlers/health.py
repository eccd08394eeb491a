"""Whether the process is up, and whether it can serve: for those who start and balance it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tallystick.http.errors import ApiError
from tallystick.http.operations import Answer, Audience, Call, Operation, answer
from tallystick.http.shapes import Response
from tallystick.ledger.ports import StoreUnavailable

if TYPE_CHECKING:
    from typing import Final


class Health(Response, kw_only=True):
    status: Literal["up"] = "up"


class Readiness(Response, kw_only=True):
    status: Literal["ready"] = "ready"


_UP: Final = answer(200, Health())
_READY: Final = answer(200, Readiness())


def get_health(_: Call) -> Answer:
    return _UP


async def get_readiness(call: Call) -> Answer:
    try:
        await call.service.probe()
    except StoreUnavailable as failure:
        raise ApiError(
            "service_unavailable",
            f"the ledger's storage cannot serve: {failure}",
            mitigation="Send requests elsewhere until this answers 200",
        ) from failure
    return _READY


OPERATIONS = (
    Operation(
        name="get_health",
        method="GET",
        path="/healthz",
        handle=get_health,
        audience=Audience.OPEN,
        tag="Health",
        response=Health,
        summary="See whether the process is up",
    ),
    Operation(
        name="get_readiness",
        method="GET",
        path="/readyz",
        handle=get_readiness,
        audience=Audience.OPEN,
        tag="Health",
        response=Readiness,
        errors=("service_unavailable",),
        summary="See whether it can serve",
        description="Looks at the storage; 503 says what is wrong with it. Answers within seconds.",
    ),
)
