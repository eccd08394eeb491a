"""Credits against exact rational arithmetic, over generated spellings."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tallystick.domain.credits import (
    MAX_AMOUNT,
    MAX_SUM,
    MICRO,
    InvalidCredits,
    format_credits,
    parse_credits,
)

amounts = st.integers(0, MAX_AMOUNT) | st.integers(0, 2 * MICRO)
digits = st.text("0123456789", min_size=1, max_size=25) | st.text("09", min_size=1, max_size=25)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Any JSON number whose exponent is small enough for the oracle to compute with."""
    text = draw(st.sampled_from(["", "", "", "-"])) + (draw(digits).lstrip("0") or "0")
    if draw(st.booleans()):
        text += "." + draw(digits)
    if draw(st.booleans()):
        sign = draw(st.sampled_from(["", "+", "-"]))
        text += f"{draw(st.sampled_from('eE'))}{sign}0{draw(st.integers(0, 40))}"
    return text


@st.composite
def respellings(draw: st.DrawFn) -> tuple[int, str]:
    """An amount, and one of the many spellings of its value."""
    micro = draw(amounts)
    zeros, shift = draw(st.integers(0, 30)), draw(st.integers(-30, 30))
    point_from_right = 6 + zeros + shift
    run = f"{micro}{'0' * zeros}"
    if point_from_right <= 0:
        run, point_from_right = run + "0" * -point_from_right, 0
    run = run.rjust(point_from_right + 1, "0")
    whole, fraction = run[: len(run) - point_from_right], run[len(run) - point_from_right :]
    whole = whole.lstrip("0") or "0"
    exponent = draw(st.sampled_from(["e{:d}", "E{:+d}", "e{:+09d}"])).format(shift)
    return micro, whole + (f".{fraction}" if fraction else "") + exponent


def expected(text: str) -> int | set[str]:
    """The amount, or the advice that would be right, by rational arithmetic."""
    value = Fraction(text)
    if value == 0:
        return {"must not be -0"} if text.startswith("-") else 0
    if value < 0:
        return {"must be at least 0"}
    advice = set()
    if value > MAX_AMOUNT // MICRO:
        advice.add("must be at most 1000000000")
    if (value * MICRO).denominator != 1:
        advice.add("round to 6 decimals")
    return advice or int(value * MICRO)


def outcome(text: str | bytes) -> int | str:
    try:
        return parse_credits(text)
    except InvalidCredits as refused:
        return str(refused)


@settings(max_examples=1500, deadline=None)
@given(numbers())
@example("1000000000.0000001")
@example("-0.0000000")
def test_every_number_gets_its_exact_amount_or_the_right_advice(text: str) -> None:
    want = expected(text)
    got = outcome(text)
    assert got in want if isinstance(want, set) else got == want
    assert outcome(text.encode()) == got


@settings(max_examples=1000, deadline=None)
@given(respellings())
def test_every_spelling_of_an_amount_is_that_amount(respelling: tuple[int, str]) -> None:
    micro, text = respelling
    assert Fraction(text) * MICRO == micro, "the strategy spelled another amount"
    assert parse_credits(text) == micro


@settings(max_examples=1500, deadline=None)
@given(st.text("0019.-+eE _xN\n\u0661", max_size=8))
def test_exactly_the_json_numbers_are_numbers(text: str) -> None:
    assert (outcome(text) != "must be a number") == is_json_number(text)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=12) | st.binary(max_size=12))
def test_nothing_but_a_refusal_comes_of_other_input(text: str | bytes) -> None:
    assert isinstance(outcome(text), int | str)


@given(st.integers(-MAX_SUM, MAX_SUM))
def test_what_is_printed_is_the_exact_value_in_its_shortest_plain_form(micro: int) -> None:
    text = format_credits(micro)
    assert Decimal(text) == Decimal(micro) / MICRO
    assert text == format(Decimal(text).normalize(), "f")


@given(amounts)
def test_what_was_printed_reads_back(micro: int) -> None:
    assert parse_credits(format_credits(micro)) == micro


def is_json_number(text: str) -> bool:
    """Asked of the standard library's reader, which would also allow blanks around a value."""
    number = object()
    try:
        read = json.loads(
            text,
            parse_int=lambda _: number,
            parse_float=lambda _: number,
            parse_constant=lambda _: None,
        )
    except ValueError:
        return False
    return read is number and text == text.strip()
