"""Reading credits: the report that Datagrid's clients read, and the detailed balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from tallystick.domain.credits import format_credits
from tallystick.domain.directory import Scope
from tallystick.domain.grants import GrantStatus, burn_key
from tallystick.http.etags import not_modified, weak_etag
from tallystick.http.operations import Answer, Call, Operation, answer
from tallystick.http.shapes import Credits, Response, Time, not_found
from tallystick.http.views import GrantView, grant_view
from tallystick.http.wire import credits_json, time_json

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tallystick.domain.account import Account
    from tallystick.domain.grants import Grant
    from tallystick.ledger.reads import Balance
    from tallystick.ledger.reads import Credits as Report


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


def get_credits(call: Call) -> Answer | Awaitable[Answer]:
    report = call.service.reads.credits(call.organization_id)
    if report is None or isinstance(report, tuple):
        return _report_answer(report)
    return _later(report)


async def _later(report: Awaitable[Report | None]) -> Answer:
    return _report_answer(await report)


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
    balance = await call.service.reads.balance(call.organization_id)
    if balance is None:
        raise not_found("organization")
    # The clock moves the pace, and not the state.
    account = balance.account
    etag = weak_etag(account.organization_id, str(account.sequence))
    return not_modified(call, etag) or answer(200, _balance_view(balance), (b"etag", etag))


def _balance_view(balance: Balance) -> BalanceView:
    account = balance.account
    return BalanceView(
        remaining=credits_json(account.remaining),
        consumed=credits_json(account.consumed),
        total=credits_json(account.total),
        held=credits_json(account.held),
        available=credits_json(account.available),
        overage=credits_json(account.overage),
        period=BalancePeriod(
            index=account.period_index,
            start=time_json(account.period_start) or "",
            end=time_json(account.period_end) or "",
            timezone=account.plan.schedule.timezone,
        ),
        grants=[grant_view(grant) for grant in _shown_grants(account)],
        burn_rate_per_day=credits_json(balance.burn_rate_per_day),
        projected_exhaustion_at=time_json(balance.projected_exhaustion_at),
        as_of=time_json(balance.as_of) or "",
        sequence=account.sequence,
    )


def _shown_grants(account: Account) -> list[Grant]:
    """Active grants with something left, and ended ones while something of them is held."""
    shown = [
        grant
        for grant in account.grants.values()
        if grant.remaining and (grant.status is GrantStatus.ACTIVE or grant.held)
    ]
    return sorted(shown, key=burn_key)


OPERATIONS = (
    Operation(
        name="get_credits",
        is_hot=True,
        method="GET",
        path="/v1/organization/credits",
        handle=get_credits,
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
            "available, the grants in the order in which they burn, and the recent pace."
        ),
    ),
)
