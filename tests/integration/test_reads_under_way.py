"""A list is read in two steps: what is written in between stands in it once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tallystick.domain.account import Account
from tallystick.domain.commands import ReverseUsage
from tallystick.domain.directory import Organization
from tallystick.ledger.reading import EntryFilter, Page
from tallystick.ledger.units import AccountUnit, AdvanceUnit
from tallystick.storage import sqlite_entries
from tests.harness import World, in_world
from tests.moves import book, issue

NEXT_MONTH = "2026-04-01T00:00:00Z"
ALL = EntryFilter()
PAGES = [Page(50), Page(50, ascending=True)]


@asynccontextmanager
async def written_in_between(
    w: World, write: Callable[[], Awaitable[object]]
) -> AsyncIterator[None]:
    """Writes right after an account has been read, which is before the list is."""
    reader = w.service.reads.reader
    read_account = reader.account

    async def account(organization_id: str) -> Account | None:
        found = await read_account(organization_id)
        await write()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "account", account)
        yield


async def due_and_then_used(w: World) -> tuple[Organization, Callable[[], Awaitable[object]]]:
    """An organization with things due, and what writes them and one entry and grant more."""
    acme = await w.organization(allowance=5)
    w.clock.set(NEXT_MONTH)

    async def write() -> None:
        await w.service.ledger.submit(acme.id, AdvanceUnit(acme.id))
        await book(w, acme, "evt-1", "1")
        await issue(w, acme, "1")

    return acme, write


@pytest.mark.parametrize("page", PAGES)
@in_world
async def test_entries_written_in_between_are_listed_once(w: World, page: Page) -> None:
    acme, write = await due_and_then_used(w)
    before = await w.service.reads.entries(acme.id, page, ALL)
    async with written_in_between(w, write):
        assert await w.service.reads.entries(acme.id, page, ALL) == before
    after = await w.service.reads.entries(acme.id, page, ALL)
    assert after is not None
    assert before is not None
    assert len(after) == len(before) + 2


@pytest.mark.parametrize("page", PAGES)
@in_world
async def test_grants_written_in_between_are_listed_once(w: World, page: Page) -> None:
    acme, write = await due_and_then_used(w)
    before = await w.service.reads.grants(acme.id, page)
    async with written_in_between(w, write):
        assert await w.service.reads.grants(acme.id, page) == before
    after = await w.service.reads.grants(acme.id, page)
    assert after is not None
    assert before is not None
    assert len(after) == len(before) + 1


@in_world
async def test_periods_written_in_between_are_listed_once(w: World) -> None:
    acme, write = await due_and_then_used(w)
    before = await w.service.reads.periods(acme.id, 2)
    async with written_in_between(w, write):
        assert await w.service.reads.periods(acme.id, 2) == before
    assert await w.service.reads.periods(acme.id, 2) == before


@in_world
async def test_what_drew_from_a_grant_is_found_across_stretches(w: World) -> None:
    acme = await w.organization(allowance=100)
    top_up = await issue(w, acme, "10", priority=60)
    drew = [(await book(w, acme, "evt-first", "101")).sequence]
    for number in range(9):
        await book(w, acme, f"evt-{number}", "0")
    drew.append((await book(w, acme, "evt-last", "2")).sequence)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_entries, "STRETCH", 4)
        for page in [Page(1), *PAGES]:
            found = await w.service.reads.entries(acme.id, page, EntryFilter(grant_id=top_up.id))
            assert found is not None
            expected = sorted([top_up.issued, *drew], reverse=not page.ascending)
            assert [each.entry.sequence for each in found] == expected[: page.limit + 1]


@pytest.mark.parametrize("page", PAGES)
@in_world
async def test_grants_that_get_credits_back_in_between_are_as_they_were(
    w: World, page: Page
) -> None:
    """Some shown before and others after it would be grants that never stood side by side."""
    acme = await w.organization(allowance=5)
    await book(w, acme, "evt-1", "5")
    await issue(w, acme, "1")
    await book(w, acme, "evt-2", "1")

    async def give_back() -> None:
        reverse = [ReverseUsage(event_id=event_id) for event_id in ("evt-1", "evt-2")]
        await w.service.ledger.submit(acme.id, AccountUnit(acme.id, reverse))

    before = await w.service.reads.grants(acme.id, page)
    async with written_in_between(w, give_back):
        assert await w.service.reads.grants(acme.id, page) == before
