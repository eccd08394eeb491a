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
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tallystick.cli.client import to_json
from tallystick.cli.values import Pretty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, the key of its values, and how a person likes them.

    An `extra` column is left out on a terminal that is too narrow for it.
    """

    heading: str
    key: str
    show: Callable[[Any], object] = lambda value: value
    right: bool = False
    extra: bool = False


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
        filled = [
            (each, [self._text(each.show(item[each.key])) for item in items]) for each in columns
        ]
        if self.on_terminal:
            console = Console()
            shown = _that_fit(filled, console.width)
            console.print(_table(shown) if items else Text("none", style="dim"))
            return
        click.echo("\t".join(column.heading for column in columns))
        for row in zip(*(texts for _, texts in filled), strict=True):
            click.echo("\t".join(row))

    def note(self, text: str) -> None:
        """Something for a person beside the result: on standard error, and not with --json."""
        if not self.as_json:
            click.echo(text, err=True)

    def _text(self, value: object) -> str:
        if isinstance(value, Pretty):
            return value.shown if self.on_terminal else plain(value.value)
        return plain(value)


_Filled = tuple[Column, list[str]]
_GAP = 2


def _that_fit(filled: list[_Filled], width: int) -> list[_Filled]:
    """The columns without the extra ones, last first, for which there is no room."""
    shown = list(filled)
    for each in reversed(filled):
        if each[0].extra and _width(shown) > width:
            shown.remove(each)
    return shown


def _width(filled: list[_Filled]) -> int:
    widest = [max(map(cell_len, [column.heading, *texts])) for column, texts in filled]
    return sum(widest) + _GAP * (len(filled) - 1)


def _table(filled: list[_Filled]) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for number, (column, _) in enumerate(filled):
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            overflow="fold",
            # The first one is what is copied into the next command.
            no_wrap=number == 0,
        )
    for row in zip(*(texts for _, texts in filled), strict=True):
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
