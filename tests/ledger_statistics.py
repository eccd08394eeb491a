"""The part of the audit that is about statistics of usage (see `ledger_check`).

At its own time usage is counted by the quarter of an hour and, where a dimension is counted, by
what it says; days are summed up from that. In the billing period in which it was booked it is
counted net of what was reversed within the period.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

QUARTER: Final = 15 * 60 * 1_000_000
WHO: Final = ("teamspace_id", "meter", "api_key_id")

Row = Mapping[str, Any]


@dataclass(slots=True)
class Statistics:
    """What is counted after the entries that were taken so far."""

    credits: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    events: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    of_periods: dict[tuple[Any, ...], tuple[int, int]] = field(default_factory=dict)

    def count(self, entry: Row, moved: int, events: int) -> None:
        where = (*_place(entry), "", "")
        self.credits[where] += moved
        self.events[where] += events

    def count_in_period(self, entry: Row, index: int, moved: int, events: int) -> None:
        where = (index, *_who(entry))
        used, count = self.of_periods.get(where, (0, 0))
        self.of_periods[where] = (used + moved, count + events)

    def count_dimensions(
        self, rows: Iterable[Row], booked: Iterable[Row], undone: Mapping[str, int]
    ) -> None:
        """What was said of events that is not erased; `undone` is what of each was reversed."""
        entries = {entry["sequence"]: entry for entry in booked}
        for row in rows:
            if row["erased_at"] is not None:
                continue
            said = json.loads(row["dimensions"])
            text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            digest = hashlib.sha256(row["salt"] + text.encode()).digest()
            assert digest == row["digest"], f"entry {row['sequence']} had other dimensions"
            entry = entries[row["sequence"]]
            for name in json.loads(row["counted"]):
                where = (*_place(entry), name, said[name])
                self.credits[where] += entry["credits"] - undone.get(entry["event_id"], 0)
                self.events[where] += 1

    def check_rollups(self, rows: Iterable[Row]) -> None:
        stored = {(row["bucket"], *_names(row)): (row["credits"], row["events"]) for row in rows}
        expected = {where: (used, self.events[where]) for where, used in self.credits.items()}
        assert stored == expected, f"roll-ups: the file has {stored}, not {expected}"

    def check_days(self, rows: Iterable[Row]) -> None:
        expected: Counter[tuple[Any, ...]] = Counter()
        for (bucket, *names), used in self.credits.items():
            day = bucket - bucket % (96 * QUARTER)
            for hour in range(1, 25):
                before = bucket < day + hour * 4 * QUARTER
                expected[day, *names, f"credits_{hour:02}"] += used * before
                events = self.events[bucket, *names]
                expected[day, *names, f"events_{hour:02}"] += events * before
        stored = {
            (row["day"], *_names(row), name): row[name]
            for row in rows
            for name in row
            if name.startswith(("credits_", "events_"))
        }
        assert stored == dict(expected), f"days: the file has {stored}, not {expected}"

    def check_periods(self, rows: Iterable[Row]) -> None:
        stored = {
            (row["period_index"], *(row[name] for name in WHO)): (row["credits"], row["events"])
            for row in rows
        }
        assert stored == self.of_periods, f"periods: {stored}, not {self.of_periods}"

    def check_budgets(self, rows: Iterable[Row], index: int) -> None:
        """What counts against each budget in the present period, `index`."""
        for row in rows:
            used = sum(
                moved
                for (period, *who), (moved, _) in self.of_periods.items()
                if period == index and row["subject_id"] in who
            )
            assert row["used"] == used, f"against a budget count {used}, the file has {row}"


def _place(entry: Row) -> tuple[Any, ...]:
    return (entry["occurred_at"] - entry["occurred_at"] % QUARTER, *_who(entry))


def _who(entry: Row) -> tuple[str, ...]:
    return tuple(entry[name] or "" for name in WHO)


def _names(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in (*WHO, "dimension", "value"))
