"""Entries: the immutable lines of the ledger, and the hash chain that binds them.

An entry's hash is SHA-256 over a version tag, the hash of the entry before (32 zero bytes for the
first) and the entry's canonical encoding: every integer as eight bytes, every text with its length
in front, absent values distinct from empty ones. So no two different entries encode alike, and
neither an edit nor a deletion nor a swap leaves the later hashes standing.

Sealing is apart from deciding: a read that looks ahead needs the balances but no hashes.
"""

from __future__ import annotations

import enum
import hashlib
import json
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tallystick.domain.grants import Drawn

GENESIS: Final = bytes(32)
"""What the first entry names as the hash before it."""

_TAG: Final = b"tallystick/entry/1"
_ABSENT_INTEGER: Final = -(1 << 63)
_ABSENT_TEXT: Final = b"\xff\xff\xff\xff"
_NUMBERS: Final = struct.Struct(">8q")
_LENGTH: Final = struct.Struct(">I")
_canonical: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False
).encode
_PART: Final = struct.Struct(">q")


class EntryKind(enum.StrEnum):
    PERIOD_STARTED = "period.started"
    PLAN_CHANGED = "plan.changed"
    GRANT_ISSUED = "grant.issued"
    GRANT_ACTIVATED = "grant.activated"
    GRANT_EXPIRED = "grant.expired"
    GRANT_VOIDED = "grant.voided"
    USAGE_BOOKED = "usage.booked"


class Entry(NamedTuple):
    """One fact of the ledger and the balances after it (micro-credits, instants in microseconds).

    `detail` is canonical JSON of what the columns do not say; `content` is the SHA-256 of what the
    caller sent (see `commands.usage_content`), which tells a repeated event from a changed one.
    """

    organization_id: str
    sequence: int
    kind: EntryKind
    credits: int
    drawn: Drawn
    grant_id: str | None
    event_id: str | None
    hold_id: str | None
    teamspace_id: str | None
    api_key_id: str | None
    meter: str | None
    occurred_at: int | None
    booked_at: int
    remaining_after: int
    consumed_after: int
    overage_after: int
    held_after: int
    detail: str | None
    content: bytes | None


class Sealed(NamedTuple):
    """An entry in its place in the chain."""

    entry: Entry
    previous_hash: bytes
    hash: bytes


def canonical_json(facts: Mapping[str, object]) -> str:
    """The one spelling of `facts` that entries carry."""
    return _canonical(facts)


def uncovered(entry: Entry) -> int:
    """What of a usage entry no grant covered."""
    return entry.credits - sum(taken for _, taken in entry.drawn)


def seal(entries: Iterable[Entry], previous_hash: bytes) -> list[Sealed]:
    """Chains `entries`, which follow the entry whose hash is `previous_hash`."""
    sealed = []
    for entry in entries:
        digest = hashlib.sha256(b"".join((_TAG, previous_hash, encode(entry)))).digest()
        sealed.append(Sealed(entry, previous_hash, digest))
        previous_hash = digest
    return sealed


def encode(entry: Entry) -> bytes:
    """The canonical bytes of an entry."""
    occurred_at = _ABSENT_INTEGER if entry.occurred_at is None else entry.occurred_at
    parts = [
        _NUMBERS.pack(
            entry.sequence,
            entry.credits,
            occurred_at,
            entry.booked_at,
            entry.remaining_after,
            entry.consumed_after,
            entry.overage_after,
            entry.held_after,
        )
    ]
    for text in (
        entry.organization_id,
        entry.kind,
        entry.grant_id,
        entry.event_id,
        entry.hold_id,
        entry.teamspace_id,
        entry.api_key_id,
        entry.meter,
        entry.detail,
    ):
        _put_text(parts, text)
    _put_bytes(parts, entry.content)
    parts.append(_LENGTH.pack(len(entry.drawn)))
    for grant_id, taken in entry.drawn:
        _put_text(parts, grant_id)
        parts.append(_PART.pack(taken))
    return b"".join(parts)


def _put_text(parts: list[bytes], text: str | None) -> None:
    _put_bytes(parts, None if text is None else text.encode())


def _put_bytes(parts: list[bytes], value: bytes | None) -> None:
    if value is None:
        parts.append(_ABSENT_TEXT)
    else:
        parts.append(_LENGTH.pack(len(value)))
        parts.append(value)
