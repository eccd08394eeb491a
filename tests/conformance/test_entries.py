"""The list of entries: every combination of filters, orders and cursors, against a plain filter."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from tallystick.domain.commands import Command, ReverseUsage, VoidGrant
from tallystick.domain.entries import EntryKind, Sealed
from tallystick.domain.ids import entry_id
from tallystick.ledger.reading import EntryFilter, Page, UnknownCursor
from tallystick.ledger.units import AccountUnit
from tests.conformance.backend import START, Backend
from tests.conformance.samples import ACME, OTHER, new_organization, top_up, usage

ALL = Page(1000, ascending=True)


def fill(backend: Backend) -> list[Sealed]:
    """A ledger of some seventy entries of six kinds, several to an instant; another's beside it."""
    backend.write(new_organization(OTHER))
    backend.write(new_organization())
    chance = random.Random(5)
    for number in range(20):
        backend.clock.now = START + number // 3
        grants = backend.run(backend.reader.grants(ACME, Page(100)))
        changing: Command = VoidGrant(grant_id=chance.choice(grants).id, credits=1)
        changing = chance.choice([top_up(), changing])
        commands: list[Command] = [usage(f"event-{number}"), changing, usage(f"x-{number}")]
        if number % 4 == 1:
            part = ReverseUsage(event_id="event-5", credits=1, reference=f"part-{number}")
            commands.append(part)
        backend.decide(AccountUnit(ACME, commands), AccountUnit(OTHER, [usage(f"event-{number}")]))
    return list(backend.run(backend.reader.entries(ACME, ALL, EntryFilter())))


def matches(sealed: Sealed, where: EntryFilter) -> bool:
    entry = sealed.entry
    touched = {entry.grant_id, *(grant_id for grant_id, _ in entry.drawn)}
    return (
        where.kind in {None, entry.kind}
        and where.event_id in {None, entry.event_id}
        and (where.grant_id is None or where.grant_id in touched)
        and (where.start is None or where.start <= entry.booked_at)
        and (where.end is None or entry.booked_at < where.end)
    )


def filters(ledger: Sequence[Sealed]) -> list[EntryFilter]:
    drawn = next(one.entry.drawn[0][0] for one in ledger if one.entry.drawn)
    voided = next(one.entry.grant_id for one in ledger if one.entry.kind == "grant.voided")
    kinds = (
        None,
        EntryKind.USAGE_BOOKED,
        EntryKind.USAGE_REVERSED,
        EntryKind.GRANT_VOIDED,
        EntryKind.GRANT_EXPIRED,
    )
    times = ((None, None), (START + 1, START + 4), (START + 2, None), (START + 9, None), (0, START))
    return [
        EntryFilter(kind, event_id, grant_id, start, end)
        for kind, event_id, grant_id, (start, end) in itertools.product(
            kinds, (None, "event-5", "?"), (None, drawn, voided, "?"), times
        )
    ]


def test_the_ledger_of_this_test_has_what_it_asks_about(backend: Backend) -> None:
    ledger = fill(backend)
    assert len({one.entry.kind for one in ledger}) == 6
    assert len([one for one in ledger if one.entry.event_id == "event-5"]) == 5
    assert len({one.entry.booked_at for one in ledger}) < len(ledger) / 5
    assert [one.entry.sequence for one in ledger] == list(range(1, len(ledger) + 1))


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("direction", ["", "after", "before"])
def test_every_filter_in_every_order(backend: Backend, ascending: bool, direction: str) -> None:
    ledger = fill(backend)
    travelled = ledger if ascending == (direction != "before") else ledger[::-1]
    for where in filters(ledger):
        for at in (0, 7, len(ledger) - 1) if direction else (-1,):
            cursor = entry_id(ACME, travelled[at].entry.sequence)
            page = Page(
                4,
                after=cursor if direction == "after" else None,
                before=cursor if direction == "before" else None,
                ascending=ascending,
            )
            expected = [one for one in travelled[at + 1 :] if matches(one, where)][:5]
            assert backend.run(backend.reader.entries(ACME, page, where)) == expected, (where, page)


@pytest.mark.parametrize("ascending", [True, False])
def test_the_list_ends_with_the_sequence_that_is_named(backend: Backend, ascending: bool) -> None:
    ledger = fill(backend)
    for where in (EntryFilter(), EntryFilter(kind=EntryKind.GRANT_ISSUED)):
        for last in (1, 2, 17, len(ledger), len(ledger) + 5):
            known = [one for one in ledger[:last] if matches(one, where)]
            expected = (known if ascending else known[::-1])[:4]
            page = Page(3, ascending=ascending)
            assert backend.run(backend.reader.entries(ACME, page, where, last)) == expected


def test_a_cursor_is_an_entry_of_this_organization(backend: Backend) -> None:
    ledger = fill(backend)
    beyond = entry_id(ACME, len(ledger) + 1)
    for cursor in (beyond, entry_id(ACME, 0), entry_id(OTHER, 1), "entry_acme_1", "?", ""):
        with pytest.raises(UnknownCursor):
            backend.run(backend.reader.entries(ACME, Page(5, after=cursor), EntryFilter()))


def test_an_organization_without_entries_has_an_empty_list(backend: Backend) -> None:
    for where in (EntryFilter(), EntryFilter(grant_id="?"), EntryFilter(start=START)):
        assert backend.run(backend.reader.entries("org_?", Page(5), where)) == []
