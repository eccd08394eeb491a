"""Every kind of row is read back as it was written, and a second writing replaces the first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.domain.account import Account
from tallystick.domain.commands import AccountStatus
from tallystick.domain.dimensions import KeptDimensions
from tallystick.domain.directory import KeyLevel
from tallystick.domain.entries import GENESIS, EntryKind, Sealed, seal
from tallystick.domain.grants import GrantKind, GrantStatus
from tallystick.domain.plans import Plan
from tallystick.domain.usage import BUCKET, RollupKey
from tallystick.ledger.ports import (
    Changes,
    PeriodRow,
    Replay,
    ReplayKey,
    UsageRecord,
    UsageRow,
    Wanted,
)
from tallystick.ledger.reading import BalanceRow, EntryFilter, Page
from tallystick.ledger.units import REPLAYS_KEPT
from tests.conformance.backend import START, Backend
from tests.conformance.samples import (
    ACME,
    HOME,
    MOST,
    OTHER,
    PLAN,
    UNICODE,
    api_key,
    bare_entry,
    full_entry,
    grant,
    new_organization,
    organization,
    secret,
    teamspace,
)


def full_account() -> Account:
    return Account(
        organization_id=ACME,
        status=AccountStatus.SUSPENDED,
        plan=PLAN,
        next_plan=Plan(allowance=1),
        period_index=3,
        period_start=START - 5,
        period_end=START + 5,
        allowance_grant_id="grant_003",
        remaining=MOST - 30,
        consumed=30,
        overage=20,
        held=10,
        pending=20,
        sequence=9,
        head=bytes(range(32)),
        advanced_to=START,
        next_due_at=START + 5,
    )


def test_accounts(backend: Backend) -> None:
    account = full_account()
    backend.write(Changes(accounts=[account]))
    assert backend.load(Wanted(organizations={ACME})).accounts == {ACME: account}
    assert backend.run(backend.reader.account(ACME)) == account
    account.next_plan = account.allowance_grant_id = None
    account.remaining, account.sequence, account.next_due_at = 5 * 10**15, 10, START + 9
    account.held = account.pending = 0
    backend.write(Changes(accounts=[account]), ACME)
    assert backend.load(Wanted(organizations={ACME})).accounts == {ACME: account}
    assert backend.run(backend.reader.due(START + 8, 5)) == []
    assert backend.run(backend.reader.due(START + 9, 5)) == [ACME]


def test_an_account_comes_with_the_grants_that_still_matter(backend: Backend) -> None:
    live = [
        grant(1, status=GrantStatus.PENDING, effective_at=START + 7, has_reference=False),
        grant(2, kind=GrantKind.TOP_UP, expires_at=None, priority=100),
        grant(4),
    ]
    allowance = grant(3, status=GrantStatus.EXHAUSTED, remaining=0, held=0)
    held = [
        grant(5, status=GrantStatus.EXPIRED, remaining=2),
        grant(6, status=GrantStatus.VOIDED, remaining=2),
    ]
    ended = [
        grant(7, status=GrantStatus.EXHAUSTED, remaining=0, held=0),
        grant(8, status=GrantStatus.EXPIRED, remaining=0, held=0),
        grant(9, status=GrantStatus.VOIDED, remaining=0, held=0),
    ]
    grants = [(ACME, one) for one in [*live, allowance, *held, *ended]] + [(OTHER, grant(1))]
    backend.write(Changes(accounts=[full_account()], grants=grants))
    (account,) = backend.load(Wanted(organizations={ACME})).accounts.values()
    assert account.grants == {one.id: one for one in [*live, allowance, *held]}
    assert [one.id for one in account.burning] == ["grant_004", "grant_002"]
    assert [one.id for one in account.waiting] == ["grant_001"]
    assert all(account.grants[one.id] is one for one in [*account.burning, *account.waiting])


def test_grants(backend: Backend) -> None:
    first, second = (
        grant(1),
        grant(2, expires_at=None, has_reference=False, status=GrantStatus.PENDING),
    )
    backend.write(Changes(accounts=[full_account()], grants=[(ACME, first), (ACME, second)]))
    wanted = Wanted(grants={(ACME, first.id), (ACME, second.id), (ACME, "?"), (OTHER, first.id)})
    both = {(ACME, first.id): first, (ACME, second.id): second}
    assert backend.load(wanted).grants == both
    first.amount, first.remaining, first.held = 9, 3, 1
    first.status = GrantStatus.VOIDED
    backend.write(Changes(grants=[(ACME, first)]), ACME)
    assert backend.load(wanted).grants == both


@pytest.mark.parametrize("kind", EntryKind)
def test_entries(backend: Backend, kind: EntryKind) -> None:
    entries = [full_entry(1, kind), bare_entry(2, kind), full_entry(3, kind)]
    sealed = seal(entries, GENESIS)
    account = replace(full_account(), sequence=3, head=sealed[-1].hash)
    backend.write(Changes(accounts=[account], entries=sealed))
    page = Page(10, ascending=True)
    assert backend.run(backend.reader.entries(ACME, page, EntryFilter())) == sealed


def test_the_hash_before_an_entry_is_that_of_the_entry_before(backend: Backend) -> None:
    first = seal([full_entry(n, EntryKind.USAGE_BOOKED) for n in (1, 2)], GENESIS)
    second = seal([full_entry(n, EntryKind.GRANT_ISSUED) for n in (3, 4)], first[-1].hash)
    others = seal([full_entry(1, EntryKind.USAGE_BOOKED, OTHER)], bytes(range(32)))
    accounts = [full_account(), replace(full_account(), organization_id=OTHER)]
    backend.write(Changes(accounts=accounts, entries=[*first, *others]))
    backend.write(Changes(entries=second), ACME)
    found = backend.run(backend.reader.entries(ACME, Page(2), EntryFilter()))
    assert found == [*reversed(second), first[1]]


def test_usage_events_lead_to_their_entries(backend: Backend) -> None:
    entries = [full_entry(1, EntryKind.USAGE_BOOKED), bare_entry(2, EntryKind.USAGE_BOOKED)]
    entries[1] = entries[1]._replace(event_id="bare")
    elsewhere = full_entry(1, EntryKind.USAGE_BOOKED, OTHER)
    usage = [
        UsageRow(ACME, "event-1", 1, overdraw=True),
        UsageRow(ACME, "bare", 2, overdraw=False),
        UsageRow(OTHER, "event-1", 1, overdraw=False),
    ]
    kept = KeptDimensions({"model": UNICODE}, b"\x00salt", bytes(range(32)), ("model",))
    backend.write(
        Changes(
            entries=seal([*entries, elsewhere], GENESIS),
            usage=usage,
            dimensions={(ACME, 1): kept},
        )
    )
    wanted = Wanted(events={(ACME, "event-1"), (ACME, "bare"), (OTHER, "event-1"), (OTHER, "bare")})
    assert backend.load(wanted).events == {
        (ACME, "event-1"): entries[0],
        (ACME, "bare"): entries[1],
        (OTHER, "event-1"): elsewhere,
    }
    assert backend.load(wanted).dimensions == {(ACME, "event-1"): kept}
    stored = backend.rows("SELECT organization_id, event_id, sequence, overdraw FROM usage_events")
    assert {tuple(row) for row in stored} == set(usage)

    def read(organization_id: str, event_id: str) -> UsageRecord | None:
        return backend.run(backend.reader.usage_event(organization_id, event_id))

    assert read(ACME, "event-1") == UsageRecord(entries[0], overdraw=True, dimensions=kept)
    assert read(ACME, "bare") == UsageRecord(entries[1], overdraw=False, dimensions=None)
    assert read(OTHER, "event-1") == UsageRecord(elsewhere, overdraw=False, dimensions=None)
    assert read(OTHER, "bare") is None


def test_organizations(backend: Backend) -> None:
    first = organization(external_id=UNICODE)
    second = replace(organization(OTHER), rate_limits={}, name="")
    both = {ACME: first, OTHER: second}
    for name, one in both.items():
        created = new_organization(name)
        created.organizations[name] = one
        backend.write(created)
    assert backend.load(Wanted(organizations={ACME, OTHER, "org_?"})).organizations == both
    assert backend.run(backend.reader.organization(ACME)) == first
    first = both[ACME] = replace(first, name="Acme", rate_limits={"x": 1}, external_id="other")
    backend.write(Changes(organizations={ACME: first}))
    assert backend.load(Wanted(organizations={ACME, OTHER})).organizations == both
    assert backend.run(backend.reader.organization("org_?")) is None


def test_an_external_id_brings_the_organization_and_its_account(backend: Backend) -> None:
    created = new_organization()
    created.organizations[ACME] = replace(created.organizations[ACME], external_id=UNICODE)
    backend.write(created)
    snapshot = backend.load(Wanted(external_ids={UNICODE, "unknown"}))
    assert snapshot.by_external_id == {UNICODE: ACME}
    assert snapshot.organizations == created.organizations
    assert list(snapshot.accounts) == [ACME]
    assert snapshot.accounts[ACME].remaining == PLAN.allowance


def test_teamspaces(backend: Backend) -> None:
    one = teamspace(1)
    name = (ACME, one.id)
    backend.write(Changes(organizations={ACME: organization()}, teamspaces={name: one}))
    wanted = Wanted(teamspaces={name, (OTHER, one.id), (ACME, "ts_?")})
    assert backend.load(wanted).teamspaces == {name: one}
    one = replace(one, name="Renamed", rate_limits={})
    backend.write(Changes(teamspaces={name: one}))
    assert backend.load(wanted).teamspaces == {name: one}
    assert backend.run(backend.reader.teamspace(ACME, one.id)) == one
    assert backend.run(backend.reader.teamspace(OTHER, one.id)) is None


@pytest.mark.parametrize("owner", [ACME, None])
def test_keys(backend: Backend, owner: str | None) -> None:
    full = api_key(1, owner)
    bare = replace(
        api_key(2, owner),
        level=KeyLevel.ORGANIZATION,
        scopes=(),
        imported=False,
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )
    names = {(owner, full.id): full, (owner, bare.id): bare}
    backend.write(Changes(keys=names))
    wanted = Wanted(keys={*names, (owner, "key_?"), (OTHER, full.id)})
    assert backend.load(wanted).keys == names
    assert backend.run(backend.reader.key(owner, full.id)) == full
    assert backend.run(backend.reader.key(OTHER, full.id)) is None
    names[owner, bare.id] = replace(bare, revoked_at=START, name="gone")
    backend.write(Changes(keys={(owner, bare.id): names[owner, bare.id]}))
    assert backend.load(wanted).keys == names


@pytest.mark.parametrize("owner", [ACME, None])
def test_secrets(backend: Backend, owner: str | None) -> None:
    key = api_key(0, owner)
    first, second = secret(1, owner), replace(secret(2, owner), expires_at=None)
    both = {first.hash: first, second.hash: second}
    backend.write(Changes(keys={(owner, key.id): key}, secrets=both))
    wanted = Wanted(secrets={*both, bytes(32)}, secrets_of={(owner, key.id), (OTHER, key.id)})
    snapshot = backend.load(wanted)
    assert snapshot.secrets == both
    assert {name: set(of) for name, of in snapshot.secrets_of.items()} == {
        (owner, key.id): {first, second}
    }
    second = replace(second, expires_at=START + 1)
    backend.write(Changes(secrets={second.hash: second}, dropped_secrets={first.hash}))
    assert backend.load(wanted).secrets == {second.hash: second}


def test_a_digest_leads_to_all_that_a_request_needs(backend: Backend) -> None:
    created = new_organization()
    key, operator = api_key(0), api_key(1, None)
    created.keys = {(ACME, key.id): key, (None, operator.id): operator}
    secrets = [secret(1), secret(2, None, key=1)]
    created.secrets = {one.hash: one for one in secrets}
    backend.write(created)
    tenant = backend.credential(secrets[0].hash)
    assert tenant == (
        secrets[0],
        key,
        created.organizations[ACME],
        created.teamspaces[ACME, HOME],
    )
    assert backend.credential(secrets[1].hash) == (secrets[1], operator, None, None)
    assert backend.credential(bytes(32)) is None


def test_balances(backend: Backend) -> None:
    account = full_account()
    backend.write(Changes(accounts=[account]))
    assert backend.balance(ACME) == BalanceRow(MOST - 30, 30, 20, START + 5)
    assert backend.balance(OTHER) is None


def test_periods(backend: Backend) -> None:
    first = PeriodRow(ACME, 0, START - 9, START, "Europe/Paris", MOST, 2)
    second = PeriodRow(ACME, 1, START, START + 9, "UTC", 0, 7)
    other = PeriodRow(OTHER, 0, START, START + 1, "UTC", 0, 1)
    backend.write(Changes(periods=[second, first, other]))
    assert backend.run(backend.reader.periods(ACME)) == [first, second]
    second = replace(second, end=START + 10)
    backend.write(Changes(periods=[second]))
    assert backend.run(backend.reader.periods(ACME)) == [first, second]
    assert backend.run(backend.reader.periods("org_?")) == []


def test_rollups_add_up(backend: Backend) -> None:
    start = START - START % BUCKET
    keys = [
        RollupKey(ACME, start, HOME, "calls", "key_1"),
        RollupKey(ACME, start, HOME, "", ""),
        RollupKey(ACME, start + BUCKET, HOME, "calls", "key_1"),
        RollupKey(OTHER, start, HOME, "calls", "key_1"),
    ]
    backend.write(Changes(rollups=dict.fromkeys(keys, (MOST, 1))))
    backend.write(Changes(rollups={keys[0]: (7, 2)}))

    def consumed(first: int, last: int) -> int:
        return backend.run(backend.reader.consumed_between(ACME, first, last))

    assert consumed(start, start + BUCKET) == 2 * MOST + 7
    assert consumed(start, start + BUCKET + 1) == 3 * MOST + 7
    assert consumed(start + 1, start + BUCKET) == 0

    def first_usage(since: int) -> int | None:
        return backend.run(backend.reader.first_usage(ACME, since))

    assert first_usage(0) == first_usage(start) == start
    assert first_usage(start + 1) == start + BUCKET
    assert first_usage(start + BUCKET + 1) is None
    stored = backend.rows(
        "SELECT credits, events FROM usage_rollups WHERE organization_id = 'org_acme' ORDER BY 1, 2"
    )
    assert [tuple(row) for row in stored] == [(MOST, 1), (MOST, 1), (MOST + 7, 3)]


def test_replays(backend: Backend) -> None:
    operation = ("grants.create", UNICODE)
    keys = [ReplayKey(ACME, "key_1", *operation), ReplayKey("", "", *operation)]
    first = Replay(keys[0], bytes(32), 201, b'{"a": "\xc3\xa9\x00"}', START)
    second = Replay(keys[1], bytes(32), 200, b"", START + 1)
    backend.write(Changes(replays={first.key: first, second.key: second}))
    wanted = Wanted(replays={*keys, ReplayKey(ACME, "key_2", *operation)})
    assert backend.load(wanted).replays == {first.key: first, second.key: second}
    backend.clock.now = START + REPLAYS_KEPT  # the first one counts no more
    first = first._replace(status=200, body=b"again", created_at=backend.clock.now)
    backend.write(Changes(replays={first.key: first}))
    assert backend.load(wanted).replays == {first.key: first, second.key: second}
    backend.write(Changes(forget_replays_before=START + 2))
    assert backend.load(wanted).replays == {first.key: first}


def test_a_key_was_last_used_at_the_latest_time_that_was_noted(backend: Backend) -> None:
    key, operator = replace(api_key(0), last_used_at=None), api_key(1, None)
    names = {(ACME, key.id): key, (None, operator.id): operator}
    backend.write(Changes(keys=names))
    for used, found in ((START + 4, START + 4), (START + 2, START + 4), (START + 9, START + 9)):
        backend.write(Changes(keys_used=dict.fromkeys(names, used)))
        keys = backend.load(Wanted(keys=set(names))).keys
        assert {one.last_used_at for one in keys.values()} == {found}


def test_sealed_entries_compare_with_all_their_parts() -> None:
    """The comparisons above mean something only if this holds."""
    entry = full_entry(1, EntryKind.USAGE_BOOKED)
    assert Sealed(entry, GENESIS, GENESIS) != Sealed(entry._replace(detail=None), GENESIS, GENESIS)
