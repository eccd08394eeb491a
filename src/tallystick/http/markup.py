"""HTML from Python: text is escaped unless it is markup already."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_CODE: Final = re.compile(r"`([^`]+)`")
_VOID: Final = frozenset({"meta", "link", "wbr"})


class Html(str):
    """Markup, as opposed to text."""

    __slots__ = ()


def text(value: str) -> Html:
    return value if isinstance(value, Html) else Html(html.escape(value, quote=False))


def join(parts: Iterable[str], separator: str = "") -> Html:
    return Html(text(separator).join(text(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element; `class_` stands for the attribute whose name Python has taken."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{written}>{join(children)}{end}")


def prose(value: str) -> Html:
    """Text in which what stands in backticks is code."""
    pieces = _CODE.split(value)
    return join(tag("code", piece) if odd % 2 else piece for odd, piece in enumerate(pieces))


def path(value: str) -> Html:
    """A path that may break after its slashes."""
    return join(value.split("/"), Html("/<wbr>"))


def markdown(source: str, level: int) -> Html:
    """The little Markdown of the guide: `##` headings (as `h{level}`), lists and paragraphs."""
    return join(_block(block, level) for block in source.strip().split("\n\n"))


def _block(block: str, level: int) -> Html:
    if block.startswith("## "):
        title = block.removeprefix("## ")
        return tag(f"h{level}", title, id=anchor(title))
    if block.startswith("- "):
        items = block.removeprefix("- ").split("\n- ")
        return tag("ul", *(tag("li", prose(item)) for item in items))
    return tag("p", prose(block))


def anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
