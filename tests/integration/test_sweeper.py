"""The sweeper writes what has fallen due, and comes to an end."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.domain.directory import Organization
from tallystick.ledger import sweeper
from tallystick.ledger.sweeper import sweep
from tests.harness import World, in_world
from tests.moves import book, issue

NEXT_MONTH = "2026-04-01T00:00:00Z"
PATIENCE = 20.0


def _fail(failure: BaseException) -> None:
    raise failure


async def _swept(w: World, now: int) -> int:
    return await asyncio.wait_for(sweep(w.service.ledger, now, _fail), PATIENCE)


async def _stored_sequence(w: World, organization: Organization) -> int:
    account = await w.service.reads.reader.account(organization.id)
    assert account is not None
    return account.sequence


@in_world
async def test_a_renewal_is_written_though_nobody_looks(w: World) -> None:
    acme = await w.organization(allowance=5)
    before = await _stored_sequence(w, acme)
    w.clock.set(NEXT_MONTH)
    assert await _swept(w, w.clock()) == 1
    # The allowance expires, the period starts, the new allowance is issued.
    assert await _stored_sequence(w, acme) == before + 3
    assert await _swept(w, w.clock()) == 0


@in_world
async def test_a_spent_grant_that_expires_is_due_once(w: World) -> None:
    """Nothing lapses and no entry is written; that it has been looked at is remembered."""
    acme = await w.organization()
    await issue(w, acme, "10", expires_at=w.clock.text(seconds=60))
    await book(w, acme, "evt-1", "10")
    before = await _stored_sequence(w, acme)
    w.clock.advance(seconds=60)
    assert await _swept(w, w.clock()) == 1
    assert await _swept(w, w.clock()) == 0
    assert await _stored_sequence(w, acme) == before


@in_world
async def test_more_than_a_batch_is_swept_at_once(w: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeper, "BATCH", 2)
        for _ in range(5):
            await w.organization(allowance=5)
        w.clock.set(NEXT_MONTH)
        assert await _swept(w, w.clock()) == 5


@in_world
async def test_what_the_ledgers_clock_has_not_reached_waits(w: World) -> None:
    """The clock of whoever sweeps may be ahead of the ledger's, or the ledger's be set back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeper, "BATCH", 2)
        for _ in range(3):
            await w.organization(allowance=5)
        before = w.clock()
        w.clock.set(NEXT_MONTH)
        ahead, w.clock.now = w.clock(), before
        await _swept(w, ahead)
        assert len(await w.service.reads.reader.due(ahead, 10)) == 3
