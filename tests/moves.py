"""Moves on a ledger, made without HTTP: what lists are to show has to be there first."""

from __future__ import annotations

from tallystick.domain.commands import (
    Booked,
    BookUsage,
    CreateGrant,
    Held,
    Issued,
    PlaceHold,
    usage_content,
)
from tallystick.domain.credits import parse_credits
from tallystick.domain.directory import Organization
from tallystick.domain.entries import Entry
from tallystick.domain.grants import Grant, GrantKind
from tallystick.domain.holds import Hold
from tallystick.domain.periods import parse_instant
from tallystick.ledger.units import AccountUnit
from tests.harness import SECOND, World


async def book(
    w: World, organization: Organization, event_id: str, amount: str, *, meter: str | None = None
) -> Entry:
    """Books usage that the organization's grants cover."""
    micro, teamspace_id = parse_credits(amount), organization.default_teamspace_id
    command = BookUsage(
        event_id=event_id,
        credits=micro,
        meter=meter,
        occurred_at=None,
        dimensions=None,
        overdraw=False,
        teamspace_id=teamspace_id,
        api_key_id="key_of_tests",
        content=usage_content(
            credits_used=micro,
            meter=meter,
            occurred_at=None,
            dimensions=None,
            overdraw=False,
            teamspace_id=teamspace_id,
        ),
    )
    outcome = await w.service.ledger.submit(
        organization.id, AccountUnit(organization.id, [command])
    )
    assert isinstance(outcome, list)
    [booked] = outcome
    assert isinstance(booked, Booked)
    return booked.entry


async def issue(
    w: World,
    organization: Organization,
    amount: str,
    *,
    priority: int = 50,
    expires_at: str | None = None,
    reference: str | None = None,
) -> Grant:
    """Issues a top-up."""
    command = CreateGrant(
        amount=parse_credits(amount),
        kind=GrantKind.TOP_UP,
        priority=priority,
        expires_at=None if expires_at is None else parse_instant(expires_at),
        reference=reference,
    )
    outcome = await w.service.ledger.submit(
        organization.id, AccountUnit(organization.id, [command])
    )
    assert isinstance(outcome, list)
    [issued] = outcome
    assert isinstance(issued, Issued)
    return issued.grant


async def place(w: World, organization: Organization, amount: str, *, seconds: int = 900) -> Hold:
    """Places a hold that lives for so long."""
    command = PlaceHold(
        credits=parse_credits(amount),
        expires_in=seconds * SECOND,
        teamspace_id=organization.default_teamspace_id,
        api_key_id=None,
    )
    outcome = await w.service.ledger.submit(
        organization.id, AccountUnit(organization.id, [command])
    )
    assert isinstance(outcome, list)
    [held] = outcome
    assert isinstance(held, Held)
    return held.hold
