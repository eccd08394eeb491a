"""A whole service in one process, over ASGI and without a socket, whose clock the test sets.

    @in_world
    async def test_something(w: World) -> None:
        acme = await w.organization(allowance=100)
        reader = await w.key(acme, scopes=["credits:read"])
        answer = await w.client.get("/v1/organization/credits", headers=reader)

What a test does not look at is made without HTTP, so that tests of one room need no other room.
Every answer is held against the OpenAPI document, whatever else the test looks at.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec

import httpx

from tallystick.domain.commands import Booked, BookUsage
from tallystick.domain.credits import parse_credits
from tallystick.domain.directory import DEFAULT_SCOPES, ApiKey, KeyLevel, Organization, Scope
from tallystick.domain.ids import encode_id
from tallystick.domain.keys import ENTROPY_BYTES, make_secret
from tallystick.domain.periods import format_instant, parse_instant
from tallystick.domain.plans import Plan
from tallystick.http.app import create_app
from tallystick.http.auth import Authenticator
from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.service import Limiter, Service
from tallystick.ledger.directory import CreateKey, CreateOrganization, OrganizationState
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import Store
from tallystick.ledger.reading import Reader
from tallystick.ledger.reads import Reads
from tallystick.ledger.units import AccountUnit
from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import ADDRESS_WINDOWS, Limits
from tallystick.storage.sqlite import SqliteStore
from tests.described import DESCRIPTION
from tests.later import LaterLimiter, reader_later

P = ParamSpec("P")
Headers = dict[str, str]

ADMIN_SECRET = "admin-secret-of-the-tests"
START = "2026-03-10T12:00:00Z"
SECOND = 1_000_000


class Clock:
    """Microseconds since 1970, which pass only when a test says so."""

    def __init__(self, start: str = START) -> None:
        self.now = parse_instant(start)

    def __call__(self) -> int:
        return self.now

    def set(self, time: str) -> None:
        self.now = parse_instant(time)

    def advance(self, *, seconds: int) -> None:
        self.now += seconds * SECOND

    def text(self, *, seconds: int = 0) -> str:
        """The present, some seconds on, as answers print it."""
        return format_instant(self.now + seconds * SECOND)


def bearer(secret: str) -> Headers:
    return {"authorization": f"Bearer {secret}"}


Opening = Callable[[Clock], Awaitable[Store]]
"""Opens an empty database on which time is what the clock says."""


@dataclass(slots=True, kw_only=True)
class World:
    """The service and its client; `admin` are an operator's headers."""

    service: Service
    client: httpx.AsyncClient
    clock: Clock
    is_far: bool = False
    admin: Headers = field(default_factory=lambda: bearer(ADMIN_SECRET))

    async def organization(
        self, name: str = "Acme", *, allowance: str | int = 0, plan: Plan | None = None
    ) -> Organization:
        """A new organization; `allowance` in credits, unless a whole plan is given."""
        outcome = await self.service.ledger.submit(
            "",
            CreateOrganization(
                organization_id=self.service.new_id("org"),
                teamspace_id=self.service.new_id("ts"),
                name=name,
                external_id=None,
                plan=plan or Plan(allowance=parse_credits(str(allowance))),
                rate_limits={},
                content=b"",
            ),
        )
        assert isinstance(outcome, OrganizationState)
        return outcome.organization

    async def key(
        self,
        organization: Organization | str,
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        teamspace_id: str | None = None,
        level: str = "organization",
        expires_at: int | None = None,
    ) -> Headers:
        """The headers of a new key of that organization (or of the one with that id)."""
        organization_id = _id_of(organization)
        secret = make_secret(self.service.entropy(ENTROPY_BYTES))
        key = ApiKey(
            id=self.service.new_id("key"),
            organization_id=organization_id,
            teamspace_id=teamspace_id,
            name="A key of the tests",
            level=KeyLevel(level),
            scopes=tuple(map(Scope, scopes)),
            created_at=self.clock(),
            expires_at=expires_at,
        )
        digest = self.service.authenticator.digest(secret.encode())
        outcome = await self.service.ledger.submit(
            organization_id, CreateKey(key=key, digest=digest)
        )
        assert isinstance(outcome, ApiKey)
        return bearer(secret)

    async def spend(self, organization: Organization | str, used: str) -> None:
        """Books usage of that many credits."""
        organization_id = _id_of(organization)
        command = BookUsage(
            event_id=self.service.new_id("evt"),
            credits=parse_credits(used),
            meter=None,
            occurred_at=None,
            dimensions=None,
            overdraw=False,
            teamspace_id="",
            api_key_id=None,
            content=b"",
        )
        (outcome,) = await self.service.ledger.submit(
            organization_id, AccountUnit(organization_id, [command])
        )
        assert isinstance(outcome, Booked)

    async def send(
        self, method: str, path: str, headers: Headers, json: object = None
    ) -> httpx.Response:
        """One request, with a JSON body where there is one."""
        if json is None:
            return await self.client.request(method, path, headers=headers)
        return await self.client.request(method, path, headers=headers, json=json)


def _id_of(organization: Organization | str) -> str:
    return organization if isinstance(organization, str) else organization.id


async def sqlite_store(clock: Clock) -> Store:
    """An empty one, in memory."""
    return SqliteStore.open(":memory:", clock=clock)


@asynccontextmanager
async def world(
    *,
    limits: Limits | None = None,
    pepper: bytes | None = None,
    far: random.Random | None = None,
    opening: Opening = sqlite_store,
) -> AsyncIterator[World]:
    """A service on the empty database that `opening` opens, at `START`.

    One that is `far` from its limiter and its reader has their answers later, at random, and acts
    on what it knows of keys for a second.
    """
    clock = Clock()
    limits = limits or Limits(default=1_000)
    store = await opening(clock)
    ledger = Ledger(store)
    reader: Reader = store.reader
    limiter: Limiter = MemoryLimiter(window_ms=limits.window_ms)
    strangers: Limiter = MemoryLimiter(window_ms=limits.window_ms, capacity=ADDRESS_WINDOWS)
    if far is not None:
        reader = reader_later(reader, far)
        limiter, strangers = LaterLimiter(limiter, far), LaterLimiter(strangers, far)
    authenticator = Authenticator(
        reader,
        limits=limits,
        clock=clock,
        monotonic_ms=lambda: clock() // 1000,
        remembered_for_ms=None if far is None else 1_000,
        admin_secrets=[ADMIN_SECRET.encode()],
        pepper=pepper,
    )
    ledger.listen(authenticator.forget)
    numbers = itertools.count(1)

    def new_id(prefix: str) -> str:
        time = (clock() // 1000).to_bytes(6, "big")
        return encode_id(prefix, time + next(numbers).to_bytes(10, "big"))

    service = Service(
        ledger=ledger,
        reads=Reads(reader, clock),
        authenticator=authenticator,
        limiter=limiter,
        strangers=strangers,
        limits=limits,
        clock=clock,
        monotonic_ms=lambda: clock() // 1000,
        epoch_ms=lambda: clock() // 1000,
        new_id=new_id,
        entropy=random.Random(7).randbytes,
        pepper=pepper,
    )
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(service, OPERATIONS)),
        base_url="http://tallystick.test",
        event_hooks={"response": [DESCRIPTION.check]},
    )
    async with client:
        try:
            yield World(service=service, client=client, clock=clock, is_far=far is not None)
        finally:
            await ledger.close()


def in_world(test: Callable[Concatenate[World, P], Awaitable[None]]) -> Callable[..., None]:
    """Runs a test in a world of its own, which is its first argument.

    The world's database is what the fixture `opening` opens (`tests/conftest.py`).
    """

    def run(*args: Any, opening: Opening, **kwargs: Any) -> None:  # noqa: ANN401 - the test's own
        async def scenario() -> None:
            async with world(opening=opening) as w:
                await test(w, *args, **kwargs)

        asyncio.run(scenario())

    signature = inspect.signature(test)
    rest = list(signature.parameters.values())[1:]
    opened = inspect.Parameter("opening", inspect.Parameter.KEYWORD_ONLY)
    # pytest reads from it which arguments are fixtures.
    run.__signature__ = signature.replace(parameters=[*rest, opened])  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
