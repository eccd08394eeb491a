"""Changes to who is who: organizations, teamspaces and keys, as units of a batch.

They pass through the same batches as usage, so a new organization and its first entries, or a
changed plan and the name beside it, are written together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.account import open_account
from tallystick.domain.commands import AccountStatus, Changed, ChangePlan, SetStatus
from tallystick.domain.decide import changed
from tallystick.domain.directory import ApiKey, Organization, Secret, Teamspace
from tallystick.domain.errors import Refusal
from tallystick.domain.periods import InvalidSchedule, Schedule
from tallystick.ledger.units import NoSuchOrganization, decide_one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tallystick.domain.account import Account
    from tallystick.domain.directory import Access, CloudProvider
    from tallystick.domain.plans import Plan
    from tallystick.ledger.ports import Wanted
    from tallystick.ledger.work import Work


class OrganizationState(NamedTuple):
    """An organization with its terms; `duplicate` where it had been created before."""

    organization: Organization
    terms: Changed
    duplicate: bool = False


class ExternalIdTaken(NamedTuple):
    """Another organization, or one created with other content, has this `external_id`."""

    external_id: str


class ScheduleRefused(NamedTuple):
    """The parts of the present schedule and the given ones make none together."""

    message: str


class NoSuchTeamspace(NamedTuple):
    teamspace_id: str


class NoSuchKey(NamedTuple):
    key_id: str


class KeyEnded(NamedTuple):
    """The key is revoked or has expired: it cannot be rotated."""

    key: ApiKey


class ExpiresTooEarly(NamedTuple):
    """The new key would have expired before it was made."""


class SecretTaken(NamedTuple):
    """A key with this secret exists already."""


class _Single:
    """What all these units have in common: each counts as one event."""

    __slots__ = ()

    @property
    def weight(self) -> int:
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOrganization(_Single):
    organization_id: str
    teamspace_id: str
    name: str
    external_id: str | None
    plan: Plan
    rate_limits: Mapping[str, int]
    usage_dimensions: tuple[str, ...] = ()
    content: bytes

    def wants(self, wanted: Wanted) -> None:
        if self.external_id is not None:
            wanted.external_ids.add(self.external_id)

    def decide(self, work: Work) -> OrganizationState | ExternalIdTaken:
        if self.external_id in work.snapshot.by_external_id:
            return self._seen_before(work, work.snapshot.by_external_id[self.external_id])
        now = work.snapshot.now
        account, entries = open_account(self.organization_id, self.plan, now)
        work.open(account, entries)
        organization = Organization(
            id=self.organization_id,
            name=self.name,
            external_id=self.external_id,
            default_teamspace_id=self.teamspace_id,
            rate_limits=self.rate_limits,
            usage_dimensions=self.usage_dimensions,
            content=self.content,
            created_at=now,
        )
        _put_organization(work, organization)
        _put_teamspace(
            work,
            Teamspace(
                organization_id=self.organization_id,
                id=self.teamspace_id,
                name="Default",
                created_at=now,
            ),
        )
        return OrganizationState(organization, changed(account))

    def _seen_before(self, work: Work, first: str) -> OrganizationState | ExternalIdTaken:
        organization = work.snapshot.organizations[first]
        account = work.account(first)
        if account is None or organization.content != self.content:
            return ExternalIdTaken(self.external_id or "")
        return OrganizationState(organization, changed(account), duplicate=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOrganization(_Single):
    """New name, limits, terms or status; None leaves as it is.

    `reschedule` makes the new schedule out of the present one, under the lock, so that of two
    changes to different parts neither is lost. A change of terms and one of status are never
    given together, so a refusal leaves nothing half done.
    """

    organization_id: str
    name: str | None = None
    rate_limits: Mapping[str, int] | None = None
    usage_dimensions: tuple[str, ...] | None = None
    plan: ChangePlan | None = None
    reschedule: Callable[[Schedule], Schedule] | None = None
    status: AccountStatus | None = None

    def wants(self, wanted: Wanted) -> None:
        wanted.organizations.add(self.organization_id)

    def decide(
        self, work: Work
    ) -> OrganizationState | NoSuchOrganization | ScheduleRefused | Refusal:
        account = work.account(self.organization_id)
        organization = work.snapshot.organizations.get(self.organization_id)
        if account is None or organization is None:
            return NoSuchOrganization(self.organization_id)
        try:
            command = self._command(account)
        except InvalidSchedule as error:
            return ScheduleRefused(str(error))
        if command is not None:
            outcome = decide_one(work, account, command)
            if isinstance(outcome, Refusal):
                return outcome
        after = replace(
            organization,
            name=organization.name if self.name is None else self.name,
            rate_limits=(
                organization.rate_limits if self.rate_limits is None else self.rate_limits
            ),
            usage_dimensions=(
                organization.usage_dimensions
                if self.usage_dimensions is None
                else self.usage_dimensions
            ),
        )
        if after != organization:
            _put_organization(work, after)
        return OrganizationState(after, changed(account))

    def _command(self, account: Account) -> ChangePlan | SetStatus | None:
        if self.status is not None:
            return SetStatus(status=self.status)
        if self.plan is None or self.reschedule is None:
            return self.plan
        return replace(self.plan, schedule=self.reschedule(changed(account).plan.schedule))


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTeamspace(_Single):
    organization_id: str
    teamspace_id: str
    name: str
    access: Access
    cloud_provider: CloudProvider

    def wants(self, wanted: Wanted) -> None:
        wanted.organizations.add(self.organization_id)

    def decide(self, work: Work) -> Teamspace | NoSuchOrganization:
        if self.organization_id not in work.snapshot.organizations:
            return NoSuchOrganization(self.organization_id)
        teamspace = Teamspace(
            organization_id=self.organization_id,
            id=self.teamspace_id,
            name=self.name,
            access=self.access,
            cloud_provider=self.cloud_provider,
            created_at=work.snapshot.now,
        )
        _put_teamspace(work, teamspace)
        return teamspace


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTeamspace(_Single):
    """None leaves as it is."""

    organization_id: str
    teamspace_id: str
    name: str | None = None
    access: Access | None = None
    cloud_provider: CloudProvider | None = None
    rate_limits: Mapping[str, int] | None = None

    def wants(self, wanted: Wanted) -> None:
        wanted.organizations.add(self.organization_id)
        wanted.teamspaces.add((self.organization_id, self.teamspace_id))

    def decide(self, work: Work) -> Teamspace | NoSuchTeamspace:
        before = work.snapshot.teamspaces.get((self.organization_id, self.teamspace_id))
        if before is None:
            return NoSuchTeamspace(self.teamspace_id)
        after = replace(
            before,
            name=before.name if self.name is None else self.name,
            access=self.access or before.access,
            cloud_provider=self.cloud_provider or before.cloud_provider,
            rate_limits=before.rate_limits if self.rate_limits is None else self.rate_limits,
        )
        if after != before:
            _put_teamspace(work, after)
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey(_Single):
    """`key` lacks its time of creation and, where it is to be the default one, its teamspace."""

    key: ApiKey
    digest: bytes

    def wants(self, wanted: Wanted) -> None:
        wanted.secrets.add(self.digest)
        if self.key.organization_id is not None:
            wanted.organizations.add(self.key.organization_id)
            if self.key.teamspace_id is not None:
                wanted.teamspaces.add((self.key.organization_id, self.key.teamspace_id))

    def decide(
        self, work: Work
    ) -> ApiKey | NoSuchOrganization | NoSuchTeamspace | ExpiresTooEarly | SecretTaken:
        key = replace(self.key, created_at=work.snapshot.now)
        if key.organization_id is not None:
            organization = work.snapshot.organizations.get(key.organization_id)
            if organization is None:
                return NoSuchOrganization(key.organization_id)
            key = replace(key, teamspace_id=key.teamspace_id or organization.default_teamspace_id)
            if self.key.teamspace_id is not None and not _has_teamspace(work, key):
                return NoSuchTeamspace(self.key.teamspace_id)
        if not key.is_valid(key.created_at):
            return ExpiresTooEarly()
        if self.digest in work.snapshot.secrets:
            return SecretTaken()
        _put_key(work, key)
        _put_secret(
            work, Secret(hash=self.digest, organization_id=key.organization_id, key_id=key.id)
        )
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKey(_Single):
    """Gives a key a new secret; the old ones work for `overlap` microseconds more."""

    organization_id: str | None
    key_id: str
    digest: bytes
    overlap: int

    def wants(self, wanted: Wanted) -> None:
        if self.organization_id is not None:
            wanted.organizations.add(self.organization_id)
        wanted.keys.add((self.organization_id, self.key_id))
        wanted.secrets_of.add((self.organization_id, self.key_id))

    def decide(self, work: Work) -> ApiKey | NoSuchKey | KeyEnded:
        name = (self.organization_id, self.key_id)
        key = work.snapshot.keys.get(name)
        if key is None:
            return NoSuchKey(self.key_id)
        if not key.is_valid(work.snapshot.now):
            return KeyEnded(key)
        for secret in work.snapshot.secrets_of.get(name, ()):
            _end_secret(work, secret, work.snapshot.now + self.overlap)
        key = replace(key, imported=False)
        _put_key(work, key)
        _put_secret(
            work, Secret(hash=self.digest, organization_id=self.organization_id, key_id=self.key_id)
        )
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(_Single):
    organization_id: str | None
    key_id: str

    def wants(self, wanted: Wanted) -> None:
        if self.organization_id is not None:
            wanted.organizations.add(self.organization_id)
        wanted.keys.add((self.organization_id, self.key_id))

    def decide(self, work: Work) -> ApiKey | NoSuchKey:
        key = work.snapshot.keys.get((self.organization_id, self.key_id))
        if key is None:
            return NoSuchKey(self.key_id)
        if key.revoked_at is None:
            key = replace(key, revoked_at=work.snapshot.now)
            _put_key(work, key)
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping(_Single):
    """Notes when keys were last used and forgets replays that no longer count."""

    keys_used: Mapping[tuple[str | None, str], int]
    forget_replays_before: int | None = None

    def wants(self, wanted: Wanted) -> None:
        """Nothing: it overwrites without looking."""

    def decide(self, work: Work) -> None:
        work.changes.keys_used.update(self.keys_used)
        work.changes.forget_replays_before = self.forget_replays_before


def _end_secret(work: Work, secret: Secret, ends_at: int) -> None:
    """Lets a secret work until `ends_at` at most; one that works no more is dropped."""
    if secret.expires_at is not None and secret.expires_at <= work.snapshot.now:
        _drop_secret(work, secret)
    elif secret.expires_at is None or secret.expires_at > ends_at:
        _put_secret(work, replace(secret, expires_at=ends_at))


def _drop_secret(work: Work, secret: Secret) -> None:
    work.changes.secrets.pop(secret.hash, None)
    work.changes.dropped_secrets.add(secret.hash)
    work.snapshot.secrets.pop(secret.hash, None)
    name = (secret.organization_id, secret.key_id)
    others = [one for one in work.snapshot.secrets_of.get(name, ()) if one.hash != secret.hash]
    work.snapshot.secrets_of[name] = tuple(others)


def _has_teamspace(work: Work, key: ApiKey) -> bool:
    return (key.organization_id, key.teamspace_id) in work.snapshot.teamspaces


def _put_organization(work: Work, organization: Organization) -> None:
    work.snapshot.organizations[organization.id] = organization
    work.changes.organizations[organization.id] = organization
    if organization.external_id is not None:
        work.snapshot.by_external_id[organization.external_id] = organization.id


def _put_teamspace(work: Work, teamspace: Teamspace) -> None:
    name = (teamspace.organization_id, teamspace.id)
    work.snapshot.teamspaces[name] = work.changes.teamspaces[name] = teamspace


def _put_key(work: Work, key: ApiKey) -> None:
    name = (key.organization_id, key.id)
    work.snapshot.keys[name] = work.changes.keys[name] = key


def _put_secret(work: Work, secret: Secret) -> None:
    work.snapshot.secrets[secret.hash] = work.changes.secrets[secret.hash] = secret
    name = (secret.organization_id, secret.key_id)
    others = [one for one in work.snapshot.secrets_of.get(name, ()) if one.hash != secret.hash]
    work.snapshot.secrets_of[name] = (*others, secret)
