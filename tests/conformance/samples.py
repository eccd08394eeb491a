"""Rows to write: one of each kind with every column in use, and organizations to put them into."""

from __future__ import annotations

from datetime import datetime

from tallystick.domain.commands import BookUsage, CreateGrant, usage_content
from tallystick.domain.directory import (
    Access,
    ApiKey,
    CloudProvider,
    KeyLevel,
    Organization,
    Scope,
    Secret,
    Teamspace,
)
from tallystick.domain.entries import Entry, EntryKind
from tallystick.domain.grants import Grant, GrantKind, GrantStatus
from tallystick.domain.periods import Interval, Schedule
from tallystick.domain.plans import Overage, OverageMode, Plan, Rollover, RolloverMode
from tallystick.ledger.directory import CreateOrganization
from tallystick.ledger.ports import Changes, Snapshot
from tallystick.ledger.work import Work
from tests.conformance.backend import START

ACME = "org_acme"
OTHER = "org_other"
HOME = "ts_home"
CREDIT = 1_000_000
UNICODE = "Überwachung ≥ 𝛑 \U0001f9fe e\u0301 'quoted\" \\ \u2028"
MOST = 8 * 10**15
"""The largest sum there can be, in micro-credits."""

PLAN = Plan(
    allowance=100 * CREDIT,
    schedule=Schedule(
        interval=Interval.MONTH,
        count=2,
        anchor=datetime.fromisoformat("2026-01-31T06:30:00"),
        timezone="Europe/Paris",
    ),
    rollover=Rollover(mode=RolloverMode.PERCENT, cap=12_500_000, periods=3),
    overage=Overage(mode=OverageMode.LIMIT, limit=5),
)


def organization(organization_id: str = ACME, external_id: str | None = None) -> Organization:
    return Organization(
        id=organization_id,
        name=UNICODE,
        external_id=external_id,
        default_teamspace_id=HOME,
        rate_limits={"usage.create": 7, "credits.get": 2**40},
        usage_dimensions=(UNICODE, "model"),
        content=bytes(range(32)),
        created_at=START,
    )


def teamspace(number: int = 0, organization_id: str = ACME) -> Teamspace:
    return Teamspace(
        organization_id=organization_id,
        id=f"ts_{number:03d}",
        name=UNICODE,
        access=Access.CLOSED,
        cloud_provider=CloudProvider.AWS,
        rate_limits={"credits.get": number},
        created_at=START + number // 2,
    )


def api_key(number: int = 0, organization_id: str | None = ACME) -> ApiKey:
    return ApiKey(
        id=f"key_{number:03d}",
        organization_id=organization_id,
        teamspace_id=None if organization_id is None else HOME,
        name=UNICODE,
        level=KeyLevel.ACCOUNT,
        scopes=(Scope.WEBHOOKS_WRITE, Scope.CREDITS_READ),
        imported=True,
        created_at=START + number // 2,
        expires_at=START + 10,
        revoked_at=START + 5,
        last_used_at=START + 3,
    )


def secret(number: int = 0, organization_id: str | None = ACME, key: int = 0) -> Secret:
    return Secret(
        hash=number.to_bytes(32, "big"),
        organization_id=organization_id,
        key_id=f"key_{key:03d}",
        expires_at=START + number,
    )


def grant(
    number: int,
    *,
    kind: GrantKind = GrantKind.PROMOTIONAL,
    remaining: int = MOST - 1,
    held: int = 2,
    priority: int = 7,
    effective_at: int = START - 1,
    expires_at: int | None = START + 100,
    status: GrantStatus = GrantStatus.ACTIVE,
    has_reference: bool = True,
) -> Grant:
    """A grant with something in every field, issued as entry `number`."""
    return Grant(
        id=f"grant_{number:03d}",
        kind=kind,
        amount=MOST,
        remaining=remaining,
        held=held,
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        status=status,
        issued=number,
        reference=f"ref-{number}" if has_reference else None,
        created_at=START,
    )


def full_entry(sequence: int, kind: EntryKind, organization_id: str = ACME) -> Entry:
    """An entry with something in every column, whether its kind has that or not."""
    return Entry(
        organization_id=organization_id,
        sequence=sequence,
        kind=kind,
        credits=MOST,
        drawn=((UNICODE, MOST), ("grant_2", 1)),
        grant_id="grant_1",
        event_id=f"event-{sequence}",
        hold_id="hold_1",
        teamspace_id=HOME,
        api_key_id="key_1",
        meter=UNICODE,
        occurred_at=-START,
        booked_at=START,
        remaining_after=MOST,
        consumed_after=MOST - 1,
        overage_after=MOST - 2,
        held_after=MOST - 3,
        detail='{"a":"é"}',
        content=b"\x00\xff" * 16,
    )


def bare_entry(sequence: int, kind: EntryKind, organization_id: str = ACME) -> Entry:
    """An entry with nothing where there may be nothing."""
    return full_entry(sequence, kind, organization_id)._replace(
        credits=0,
        drawn=(),
        grant_id=None,
        event_id=None,
        hold_id=None,
        teamspace_id=None,
        api_key_id=None,
        meter=None,
        occurred_at=None,
        detail=None,
        content=None,
    )


def opened(organization_id: str = ACME, plan: Plan = PLAN, external_id: str | None = None) -> Work:
    """A batch that makes an organization with its account, default teamspace and first entries."""
    work = Work(Snapshot(now=START))
    CreateOrganization(
        organization_id=organization_id,
        teamspace_id=HOME,
        name=UNICODE,
        external_id=external_id,
        plan=plan,
        rate_limits={},
        content=bytes(32),
    ).decide(work)
    return work


def new_organization(organization_id: str = ACME, plan: Plan = PLAN) -> Changes:
    return opened(organization_id, plan).finish()


def usage(
    event_id: str, credits_used: int = CREDIT, *, meter: str | None = "calls", overdraw: bool = True
) -> BookUsage:
    content = usage_content(
        credits_used=credits_used,
        meter=meter,
        occurred_at=None,
        dimensions=None,
        overdraw=overdraw,
        teamspace_id=HOME,
    )
    return BookUsage(event_id, credits_used, meter, None, None, overdraw, HOME, None, content)


def top_up(reference: str | None = None, *, expires_at: int | None = None) -> CreateGrant:
    return CreateGrant(
        amount=CREDIT, kind=GrantKind.TOP_UP, reference=reference, expires_at=expires_at
    )
