"""Billing periods: those that were, the present one, and those to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta

from tallystick.domain.directory import Scope
from tallystick.http.operations import Answer, Call, Operation, Parameter
from tallystick.http.shapes import (
    PAGING,
    Credits,
    Response,
    Time,
    bad_parameter,
    list_answer,
    list_type,
    not_found,
    read_page,
)
from tallystick.http.wire import credits_json, time_json
from tallystick.ledger.lists import walk_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tallystick.ledger.ports import PeriodRow
    from tallystick.ledger.reading import Page

MAX_PREVIEW: Final = 100
_PREVIEW: Final = "preview"


class PeriodView(Response, kw_only=True):
    """A billing period, half-open: it contains its start and ends before its end."""

    object: Literal["credits.period"] = "credits.period"
    index: Annotated[int, Meta(ge=0, description="0 is the period of the organization's creation")]
    start: Time
    end: Time
    status: Literal["past", "current", "future"]
    allowance: Annotated[
        Credits,
        Meta(description="What the period starts with; a change within it shows in its grants"),
    ]


PeriodList = list_type(PeriodView, "PeriodList")


async def list_periods(call: Call) -> Answer:
    preview = _read_preview(call.query)
    page = read_page(call.query)
    found = await call.service.reads.periods(call.organization_id, preview)
    if found is None:
        raise not_found("organization")
    rows, present = found

    async def fetch(page: Page) -> Sequence[PeriodRow]:
        return await walk_all(page, rows, lambda row: str(row.index))

    return await list_answer(page, fetch, lambda row: _period_view(row, present))


def _read_preview(query: Mapping[str, str]) -> int:
    text = query.get(_PREVIEW, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= MAX_PREVIEW):
        raise bad_parameter(_PREVIEW, f"must be a whole number from 0 to {MAX_PREVIEW}")
    return int(text)


def _period_view(row: PeriodRow, present: int) -> PeriodView:
    status: Literal["past", "current", "future"] = "current"
    if row.index != present:
        status = "past" if row.index < present else "future"
    return PeriodView(
        index=row.index,
        start=time_json(row.start) or "",
        end=time_json(row.end) or "",
        status=status,
        allowance=credits_json(row.allowance),
    )


OPERATIONS = (
    Operation(
        name="list_periods",
        method="GET",
        path="/v1/organization/credits/periods",
        handle=list_periods,
        scope=Scope.CREDITS_READ,
        query=(
            *(
                parameter._replace(
                    description=parameter.description.replace("this id", "this index")
                )
                for parameter in PAGING
            ),
            Parameter(
                _PREVIEW,
                {"type": "integer", "minimum": 0, "maximum": MAX_PREVIEW, "default": 0},
                "How many periods to come are listed too, as the terms stand now",
            ),
        ),
        response=PeriodList,
        summary="List billing periods",
        description="The latest first. `after` and `before` take a period's index.",
    ),
)
