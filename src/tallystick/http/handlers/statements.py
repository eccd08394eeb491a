"""Statements of billing periods: for programs, for spreadsheets and for paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from tallystick.domain.credits import format_credits
from tallystick.domain.directory import Scope
from tallystick.http.accept import preferred
from tallystick.http.exports import CSV, JSON, csv_lines, file_answer, safe
from tallystick.http.operations import Answer, Call, Operation, answer
from tallystick.http.shapes import Credits, Response, Time, not_found
from tallystick.http.statement_page import CONTENT_SECURITY_POLICY, render_statement
from tallystick.http.wire import credits_json, time_json
from tallystick.ledger.statements import read_statement

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from tallystick.domain.statements import Statement

_HTML: Final = b"text/html"
_HTML_PAGE: Final = b"text/html; charset=utf-8"
_LONGEST_INDEX: Final = 9
_AMOUNTS: Final = (
    "opening",
    "granted",
    "returned",
    "consumed",
    "overage",
    "expired",
    "voided",
    "closing",
)


class StatementUsage(Struct, kw_only=True):
    """Net usage of one meter by one teamspace."""

    meter: str | None
    teamspace_id: str | None
    credits: Credits
    events: int


class StatementView(Response, kw_only=True):
    """What became of the credits in one billing period:
    closing = opening + granted + returned - (consumed - overage) - expired - voided."""

    object: Literal["credits.statement"] = "credits.statement"
    index: int
    start: Time
    end: Time
    timezone: str
    status: Literal["past", "current"]
    as_of: Annotated[Time, Meta(description="The period's end, or now while it runs")]
    opening: Annotated[Credits, Meta(description="What was left of the period before")]
    granted: Annotated[Credits, Meta(description="Grants as they took effect, without rollover")]
    returned: Annotated[Credits, Meta(description="Given back for usage of earlier periods")]
    consumed: Annotated[Credits, Meta(description="Net usage, overage included")]
    overage: Annotated[Credits, Meta(description="What of it no grant covered")]
    expired: Annotated[Credits, Meta(description="What lapsed and was not rolled over")]
    voided: Credits
    closing: Annotated[Credits, Meta(description="What is left, rolled-over credits included")]
    consumed_by: Annotated[
        list[StatementUsage], Meta(description="What was consumed, by meter and teamspace")
    ]


async def get_statement(call: Call) -> Answer:
    index = call.params["period_index"]
    is_index = index.isascii() and index.isdigit() and len(index) <= _LONGEST_INDEX
    reads = call.service.reads
    statement = None
    if is_index and str(int(index)) == index:
        statement = await read_statement(
            reads.reader, reads.clock, call.organization_id, int(index)
        )
    if statement is None:
        raise not_found("billing period that has started")
    liked = preferred(call.header(b"accept"), (JSON, CSV, _HTML))
    if liked == CSV:
        return file_answer(CSV, f"credits-{index}", _csv(statement))
    return await _page(call, statement) if liked == _HTML else answer(200, _view(statement))


def _view(statement: Statement) -> StatementView:
    amounts: dict[str, Any] = {name: credits_json(getattr(statement, name)) for name in _AMOUNTS}
    return StatementView(
        index=statement.index,
        start=time_json(statement.start) or "",
        end=time_json(statement.end) or "",
        timezone=statement.timezone,
        status="past" if statement.is_over else "current",
        as_of=time_json(statement.as_of) or "",
        consumed_by=[
            StatementUsage(
                meter=line.meter or None,
                teamspace_id=line.teamspace_id or None,
                credits=credits_json(line.credits),
                events=line.events,
            )
            for line in statement.usage
        ],
        **amounts,
    )


async def _csv(statement: Statement) -> AsyncGenerator[bytes, None]:
    """A line for each figure; those of usage say whose it was."""
    yield csv_lines(_lines(statement))


def _lines(statement: Statement) -> Iterator[tuple[object, ...]]:
    yield "period", "start", "end", "line", "meter", "teamspace_id", "events", "credits"
    period = (statement.index, time_json(statement.start), time_json(statement.end))
    for name in _AMOUNTS:
        yield *period, name, "", "", "", format_credits(getattr(statement, name))
    for line in statement.usage:
        names = map(safe, (line.meter, line.teamspace_id))
        yield *period, "consumed_by", *names, line.events, format_credits(line.credits)


async def _page(call: Call, statement: Statement) -> Answer:
    organization = await call.service.reads.reader.organization(call.organization_id)
    if organization is None:
        raise not_found("organization")
    return Answer(
        200,
        render_statement(statement, organization.name, await _teamspaces(call, statement)),
        _HTML_PAGE,
        (
            (b"content-security-policy", CONTENT_SECURITY_POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ),
    )


async def _teamspaces(call: Call, statement: Statement) -> dict[str, str]:
    """The names of those that used something, by id."""
    reader = call.service.reads.reader
    names = {line.teamspace_id for line in statement.usage}
    found = [await reader.teamspace(call.organization_id, name) for name in sorted(names)]
    return {each.id: each.name for each in found if each is not None}


OPERATIONS = (
    Operation(
        name="get_statement",
        method="GET",
        path="/v1/organization/credits/periods/{period_index}",
        handle=get_statement,
        scope=Scope.CREDITS_READ,
        response=StatementView,
        files=(CSV,),
        pages=(_HTML_PAGE,),
        errors=("resource_not_found",),
        summary="Get the statement of a billing period",
        description=(
            "What became of the credits in one period, exact to the last decimal; of the present "
            "one, as of now. With `Accept: text/csv` it is a table, and with `Accept: text/html` a "
            "page to print."
        ),
    ),
)
