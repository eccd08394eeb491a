"""What a verifier reads, and how it says that something is wrong.

An `Audit` is one moment of a whole ledger, read front to back. It knows rows and nothing of what
they ought to say; `verify` knows that and nothing of where they come from.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.budgets import Budget
    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Drawn, Grant
    from tallystick.domain.holds import Hold
    from tallystick.domain.prices import Price
    from tallystick.domain.replay import Standing
    from tallystick.ledger.ports import PeriodRow


class Difference(NamedTuple):
    """The first row that disagrees: what it says, and what the entries say.

    `key` names the row within its organization. `column` is None where the whole row is at fault:
    it is missing (`said` is None) or there is no reason for it (`expected` is None).
    """

    table: str
    key: Mapping[str, object]
    column: str | None
    said: object
    expected: object
    why: str


class Disagreement(Exception):
    """Ends the recount of an organization."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.why)
        self.difference = difference


def different(
    table: str,
    key: Mapping[str, object],
    column: str | None,
    said: object,
    expected: object,
    why: str,
) -> Disagreement:
    return Disagreement(Difference(table, key, column, said, expected, why))


def compare_row(
    table: str, key: Mapping[str, object], found: object, expected: Mapping[str, object]
) -> None:
    """Raises Disagreement where the row is missing, or says something else in one of the columns
    of `expected`."""
    if found is None:
        raise different(table, key, None, None, expected, "it is missing")
    for column, value in expected.items():
        said = getattr(found, column)
        if said != value:
            raise different(table, key, column, said, value, "the entries say otherwise")


def fields_of(row: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    return {each.name: getattr(row, each.name) for each in fields(row)}


Written = tuple[Any, ...]
"""An entry as it stands in the database: columns in the order of `Entry`'s fields, the kind as its
value and `drawn` as the text that it is spelled as; and the hash beside them."""

Indexed = tuple[str, int, str]
"""A line of the index of usage events: organization, sequence, event id."""


class Head(NamedTuple):
    """How far a chain has come: the last sequence and its hash."""

    sequence: int
    hash: bytes


class Counted(NamedTuple):
    """A sum of usage: where it counts (`key`), and micro-credits and events by turns."""

    key: tuple[str | int, ...]
    figures: Sequence[int]


class Audit(Protocol):
    """One moment of a ledger. Rows that cannot be read, or are spelled as nobody writes them, raise
    Disagreement when their turn comes; storage that cannot be read raises StoreError."""

    def organizations(self) -> Iterator[str]:
        """Every organization that any table names, in ascending order of the id."""
        ...

    def entries(self, organization_id: str) -> Iterator[Written]:
        """The entries by sequence, unread."""
        ...

    def entry(self, written: Written) -> Entry:
        """Reads an entry. Raises Disagreement where that cannot be, or it is spelled otherwise than
        entries are."""
        ...

    def spelled(self, drawn: Drawn) -> str:
        """The one text that says what was drawn; amounts are decimal in it."""
        ...

    def events(self, organization_id: str) -> Iterator[Indexed]:
        """The index of usage events by sequence. To be asked in the order of `organizations`."""
        ...

    def prices(self) -> Mapping[str, Price]:
        """Every price that was ever written, by id."""
        ...

    def account(self, organization_id: str) -> Account | None:
        """Without grants, holds and budgets."""
        ...

    def grants(self, organization_id: str) -> Iterator[Grant]: ...

    def hold(self, organization_id: str, hold_id: str) -> Hold | None: ...

    def count_holds(self, organization_id: str) -> int: ...

    def budgets(self, organization_id: str) -> Iterator[Budget]: ...

    def periods(self, organization_id: str) -> Iterator[PeriodRow]:
        """By index."""
        ...

    def milestones(self, organization_id: str) -> Iterator[Standing]:
        """By sequence."""
        ...

    def rollups(self, organization_id: str) -> Iterator[Counted]:
        """Keys as `ROLLUP_KEY` names them."""
        ...

    def days(self, organization_id: str) -> Iterator[Counted]:
        """Keys as `DAY_KEY` names them; figures as of each hour of the day, from one o'clock to
        midnight."""
        ...

    def period_usage(self, organization_id: str) -> Iterator[Counted]:
        """Keys as `PERIOD_USAGE_KEY` names them."""
        ...


ROLLUP_KEY: Final = ("dimension", "bucket", "value", "teamspace_id", "meter", "api_key_id")
DAY_KEY: Final = ("dimension", "day", "value", "teamspace_id", "meter", "api_key_id")
PERIOD_USAGE_KEY: Final = ("period_index", "teamspace_id", "meter", "api_key_id")
