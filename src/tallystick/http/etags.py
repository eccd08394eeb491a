"""ETags: a client that has the present state is told so, and not sent it again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tallystick.http.operations import Answer

if TYPE_CHECKING:
    from tallystick.http.operations import Call


def weak_etag(*facts: str | bytes) -> bytes:
    """The name of a state that `facts`, each without a NUL, tell from every other."""
    parts = [fact.encode() if isinstance(fact, str) else fact for fact in facts]
    return b'W/"%s"' % hashlib.sha256(b"\x00".join(parts)).hexdigest()[:32].encode()


def not_modified(call: Call, etag: bytes) -> Answer | None:
    """304 where the client names the state that it would get."""
    if not _names(call.header(b"if-none-match"), etag):
        return None
    return Answer(304, b"", headers=((b"etag", etag),))


def _names(if_none_match: bytes | None, etag: bytes) -> bool:
    if if_none_match is None:
        return False
    candidates = [candidate.strip() for candidate in if_none_match.split(b",")]
    opaque = etag.removeprefix(b"W/")
    return b"*" in candidates or any(each.removeprefix(b"W/") == opaque for each in candidates)
