"""Rows and what they stand for: the one place that knows in which order columns come.

The SQL of every dialect names columns in these orders. Operators' keys have no organization; in
rows theirs is `''`, so that it can be part of a key.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tallystick.domain.account import Account
from tallystick.domain.commands import AccountStatus
from tallystick.domain.dimensions import KeptDimensions
from tallystick.domain.directory import (
    Access,
    ApiKey,
    CloudProvider,
    KeyLevel,
    Organization,
    Scope,
    Secret,
    Teamspace,
)
from tallystick.domain.entries import GENESIS, Entry, EntryKind, Sealed, canonical_json
from tallystick.domain.grants import Drawn, Grant, GrantKind, GrantStatus
from tallystick.domain.plans import Plan
from tallystick.domain.replay import Standing
from tallystick.ledger.ports import PeriodRow, Replay, ReplayKey
from tallystick.ledger.reading import Credential

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = tuple[Any, ...]

NO_ORGANIZATION: Final = ""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode_drawn = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode
_decode_standing = msgspec.json.Decoder(Standing).decode
_decode_limits = msgspec.json.Decoder(dict[str, int]).decode
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_dimensions = msgspec.json.Decoder(dict[str, str]).decode
_decode_scopes = msgspec.json.Decoder(tuple[Scope, ...]).decode
_KINDS: Final = {str(kind): kind for kind in EntryKind}
_NOTHING_DRAWN: Final = "[]"


def scope_of(organization_id: str | None) -> str:
    """How rows name an organization, or none."""
    return NO_ORGANIZATION if organization_id is None else organization_id


# Many accounts have equal plans, and one account has the same plan in batch after batch.
@lru_cache(maxsize=4096)
def _plan_from(text: str) -> Plan:
    return Plan.from_facts(json.loads(text))


@lru_cache(maxsize=4096)
def _plan_text(plan: Plan) -> str:
    return canonical_json(plan.to_facts())


def account_from(row: Sequence[Any]) -> Account:
    """An account without its grants."""
    return Account(
        organization_id=row[0],
        status=AccountStatus(row[1]),
        plan=_plan_from(row[2]),
        next_plan=None if row[3] is None else _plan_from(row[3]),
        period_index=row[4],
        period_start=row[5],
        period_end=row[6],
        allowance_grant_id=row[7],
        remaining=row[8],
        consumed=row[9],
        overage=row[10],
        held=row[11],
        pending=row[12],
        sequence=row[13],
        head=row[14],
        advanced_to=row[15],
        next_due_at=row[16],
    )


def account_row(account: Account) -> Row:
    return (
        account.organization_id,
        account.status,
        _plan_text(account.plan),
        None if account.next_plan is None else _plan_text(account.next_plan),
        account.period_index,
        account.period_start,
        account.period_end,
        account.allowance_grant_id,
        account.remaining,
        account.consumed,
        account.overage,
        account.held,
        account.pending,
        account.sequence,
        account.head,
        account.advanced_to,
        account.next_due_at,
    )


def moved_account_row(account: Account) -> Row:
    """What changes of an account while its terms and its period stay."""
    return (
        account.organization_id,
        account.remaining,
        account.consumed,
        account.overage,
        account.held,
        account.pending,
        account.sequence,
        account.head,
        account.advanced_to,
    )


def grant_from(row: Sequence[Any]) -> Grant:
    """A grant; the row begins with its organization."""
    return Grant(
        id=row[1],
        kind=GrantKind(row[2]),
        amount=row[3],
        remaining=row[4],
        held=row[5],
        priority=row[6],
        effective_at=row[7],
        expires_at=row[8],
        status=GrantStatus(row[9]),
        issued=row[10],
        reference=row[11],
        created_at=row[12],
    )


def grant_row(organization_id: str, grant: Grant) -> Row:
    return (
        organization_id,
        grant.id,
        grant.kind,
        grant.amount,
        grant.remaining,
        grant.held,
        grant.priority,
        grant.effective_at,
        grant.expires_at,
        grant.status,
        grant.issued,
        grant.reference,
        grant.created_at,
    )


def entry_from(row: Sequence[Any]) -> Entry:
    """An entry from its 19 columns, in the order of its fields."""
    # Past the constructor, which is a function of Python's: every entry comes by here.
    return tuple.__new__(Entry, (*row[:2], _KINDS[row[2]], row[3], drawn_from(row[4]), *row[5:19]))


def drawn_from(text: str) -> Drawn:
    return () if text == _NOTHING_DRAWN else _decode_drawn(text)


def drawn_text(drawn: Drawn) -> str:
    return _encode(drawn).decode() if drawn else _NOTHING_DRAWN


def dimensions_from(row: Sequence[Any]) -> KeptDimensions | None:
    """What is kept of an event's dimensions; None where the event has none (all columns NULL)."""
    text, salt, digest, counted, erased_at = row
    if digest is None:
        return None
    dimensions = None if text is None else _decode_dimensions(text)
    return KeptDimensions(dimensions, salt, digest, _decode_names(counted), erased_at)


def dimensions_row(organization_id: str, sequence: int, kept: KeptDimensions) -> Row:
    text = None if kept.dimensions is None else canonical_json(kept.dimensions)
    counted = _encode(kept.counted).decode()
    return (organization_id, sequence, text, kept.salt, kept.digest, counted, kept.erased_at)


def sealed_from(row: Sequence[Any]) -> Sealed:
    """An entry, the hash of the row before (None: there is none), its own hash."""
    return Sealed(entry_from(row), GENESIS if row[19] is None else row[19], row[20])


def sealed_row(sealed: Sealed) -> Row:
    """The entry's columns and its hash; the hash before it stands in the row before."""
    entry = sealed.entry
    return (*entry[:4], drawn_text(entry.drawn), *entry[5:], sealed.hash)


def milestone_from(row: Sequence[Any]) -> Standing:
    return _decode_standing(row[0])


def milestone_row(organization_id: str, standing: Standing) -> Row:
    return (organization_id, standing.sequence, _encode(standing).decode())


def period_from(row: Sequence[Any]) -> PeriodRow:
    return PeriodRow(*row)


def period_row(period: PeriodRow) -> Row:
    return (
        period.organization_id,
        period.index,
        period.start,
        period.end,
        period.timezone,
        period.allowance,
        period.sequence,
    )


def organization_from(row: Sequence[Any]) -> Organization:
    return Organization(
        id=row[0],
        name=row[1],
        external_id=row[2],
        default_teamspace_id=row[3],
        rate_limits=_decode_limits(row[4]),
        content=row[5],
        created_at=row[6],
        usage_dimensions=_decode_names(row[7]),
    )


def organization_row(organization: Organization) -> Row:
    return (
        organization.id,
        organization.name,
        organization.external_id,
        organization.default_teamspace_id,
        _encode(dict(organization.rate_limits)).decode(),
        organization.content,
        organization.created_at,
        _encode(organization.usage_dimensions).decode(),
    )


def teamspace_from(row: Sequence[Any]) -> Teamspace:
    return Teamspace(
        organization_id=row[0],
        id=row[1],
        name=row[2],
        access=Access(row[3]),
        cloud_provider=CloudProvider(row[4]),
        rate_limits=_decode_limits(row[5]),
        created_at=row[6],
    )


def teamspace_row(teamspace: Teamspace) -> Row:
    return (
        teamspace.organization_id,
        teamspace.id,
        teamspace.name,
        teamspace.access,
        teamspace.cloud_provider,
        _encode(dict(teamspace.rate_limits)).decode(),
        teamspace.created_at,
    )


def key_from(row: Sequence[Any]) -> ApiKey:
    return ApiKey(
        id=row[0],
        organization_id=row[1] or None,
        teamspace_id=row[2],
        name=row[3],
        level=KeyLevel(row[4]),
        scopes=_decode_scopes(row[5]),
        imported=bool(row[6]),
        created_at=row[7],
        expires_at=row[8],
        revoked_at=row[9],
        last_used_at=row[10],
    )


def key_row(key: ApiKey) -> Row:
    return (
        key.id,
        scope_of(key.organization_id),
        key.teamspace_id,
        key.name,
        key.level,
        _encode(key.scopes).decode(),
        key.imported,
        key.created_at,
        key.expires_at,
        key.revoked_at,
        key.last_used_at,
    )


def secret_from(row: Sequence[Any]) -> Secret:
    return Secret(hash=row[0], organization_id=row[1] or None, key_id=row[2], expires_at=row[3])


def credential_from(row: Sequence[Any]) -> Credential:
    """A secret with its key, and the key's organization and teamspace, where it has any."""
    return Credential(
        secret_from(row[:4]),
        key_from(row[4:15]),
        None if row[15] is None else organization_from(row[15:23]),
        None if row[23] is None else teamspace_from(row[23:30]),
    )


def secret_row(secret: Secret) -> Row:
    return (secret.hash, scope_of(secret.organization_id), secret.key_id, secret.expires_at)


def replay_from(row: Sequence[Any]) -> Replay:
    return Replay(ReplayKey(*row[:4]), *row[4:])


def replay_row(replay: Replay) -> Row:
    return (*replay.key, *replay[1:])
