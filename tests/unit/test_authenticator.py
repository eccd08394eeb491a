"""What the authenticator remembers of keys, and what it does not."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import cast

import pytest

from tallystick.domain.directory import ApiKey, KeyLevel, Organization, Secret, Teamspace
from tallystick.domain.keys import secret_digest
from tallystick.http import auth
from tallystick.http.auth import Authenticator, Denied, Principal
from tallystick.http.lately import GENERATION_SECONDS
from tallystick.ledger.ports import Changes
from tallystick.ledger.reading import Credential, Reader
from tallystick.limits.policy import Limits

NOW = 1_800_000_000_000_000
ORGANIZATION = Organization(
    id="org_a", name="A", external_id=None, default_teamspace_id="ts_a", content=b"", created_at=NOW
)
TEAMSPACES = {
    name: Teamspace(organization_id="org_a", id=name, name=name, created_at=NOW)
    for name in ("ts_a", "ts_b")
}


class Directory:
    """A reader of keys that are named like their secrets; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.keys: dict[str, ApiKey] = {}
        self.may_answer: asyncio.Event | None = None

    def add(self, name: str, level: KeyLevel) -> None:
        self.keys[name] = ApiKey(
            id=name,
            organization_id="org_a",
            teamspace_id="ts_a",
            name=name,
            level=level,
            created_at=NOW,
        )

    def credential(self, digest: bytes) -> Credential | asyncio.Future[Credential | None] | None:
        key = next((key for name, key in self.keys.items() if digest_of(name) == digest), None)
        if key is None:
            return None
        self.asked[key.id] += 1
        secret = Secret(hash=digest, organization_id="org_a", key_id=key.id)
        found = Credential(secret, key, ORGANIZATION, TEAMSPACES["ts_a"])
        if self.may_answer is None:
            return found
        return asyncio.ensure_future(self._later(found, self.may_answer))

    async def _later(self, found: Credential, may_answer: asyncio.Event) -> Credential:
        await may_answer.wait()
        return found

    async def teamspace(self, _: str, teamspace_id: str) -> Teamspace | None:
        return TEAMSPACES.get(teamspace_id)


def digest_of(secret: str) -> bytes:
    return secret_digest(secret.encode())


def authenticator_on(directory: Directory) -> Authenticator:
    return Authenticator(
        cast("Reader", directory), limits=Limits(), clock=lambda: NOW, monotonic_ms=lambda: 0
    )


async def identify(
    authenticator: Authenticator, secret: str, teamspace: bytes | None = None
) -> Principal | Denied:
    found = authenticator.identify(b"Bearer " + secret.encode(), teamspace)
    return found if isinstance(found, Principal | Denied) else await found


def test_headers_are_remembered_as_briefly_as_secrets_and_only_those_of_keys() -> None:
    async def scenario() -> None:
        directory = Directory()
        directory.add("a", KeyLevel.ORGANIZATION)
        authenticator = authenticator_on(directory)

        async def ask_twice() -> None:
            for secret in ("a", "a", "unknown", "unknown"):
                await identify(authenticator, secret)

        await ask_twice()
        assert _headers_held(authenticator) == [b"Bearer a"]
        authenticator.forget(Changes(keys={("org_a", "a"): directory.keys["a"]}))
        assert _headers_held(authenticator) == []
        await ask_twice()
        for _ in range(2 * GENERATION_SECONDS):
            authenticator.second_passed()
        assert _headers_held(authenticator) == []
        assert directory.asked["a"] == 2

    asyncio.run(scenario())


def _headers_held(authenticator: Authenticator) -> list[bytes]:
    held = authenticator._digests
    return [*held._young, *held._old]


def test_a_key_of_the_organization_is_remembered_once_whatever_teamspace_is_named() -> None:
    async def scenario() -> None:
        directory = Directory()
        directory.add("key", KeyLevel.ORGANIZATION)
        authenticator = authenticator_on(directory)
        for teamspace in (b"ts_b", None, b"ts_a", b"ts_none"):
            who = await identify(authenticator, "key", teamspace)
            assert isinstance(who, Principal)
            assert who.teamspace_id == "ts_a"
        assert directory.asked == {"key": 1}

    asyncio.run(scenario())


def test_a_key_of_the_account_is_remembered_in_each_teamspace() -> None:
    async def scenario() -> None:
        directory = Directory()
        directory.add("key", KeyLevel.ACCOUNT)
        authenticator = authenticator_on(directory)
        acted_in = []
        for teamspace in (None, b"ts_b", b"ts_a") * 2:
            who = await identify(authenticator, "key", teamspace)
            assert isinstance(who, Principal)
            acted_in.append(who.teamspace_id)
        assert acted_in == ["ts_a", "ts_b", "ts_a"] * 2
        assert directory.asked == {"key": 3}

    asyncio.run(scenario())


@pytest.mark.parametrize("level", KeyLevel)
def test_teamspaces_that_there_are_not_push_nobody_out(
    monkeypatch: pytest.MonkeyPatch, level: KeyLevel
) -> None:
    monkeypatch.setattr(auth, "_MAX_REMEMBERED", 2)

    async def scenario() -> None:
        directory = Directory()
        directory.add("honest", KeyLevel.ORGANIZATION)
        directory.add("hostile", level)
        authenticator = authenticator_on(directory)
        await identify(authenticator, "honest")
        for number in range(5):
            await identify(authenticator, "hostile", b"ts_%d" % number)
        await identify(authenticator, "honest")
        assert directory.asked["honest"] == 1

    asyncio.run(scenario())


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    """A look-up that is on its way while its key is revoked must not bring the key back."""

    async def scenario() -> None:
        directory = Directory()
        directory.add("key", KeyLevel.ORGANIZATION)
        directory.may_answer = asyncio.Event()
        authenticator = authenticator_on(directory)
        early = asyncio.ensure_future(identify(authenticator, "key"))
        await asyncio.sleep(0)
        revoked = replace(directory.keys["key"], revoked_at=NOW)
        directory.keys["key"] = revoked
        authenticator.forget(Changes(keys={("org_a", "key"): revoked}))
        directory.may_answer.set()
        assert isinstance(await early, Principal)
        assert isinstance(await identify(authenticator, "key"), Denied)

    asyncio.run(scenario())
