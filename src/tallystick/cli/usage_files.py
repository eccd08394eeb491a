"""Files of usage events: lines of a file become lines that the service reads.

CSV has a column for each field (`id`, `credits` or `quantity`, `meter`, `timestamp`,
`on_insufficient`) and one `dimension:<name>` for each dimension; an empty cell is a field that is
not given. NDJSON and CloudEvents have one JSON object a line. Nothing is judged here that the
service judges: a cell that is no number is passed on as the text that it is, so that its line is
rejected by whoever knows the rules.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.cli.errors import MISUSED, CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

FORMATS: Final = ("csv", "ndjson", "cloudevents")
MAX_LINE: Final = 65_536
_ENDINGS: Final = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_AMOUNTS: Final = ("credits", "quantity")
_TEXTS: Final = ("id", "meter", "timestamp", "on_insufficient")
_FIELDS: Final = ("id", *_AMOUNTS, "meter", "timestamp", "on_insufficient")
_DIMENSION: Final = "dimension:"
# What can be put between the other fields without becoming anything but a number, or an error.
_NUMBERLIKE: Final = re.compile(r"-?[0-9][0-9.eE+-]*")


class Line(NamedTuple):
    """A line's number in its file, and its JSON; None where it is too long to be read."""

    number: int
    json: bytes | None


def format_of(name: str, given: str | None) -> str:
    """The format that was given, or that the file's name says."""
    found = given or _ENDINGS.get(PurePath(name).suffix.lower())
    if found is None:
        raise CommandError(
            f"the name '{name}' does not say what format the file has",
            todo=f"Say it: --format {'|'.join(FORMATS)}.",
            exit_code=MISUSED,
        )
    return found


def read_lines(file: BinaryIO, form: str) -> Iterator[Line]:
    """The events of a file; lines without any are left out."""
    return _csv_lines(file) if form == "csv" else _json_lines(file)


def _json_lines(file: BinaryIO) -> Iterator[Line]:
    number = 0
    while line := file.readline(MAX_LINE + 2):
        number += 1
        is_whole = line.endswith(b"\n") or len(line) <= MAX_LINE
        if not is_whole:
            _skip_line(file)
        content = line.strip(b" \t\r\n")
        if content:
            yield Line(number, content if is_whole else None)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
        pass


def _csv_lines(file: BinaryIO) -> Iterator[Line]:
    # What is no UTF-8 comes through as lone surrogates, which make the service reject their line.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _bounded(text)
    number = 1
    try:
        first = next(lines, "")
        delimiter = max(",;\t", key=first.count)
        header = _header(next(csv.reader([first], delimiter=delimiter), []))
        rows = csv.reader(lines, delimiter=delimiter)
        number = 2
        for row in rows:
            if row:
                yield Line(number, _event(header, row))
            number = rows.line_num + 2
    except csv.Error as error:
        raise CommandError(
            f"line {number} is no CSV: {error}",
            unchanged="What stands before that line was booked.",
            todo="Mend it and import the file again: nothing is booked twice.",
        ) from None
    finally:
        # The file belongs to whoever opened it, and may have closed it when an import broke off.
        if not text.closed:
            text.detach()


def _bounded(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise csv.Error(f"it is longer than {MAX_LINE} characters")
        yield line


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    unknown = [name for name in names if name not in _FIELDS and not name.startswith(_DIMENSION)]
    missing = ["id"] if "id" not in names else []
    if not any(name in names for name in _AMOUNTS):
        missing.append("credits")
    twice = [name for name in names if names.count(name) > 1]
    for what, found in (("unknown", unknown), ("missing", missing), ("repeated", twice)):
        if found:
            raise CommandError(
                f"the first line has to name the columns, and '{found[0]}' is {what}",
                todo=f"Columns are {', '.join(_FIELDS)} and dimension:<name>.",
            )
    return names


def _event(header: list[str], row: list[str]) -> bytes:
    """The JSON of a row. Cells beyond the header's become a field that nobody knows."""
    cells = dict(zip(header, row, strict=False))
    fields: dict[str, object] = {name: cells[name] for name in _TEXTS if cells.get(name)}
    if dimensions := {
        name.removeprefix(_DIMENSION): cell
        for name, cell in cells.items()
        if cell and name.startswith(_DIMENSION)
    }:
        fields["dimensions"] = dimensions
    if len(row) > len(header):
        fields["cells without a column"] = row[len(header) :]
    amounts = {name: cells.get(name, "").strip() for name in _AMOUNTS}
    parts = [f'"{name}": {_spelled(text)}' for name, text in amounts.items() if text]
    parts += [json.dumps(fields)[1:-1]] if fields else []
    return f"{{{', '.join(parts)}}}".encode()


def _spelled(text: str) -> str:
    """A number as it stands there, so that it stays exact; anything else as text."""
    return text if _NUMBERLIKE.fullmatch(text) else json.dumps(text)
