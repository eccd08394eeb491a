"""What a client would rather have: the weights in `Accept` and its kin (RFC 9110, 12.4.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST: Final = 1000
_WEIGHT: Final = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def weights(header: bytes) -> dict[bytes, int]:
    """What the header names, in lower case and without parameters, and its weight, 0 to `MOST`.

    A weight that is none counts as 0, and of one that is named twice the higher counts.
    """
    found: dict[bytes, int] = {}
    for item in header.lower().split(b","):
        name, *parameters = (part.strip(b" \t") for part in item.split(b";"))
        found[name] = max(found.get(name, 0), _weight(parameters))
    return found


def _weight(parameters: Iterable[bytes]) -> int:
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name == b"q":
            digits = value.replace(b".", b"").ljust(4, b"0")
            return int(digits) if _WEIGHT.fullmatch(value) else 0
    return MOST
