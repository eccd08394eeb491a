"""What is written together is there together, after it is durable, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tallystick.domain.account import Account
from tallystick.domain.entries import EntryKind, seal
from tallystick.domain.usage import RollupKey
from tallystick.ledger.ports import Changes, StatementRejected, StoreUnavailable, UsageRow, Wanted
from tallystick.ledger.reading import BalanceRow, EntryFilter, Page
from tallystick.ledger.units import AccountUnit
from tests.conformance.backend import BUSY_TIMEOUT_MS, START, Backend, settled
from tests.conformance.samples import (
    ACME,
    CREDIT,
    HOME,
    OTHER,
    api_key,
    full_entry,
    grant,
    new_organization,
    organization,
    secret,
    teamspace,
    top_up,
    usage,
)

EVERYTHING = Page(100, ascending=True)


def account_of(backend: Backend, organization_id: str = ACME) -> Account:
    return backend.load(Wanted(organizations={organization_id})).accounts[organization_id]


def spend(account: Account, *, event_id: str = "spent") -> Changes:
    """One credit spent, as rows."""
    entry = full_entry(account.sequence + 1, EntryKind.USAGE_BOOKED)._replace(event_id=event_id)
    sealed = seal([entry], account.head)
    after = replace(account, sequence=entry.sequence, head=sealed[0].hash)
    after.remaining -= CREDIT
    after.consumed += CREDIT
    return Changes(
        accounts=[after],
        entries=sealed,
        usage=[UsageRow(ACME, event_id, entry.sequence, overdraw=False)],
        rollups={RollupKey(ACME, 0, HOME, "", ""): (CREDIT, 1)},
    )


def test_the_clock_is_read_when_the_transaction_has_begun(backend: Backend) -> None:
    backend.clock.now = START + 77
    assert backend.load(Wanted()).now == START + 77


def test_readers_see_a_batch_when_it_is_acknowledged_and_not_before(backend: Backend) -> None:
    backend.write(new_organization())
    before = account_of(backend)

    async def scenario() -> None:
        snapshot = await backend.lane.load(Wanted(organizations={ACME}))
        changes = spend(snapshot.accounts[ACME])
        writing = asyncio.ensure_future(backend.lane.append(changes))
        await asyncio.sleep(0)  # the statements have been executed, the commit is under way
        if not writing.done():
            assert await settled(backend.reader.balance(ACME)) in {
                BalanceRow(before.remaining, 0, 0, before.next_due_at),
                BalanceRow(before.remaining - CREDIT, CREDIT, 0, before.next_due_at),
            }
        await writing
        balance = BalanceRow(before.remaining - CREDIT, CREDIT, 0, before.next_due_at)
        assert await settled(backend.reader.balance(ACME)) == balance
        account = await backend.reader.account(ACME)
        assert account is not None
        assert account.consumed == CREDIT
        (newest, *_) = await backend.reader.entries(ACME, Page(1), EntryFilter())
        assert newest == changes.entries[0]
        assert await backend.reader.consumed_between(ACME, 0, 1) == CREDIT

    backend.run(scenario())


def test_an_open_transaction_is_seen_by_nobody(backend: Backend) -> None:
    backend.write(new_organization())
    balance = backend.balance(ACME)

    async def scenario() -> None:
        await backend.lane.load(Wanted(organizations={ACME}))
        assert await settled(backend.reader.balance(ACME)) == balance
        await backend.lane.abandon()

    backend.run(scenario())


def test_what_is_abandoned_was_never_there(backend: Backend) -> None:
    backend.write(new_organization())
    before = account_of(backend)

    async def scenario() -> None:
        await backend.lane.load(Wanted(organizations={ACME}))
        await backend.lane.abandon()
        await backend.lane.abandon()

    backend.run(scenario())
    assert account_of(backend) == before


def test_a_transaction_that_was_forgotten_is_undone_by_the_next(backend: Backend) -> None:
    backend.write(new_organization())
    before = account_of(backend)
    backend.run(backend.lane.load(Wanted(organizations={ACME})))
    assert account_of(backend) == before


def test_append_comes_after_load_and_once(backend: Backend) -> None:
    with pytest.raises(RuntimeError, match="after load"):
        backend.run(backend.lane.append(Changes(keys={(None, "key_000"): api_key(0, None)})))
    backend.write(Changes())
    with pytest.raises(RuntimeError, match="after load"):
        backend.run(backend.lane.append(Changes()))


def same_sequence(changes: Changes) -> None:
    changes.entries = [changes.entries[0]._replace(entry=full_entry(1, EntryKind.USAGE_BOOKED))]


def same_event(changes: Changes) -> None:
    changes.usage = [changes.usage[0]._replace(event_id="taken")]


def same_external_id(changes: Changes) -> None:
    changes.organizations[OTHER] = organization(OTHER, external_id="taken")


def same_reference(changes: Changes) -> None:
    changes.grants = [(ACME, replace(grant(1000), reference="taken"))]


def missing_grant(changes: Changes) -> None:
    changes.grants = [(ACME, grant(1))]


def missing_organization(changes: Changes) -> None:
    changes.teamspaces[OTHER, "ts_000"] = teamspace(0, OTHER)


def missing_key(changes: Changes) -> None:
    changes.secrets[bytes(32)] = secret(0, key=7)


def stolen_secret(changes: Changes) -> None:
    changes.keys[ACME, "key_002"] = api_key(2)
    changes.secrets[secret(1).hash] = secret(1, key=2)


def too_large(changes: Changes) -> None:
    changes.rollups = {RollupKey(ACME, 1, "", "", ""): (1 << 63, 1)}


def no_text(changes: Changes) -> None:
    changes.usage = [changes.usage[0]._replace(event_id="\ud800")]


def negative(changes: Changes) -> None:
    changes.accounts[0].remaining = -1


def unbalanced(changes: Changes) -> None:
    changes.accounts[0].held = changes.accounts[0].remaining + 1


def beyond_the_sums(changes: Changes) -> None:
    changes.accounts[0].pending = 8 * 10**15


SPOILED = [
    same_sequence,
    same_event,
    same_external_id,
    same_reference,
    missing_grant,
    missing_organization,
    missing_key,
    stolen_secret,
    too_large,
    no_text,
    negative,
    unbalanced,
    beyond_the_sums,
]


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_one_row_that_cannot_be_undoes_the_batch(
    backend: Backend, spoil: Callable[[Changes], None]
) -> None:
    created = new_organization()
    created.organizations[ACME] = organization(external_id="taken")
    created.keys[ACME, "key_000"] = api_key(0)
    created.secrets[secret(1).hash] = secret(1)
    backend.write(created)
    backend.decide(AccountUnit(ACME, [top_up("taken"), usage("taken")]))
    before = account_of(backend)
    changes = spend(before)
    changes.keys[None, "key_001"] = api_key(1, None)
    spoil(changes)

    with pytest.raises(StatementRejected):
        backend.write(changes, ACME)

    with backend.locked_out():
        pass  # the lock is free at once, not only when the next batch comes
    assert account_of(backend) == before
    assert len(backend.run(backend.reader.entries(ACME, EVERYTHING, EntryFilter()))) == (
        before.sequence
    )
    assert backend.run(backend.reader.key(None, "key_001")) is None
    assert backend.run(backend.reader.consumed_between(ACME, 0, 1)) == 0
    backend.write(spend(before), ACME)
    assert account_of(backend).consumed == before.consumed + CREDIT


def test_an_account_that_was_not_loaded_is_not_changed(backend: Backend) -> None:
    backend.write(new_organization())
    before = account_of(backend)
    with pytest.raises(StatementRejected):
        backend.write(spend(before))
    assert account_of(backend) == before


def test_a_grant_is_one_object_wherever_it_is_found(backend: Backend) -> None:
    backend.write(new_organization())
    (issued,) = backend.decide(AccountUnit(ACME, [top_up("ref-1")]))[0]
    grant_id = issued.grant.id
    snapshot = backend.load(
        Wanted(organizations={ACME}, grants={(ACME, grant_id)}, references={(ACME, "ref-1")})
    )
    live = snapshot.accounts[ACME].grants[grant_id]
    assert snapshot.grants[ACME, grant_id] is live
    named = snapshot.references[ACME, "ref-1"]
    entry = named.entry
    assert named.grant is live
    assert entry is not None
    assert (entry.kind, entry.grant_id) == (EntryKind.GRANT_ISSUED, grant_id)


def test_a_reference_is_found_without_its_account_too(backend: Backend) -> None:
    backend.write(new_organization())
    (issued,) = backend.decide(AccountUnit(ACME, [top_up("ref-1")]))[0]
    snapshot = backend.load(Wanted(references={(ACME, "ref-1"), (ACME, "?"), (OTHER, "ref-1")}))
    assert snapshot.accounts == {}
    assert list(snapshot.references) == [(ACME, "ref-1")]
    assert snapshot.references[ACME, "ref-1"].grant == issued.grant


@pytest.mark.parametrize("table", ["entries", "usage_events"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET sequence = sequence + 1000",
        "DELETE FROM {}",
        "DELETE FROM {} WHERE organization_id = 'org_acme'",
    ],
)
def test_entries_and_usage_events_are_written_for_good(
    backend: Backend, table: str, statement: str
) -> None:
    backend.write(new_organization())
    backend.decide(AccountUnit(ACME, [usage("kept")]))
    with pytest.raises(Exception, match="are never"):
        backend.rows(statement.format(table))


def test_a_writer_that_is_locked_out_gives_up_and_recovers(backend: Backend) -> None:
    backend.write(new_organization())
    before = account_of(backend)
    with backend.locked_out():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            backend.run(backend.submit(ACME, AccountUnit(ACME, [usage("refused")])))
        assert BUSY_TIMEOUT_MS / 1000 * 0.5 < time.monotonic() - started < 30
        left = BalanceRow(before.remaining, 0, 0, before.next_due_at)
        assert backend.balance(ACME) == left
    backend.write(spend(before), ACME)
    assert account_of(backend).consumed == CREDIT


def test_waiting_for_a_lock_keeps_nobody_else_waiting(backend: Backend) -> None:
    backend.write(new_organization())

    async def scenario() -> int:
        unit = AccountUnit(ACME, [usage("refused")])
        submitted = asyncio.ensure_future(backend.submit(ACME, unit))
        turns = 0
        while not submitted.done():
            await asyncio.sleep(0)
            turns += 1
        with pytest.raises(StoreUnavailable):
            submitted.result()
        return turns

    with backend.locked_out():
        assert backend.run(scenario()) > 10


def test_a_lock_that_is_let_go_in_time_is_no_error(backend: Backend) -> None:
    backend.write(new_organization())

    async def scenario() -> None:
        with backend.locked_out():
            loading = asyncio.ensure_future(backend.lane.load(Wanted(organizations={ACME})))
            await asyncio.sleep(0)
            assert not loading.done()
        assert ACME in (await loading).accounts
        await backend.lane.abandon()

    backend.run(scenario())


@pytest.mark.parametrize("turns", range(4))
def test_a_caller_who_goes_away_leaves_the_lane_whole(backend: Backend, turns: int) -> None:
    """Cancelled at any turn of the loop: all of the batch is there, or nothing of it."""
    backend.write(new_organization())
    before = account_of(backend)

    async def scenario() -> None:
        async def batch() -> None:
            await backend.lane.load(Wanted(organizations={ACME}))
            await backend.lane.append(spend(before))

        task = asyncio.ensure_future(batch())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    backend.run(scenario())
    after = account_of(backend)
    assert after.consumed in {0, CREDIT}
    assert after.sequence == before.sequence + after.consumed // CREDIT
    backend.write(spend(after, event_id="next"), ACME)
    entries = backend.run(backend.reader.entries(ACME, EVERYTHING, EntryFilter()))
    assert [one.entry.sequence for one in entries] == list(range(1, after.sequence + 2))


def test_a_caller_who_goes_away_while_waiting_for_the_lock_takes_none(backend: Backend) -> None:
    backend.write(new_organization())

    async def give_up() -> None:
        task = asyncio.ensure_future(backend.lane.load(Wanted(organizations={ACME})))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    with backend.locked_out():
        backend.run(give_up())
    backend.write(spend(account_of(backend)), ACME)
    assert account_of(backend).consumed == CREDIT


def test_a_store_that_is_well_says_so(backend: Backend) -> None:
    backend.run(backend.store.check())
