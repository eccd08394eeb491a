"""Reading credits: the report that Datagrid's clients read, and the detailed balance."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta

from tallystick.domain.credits import format_credits
from tallystick.domain.directory import Scope
from tallystick.domain.periods import format_instant, parse_instant
from tallystick.http.etags import not_modified, weak_etag
from tallystick.http.operations import (
    Answer,
    Call,
    OfOrganization,
    Operation,
    Parameter,
    answer,
)
from tallystick.http.shapes import Credits, Response, Time, bad_parameter, not_found
from tallystick.http.views import GrantView, grant_view
from tallystick.http.wire import credits_json, time_json
from tallystick.ledger.pending import Pending
from tallystick.ledger.reading import BalanceRow
from tallystick.ledger.reads import Credits as Report
from tallystick.ledger.reads import NotYet

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tallystick.http.service import Service
    from tallystick.ledger.reads import Balance


_AT: Final = "at"


class CreditsReport(Response, kw_only=True):
    """What there is, what was used in the present billing period, and what that adds up to."""

    remaining: Annotated[
        Credits,
        Meta(
            description="Credits that are unspent in grants that are effective now, held ones too"
        ),
    ]
    consumed: Annotated[
        Credits, Meta(description="Credits used in the present billing period, overage included")
    ]
    total: Annotated[
        Credits,
        Meta(
            description="remaining + consumed - overage: what the period started with, and what "
            "was granted since"
        ),
    ]


def get_credits(service: Service, organization_id: str) -> Answer | Awaitable[Answer]:
    report = service.reads.credits(organization_id)
    if report is None or isinstance(report, Report):
        return _report_answer(report)
    if isinstance(report, Pending):
        return Pending(report.future, partial(_tell, service, organization_id))
    return _later(report)


def _ahead(service: Service, organization_id: str) -> Pending[Answer] | None:
    row = service.reads.reader.balance(organization_id)
    if row is None or isinstance(row, BalanceRow):
        return None
    return Pending(row, partial(_tell, service, organization_id))


def _tell(
    service: Service, organization_id: str, row: BalanceRow | None
) -> Answer | Awaitable[Answer]:
    report = service.reads.credits_of(organization_id, row)
    if report is None or isinstance(report, Report):
        return _report_answer(report)
    return _later(report)


async def _later(report: Awaitable[Report | None]) -> Answer:
    return _report_answer(await report)


# The same figures are the same answer, and are mostly asked for again before they change.
@lru_cache(maxsize=10_000)
def _report_answer(report: Report | None) -> Answer:
    if report is None:
        raise not_found("organization")
    remaining, consumed, total = map(format_credits, report)
    body = f'{{"remaining":{remaining},"consumed":{consumed},"total":{total}}}'
    return Answer(200, body.encode())


class BalancePeriod(Response, kw_only=True):
    index: int
    start: Time
    end: Time
    timezone: str


class BalanceView(Response, kw_only=True):
    object: Literal["credits.balance"] = "credits.balance"
    remaining: Credits
    consumed: Credits
    total: Credits
    held: Credits
    available: Credits
    overage: Credits
    period: BalancePeriod
    grants: Annotated[list[GrantView], Meta(description="In the order in which they burn")]
    burn_rate_per_day: Credits
    projected_exhaustion_at: Time | None
    as_of: Time
    sequence: int


async def get_balance(call: Call) -> Answer:
    text = call.query.get(_AT)
    if text is None:
        balance = await call.service.reads.balance(call.organization_id)
    else:
        balance = await _balance_at(call, _read_instant(text))
    if balance is None:
        raise not_found("organization")
    # The clock moves the pace, and not the state.
    etag = weak_etag(balance.organization_id, str(balance.state.sequence), text or "")
    return not_modified(call, etag) or answer(200, _balance_view(balance), (b"etag", etag))


def _read_instant(text: str) -> int:
    try:
        return parse_instant(text.replace(" ", "+"))
    except ValueError as error:
        raise bad_parameter(_AT, str(error)) from None


async def _balance_at(call: Call, instant: int) -> Balance | None:
    balance = await call.service.reads.balance_at(call.organization_id, instant)
    if not isinstance(balance, NotYet):
        return balance
    if instant > balance.now:
        raise bad_parameter(_AT, f"lies ahead: it is {format_instant(balance.now)} now")
    since = format_instant(balance.since)
    raise bad_parameter(_AT, f"lies before the organization, which was created at {since}")


def _balance_view(balance: Balance) -> BalanceView:
    state = balance.state
    return BalanceView(
        remaining=credits_json(state.remaining),
        consumed=credits_json(state.consumed),
        total=credits_json(state.total),
        held=credits_json(state.held),
        available=credits_json(state.available),
        overage=credits_json(state.overage),
        period=BalancePeriod(
            index=state.period_index,
            start=time_json(state.period_start) or "",
            end=time_json(state.period_end) or "",
            timezone=state.timezone,
        ),
        grants=[grant_view(grant) for grant in state.grants_shown()],
        burn_rate_per_day=credits_json(balance.burn_rate_per_day),
        projected_exhaustion_at=time_json(balance.projected_exhaustion_at),
        as_of=time_json(balance.as_of) or "",
        sequence=state.sequence,
    )


OPERATIONS = (
    Operation(
        name="get_credits",
        is_hot=True,
        method="GET",
        path="/v1/organization/credits",
        handle=OfOrganization(get_credits, ahead=_ahead),
        scope=Scope.CREDITS_READ,
        response=CreditsReport,
        summary="Get credits",
        description="Summarise the credits of your organization for the current billing period.",
    ),
    Operation(
        name="get_balance",
        method="GET",
        path="/v1/organization/credits/balance",
        handle=get_balance,
        scope=Scope.CREDITS_READ,
        response=BalanceView,
        also={304: "Nothing changed since the ETag in If-None-Match"},
        summary="Get the balance in detail",
        description=(
            "The report's three figures with what they are made of: the period, what is held and "
            "available, the grants in the order in which they burn, and the recent pace. With "
            "`at`, all of it as a read at that instant would have said it; only the pace is an "
            "estimate from what is known of those days now."
        ),
        query=(
            Parameter(
                _AT,
                {"type": "string", "format": "date-time"},
                "An instant since the organization's creation; entries of exactly that "
                "microsecond count",
            ),
        ),
        errors=("validation_failed",),
    ),
)
