"""Who is who: organizations, their teamspaces and the API keys that act for them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Scope(enum.StrEnum):
    CREDITS_READ = "credits:read"
    USAGE_WRITE = "usage:write"
    HOLDS_WRITE = "holds:write"
    TEAMSPACES_WRITE = "teamspaces:write"
    WEBHOOKS_WRITE = "webhooks:write"


DEFAULT_SCOPES: Final = (Scope.CREDITS_READ, Scope.USAGE_WRITE, Scope.HOLDS_WRITE)


class KeyLevel(enum.StrEnum):
    ORGANIZATION = "organization"
    """Always acts in the teamspace it was made in."""
    ACCOUNT = "account"
    """Acts in the teamspace that a request names, or in its own."""


class Access(enum.StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class CloudProvider(enum.StrEnum):
    AWS = "aws"
    GCP = "gcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """`content` is the digest of what created it: it tells a repeat from a clash.

    `usage_dimensions` are the dimensions by which statistics of usage can be grouped.
    """

    id: str
    name: str
    external_id: str | None
    default_teamspace_id: str
    rate_limits: Mapping[str, int] = field(default_factory=dict)
    usage_dimensions: tuple[str, ...] = ()
    content: bytes
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Teamspace:
    organization_id: str
    id: str
    name: str
    access: Access = Access.OPEN
    cloud_provider: CloudProvider = CloudProvider.GCP
    rate_limits: Mapping[str, int] = field(default_factory=dict)
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret. An operator's key has no organization, teamspace or scopes."""

    id: str
    organization_id: str | None
    teamspace_id: str | None
    name: str
    level: KeyLevel = KeyLevel.ORGANIZATION
    scopes: tuple[Scope, ...] = ()
    imported: bool = False
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    @property
    def is_operator(self) -> bool:
        return self.organization_id is None

    def is_valid(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What a key can be recognised by; after a rotation the old one lives until `expires_at`."""

    hash: bytes
    organization_id: str | None
    key_id: str
    expires_at: int | None = None
