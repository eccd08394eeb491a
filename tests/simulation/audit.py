"""Looks into the file itself: what stands there is what was settled, and nothing else.

The entries are those of the batches that were settled, hash by hash, and what the oracle noted;
what is materialised beside them is what they come to. Every event that somebody has a receipt for
stands there exactly once, with the credits that the receipt names; every other one that was asked
for at most once; and none that nobody asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from tallystick.domain.commands import Booked, Captured
from tests.ledger_check import check_ledger
from tests.property import languages as say
from tests.simulation.script import Step
from tests.simulation.tenant import Tenant

_ENTRIES = "SELECT sequence, hash FROM entries WHERE organization_id = ? ORDER BY sequence"
_BOOKED = "SELECT event_id, credits FROM entries WHERE organization_id = ? AND kind = ?"
_EVENTS = "SELECT event_id FROM usage_events WHERE organization_id = ?"


@dataclass
class Receipts:
    """What clients asked for, and what they were told that there is; by organization and event."""

    asked: set[tuple[str, str]] = field(default_factory=set)
    booked: dict[tuple[str, str], int] = field(default_factory=dict)

    def note_asked(self, tenant: Tenant, step: Step) -> None:
        for event_id in step.text("event").split(","):
            self.asked.add((tenant.id, event_id))

    def take(self, tenant: Tenant, answer: object) -> None:
        for outcome in answer if isinstance(answer, list) else [answer]:
            if isinstance(outcome, Captured):
                self.take(tenant, outcome.booked)
            elif isinstance(outcome, Booked):
                name = (tenant.id, outcome.entry.event_id or "")
                told = self.booked.setdefault(name, outcome.entry.credits)
                assert told == outcome.entry.credits, f"{name} has two receipts that differ"


def audit(path: Path, tenants: Iterable[Tenant], receipts: Receipts) -> None:
    check_ledger(path)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        for tenant in tenants:
            _check_entries(connection, tenant)
            _check_events(connection, tenant, receipts)
    finally:
        connection.close()


def _check_entries(connection: apsw.Connection, tenant: Tenant) -> None:
    stored = connection.execute(_ENTRIES, (tenant.id,)).fetchall()
    settled = [(one.entry.sequence, one.hash) for one in tenant.entries]
    assert stored == settled, f"{tenant.name}: the file has other entries than were settled"
    assert len(stored) == len(tenant.oracle.facts)


def _check_events(connection: apsw.Connection, tenant: Tenant, receipts: Receipts) -> None:
    booked: list[Any] = connection.execute(_BOOKED, (tenant.id, "usage.booked")).fetchall()
    times = Counter(event_id for event_id, _ in booked)
    known = {event_id for (event_id,) in connection.execute(_EVENTS, (tenant.id,))}
    assert known == times.keys(), f"{tenant.name}: the index of events is not that of the entries"
    twice = [event_id for event_id, count in times.items() if count > 1]
    assert not twice, f"{tenant.name}: {twice} were booked more than once"
    there = {(tenant.id, event_id): used for event_id, used in booked}
    for name, used in receipts.booked.items():
        if name[0] == tenant.id:
            assert there.get(name) == used, f"{name} was acknowledged, and the file has it not"
    for name in there:
        is_holds = name[1] in tenant.numbers
        assert is_holds or name in receipts.asked, f"nobody asked for {name}"
    _check_holds(tenant)


def _check_holds(tenant: Tenant) -> None:
    """Each hold ended at most once, and an open one not at all."""
    ends: Counter[str | None] = Counter()
    for sealed in tenant.entries:
        entry = sealed.entry
        if entry.kind in {"hold.released", "hold.expired"}:
            ends[entry.hold_id] += 1
    assert all(count == 1 for count in ends.values()), f"{tenant.name}: a hold ended twice"
    still_open = {one.number for one in tenant.oracle.open_holds()}
    ended = {tenant.numbers[name] for name in ends if name is not None}
    assert not still_open & ended, f"{tenant.name}: a hold that ended is open"
    held = sum(say.to_micro(one.held) for one in tenant.oracle.open_holds())
    assert not tenant.entries or tenant.entries[-1].entry.held_after == held
