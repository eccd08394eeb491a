"""What a `Host` header may say."""

from __future__ import annotations

import re
from typing import Final

# RFC 3986: a name, which may be empty, or an address in brackets, and perhaps a port.
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Za-z:.]+\]|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?[ \t]*"
)


def is_host(value: bytes) -> bool:
    """Whether a `Host` header may have this value."""
    return _HOST.fullmatch(value) is not None
