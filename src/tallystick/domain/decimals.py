"""Exact decimals as JSON spells them, read without work that grows with the number.

What is judged is the value and not the spelling: `1e-06` and `1.2500000` are as good as any. A
spelling is reduced to its significant digits and a power of ten; whoever asks compares both with
what is allowed, and only then makes an integer: `1e999999999` costs as little as `1`.
"""

from __future__ import annotations

import re
from typing import Final

# RFC 8259's number. No two of its parts can begin alike, so matching never backtracks.
_NUMBER: Final = re.compile(rb"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")


class InvalidNumber(ValueError):
    """The spelling is no acceptable number; the message says what to do about it."""


def split_number(spelling: bytes) -> tuple[bytes, int]:
    """The number, at least 0, as (digits, power): digits × 10^power.

    The digits neither begin nor end with a zero, and zero has none. Takes time in proportion to the
    length of the spelling. Raises InvalidNumber.
    """
    match = _NUMBER.fullmatch(spelling)
    if match is None:
        raise InvalidNumber("must be a number")
    sign, whole, fraction, exponent_sign, exponent = match.groups(b"")
    digits = (whole + fraction).lstrip(b"0")
    if sign:
        raise InvalidNumber("must be at least 0" if digits else "must not be -0")
    significant = digits.rstrip(b"0")
    trailing = len(digits) - len(significant)
    return significant, _signed(exponent_sign, exponent) - len(fraction) + trailing


def plain(value: int, decimals: int) -> str:
    """The shortest plain decimal for `value` (at least 0) units of 10^-`decimals`."""
    whole, fraction = divmod(value, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}".rstrip("0") if fraction else str(whole)


def _signed(sign: bytes, exponent: bytes) -> int:
    # Nineteen digits count further than any text is long; what is cut off changes no verdict.
    magnitude = int(exponent.lstrip(b"0")[:19] or b"0")
    return -magnitude if sign == b"-" else magnitude
