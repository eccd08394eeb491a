"""The grants of an organization, as its own keys see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.domain.directory import Scope
from tallystick.http.operations import Answer, Call, Operation
from tallystick.http.shapes import PAGING, list_answer, list_type, read_page
from tallystick.http.views import GrantView, grant_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.domain.grants import Grant
    from tallystick.ledger.reading import Page

GrantList = list_type(GrantView, "GrantList")


async def list_grants(call: Call) -> Answer:
    async def fetch(page: Page) -> Sequence[Grant] | None:
        return await call.service.reads.grants(call.organization_id, page)

    return await list_answer(read_page(call.query), fetch, grant_view)


OPERATIONS = (
    Operation(
        name="list_grants",
        method="GET",
        path="/v1/organization/credits/grants",
        handle=list_grants,
        scope=Scope.CREDITS_READ,
        query=PAGING,
        response=GrantList,
        summary="List grants",
        description="Every grant, whatever has become of it; the latest issue first.",
    ),
)
