"""What each command names: what it wants loaded, what of that concerns it, what others must know.

Usage is not here: it is what nearly every command of a batch is, and `units` asks about it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.domain.commands import (
    NOTHING_EARLIER,
    CaptureHold,
    CreateGrant,
    Earlier,
    ExtendHold,
    PlaceHold,
    ReleaseHold,
    RemoveBudget,
    ReverseUsage,
    SetBudget,
    SetStatus,
    VoidGrant,
)
from tallystick.domain.spending import captured_dimensions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.commands import Command
    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Grant
    from tallystick.ledger.ports import Snapshot, Wanted
    from tallystick.ledger.work import Work


def want(wanted: Wanted, organization_id: str, command: Command) -> None:
    """Adds what `command` names to what the batch loads."""
    match command:
        case CreateGrant(reference=str(reference)):
            wanted.references.add((organization_id, reference))
        case VoidGrant():
            wanted.grants.add((organization_id, command.grant_id))
        case PlaceHold(reference=str(reference)):
            wanted.hold_references.add((organization_id, reference))
        case CaptureHold():
            wanted.holds.add((organization_id, command.hold_id))
            wanted.events.add((organization_id, command.booked_as))
        case ReleaseHold() | ExtendHold():
            wanted.holds.add((organization_id, command.hold_id))
        case ReverseUsage():
            wanted.events.add((organization_id, command.event_id))
            wanted.reversals.add((organization_id, command.event_id))


def earlier(snapshot: Snapshot, organization_id: str, command: Command) -> Earlier:
    """What the ledger knows of the ids that `command` names."""
    match command:
        case CreateGrant(reference=str(reference)):
            return snapshot.references.get((organization_id, reference), NOTHING_EARLIER)
        case VoidGrant():
            return Earlier(grant=snapshot.grants.get((organization_id, command.grant_id)))
        case PlaceHold(reference=str(reference)):
            return snapshot.hold_references.get((organization_id, reference), NOTHING_EARLIER)
        case CaptureHold():
            return Earlier(
                snapshot.events.get((organization_id, command.booked_as)),
                hold=snapshot.holds.get((organization_id, command.hold_id)),
                dimensions=snapshot.dimensions.get((organization_id, command.booked_as)),
            )
        case ReleaseHold() | ExtendHold():
            return Earlier(hold=snapshot.holds.get((organization_id, command.hold_id)))
        case ReverseUsage():
            return _earlier_reversals(snapshot, organization_id, command.event_id)
        case _:
            return NOTHING_EARLIER


def _earlier_reversals(snapshot: Snapshot, organization_id: str, event_id: str) -> Earlier:
    entry = snapshot.events.get((organization_id, event_id))
    if entry is None:
        return NOTHING_EARLIER
    drawn_from: dict[str, Grant] = {}
    for grant_id, _ in entry.drawn:
        grant = snapshot.grants.get((organization_id, grant_id))
        if grant is not None:
            drawn_from[grant_id] = grant
    reversals = tuple(snapshot.reversals.get((organization_id, event_id), ()))
    return Earlier(entry, reversals=reversals, drawn_from=drawn_from)


def note(work: Work, account: Account, command: Command, entries: Sequence[Entry]) -> None:
    """Lets later units of the batch see what `entries` brought, and marks what changed without."""
    match command:
        case SetStatus():
            work.write_account(account)
        case SetBudget() | RemoveBudget():
            work.note_budget(account, command.subject_id)
        case CaptureHold() if entries:
            dimensions = captured_dimensions(command, account.holds[command.hold_id])
            work.note_usage(entries[0], dimensions, overdraw=command.overdraw, salt=command.salt)
        case ReverseUsage() if entries:
            work.note_reversal(entries[0])
        case CreateGrant(reference=str(reference)) if entries:
            work.note_reference(reference, entries[0], account)
        case PlaceHold(reference=str(reference)) if entries:
            hold = account.holds[entries[0].hold_id or ""]
            work.note_hold(reference, entries[0], hold)
