"""Addresses of servers that Tallystick uses: PostgreSQL's and Redis's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_MASKED: Final = "********"
_PASSWORD_PARAMETER: Final = re.compile(r"(?<=[?&])(password=)[^&#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Url:
    """Where a server is. `text` may hold a password; what is shown of it (`str`) does not."""

    text: str = field(repr=False)

    @property
    def scheme(self) -> str:
        return self.text.partition(":")[0].lower()

    def __str__(self) -> str:
        parts = urlsplit(self.text)
        who, at, where = parts.netloc.rpartition("@")
        name, colon, _ = who.partition(":")
        shown = f"{name}{colon}{_MASKED if colon else ''}{at}{where}"
        query = _PASSWORD_PARAMETER.sub(rf"\1{_MASKED}", f"?{parts.query}" if parts.query else "")
        return f"{parts.scheme}://{shown}{parts.path}{query}"


def holds_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "@" in url
    names = {name.lower() for name, _ in parse_qsl(parts.query)}
    return parts.password is not None or "password" in names
