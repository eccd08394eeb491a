"""Rows of holds and budgets, and what they stand for (see `rows`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tallystick.domain.budgets import Budget
from tallystick.domain.holds import Hold, HoldStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.storage.rows import Row

_encode = msgspec.json.encode
_decode_parts = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode


def hold_from(row: Sequence[Any]) -> Hold:
    """A hold; the row begins with its organization."""
    return Hold(
        id=row[1],
        credits=row[2],
        parts=_decode_parts(row[3]),
        captured=row[4],
        status=HoldStatus(row[5]),
        expires_at=row[6],
        placed=row[7],
        reference=row[8],
        teamspace_id=row[9],
        api_key_id=row[10],
        meter=row[11],
        dimensions=row[12],
        salt=row[13],
        digest=row[14],
        created_at=row[15],
    )


def hold_row(organization_id: str, hold: Hold) -> Row:
    return (
        organization_id,
        hold.id,
        hold.credits,
        _encode(hold.parts).decode(),
        hold.captured,
        hold.status,
        hold.expires_at,
        hold.placed,
        hold.reference,
        hold.teamspace_id,
        hold.api_key_id,
        hold.meter,
        hold.dimensions,
        hold.salt,
        hold.digest,
        hold.created_at,
    )


def changed_hold_row(organization_id: str, hold: Hold) -> Row:
    """What changes of a hold after it was placed."""
    parts = _encode(hold.parts).decode()
    return (organization_id, hold.id, parts, hold.captured, hold.status, hold.expires_at)


def budget_from(row: Sequence[Any]) -> Budget:
    """A budget; the row begins with its organization. What is held is added up from holds."""
    return Budget(subject_id=row[1], limit=row[2], used=row[3])


def budget_row(organization_id: str, budget: Budget) -> Row:
    return (organization_id, budget.subject_id, budget.limit, budget.used)
