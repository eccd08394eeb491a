"""Where the ids of usage events are written, and how it is known that none is written twice.

Theory of operation. The big table of ids is sorted by them. A batch whose ids lie close together,
as ids in the order of time do, adds to a page or two of it, and goes there directly. A batch of
random ids would dirty a page for each, so it goes to the end of a small table without an index, and
this module keeps the small table's ids in memory: they are looked up there first, then in the big
table.

When enough have gathered, they are merged: with each batch, in the batch's own transaction, twice
as many as it has, in the order of their ids, so that many of them share a page. When all of a
generation stand in the big table, they are deleted from the small one, again a few at a time, while
the next generation gathers. Both are single statements, which the lane's worker runs before COMMIT:
the event loop does not wait for them.

    fresh ──(GENERATION of them)──▶ old: copied slice by slice ──▶ old: deleted ──▶ gone
    └ known by heart                └ known by heart                └ looked up in the big table

What is known by heart changes when COMMIT has returned, like everything that is remembered. If its
outcome is unknown, or somebody else wrote, all is read from the small table again, as at a start;
copying what has been copied does nothing then. So at every moment, and after every crash, an id
stands in one of the tables or in both, and each is found.
"""

from __future__ import annotations

from array import array
from itertools import islice
from typing import TYPE_CHECKING, Final

import apsw

from tallystick.ledger.ports import StatementRejected
from tallystick.storage.queries import load_statements

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tallystick.ledger.ports import UsageRow

    Name = tuple[str, str]
    """Organization and event."""

_SQL: Final = load_statements("sqlite", "recent")

GENERATION: Final = 65_536
"""Ids that gather before they are merged: some 20 MB with what is known of them."""
_SLICE: Final = 512
_PLACE: Final = 8
"""Characters that ids begin with alike where they lie close together."""


class Gathered:
    """A generation of ids of the small table: their numbers there, by name.

    They lie in buckets by two characters of theirs, those after what the first of them begin with
    alike. So they are taken out in the order of ids, more or less, without sorting all of them, and
    no dictionary grows so large that its growth would hold the event loop.
    """

    def __init__(self) -> None:
        self.count = 0
        self._buckets: dict[str, dict[Name, int]] = {}
        self._start = -1

    def get(self, name: Name) -> int | None:
        bucket = self._buckets.get(name[1][self._start : self._start + 2])
        return None if bucket is None else bucket.get(name)

    def add(self, names: Sequence[Name], first: int) -> None:
        if self._start < 0:
            self._start = _alike([event_id for _, event_id in names]) if len(names) > 1 else 0
        buckets, start = self._buckets, self._start
        for number, name in enumerate(names, first):
            bucket = buckets.get(name[1][start : start + 2])
            if bucket is None:
                bucket = buckets[name[1][start : start + 2]] = {}
            bucket[name] = number
        self.count += len(names)

    def next(self, most: int) -> list[tuple[Name, int]]:
        """At most as many of the first ones, in the order of their ids."""
        taken: list[tuple[Name, int]] = []
        for _, bucket in sorted(self._buckets.items()):
            part = sorted(islice(bucket.items(), _SLICE), key=_by_event)[: most - len(taken)]
            taken += part
            if len(part) < len(bucket):
                break
        return taken

    def drop(self, taken: Sequence[tuple[Name, int]]) -> None:
        for name, _ in taken:
            place = name[1][self._start : self._start + 2]
            bucket = self._buckets[place]
            del bucket[name]
            if not bucket:
                del self._buckets[place]
        self.count -= len(taken)


def _by_event(taken: tuple[Name, int]) -> Name:
    (organization_id, event_id), _ = taken
    return event_id, organization_id


def _alike(texts: Sequence[str]) -> int:
    """With how many characters all of them begin alike."""
    least, greatest = min(texts), max(texts)
    pairs = zip(least, greatest, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), len(least))


class RecentIds:
    """The ids of one database file, as its lane writes them."""

    def __init__(self) -> None:
        self.is_known = False
        self._added: list[Name] = []
        self._copied: list[tuple[Name, int]] = []
        self._clear()

    def _clear(self) -> None:
        self._fresh, self._old = Gathered(), Gathered()
        self._last = self._old_last = self._deleted = 0
        self.given_up()

    def forget(self) -> None:
        """What the file has is not known any more: it is to be read."""
        self.is_known = False

    def read(self, connection: apsw.Connection) -> None:
        """Learns from the file which ids the small table has."""
        self._clear()
        names: list[Name] = []
        numbers: list[int] = []
        for number, *name in connection.execute(_SQL["read_recent"]):
            numbers.append(number)
            names.append((name[0], name[1]))
        if numbers:
            # Numbers are given without a gap, and deleted from the first on.
            self._deleted = self._old_last = numbers[0] - 1
            self._last = numbers[-1]
            self._fresh.add(names, numbers[0])
        self.is_known = True

    @property
    def has_any(self) -> bool:
        return bool(self._fresh.count or self._old.count)

    def number_of(self, name: Name) -> int | None:
        """The number in the small table; None where it has to be looked up in the big one."""
        number = self._fresh.get(name)
        return self._old.get(name) if number is None else number

    def add(
        self, connection: apsw.Connection, usage: Sequence[UsageRow], looked_up: Collection[Name]
    ) -> None:
        """Writes new ids in the transaction that is open; `merge` is to follow.

        `looked_up` are names that were looked up in this transaction. Raises StatementRejected, or
        SQLite's own errors, where one is there already.
        """
        names = [(row.organization_id, row.event_id) for row in usage]
        if self.has_any and any(self.number_of(name) is not None for name in names):
            raise StatementRejected("add_usage_event: an id is there already")
        if len({event_id[:_PLACE] for _, event_id in names}) * _PLACE < len(names) + _PLACE:
            connection.executemany(_SQL["add_usage_event"], usage)
        else:
            self._add_recent(connection, usage, names, looked_up)
        self._choose(2 * len(usage))

    def _add_recent(
        self,
        connection: apsw.Connection,
        usage: Sequence[UsageRow],
        names: list[Name],
        looked_up: Collection[Name],
    ) -> None:
        unknown = [name for name in names if name not in looked_up]
        if len(set(names)) < len(names) or any(
            connection.executemany(_SQL["find_merged"], unknown)
        ):
            raise StatementRejected("add_recent_usage_event: an id is there already")
        first = self._last + 1
        connection.executemany(
            _SQL["add_recent_usage_event"], [(n, *row) for n, row in enumerate(usage, first)]
        )
        self._added = names

    def _choose(self, most: int) -> None:
        if self._old.count:
            self._copied = self._old.next(most)
        elif self._deleted < self._old_last:
            self._deleting_to = min(self._deleted + most, self._old_last)

    def merge(self, connection: apsw.Connection) -> None:
        """Moves some ids on, in the transaction that is open; any thread may run it."""
        if self._copied:
            numbers = array("q", [number for _, number in self._copied])
            chosen = apsw.carray(numbers, flags=apsw.SQLITE_CARRAY_INT64)
            connection.execute(_SQL["merge_usage_events"], (chosen,))
        elif self._deleting_to:
            connection.execute(_SQL["forget_merged"], (self._deleted, self._deleting_to))

    def committed(self) -> None:
        """What was written is durable."""
        if self._added:
            self._fresh.add(self._added, self._last + 1)
            self._last += len(self._added)
        self._old.drop(self._copied)
        self._deleted = max(self._deleted, self._deleting_to)
        self.given_up()
        if self._fresh.count >= GENERATION and self._deleted == self._old_last:
            self._old, self._fresh = self._fresh, Gathered()
            self._old_last = self._last

    def given_up(self) -> None:
        """Nothing came of what was written."""
        self._added = []
        self._copied = []
        self._deleting_to = 0
