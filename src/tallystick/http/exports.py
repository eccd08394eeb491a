"""Answers that are files: CSV and NDJSON, made a part at a time while they are sent.

The next part is made when the one before has been taken, so an export needs the memory of one part
however long it is, and a client that reads slowly slows it down. What fails half way breaks the
connection off: a file that ends is whole.
"""

from __future__ import annotations

import csv
import io
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from tallystick.http.operations import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from typing import TypeVar

    T = TypeVar("T")

JSON: Final = b"application/json"
CSV: Final = b"text/csv"
NDJSON: Final = b"application/x-ndjson"
PART: Final = 100
"""Lines that are made at once: a millisecond or two."""
CONTENT_TYPES: Final = {CSV: b"text/csv; charset=utf-8", NDJSON: NDJSON}
_ENDINGS: Final = {CSV: b"csv", NDJSON: b"ndjson"}
# What spreadsheets take for a formula at the beginning of a cell, and would calculate.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def file_answer(media_type: bytes, name: str, parts: AsyncGenerator[bytes, None]) -> Answer:
    """A file of that name (without ending), to be saved rather than shown."""
    disposition = b'attachment; filename="%b.%b"' % (name.encode("ascii"), _ENDINGS[media_type])
    return Answer(
        200,
        b"",
        CONTENT_TYPES[media_type],
        ((b"content-disposition", disposition),),
        parts,
    )


async def in_csv(
    header: Sequence[str],
    parts: AsyncGenerator[Sequence[T], None],
    cells: Callable[[T], Iterable[object]],
) -> AsyncGenerator[bytes, None]:
    """RFC 4180, in UTF-8, with a header line."""
    yield csv_lines([header])
    async with aclosing(parts):
        async for part in parts:
            yield csv_lines(map(cells, part))


async def in_ndjson(
    parts: AsyncGenerator[Sequence[T], None], line: Callable[[T], bytes]
) -> AsyncGenerator[bytes, None]:
    """One JSON object a line."""
    async with aclosing(parts):
        async for part in parts:
            yield b"".join(line(each) + b"\n" for each in part)


def csv_lines(lines: Iterable[Iterable[object]]) -> bytes:
    """Lines of cells, as they are; texts that others chose are to be made `safe` before."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def safe(text: str | None) -> str | None:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text is not None and text.startswith(_FORMULA) else text
