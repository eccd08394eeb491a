"""Typed, sortable ids: a prefix, an underscore and 128 bits in lower-case Crockford base 32.

The first 48 bits are a time in milliseconds (as in UUIDv7), so ids sort by age. Ids of what the
ledger makes by itself (the grants of a renewal) are derived from the organization and the ledger
sequence: a read that looks ahead and the write that comes later must name the same grant.
"""

from __future__ import annotations

import hashlib

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26


def encode_id(prefix: str, value: bytes) -> str:
    """`prefix_` followed by the 16 bytes of `value` in 26 characters that keep their order."""
    number = int.from_bytes(value, "big")
    digits = [_ALPHABET[number >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def derive_id(prefix: str, organization_id: str, sequence: int, at: int) -> str:
    """The id of what entry `sequence` of the organization creates at instant `at`."""
    milliseconds = (at // 1000) & (1 << 48) - 1
    digest = hashlib.sha256(f"{prefix}|{organization_id}|{sequence}".encode()).digest()
    return encode_id(prefix, milliseconds.to_bytes(6, "big") + digest[:10])


def entry_id(organization_id: str, sequence: int) -> str:
    """The id of a ledger entry: it names its organization, so no two are alike anywhere."""
    return f"entry_{organization_id.removeprefix('org_')}_{sequence:012d}"


def sequence_of(organization_id: str, entry_id: str) -> int | None:
    """The sequence that `entry_id` names, or None where it is no entry of this organization."""
    prefix = f"entry_{organization_id.removeprefix('org_')}_"
    digits = entry_id.removeprefix(prefix)
    if not entry_id.startswith(prefix) or len(digits) != 12 or not digits.isdecimal():
        return None
    return int(digits) if digits.isascii() else None
