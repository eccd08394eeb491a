"""`tallystick prices`: the price book, from a file that can be kept beside other settings."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tallystick.cli.client import PRICES, in_path
from tallystick.cli.errors import MISUSED, CommandError
from tallystick.cli.options import asking
from tallystick.cli.output import Column
from tallystick.cli.values import amount, given, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

_AT_ONCE: Final = 1000
"""Prices that one request adds, all or none."""


def _pairs(dimensions: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in dimensions.items())


COLUMNS = (
    Column("id", "id"),
    Column("meter", "meter"),
    Column("dimensions", "dimensions", _pairs),
    Column("credits", "credits", amount, right=True),
    Column("per", "per", amount, right=True),
    Column("rounding", "rounding", extra=True),
    Column("effective", "effective_at", moment),
    Column("ends", "ends_at", moment, extra=True),
)


@click.group()
def prices() -> None:
    """Import, list and end prices."""


@prices.command("import")
@click.argument("file", metavar="FILE")
@asking
async def import_(api: Api, out: Output, /, file: str) -> None:
    """Add the prices in FILE to the book.

    What the book has already is left as it is, so the whole file may be imported again. Prices that
    are no longer in the file stay: end them.

    \b
    [[prices]]
    meter = "llm.tokens"
    dimensions = { model = "m-large" }
    credits = 3
    per = 1_000_000
    effective_at = 2026-01-01T00:00:00Z
    """
    document = _read(file)
    added = unchanged = 0
    for part in _parts(document):
        try:
            answer = await api.call("POST", PRICES, part)
        except CommandError as error:
            if added + unchanged:
                error.unchanged = (
                    f"The first {added + unchanged} prices of the file are in the book."
                )
            raise
        added += answer["added"]
        unchanged += answer["unchanged"]
    tally = {"object": "price_import", "added": added, "unchanged": unchanged}
    out.result(tally, [("added", str(added)), ("unchanged", str(unchanged))])


@prices.command("list")
@asking
async def list_(api: Api, out: Output, /) -> None:
    """List all prices, latest written first."""
    out.listing([each async for each in api.walk(PRICES)], COLUMNS)


@prices.command("end")
@click.argument("price", metavar="PRICE")
@click.option("--at", "ends_at", metavar="TIME", help="RFC 3339 [default: now].")
@asking
async def end(api: Api, out: Output, /, price: str, ends_at: str | None) -> None:
    """End the price PRICE; before it takes effect, that withdraws it."""
    ended = await api.call("POST", f"{PRICES}/{in_path(price)}/end", given(ends_at=ends_at))
    out.result(ended, _lines(ended))


def _read(name: str) -> dict[str, Any]:
    """The file as JSON has it; what is wrong with the prices, the service says."""
    try:
        table = tomllib.loads(Path(name).read_text("utf-8"), parse_float=_number)
    except OSError as error:
        problem = f"cannot read {name}: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = f"{name} is no TOML: {error}"
    else:
        found: dict[str, Any] = _as_json(table)
        return found
    raise CommandError(
        problem,
        todo="Name a file of prices: see tallystick prices import --help.",
        exit_code=MISUSED,
    )


def _number(text: str) -> Decimal | str:
    """Exactly what stands there; infinity is no number of JSON, and passed on as the word."""
    number = Decimal(text)
    return number if number.is_finite() else text


def _as_json(value: Any) -> Any:  # noqa: ANN401 - any TOML value
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _parts(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document, in as many requests as it takes."""
    listed = document.get("prices")
    if not isinstance(listed, list) or not listed:
        yield {"prices": listed or [], **document}
        return
    for start in range(0, len(listed), _AT_ONCE):
        yield {**document, "prices": listed[start : start + _AT_ONCE]}


def _lines(price: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "id", price["id"]
    yield "meter", price["meter"]
    yield "dimensions", _pairs(price["dimensions"])
    yield "credits", amount(price["credits"])
    yield "per", amount(price["per"])
    yield "rounding", price["rounding"]
    yield "effective", moment(price["effective_at"])
    yield "ends", moment(price["ends_at"])
