"""Named SQL: statements stand in `.sql` files, each below a line `-- name: …`.

A statement is taken as it stands, so nothing is ever put together from strings at run time; values
are bound. Lines of comment stay in the file, where they are for the reader.
"""

from __future__ import annotations

import re
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

_NAME: Final = re.compile(r"^-- name: *(\w+) *\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^ *--.*\n?", re.MULTILINE)


def sql_folder(dialect: str) -> Traversable:
    """Where the SQL of a dialect is, in the package."""
    return resources.files("tallystick.storage").joinpath("sql", dialect)


def load_statements(dialect: str, *files: str) -> Mapping[str, str]:
    """The statements of these files (without `.sql`) by name; raises ValueError on a second one."""
    statements: dict[str, str] = {}
    for file in files:
        for name, text in parse(sql_folder(dialect).joinpath(f"{file}.sql").read_text("utf-8")):
            if name in statements:
                raise ValueError(f"{dialect}/{file}.sql: a second statement is named {name}")
            statements[name] = text
    return MappingProxyType(statements)


def parse(text: str) -> Iterator[tuple[str, str]]:
    """Names and statements of one file; what stands before the first name is for the reader."""
    _, *parts = _NAME.split(text)
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        yield name, _COMMENT.sub("", body).strip()
