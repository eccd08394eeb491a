"""Lists of objects: the statements of each, which are named alike in every dialect, how its rows
are read, and where a page of it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tallystick.storage import rows
from tallystick.storage.hold_rows import hold_from
from tallystick.storage.price_rows import price_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Position = tuple[int, str]
"""Where an object stands in its list: when it was made, or the ledger's sequence; and its id."""

_LAST: Final = (1 << 63) - 1
BEFORE_ALL: Final[Position] = (-_LAST, "")
AFTER_ALL: Final[Position] = (_LAST, "")


class List(NamedTuple):
    """The statements of a list, and how its rows are read."""

    position: str
    older: str
    newer: str
    read: Callable[[Sequence[Any]], Any]


class Lists:
    """All lists of a dialect, from its statements by name."""

    def __init__(self, statements: Mapping[str, str]) -> None:
        def named(one: str, many: str, read: Callable[[Sequence[Any]], Any]) -> List:
            return List(
                statements[f"position_of_{one}"],
                statements[f"{many}_older"],
                statements[f"{many}_newer"],
                read,
            )

        self.organizations = named("organization", "organizations", rows.organization_from)
        self.teamspaces = named("teamspace", "teamspaces", rows.teamspace_from)
        self.keys = named("key", "keys", rows.key_from)
        self.grants = named("grant", "grants", rows.grant_from)
        self.holds = named("hold", "holds", hold_from)
        self.holds_of_status = named("hold", "holds_of_status", hold_from)
        self.prices = named("price", "prices", price_from)
