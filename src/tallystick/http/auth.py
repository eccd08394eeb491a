"""Who is asking: from the `Authorization` and `Datagrid-Teamspace` headers to a principal.

A key is looked up by the digest of its secret and compared in constant time. What was found is
remembered by digest until anything about keys, organizations or teamspaces changes; whether the key
is still valid is asked every time. What was not found is not remembered: new keys work at once. The
digest of a header that named such a key is remembered as well, as briefly as secrets are.

What is remembered cannot be made to grow by what requests name: a key that always acts in its own
teamspace is remembered once, and a teamspace that there is not is not remembered. A change replaces
the memory by an empty one, and a look-up remembers in the one that there was when it began: so what
was read before the change and found after it is not believed.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.directory import KeyLevel, Scope
from tallystick.domain.keys import secret_digest
from tallystick.http.lately import Lately
from tallystick.limits.policy import MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tallystick.domain.directory import Organization, Teamspace
    from tallystick.ledger.ports import Changes
    from tallystick.ledger.reading import Credential, Reader
    from tallystick.limits.policy import Limits

_MAX_REMEMBERED: Final = 10_000
LOCAL: Final = "local"
"""The name under which the operator beside the database acts."""


_Name = tuple[bytes, bytes | None]
"""What a principal is remembered by: the secret's digest and the teamspace named, if it counts."""


class Denied(NamedTuple):
    """Why there is no principal."""

    reason: str


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
    `valid_until` is the earlier of the key's and its secret's expiry.
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


_Memory = dict[_Name, Principal]


class Authenticator:
    """Turns secrets into principals."""

    def __init__(
        self,
        reader: Reader,
        *,
        limits: Limits,
        clock: Callable[[], int],
        admin_secrets: Sequence[bytes] = (),
        pepper: bytes | None = None,
    ) -> None:
        self._reader = reader
        self._limits = limits
        self._clock = clock
        self._pepper = pepper
        self._admin_digests = [secret_digest(secret, pepper) for secret in admin_secrets]
        self._remembered: _Memory = {}
        self.epoch: object = self._remembered
        """Another object whenever what was found before may no longer be so."""
        self._digests: Lately[bytes] = Lately()
        self.last_used: dict[tuple[str | None, str], int] = {}

    def forget(self, changes: Changes) -> None:
        """Listens to the ledger: drops what is remembered where it may have changed."""
        if changes.concern_keys():
            self.epoch = self._remembered = {}
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
            return self.check(found) or found
        return self._look_up(digest, teamspace)

    def check(self, principal: Principal) -> Denied | None:
        """Why who was found in this epoch may not act, if so; else notes that the key is used."""
        now = self._clock()
        if principal.revoked:
            return Denied("the API key was revoked")
        if principal.valid_until is not None and now >= principal.valid_until:
            return Denied("the API key has expired")
        if principal.used_as is not None:
            self.last_used[principal.used_as] = now
        return None

    def _recall(self, digest: bytes, teamspace: bytes | None) -> Principal | None:
        found = self._remembered.get((digest, teamspace))
        if found is None and teamspace is not None:
            found = self._remembered.get((digest, None))
            if found is not None and found.level is KeyLevel.ACCOUNT:
                return None
        return found

    def _look_up(
        self, digest: bytes, teamspace: bytes | None
    ) -> Principal | Denied | Awaitable[Principal | Denied]:
        memory, name = self._remembered, (digest, teamspace)
        if any(hmac.compare_digest(digest, admin) for admin in self._admin_digests):
            return self._remember(memory, name, self._operator("admin", "admin"))
        found = self._reader.credential(digest)
        if found is None:
            return self._found(memory, name, None, None)
        if not isinstance(found, tuple) or _names_another(found, teamspace):
            return self._look_up_later(memory, name, found)
        return self._found(memory, name, found, None)

    async def _look_up_later(
        self, memory: _Memory, name: _Name, found: Credential | Awaitable[Credential | None]
    ) -> Principal | Denied:
        credential = found if isinstance(found, tuple) else await found
        elsewhere = None
        if credential is not None and _names_another(credential, name[1]):
            elsewhere = await self._reader.teamspace(
                credential.key.organization_id or "", (name[1] or b"").decode("latin-1")
            )
        return self._found(memory, name, credential, elsewhere)

    def _found(
        self,
        memory: _Memory,
        name: _Name,
        credential: Credential | None,
        elsewhere: Teamspace | None,
    ) -> Principal | Denied:
        if credential is None or not hmac.compare_digest(name[0], credential.secret.hash):
            return Denied("the API key is not known")
        if credential.organization is None:
            principal = self._operator(credential.key.id, credential.key.name)
        else:
            principal = self._tenant(credential, elsewhere)
            principal.foreign_teamspace = elsewhere is None and _names_another(credential, name[1])
        principal.revoked = credential.key.revoked_at is not None
        ends = (credential.key.expires_at, credential.secret.expires_at)
        principal.valid_until = min((end for end in ends if end is not None), default=None)
        return self._remember(memory, name, principal)

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

    def _remember(self, memory: _Memory, name: _Name, principal: Principal) -> Principal | Denied:
        if len(memory) >= _MAX_REMEMBERED:
            memory.clear()
        if principal.level is KeyLevel.ORGANIZATION:
            memory[name[0], None] = principal
        elif not principal.foreign_teamspace:
            memory[name] = principal
        return self.check(principal) or principal

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


def _names_another(credential: Credential, teamspace: bytes | None) -> bool:
    """Whether the request names a teamspace other than the key's, and the key may do so."""
    return (
        teamspace is not None
        and credential.key.level is KeyLevel.ACCOUNT
        and teamspace.decode("latin-1") != credential.key.teamspace_id
    )
