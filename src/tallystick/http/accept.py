"""Which of the media types that an operation offers a client likes best (RFC 9110, 12.5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.http.weights import weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def preferred(accept: bytes | None, offered: Sequence[bytes]) -> bytes:
    """The best of `offered`: of two that are liked alike the first, and the first where none is."""
    wishes = weights(accept or b"*/*")
    return max(offered, key=lambda media_type: _weight(media_type, wishes))


def _weight(media_type: bytes, wishes: Mapping[bytes, int]) -> int:
    """The weight of the most exact range that `media_type` is in."""
    group, _, _ = media_type.partition(b"/")
    ranges = (media_type, group + b"/*", b"*/*")
    return next((wishes[name] for name in ranges if name in wishes), 0)
