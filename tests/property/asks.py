"""What is asked of both ledgers: each ask as a command of the core and in the oracle's words.

Amounts and instants are the core's (micro-credits, microseconds).
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from tallystick.domain.commands import (
    BookUsage,
    CaptureHold,
    CreateGrant,
    PlaceHold,
    ReverseUsage,
    usage_content,
)
from tallystick.domain.grants import GrantKind
from tests.oracle_words import Said, SaidOfCapture, SaidOfHold, SaidOfReversal
from tests.property import languages as say


class UsageAsk(NamedTuple):
    """All of a usage event but its id."""

    amount: int
    overdraw: bool = False
    meter: str | None = None
    occurred_at: int | None = None
    dimensions: dict[str, str] | None = None
    teamspace_id: str = "ts_1"
    api_key_id: str | None = None

    def command(self, event_id: str) -> BookUsage:
        content = usage_content(
            credits_used=self.amount,
            meter=self.meter,
            occurred_at=self.occurred_at,
            dimensions=self.dimensions,
            overdraw=self.overdraw,
            teamspace_id=self.teamspace_id,
        )
        return BookUsage(
            event_id,
            self.amount,
            self.meter,
            self.occurred_at,
            self.dimensions,
            self.overdraw,
            self.teamspace_id,
            self.api_key_id,
            content,
        )

    def said(self) -> Said:
        return Said(
            say.to_decimal(self.amount),
            self.overdraw,
            self.teamspace_id,
            self.meter,
            say.if_any(say.to_datetime, self.occurred_at),
            self.dimensions or {},
        )


class GrantAsk(NamedTuple):
    kind: str
    amount: int
    priority: int = 50
    effective_at: int | None = None
    expires_at: int | None = None
    reference: str | None = None

    def command(self) -> CreateGrant:
        return CreateGrant(
            amount=self.amount,
            kind=GrantKind(self.kind),
            priority=self.priority,
            effective_at=self.effective_at,
            expires_at=self.expires_at,
            reference=self.reference,
        )


class HoldAsk(NamedTuple):
    amount: int
    lasts: int
    teamspace_id: str = "ts_1"
    api_key_id: str | None = None
    meter: str | None = None
    dimensions: dict[str, str] | None = None
    reference: str | None = None

    def command(self) -> PlaceHold:
        return PlaceHold(
            credits=self.amount,
            expires_in=self.lasts,
            reference=self.reference,
            meter=self.meter,
            dimensions=self.dimensions,
            teamspace_id=self.teamspace_id,
            api_key_id=self.api_key_id,
        )

    def said(self) -> SaidOfHold:
        return SaidOfHold(
            say.to_decimal(self.amount),
            timedelta(microseconds=self.lasts),
            self.teamspace_id,
            self.meter,
            self.dimensions or {},
        )


class CaptureAsk(NamedTuple):
    """A capture of hold number `hold`; its event has the hold's id where `event_id` is None."""

    hold: int
    amount: int
    event_id: str | None = None
    final: bool = False
    allow_excess: bool = False
    overdraw: bool = False
    meter: str | None = None
    occurred_at: int | None = None
    dimensions: dict[str, str] | None = None

    def command(self, hold_id: str, acting_for: str | None) -> CaptureHold:
        return CaptureHold(
            hold_id=hold_id,
            credits=self.amount,
            event_id=self.event_id,
            final=self.final,
            allow_excess=self.allow_excess,
            overdraw=self.overdraw,
            meter=self.meter,
            occurred_at=self.occurred_at,
            dimensions=self.dimensions,
            acting_for=acting_for,
        )

    def said(self) -> SaidOfCapture:
        return SaidOfCapture(
            say.to_decimal(self.amount),
            self.final,
            self.allow_excess,
            self.overdraw,
            self.meter,
            say.if_any(say.to_datetime, self.occurred_at),
            self.dimensions,
        )


class ReversalAsk(NamedTuple):
    event_id: str
    amount: int | None = None
    reference: str | None = None
    note: str | None = None

    def command(self, acting_for: str | None) -> ReverseUsage:
        return ReverseUsage(
            event_id=self.event_id,
            credits=self.amount,
            reference=self.reference,
            note=self.note,
            acting_for=acting_for,
        )

    def said(self) -> SaidOfReversal:
        return SaidOfReversal(say.if_any(say.to_decimal, self.amount), self.note)
