"""What becomes of holds besides their capture: placing, releasing, extending (rule 9)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tallystick.domain.commands import AccountStatus, Held
from tallystick.domain.dimensions import digest_again, dimensions_digest
from tallystick.domain.entries import EntryKind, canonical_json
from tallystick.domain.errors import CorruptLedger, Reason, Refusal
from tallystick.domain.grants import set_aside
from tallystick.domain.holds import LONGEST_HOLD, Hold, HoldStatus, add_open, end_hold, remove_open
from tallystick.domain.ids import derive_id
from tallystick.domain.refusals import not_active, not_covered, over_budget

if TYPE_CHECKING:
    from tallystick.domain.account import Account
    from tallystick.domain.commands import Earlier, ExtendHold, Outcome, PlaceHold, ReleaseHold
    from tallystick.domain.entries import Entry


def place_hold(
    account: Account, command: PlaceHold, now: int, earlier: Earlier
) -> tuple[Outcome, list[Entry]]:
    if earlier.entry is not None:
        hold = find_hold(account, earlier.entry.hold_id or "", earlier)
        if hold is None:
            raise CorruptLedger("a hold that an entry names is missing")
        if earlier.entry.content != command.content(_digest_again(command, hold)):
            return Refusal(reason=Reason.ID_REUSED), []
        return Held(replace(hold), duplicate=True), []
    if refusal := _placing_refusal(account, command, now):
        return refusal, []

    # ── decided: from here on, only changes ──
    sequence = account.sequence + 1
    dimensions = command.dimensions or None
    digest = None if dimensions is None else dimensions_digest(dimensions, command.salt)
    hold = Hold(
        id=derive_id("hold", account.organization_id, sequence, now),
        credits=command.credits,
        parts=set_aside(account.burning, command.credits),
        expires_at=now + command.expires_in,
        placed=sequence,
        reference=command.reference,
        teamspace_id=command.teamspace_id,
        api_key_id=command.api_key_id,
        meter=command.meter,
        dimensions=None if dimensions is None else canonical_json(dimensions),
        salt=None if dimensions is None else command.salt,
        digest=digest,
        created_at=now,
    )
    account.held += hold.credits
    account.add_hold(hold)
    account.next_due_at = min(account.next_due_at, hold.expires_at)
    facts = {"expires_at": hold.expires_at, "reference": hold.reference}
    entry = account.entry(
        EntryKind.HOLD_PLACED,
        now,
        hold.credits,
        hold=hold,
        drawn=hold.parts,
        detail=canonical_json(facts),
        content=command.content(digest),
    )
    return Held(replace(hold)), [entry]


def _digest_again(command: PlaceHold, hold: Hold) -> bytes | None:
    if hold.digest is not None:
        return digest_again(command.dimensions, hold.salt, hold.digest)
    return dimensions_digest(command.dimensions, b"") if command.dimensions else None


def _placing_refusal(account: Account, command: PlaceHold, now: int) -> Refusal | None:
    """An overage policy widens no hold: what is held must be there."""
    if account.status is not AccountStatus.ACTIVE:
        return not_active(account)
    if command.expires_in > LONGEST_HOLD:
        return _too_long(now + LONGEST_HOLD, now)
    return not_covered(account, command.credits) or over_budget(
        account, command.credits, command.teamspace_id, command.api_key_id
    )


def release_hold(
    account: Account, command: ReleaseHold, now: int, earlier: Earlier
) -> tuple[Outcome, list[Entry]]:
    """Whatever state the organization is in: to release spends nothing."""
    hold = find_hold(account, command.hold_id, earlier)
    if hold is None:
        return Refusal(reason=Reason.NO_SUCH_HOLD), []
    if refusal := refuse_hold(hold, command.acting_for):
        return refusal, []

    # ── decided: from here on, only changes ──
    entry = end_hold(account, hold, HoldStatus.RELEASED, EntryKind.HOLD_RELEASED, now)
    return Held(replace(hold)), [entry]


def extend_hold(
    account: Account, command: ExtendHold, now: int, earlier: Earlier
) -> tuple[Outcome, list[Entry]]:
    hold = find_hold(account, command.hold_id, earlier)
    if hold is None:
        return Refusal(reason=Reason.NO_SUCH_HOLD), []
    if account.status is not AccountStatus.ACTIVE:
        return not_active(account), []
    if refusal := refuse_hold(hold, command.acting_for):
        return refusal, []
    expires_at = now + command.expires_in
    if expires_at > hold.latest_expiry:
        return _too_long(hold.latest_expiry, now), []
    if expires_at <= hold.expires_at:
        return Held(replace(hold)), []

    # ── decided: from here on, only changes ──
    remove_open(account.open_holds, hold)
    hold.expires_at = expires_at
    add_open(account.open_holds, hold)
    detail = canonical_json({"expires_at": expires_at})
    entry = account.entry(EntryKind.HOLD_EXTENDED, now, hold=hold, detail=detail)
    return Held(replace(hold)), [entry]


def _too_long(latest_expiry: int, now: int) -> Refusal:
    figures = {"latest_expiry": latest_expiry, "now": now}
    return Refusal(reason=Reason.HOLD_TOO_LONG, figures=figures)


def find_hold(account: Account, hold_id: str, earlier: Earlier) -> Hold | None:
    return account.holds.get(hold_id, earlier.hold)


def refuse_hold(hold: Hold, acting_for: str | None) -> Refusal | None:
    """Why nothing more can be done with `hold` by who acts for this teamspace, if so."""
    if acting_for not in {None, hold.teamspace_id}:
        return Refusal(reason=Reason.OTHER_TEAMSPACE)
    if hold.status is not HoldStatus.OPEN:
        return Refusal(reason=Reason.HOLD_ENDED, facts={"status": str(hold.status)})
    return None
