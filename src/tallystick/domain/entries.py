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
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tallystick.domain.grants import Drawn

GENESIS: Final = bytes(32)
"""What the first entry names as the hash before it."""

_TAG: Final = b"tallystick/entry/1"
_ABSENT_INTEGER: Final = -(1 << 63)
_ABSENT_TEXT: Final = b"\xff\xff\xff\xff"
_pack_numbers: Final = struct.Struct(">8q").pack
_pack_length: Final = struct.Struct(">I").pack
_canonical: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False
).encode
_pack_part: Final = struct.Struct(">q").pack
# A NamedTuple's own constructor costs twice as much.
_new: Final = tuple.__new__


class EntryKind(enum.StrEnum):
    PERIOD_STARTED = "period.started"
    PLAN_CHANGED = "plan.changed"
    GRANT_ISSUED = "grant.issued"
    GRANT_ACTIVATED = "grant.activated"
    GRANT_EXPIRED = "grant.expired"
    GRANT_VOIDED = "grant.voided"
    USAGE_BOOKED = "usage.booked"
    USAGE_REVERSED = "usage.reversed"
    HOLD_PLACED = "hold.placed"
    HOLD_EXTENDED = "hold.extended"
    HOLD_RELEASED = "hold.released"
    HOLD_EXPIRED = "hold.expired"


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
        digest = link(entry, previous_hash)
        sealed.append(_new(Sealed, (entry, previous_hash, digest)))
        previous_hash = digest
    return sealed


def link(entry: Entry, previous_hash: bytes) -> bytes:
    """The hash of an entry that follows the one whose hash is `previous_hash`."""
    return hashlib.sha256(_TAG + previous_hash + encode(entry)).digest()


def plain_usage_linker(organization_id: str, grant_id: str) -> Callable[..., bytes]:
    """`link` for what nearly all entries are, usage that one grant covers, out of no hold and with
    no detail: what such entries have in common is encoded once. Takes the hash before and what they
    differ in, as `link_usage` names it."""
    named = _framed_thrice(organization_id, EntryKind.USAGE_BOOKED.value, None)
    drawn = _pack_length(1) + _framed(grant_id)

    def link_usage(
        previous_hash: bytes,
        sequence: int,
        used: int,
        event_id: str,
        teamspace_id: str | None,
        api_key_id: str | None,
        meter: str | None,
        occurred_at: int,
        booked_at: int,
        remaining: int,
        consumed: int,
        overage: int,
        held: int,
        content: bytes,
    ) -> bytes:
        event = event_id.encode()
        parts = (
            _TAG,
            previous_hash,
            _pack_numbers(
                sequence, used, occurred_at, booked_at, remaining, consumed, overage, held
            ),
            named,
            _pack_length(len(event)),
            event,
            _ABSENT_TEXT,
            _framed_thrice(teamspace_id, api_key_id, meter),
            _ABSENT_TEXT,
            _pack_length(len(content)),
            content,
            drawn,
            _pack_part(used),
        )
        return hashlib.sha256(b"".join(parts)).digest()

    return link_usage


def encode(entry: Entry) -> bytes:
    """The canonical bytes of an entry."""
    # fmt: off
    (organization_id, sequence, kind, moved, drawn, grant_id, event_id, hold_id, teamspace_id,
     api_key_id, meter, occurred_at, booked_at, remaining, consumed, overage, held, detail,
     content) = entry
    happened_at = _ABSENT_INTEGER if occurred_at is None else occurred_at
    parts = [
        _pack_numbers(
            sequence, moved, happened_at, booked_at, remaining, consumed, overage, held
        ),
        # `_value_`, since the property `value` and the hash of an enum are functions of Python's.
        _framed_thrice(organization_id, kind._value_, grant_id),
        _ABSENT_TEXT if event_id is None else _frame(event_id.encode()),
        _ABSENT_TEXT if hold_id is None else _frame(hold_id.encode()),
        _framed_thrice(teamspace_id, api_key_id, meter),
        _ABSENT_TEXT if detail is None else _frame(detail.encode()),
        _ABSENT_TEXT if content is None else _frame(content),
        _pack_length(len(drawn)),
    ]
    # fmt: on
    for name, taken in drawn:
        parts += _framed(name), _pack_part(taken)
    return b"".join(parts)


def _frame(value: bytes) -> bytes:
    return _pack_length(len(value)) + value


# Every entry that is written comes by here, and most of its texts have come before: whose it is,
# what it draws from, who used what.
@lru_cache(maxsize=4096)
def _framed(text: str | None) -> bytes:
    return _ABSENT_TEXT if text is None else _frame(text.encode())


@lru_cache(maxsize=4096)
def _framed_thrice(first: str | None, second: str | None, third: str | None) -> bytes:
    return _framed(first) + _framed(second) + _framed(third)
