"""What arguments stand for, and how amounts and times are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from tallystick.domain.credits import (
    MAX_AMOUNT,
    MAX_SUM,
    InvalidCredits,
    format_credits,
    parse_credits,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal


def credits_value(
    ctx: click.Context, param: click.Parameter, text: str | None
) -> msgspec.Raw | None:
    """A click callback: an amount as the API takes it, exact, in any spelling of JSON."""
    return None if text is None else _credits(ctx, param, text, MAX_AMOUNT)


def sum_value(ctx: click.Context, param: click.Parameter, text: str) -> msgspec.Raw:
    """The same, of what may be as much as a sum of amounts."""
    return _credits(ctx, param, text, MAX_SUM)


def _credits(ctx: click.Context, param: click.Parameter, text: str, most: int) -> msgspec.Raw:
    try:
        return msgspec.Raw(format_credits(parse_credits(text, most)).encode())
    except InvalidCredits as error:
        raise click.BadParameter(f"{text!r} is no amount of credits: {error}", ctx, param) from None


def given(**fields: object) -> dict[str, object]:
    """The fields of a request that were given."""
    return {name: value for name, value in fields.items() if value is not None}


class Pretty(NamedTuple):
    """A value and how a person likes to see it; programs get the value as it is."""

    value: object
    shown: str

    def __str__(self) -> str:
        return self.shown


def amount(value: Decimal | int) -> Pretty:
    """Credits: `10,000` or `1.25`."""
    return Pretty(value, f"{value:,}" if isinstance(value, int) else f"{value:,f}")


def moment(text: str | None) -> Pretty:
    """An instant without what nobody reads: `2026-11-22 10:00:00`, in UTC."""
    if text is None:
        return Pretty(None, "")
    date, _, rest = text.partition("T")
    return Pretty(text, f"{date} {rest[:8]}")


def day(text: str | None) -> Pretty:
    """An instant in a table: `2026-11-22`."""
    return Pretty(text, "" if text is None else text.partition("T")[0])


def period(terms: Mapping[str, Any]) -> str:
    """How often a billing period comes: `every month`, `every 2 weeks`."""
    count, interval = terms["count"], terms["interval"]
    return f"every {interval}" if count == 1 else f"every {count} {interval}s"
