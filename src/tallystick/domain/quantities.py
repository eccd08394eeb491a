"""Quantities of what a meter measures (tokens, seconds, bytes): integers of a billionth of a unit.

At most nine decimals, and at most fifteen digits from the first that counts to the last: so many
survive a client that reads numbers as doubles. Anything else is refused, never rounded.
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.decimals import InvalidNumber, plain, split_number

NANO: Final = 10**9
"""Billionths in one unit."""

_DECIMALS: Final = 9
MAX_DIGITS: Final = 15


def parse_quantity(spelling: bytes) -> int:
    """The billionths of a unit that a JSON number, spelled exactly so, stands for.

    Raises InvalidNumber.
    """
    digits, power = split_number(spelling)
    if not digits:
        return 0
    if len(digits) + power > MAX_DIGITS:
        raise InvalidNumber(f"must be less than 1{'0' * MAX_DIGITS}")
    if power < -_DECIMALS:
        raise InvalidNumber(f"round to {_DECIMALS} decimals")
    if len(digits) > MAX_DIGITS:
        raise InvalidNumber(f"round to {MAX_DIGITS} digits")
    nano: int = int(digits) * 10 ** (power + _DECIMALS)
    return nano


def format_quantity(nano: int) -> str:
    """The shortest plain decimal: `1500000`, `0.25`."""
    return plain(nano, _DECIMALS)
