"""Who is asking: from the `Authorization` and `Datagrid-Teamspace` headers to a principal.

A key is looked up by the digest of its secret and compared in constant time. What was found is
remembered by digest until anything about keys, organizations or teamspaces changes; whether the key
is still valid is asked every time. What was not found is not remembered: new keys work at once. The
digest of a header that named such a key is remembered as well, as briefly as secrets are.

What is remembered cannot be made to grow by what requests name: a key that always acts in its own
teamspace is remembered once, and a teamspace that there is not is not remembered. A change replaces
the memory by an empty one, and a look-up remembers in the one that there was when it began: so what
was read before the change and found after it is not believed.

*Other nodes.* Of what they change, nothing is told here. So where there are any, what was read is
believed for `remembered_for_ms`, counted from before it was asked for, by the monotonic clock at
the very request: a timer may be late, and a process may have been stopped. It ends for each key by
itself, and in the second half of that time the first request that needs it asks ahead, while
memory answers: so who comes all the time never waits, and keys that were read together are not
asked for together again, for each has its own share of that half. A look-up that fails leaves what
is believed as it is, and never longer: after that it is the request that asks, and fails.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.directory import KeyLevel, Scope
from tallystick.domain.keys import secret_digest
from tallystick.http.lately import Lately
from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.pending import Pending
from tallystick.ledger.ports import StoreError, StoreUnavailable
from tallystick.limits.policy import MAX_LIMIT

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable, Sequence

    from tallystick.domain.directory import Organization, Teamspace
    from tallystick.ledger.ports import Changes
    from tallystick.ledger.reading import Credential, Reader
    from tallystick.limits.policy import Limits

_MAX_REMEMBERED: Final = 10_000
_LONG_AGO: Final = -(1 << 63)
LOCAL: Final = "local"
"""The name under which the operator beside the database acts."""


_Name = tuple[bytes, bytes | None]
"""What a principal is remembered by: the secret's digest and the teamspace named, if it counts."""


class Denied(NamedTuple):
    """Why there is no principal."""

    reason: str


STALE: Final = Denied("the API key has to be looked up again")
"""Of who was found too long ago to be believed: no answer, but a look-up is due."""


class Admission(NamedTuple):
    """How a principal is admitted to an operation: the limiter's key, the limit, and whether the
    scope is theirs."""

    window: tuple[str, str]
    limit: int
    may_call: bool


@dataclass(slots=True, kw_only=True)
class Principal:
    """Who acts, where, and what they may do.

    `foreign_teamspace`: the request named a teamspace that the key's organization does not have.
    `valid_until` is the earlier of the key's and its secret's expiry. Where other nodes may change
    it, it is believed until `believed_until_ms` of the monotonic clock, and asked for again from
    `look_again_ms` on.
    """

    key_id: str
    key_name: str
    organization_id: str = ""
    teamspace_id: str = ""
    home_teamspace_id: str = ""
    level: KeyLevel = KeyLevel.ORGANIZATION
    scopes: frozenset[Scope] = frozenset()
    is_operator: bool = False
    is_local: bool = False
    foreign_teamspace: bool = False
    valid_until: int | None = None
    revoked: bool = False
    name: _Name = (b"", None)
    """What it is remembered by."""
    look_again_ms: int = 0
    believed_until_ms: int | None = None
    may_end: bool = False
    """Whether there is more to check than that it was found: without a change that is told of here,
    it can end, or has."""
    limit_of: Callable[[str], int]
    admissions: dict[str, Admission] = field(default_factory=dict)
    """By operation, as the gate found them: what a principal is does not change."""
    used_as: tuple[str | None, str] | None = field(init=False)
    """Under which organization and key it is noted that the key was used."""

    def __post_init__(self) -> None:
        self.used_as = None if self.is_local else (self.organization_id or None, self.key_id)

    @property
    def api_key_id(self) -> str | None:
        """How entries name the key; the local operator has none."""
        return None if self.is_local else self.key_id

    @property
    def acting_for(self) -> str | None:
        """The teamspace whose holds and events it may change; None: those of the organization."""
        if self.is_operator or self.level is KeyLevel.ACCOUNT:
            return None
        return self.teamspace_id


class _Memory:
    """Principals by name. When the younger half is full, the elder is forgotten, all but those of
    it that were asked for meanwhile."""

    __slots__ = ("elder", "younger")

    def __init__(self) -> None:
        self.younger: dict[_Name, Principal] = {}
        self.elder: dict[_Name, Principal] = {}

    def get(self, name: _Name) -> Principal | None:
        found = self.younger.get(name)
        if found is None and self.elder:
            found = self.elder.pop(name, None)
            if found is not None:
                self._put(name, found)
        return found

    def replace(self, name: _Name, principal: Principal) -> None:
        self.drop(name)
        self._put(name, principal)

    def drop(self, name: _Name) -> None:
        """Whoever holds by now what stood there looks again."""
        before = self.younger.pop(name, None) or self.elder.pop(name, None)
        if before is not None:
            before.believed_until_ms = before.look_again_ms = _LONG_AGO
            before.may_end = True

    def _put(self, name: _Name, principal: Principal) -> None:
        if len(self.younger) >= _MAX_REMEMBERED // 2:
            self.elder, self.younger = self.younger, {}
        self.younger[name] = principal


class _Asking(NamedTuple):
    """A look-up: what it will be remembered in and by, and when it began."""

    memory: _Memory
    name: _Name
    asked_ms: int


class Authenticator:
    """Turns secrets into principals.

    `remembered_for_ms`: None where this process is the only one that writes; otherwise how long,
    in milliseconds of `monotonic_ms`, it may act on what it has read.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        limits: Limits,
        clock: Callable[[], int],
        monotonic_ms: Callable[[], int],
        remembered_for_ms: int | None = None,
        admin_secrets: Sequence[bytes] = (),
        pepper: bytes | None = None,
    ) -> None:
        self._reader = reader
        self._limits = limits
        self._clock = clock
        self._monotonic_ms = monotonic_ms
        self._remembered_for_ms = remembered_for_ms
        self._pepper = pepper
        self._admin_digests = [secret_digest(secret, pepper) for secret in admin_secrets]
        self._remembered = _Memory()
        self.epoch: object = self._remembered
        """Another object whenever what was found before may no longer be so."""
        self._digests: Lately[bytes] = Lately()
        self.last_used: dict[tuple[str | None, str], int] = {}
        self._looking_again: set[Future[None]] = set()

    def forget(self, changes: Changes) -> None:
        """Listens to the ledger: drops what is remembered where it may have changed."""
        if changes.concern_keys():
            self.epoch = self._remembered = _Memory()
            self._digests.clear()

    def second_passed(self) -> None:
        """Called once a second."""
        self._digests.second_passed()

    def digest(self, secret: bytes) -> bytes:
        return secret_digest(secret, self._pepper)

    def identify(
        self, authorization: bytes | None, teamspace: bytes | None
    ) -> Principal | Denied | Awaitable[Principal | Denied]:
        """The principal of a request, or why there is none."""
        if authorization is None:
            return Denied("the Authorization header is missing")
        if authorization[:7].lower() != b"bearer ":
            return Denied("the Authorization header is not of the form 'Bearer <key>'")
        known = self._digests.get(authorization)
        digest = known or secret_digest(authorization[7:].strip(b" \t"), self._pepper)
        found = self._recall(digest, teamspace)
        if found is not None:
            if known is None:
                self._digests.put(authorization, digest)
            denied = self.check(found)
            if denied is not STALE:
                return denied or found
        return self._look_up(digest, teamspace)

    def check(self, principal: Principal) -> Denied | None:
        """Why who was found in this epoch may not act, if so; else notes that the key is used."""
        now = self._clock()
        if principal.may_end:
            denied = self._has_ended(principal, now)
            if denied is not None:
                return denied
        if principal.used_as is not None:
            self.last_used[principal.used_as] = now
        return None

    def _has_ended(self, principal: Principal, now: int) -> Denied | None:
        if principal.believed_until_ms is not None:
            now_ms = self._monotonic_ms()
            if now_ms >= principal.believed_until_ms:
                return STALE
            if now_ms >= principal.look_again_ms:
                self._look_again(principal)
        if principal.revoked:
            return Denied("the API key was revoked")
        if principal.valid_until is not None and now >= principal.valid_until:
            return Denied("the API key has expired")
        return None

    def believes(self, principal: Principal) -> bool:
        """Whether what was read of the principal may still be acted on."""
        until_ms = principal.believed_until_ms
        return until_ms is None or self._monotonic_ms() < until_ms

    def _recall(self, digest: bytes, teamspace: bytes | None) -> Principal | None:
        memory = self._remembered
        found = memory.younger.get((digest, teamspace)) or memory.get((digest, teamspace))
        if found is None and teamspace is not None:
            found = memory.get((digest, None))
            if found is not None and found.level is KeyLevel.ACCOUNT:
                return None
        return found

    def _look_again(self, principal: Principal) -> None:
        """Asks ahead, once."""
        principal.look_again_ms = principal.believed_until_ms or 0
        with suppress(StoreError, Overloaded):
            found = self._look_up(*principal.name)
            if not isinstance(found, Principal | Denied):
                looking = asyncio.ensure_future(_ended(found))
                self._looking_again.add(looking)
                looking.add_done_callback(self._looking_again.discard)

    def _look_up(
        self, digest: bytes, teamspace: bytes | None
    ) -> Principal | Denied | Awaitable[Principal | Denied]:
        asking = _Asking(self._remembered, (digest, teamspace), self._monotonic_ms())
        if any(hmac.compare_digest(digest, admin) for admin in self._admin_digests):
            return self._remember(asking, self._operator("admin", "admin"))
        found = self._reader.credential(digest)
        if found is None or isinstance(found, tuple):
            return self._read(asking, found)
        pending: Pending[Principal | Denied] = Pending(found, partial(self._read, asking))
        return pending

    def _read(
        self, asking: _Asking, credential: Credential | None
    ) -> Principal | Denied | Awaitable[Principal | Denied]:
        if credential is not None and _names_another(credential, asking.name[1]):
            return self._read_teamspace(asking, credential)
        return self._found(asking, credential, None)

    async def _read_teamspace(self, asking: _Asking, credential: Credential) -> Principal | Denied:
        elsewhere = await self._reader.teamspace(
            credential.key.organization_id or "", (asking.name[1] or b"").decode("latin-1")
        )
        return self._found(asking, credential, elsewhere)

    def _found(
        self, asking: _Asking, credential: Credential | None, elsewhere: Teamspace | None
    ) -> Principal | Denied:
        name = asking.name
        if credential is None or not hmac.compare_digest(name[0], credential.secret.hash):
            asking.memory.drop(name)
            return Denied("the API key is not known")
        if credential.organization is None:
            principal = self._operator(credential.key.id, credential.key.name)
        else:
            principal = self._tenant(credential, elsewhere)
            principal.foreign_teamspace = elsewhere is None and _names_another(credential, name[1])
        principal.revoked = credential.key.revoked_at is not None
        ends = (credential.key.expires_at, credential.secret.expires_at)
        principal.valid_until = min((end for end in ends if end is not None), default=None)
        principal.may_end = principal.revoked or principal.valid_until is not None
        if self._remembered_for_ms is not None:
            self._doubt(principal, asking, self._remembered_for_ms)
        return self._remember(asking, principal)

    def _doubt(self, principal: Principal, asking: _Asking, lasts_ms: int) -> None:
        """It is asked for again after half to three quarters of the time; each key has its own."""
        principal.look_again_ms = asking.asked_ms + lasts_ms * (512 + asking.name[0][0]) // 1024
        principal.believed_until_ms = asking.asked_ms + lasts_ms
        principal.may_end = True

    def _tenant(self, credential: Credential, elsewhere: Teamspace | None) -> Principal:
        key, organization, home = credential.key, credential.organization, credential.teamspace
        if organization is None or home is None:
            raise LookupError(f"key {key.id} has no teamspace")
        acting_in = elsewhere or home
        return Principal(
            key_id=key.id,
            key_name=key.name,
            organization_id=organization.id,
            teamspace_id=acting_in.id,
            home_teamspace_id=home.id,
            level=key.level,
            scopes=frozenset(key.scopes),
            limit_of=lambda operation: self._limits.resolve(
                operation, organization.rate_limits, acting_in.rate_limits
            ),
        )

    def _operator(self, key_id: str, name: str) -> Principal:
        return Principal(
            key_id=key_id,
            key_name=name,
            is_operator=True,
            limit_of=lambda operation: self._limits.resolve(operation, {}, {}),
        )

    def _remember(self, asking: _Asking, principal: Principal) -> Principal | Denied:
        digest, teamspace = asking.name
        principal.name = (digest, None if principal.level is KeyLevel.ORGANIZATION else teamspace)
        denied = self.check(principal)
        if denied is STALE:
            # That says nothing of the key.
            raise StoreUnavailable(f"it took {self._remembered_for_ms} ms to look up an API key")
        if principal.foreign_teamspace:
            asking.memory.drop(principal.name)
        else:
            asking.memory.replace(principal.name, principal)
        return denied or principal

    def local(self, organization: Organization | None) -> Principal:
        """The operator beside the database, who may act for any organization, without limit."""
        return Principal(
            key_id=LOCAL,
            key_name=LOCAL,
            organization_id="" if organization is None else organization.id,
            teamspace_id="" if organization is None else organization.default_teamspace_id,
            home_teamspace_id="" if organization is None else organization.default_teamspace_id,
            scopes=frozenset(Scope),
            is_operator=True,
            is_local=True,
            limit_of=lambda _: MAX_LIMIT,
        )


async def _ended(looking: Awaitable[object]) -> None:
    """Waits for a look-up that nobody needs."""
    with suppress(StoreError, Overloaded):
        await looking


def _names_another(credential: Credential, teamspace: bytes | None) -> bool:
    """Whether the request names a teamspace other than the key's, and the key may do so."""
    return (
        teamspace is not None
        and credential.key.level is KeyLevel.ACCOUNT
        and teamspace.decode("latin-1") != credential.key.teamspace_id
    )
