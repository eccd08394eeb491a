"""What is remembered of keys that other nodes may change: for a second, and asked for ahead."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, cast

import pytest

from tallystick.domain.directory import ApiKey, KeyLevel, Organization, Secret, Teamspace
from tallystick.domain.keys import secret_digest
from tallystick.http.auth import Authenticator, Denied, Principal
from tallystick.ledger.ports import Changes, StoreUnavailable
from tallystick.ledger.reading import Credential, Reader
from tallystick.limits.policy import Limits

SECOND: Final = 1_000
HOME: Final = Teamspace(organization_id="org_a", id="ts_a", name="A", created_at=0)
ORGANIZATION: Final = Organization(
    id="org_a", name="A", external_id=None, default_teamspace_id="ts_a", content=b"", created_at=0
)
Who = Principal | Denied | Awaitable[Principal | Denied]


@dataclass(slots=True)
class Elsewhere:
    """A directory that other nodes write, and this one reads; it answers when the test says so."""

    now_ms: int = 0
    keys: dict[bytes, ApiKey] = field(default_factory=dict)
    organization: Organization = ORGANIZATION
    asked: Counter[int] = field(default_factory=Counter)
    """Look-ups by the millisecond in which they began."""
    failure: Exception | None = None
    under_way: dict[bytes, asyncio.Future[Credential | None]] = field(default_factory=dict)

    def add(self, name: bytes, **terms: object) -> None:
        key = ApiKey(
            id=name.decode(),
            organization_id="org_a",
            teamspace_id="ts_a",
            name="A key",
            level=KeyLevel.ORGANIZATION,
            created_at=0,
        )
        self.keys[secret_digest(name)] = replace(key, **terms)  # type: ignore[arg-type]  # its own

    def credential(self, digest: bytes) -> asyncio.Future[Credential | None]:
        self.asked[self.now_ms] += 1
        future = self.under_way.get(digest)
        if future is None:
            future = self.under_way[digest] = asyncio.get_running_loop().create_future()
        return future

    async def answer(self) -> None:
        """Answers what is under way, from what there is now."""
        under_way, self.under_way = self.under_way, {}
        for digest, future in under_way.items():
            if self.failure is not None:
                future.set_exception(self.failure)
                continue
            key = self.keys.get(digest)
            secret = Secret(hash=digest, organization_id="org_a", key_id="a")
            found = None if key is None else Credential(secret, key, self.organization, HOME)
            future.set_result(found)
        for _ in range(4):
            await asyncio.sleep(0)


def authenticator_on(directory: Elsewhere) -> Authenticator:
    return Authenticator(
        cast("Reader", directory),
        limits=Limits(),
        clock=lambda: directory.now_ms * 1_000,
        monotonic_ms=lambda: directory.now_ms,
        remembered_for_ms=SECOND,
    )


def ask(authenticator: Authenticator, name: bytes = b"a") -> Who:
    return authenticator.identify(b"Bearer " + name, None)


async def learn(directory: Elsewhere, authenticator: Authenticator, name: bytes = b"a") -> Who:
    """Who it is, once the directory has answered."""
    found = ask(authenticator, name)
    assert not isinstance(found, Principal | Denied)
    waiting = asyncio.ensure_future(_await(found))
    await asyncio.sleep(0)
    await directory.answer()
    return await waiting


async def _await(found: Awaitable[Principal | Denied]) -> Principal | Denied:
    return await found


Scenario = Callable[[Elsewhere, Authenticator], Awaitable[None]]


def with_directory(scenario: Scenario) -> Callable[[], None]:
    async def run() -> None:
        directory = Elsewhere()
        directory.add(b"a")
        await scenario(directory, authenticator_on(directory))

    return lambda: asyncio.run(run())


@with_directory
async def test_it_is_believed_for_a_second_and_no_longer(d: Elsewhere, a: Authenticator) -> None:
    who = await learn(d, a)
    assert isinstance(who, Principal)
    d.now_ms = SECOND - 1
    assert ask(a) is who
    assert a.believes(who)
    d.now_ms = SECOND
    assert not a.believes(who)
    assert a.check(who) is not None
    assert not isinstance(ask(a), Principal | Denied)


@with_directory
async def test_the_second_counts_from_before_it_was_asked(d: Elsewhere, a: Authenticator) -> None:
    found = ask(a)
    assert not isinstance(found, Principal | Denied)
    d.now_ms = 400
    waiting = asyncio.ensure_future(_await(found))
    await asyncio.sleep(0)
    await d.answer()
    who = await waiting
    assert isinstance(who, Principal)
    d.now_ms = SECOND
    assert not a.believes(who)


@with_directory
async def test_a_look_up_that_takes_longer_is_none(d: Elsewhere, a: Authenticator) -> None:
    waiting = asyncio.ensure_future(learn(d, a))
    d.now_ms = -SECOND
    await asyncio.sleep(0)
    d.now_ms = 0
    with pytest.raises(StoreUnavailable, match="it took 1000 ms"):
        await waiting


@pytest.mark.parametrize("first_look_ms", range(SECOND - 4, SECOND + 1))
def test_however_late_it_is_a_good_key_is_never_denied(first_look_ms: int) -> None:
    """A millisecond may pass between any two looks at the clock."""

    @with_directory
    async def scenario(d: Elsewhere, _: Authenticator) -> None:
        looks = itertools.chain([0], itertools.count(first_look_ms))
        a = Authenticator(
            cast("Reader", d),
            limits=Limits(),
            clock=lambda: 0,
            monotonic_ms=lambda: next(looks),
            remembered_for_ms=SECOND,
        )
        with suppress(StoreUnavailable):
            assert isinstance(await learn(d, a), Principal)

    scenario()


@with_directory
async def test_who_comes_all_the_time_never_waits(d: Elsewhere, a: Authenticator) -> None:
    await learn(d, a)
    for d.now_ms in range(0, 10 * SECOND, 20):
        assert isinstance(ask(a), Principal)
        await d.answer()
    # Once in half to three quarters of a second.
    assert 13 <= d.asked.total() <= 21


@with_directory
async def test_it_is_asked_ahead_once(d: Elsewhere, a: Authenticator) -> None:
    await learn(d, a)
    for d.now_ms in range(SECOND - 1):
        assert isinstance(ask(a), Principal)
    assert d.asked.total() == 2


@with_directory
async def test_what_changed_elsewhere_is_found_ahead(d: Elsewhere, a: Authenticator) -> None:
    who = await learn(d, a)
    assert isinstance(who, Principal)
    assert who.limit_of("get_credits") == Limits().default
    d.organization = replace(ORGANIZATION, rate_limits={"get_credits": 7})
    d.now_ms = 800
    assert ask(a) is who
    await d.answer()
    found = ask(a)
    assert isinstance(found, Principal)
    assert found.limit_of("get_credits") == 7
    # Whoever holds the former one, as the memory of heads does, is told to look.
    assert not a.believes(who)


@pytest.mark.parametrize("change", ["revoked", "gone"])
def test_a_key_that_ended_elsewhere_is_out(change: str) -> None:
    async def run() -> None:
        d = Elsewhere()
        d.add(b"a")
        a = authenticator_on(d)
        who = await learn(d, a)
        assert isinstance(who, Principal)
        if change == "gone":
            d.keys.clear()
        else:
            d.add(b"a", revoked_at=0)
        d.now_ms = 800
        assert ask(a) is who
        await d.answer()
        assert not a.believes(who)
        found = ask(a)
        assert isinstance(found, Denied) if change == "revoked" else found is not who

    asyncio.run(run())


@with_directory
async def test_a_directory_that_is_gone_ends_what_is_believed(
    d: Elsewhere, a: Authenticator
) -> None:
    await learn(d, a)
    d.failure = StoreUnavailable("gone")
    for d.now_ms in range(0, SECOND, 50):
        assert isinstance(ask(a), Principal)
        await d.answer()
    d.now_ms = SECOND
    with pytest.raises(StoreUnavailable):
        await learn(d, a)
    d.failure = None
    assert isinstance(await learn(d, a), Principal)


@with_directory
async def test_a_change_made_here_is_in_force_at_once(d: Elsewhere, a: Authenticator) -> None:
    await learn(d, a)
    key = d.keys[secret_digest(b"a")]
    a.forget(Changes(keys={("org_a", "a"): key}))
    assert not isinstance(ask(a), Principal | Denied)


@with_directory
async def test_keys_that_were_read_together_are_not_asked_for_together_again(
    d: Elsewhere, a: Authenticator
) -> None:
    names = [b"key-%d" % number for number in range(2_000)]
    for name in names:
        d.add(name)
        ask(a, name)
    crowd = [asyncio.ensure_future(learn(d, a, name)) for name in names]
    await asyncio.gather(*crowd)
    d.asked.clear()
    for d.now_ms in range(0, 3 * SECOND, 10):
        for name in names:
            assert isinstance(ask(a, name), Principal)
        await d.answer()
    assert d.asked.total() > 3 * len(names)
    assert max(d.asked.values()) < len(names) / 10


@with_directory
async def test_who_is_many_pushes_out_only_who_does_not_come(
    d: Elsewhere, a: Authenticator
) -> None:
    """Full, the memory is not emptied: those in use stay."""
    await learn(d, a)
    for start in range(0, 12_000, 500):
        names = [b"key-%d" % number for number in range(start, start + 500)]
        for name in names:
            d.add(name)
        await asyncio.gather(*(learn(d, a, name) for name in names))
        assert isinstance(ask(a), Principal)
    assert not isinstance(ask(a, b"key-0"), Principal)
