"""Dimensions of usage events: what the ledger keeps of them, and what it can forget.

They may name persons, so they can be erased on request, and the chain must stand nevertheless. So
an event's `content`, which is part of the chain, has them by a digest only; and since names and
values can be guessed, each event's digest is salted, and the salt goes with them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.entries import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping


class KeptDimensions(NamedTuple):
    """What the ledger keeps of an event's dimensions beside its entry.

    `digest` is for ever: the entry's `content` is made of it. The names and values themselves, and
    the salt without which nobody can try values out against the digest, go when they are erased.
    `counted` are the dimensions by which the event was counted in statistics.
    """

    dimensions: Mapping[str, str] | None
    salt: bytes | None
    digest: bytes
    counted: tuple[str, ...] = ()
    erased_at: int | None = None


def digest_again(dimensions: Mapping[str, str] | None, salt: bytes | None, digest: bytes) -> bytes:
    """The digest of dimensions that come again, to be compared with the `digest` that was kept.

    Where they have been erased (no salt), nobody can tell whether they are the same: they are taken
    to be.
    """
    return digest if salt is None else dimensions_digest(dimensions or {}, salt)


def dimensions_digest(dimensions: Mapping[str, str], salt: bytes) -> bytes:
    """What stays of an event's dimensions when they are erased."""
    return hashlib.sha256(salt + canonical_json(dimensions).encode()).digest()
