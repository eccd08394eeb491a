"""Examples of how credits are spelled, and of what is refused with which advice."""

from __future__ import annotations

import pytest

from tallystick.domain.credits import (
    MAX_AMOUNT,
    MAX_SUM,
    MICRO,
    InvalidCredits,
    format_credits,
    parse_credits,
)

MEBI = 1 << 20

ACCEPTED = {
    "0": 0,
    "7": 7 * MICRO,
    "10000": 10_000 * MICRO,
    "1.25": 1_250_000,
    "0.1": 100_000,
    "0.000001": 1,
    "999999999.999999": MAX_AMOUNT - 1,
    "1000000000": MAX_AMOUNT,
    "1000000000.000": MAX_AMOUNT,
    "1.2500000": 1_250_000,
    "0.00000100": 1,
    "1e-06": 1,
    "1E-6": 1,
    "1e9": MAX_AMOUNT,
    "1.0E3": 1_000 * MICRO,
    "1.0e+3": 1_000 * MICRO,
    "12.5e-1": 1_250_000,
    "10000000e-13": 1,
    "0.0000000000001e7": 1,
    "5e00000000000000000000000000001": 50 * MICRO,
    "5e-0": 5 * MICRO,
    "0.0": 0,
    "0e5": 0,
    "0e999999": 0,
    "0.00e-999999999999999999999": 0,
}

NEGATIVE = ["-1", "-0.000001", "-0.0000001", "-1e400", "-1e-400", "-10000000000"]
NEGATIVE_ZERO = ["-0", "-0.0", "-0e7", "-0.000E-99999999999999999999"]
TOO_LARGE = [
    "1000000000.000001",
    "1000000001",
    "9999999999",
    "10000000000",
    "1e10",
    "1e400",
    "1e999999999",
    "0.1e999999999999999999999999",
    "9223372036854775808",
    "1" + "0" * 309,
]
TOO_FINE = [
    "0.0000001",
    "1.2500001",
    "0.12345678901234567",
    "999999999.9999999",
    "1e-7",
    "15e-7",
    "1e-400",
    "1e-999999999",
    "1e-99999999999999999999999999",
]
NOT_NUMBERS = [
    *("", " ", "1 ", " 1", "1\n", "\t1", "+1", "01", "00", "-01", "1.", ".5", "-", "-.5", "."),
    *("1.5.2", "1e", "1e+", "1e1.5", "e1", "1e5e5", "0x10", "1_000", "1,5", "1/2", "--1", "1-"),
    *("NaN", "Infinity", "-Infinity", "nan", "inf", "null", "true", "false", '"1"', "[1]", "{}"),
    *("1\x00", "\x00", "１", "١", "²", "1٫5", "\ud800", "½"),
]


@pytest.mark.parametrize(("spelling", "micro"), ACCEPTED.items())
def test_a_value_of_at_most_six_decimals_is_accepted_however_it_is_spelled(
    spelling: str, micro: int
) -> None:
    assert parse_credits(spelling) == micro
    assert parse_credits(spelling.encode()) == micro


@pytest.mark.parametrize(
    ("spellings", "advice"),
    [
        (NEGATIVE, "must be at least 0"),
        (NEGATIVE_ZERO, "must not be -0"),
        (TOO_LARGE, "must be at most 1000000000"),
        (TOO_FINE, "round to 6 decimals"),
        (NOT_NUMBERS, "must be a number"),
    ],
    ids=["negative", "negative zero", "too large", "too fine", "no number"],
)
def test_a_refusal_says_what_to_do(spellings: list[str], advice: str) -> None:
    for spelling in spellings:
        assert refusal(spelling) == advice, spelling
        assert refusal(spelling.encode(errors="surrogatepass")) == advice, spelling


@pytest.mark.parametrize(
    ("spelling", "advice"),
    [
        ("9" * MEBI, "must be at most 1000000000"),
        ("0." + "9" * MEBI, "round to 6 decimals"),
        ("1e" + "9" * MEBI, "must be at most 1000000000"),
        ("1e-" + "9" * MEBI, "round to 6 decimals"),
        ("0." + "0" * MEBI + "1", "round to 6 decimals"),
        ("-" + "9" * MEBI, "must be at least 0"),
        ("-0." + "0" * MEBI, "must not be -0"),
        ("9" * MEBI + "x", "must be a number"),
        ("." * MEBI, "must be a number"),
    ],
    ids=lambda value: f"{value[:8]}…" if len(value) > 40 else value,
)
def test_a_mebibyte_of_digits_is_judged_without_its_number_being_built(
    spelling: str, advice: str
) -> None:
    assert refusal(spelling) == advice


def test_a_modest_value_is_accepted_from_a_mebibyte_of_digits() -> None:
    assert parse_credits("1." + "0" * MEBI) == MICRO
    assert parse_credits("0e" + "9" * MEBI) == 0
    assert parse_credits("2" + "0" * MEBI + f"e-{MEBI}") == 2 * MICRO
    assert parse_credits("0." + "0" * MEBI + f"3e{MEBI + 1}") == 3 * MICRO


def test_sums_are_exact_where_floats_are_not() -> None:
    assert format_credits(parse_credits("0.1") + parse_credits("0.2")) == "0.3"


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0"),
        (1, "0.000001"),
        (10, "0.00001"),
        (MICRO, "1"),
        (1_250_000, "1.25"),
        (10_000 * MICRO, "10000"),
        (MAX_AMOUNT, "1000000000"),
        (MAX_SUM, "8000000000"),
        (MAX_SUM - 1, "7999999999.999999"),
        (-1, "-0.000001"),
        (-1_500_000, "-1.5"),
        (-10 * MICRO, "-10"),
    ],
)
def test_an_amount_prints_as_the_shortest_plain_decimal(micro: int, text: str) -> None:
    assert format_credits(micro) == text


def test_a_client_that_reads_doubles_reads_the_largest_sums_exactly() -> None:
    for micro in (MAX_SUM, MAX_SUM - 1, MAX_SUM - 999_999):
        assert format_credits(round(float(format_credits(micro)) * MICRO)) == format_credits(micro)


def refusal(spelling: str | bytes) -> str:
    with pytest.raises(InvalidCredits) as caught:
        parse_credits(spelling)
    return str(caught.value)
