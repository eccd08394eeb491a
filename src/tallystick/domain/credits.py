"""Credits as exact fixed-point numbers: integers of one micro-credit (10⁻⁶).

A request spells an amount as a JSON number and the ledger counts integers; no float lies between.
What is judged is the value and not the spelling: `1e-06` and `1.2500000` have at most six decimals
and are accepted, however they are written.

Spellings come from strangers, so no work here grows with the number that is spelled, only with the
length of the text (see `decimals`): only what may be an amount (at most 16 digits) is made an
integer.
"""

from __future__ import annotations

from tallystick.domain.decimals import InvalidNumber, split_number

MICRO = 1_000_000
"""Micro-credits in one credit."""

MAX_AMOUNT = 10**9 * MICRO
"""The largest grant, hold or usage, in micro-credits."""

MAX_SUM = 8 * 10**9 * MICRO
"""The largest sum of an organization, in micro-credits: below 2⁵³, so a double holds it exactly."""

_DECIMALS = 6
_MAX_WHOLE_DIGITS = 10
_ZERO = ord("0")


class InvalidCredits(InvalidNumber):
    """The spelling is no acceptable amount; the message says what to do about it."""


def parse_credits(text: bytes | str, most: int = MAX_AMOUNT) -> int:
    """The micro-credits (0 to `most`) that a JSON number, spelled exactly so, stands for.

    Takes time in proportion to the length of `text`. Raises `InvalidCredits`.
    """
    spelling = _ascii(text) if isinstance(text, str) else text
    # Nearly every amount is a plain integer or decimal, which needs no pattern. Nine digits keep it
    # under any maximum without comparing.
    whole, point, fraction = spelling.partition(b".")
    if (
        whole.isdigit()
        and len(whole) < _MAX_WHOLE_DIGITS
        and (whole[0] != _ZERO or len(whole) == 1)
        and (not point or (fraction.isdigit() and len(fraction) <= _DECIMALS))
    ):
        return int(whole + fraction.ljust(_DECIMALS, b"0"))
    return _parse_any(spelling, most)


def format_credits(micro: int) -> str:
    """The shortest plain decimal for an amount in micro-credits: `10000`, `1.25`, `-0.000001`."""
    if micro < 0:
        return "-" + format_credits(-micro)
    whole, fraction = divmod(micro, MICRO)
    return f"{whole}.{fraction:06d}".rstrip("0") if fraction else str(whole)


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidCredits("must be a number") from None


def _parse_any(spelling: bytes, most: int) -> int:
    try:
        significant, power = split_number(spelling)
    except InvalidNumber as error:
        raise InvalidCredits(str(error)) from None
    return _amount(significant, power, most) if significant else 0


def _amount(significant: bytes, power: int, most: int) -> int:
    """`significant` × 10^`power` credits; `significant` neither begins nor ends with a zero."""
    if len(significant) + power > _MAX_WHOLE_DIGITS:
        raise _too_much(most)
    if power < -_DECIMALS:
        raise InvalidCredits(f"round to {_DECIMALS} decimals")
    micro: int = int(significant) * 10 ** (power + _DECIMALS)
    if micro > most:
        raise _too_much(most)
    return micro


def _too_much(most: int) -> InvalidCredits:
    return InvalidCredits(f"must be at most {most // MICRO}")
