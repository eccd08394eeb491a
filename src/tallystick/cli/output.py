"""What commands print: one JSON document, or something to read.

On a terminal that is a table; elsewhere lines of fields separated by tabs, for the tools that read
such lines. What came from outside is printed so that it cannot move the cursor, colour the screen
or turn the direction of writing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tallystick.cli.client import to_json
from tallystick.cli.values import Pretty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, the key of its values, and how a person likes them."""

    heading: str
    key: str
    show: Callable[[Any], object] = lambda value: value
    right: bool = False


class Output:
    """Where a command's result goes."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.on_terminal = sys.stdout.isatty()

    def json(self, value: object) -> None:
        click.echo(msgspec.json.format(to_json(value), indent=2))

    def result(self, value: Mapping[str, Any], lines: Iterable[tuple[str, object]]) -> None:
        """One object; `lines` are what a person wants to know of it, named."""
        if self.as_json:
            self.json(value)
            return
        shown = [(name, text) for name, each in lines if (text := self._text(each))]
        if self.on_terminal:
            grid = Table.grid(padding=(0, 2))
            grid.add_column(style="dim", no_wrap=True)
            grid.add_column(overflow="fold")
            for name, text in shown:
                grid.add_row(name, Text(text))
            Console().print(grid)
        else:
            for name, text in shown:
                click.echo(f"{name}\t{text}")

    def listing(self, items: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
        if self.as_json:
            self.json({"object": "list", "data": items, "has_more": False})
            return
        rows = [[self._text(each.show(item[each.key])) for each in columns] for item in items]
        if self.on_terminal:
            Console().print(_table(columns, rows) if rows else Text("none", style="dim"))
            return
        for row in [[column.heading for column in columns], *rows]:
            click.echo("\t".join(row))

    def note(self, text: str) -> None:
        """Something for a person beside the result: on standard error, and not with --json."""
        if not self.as_json:
            click.echo(text, err=True)

    def _text(self, value: object) -> str:
        if isinstance(value, Pretty):
            return value.shown if self.on_terminal else plain(value.value)
        return plain(value)


def _table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.heading, justify="right" if column.right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def plain(value: object) -> str:
    """A JSON value as one line of text."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{value:f}"
        case list() | tuple():
            return ", ".join(map(plain, value))
        case dict():
            return ", ".join(f"{plain(name)}={plain(each)}" for name, each in value.items())
        case _:
            return "".join(map(_visible, str(value)))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
