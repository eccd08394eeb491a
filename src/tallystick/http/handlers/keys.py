"""API keys: operators make, import, rotate and revoke them, for organizations and for themselves.

A secret is shown once, in the answer that made it. The two families differ in where they live: an
organization's keys have a teamspace, a level and scopes; an operator's have none of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tallystick.domain.directory import DEFAULT_SCOPES, ApiKey, KeyLevel, Scope
from tallystick.domain.keys import ENTROPY_BYTES, make_secret, stored_digest
from tallystick.http.handlers.organizations import DIRECTORY
from tallystick.http.idempotency import Shown, carry_out
from tallystick.http.operations import Answer, Audience, Call, Operation
from tallystick.http.outcomes import expect
from tallystick.http.shapes import (
    PAGING,
    Name,
    Request,
    Response,
    Time,
    list_answer,
    list_type,
    read_page,
)
from tallystick.http.wire import decode_strictly, instant_field, text_field, time_json
from tallystick.ledger.directory import CreateKey, RevokeKey, RotateKey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tallystick.ledger.reading import Page
    from tallystick.ledger.work import Unit

    _Handler = Callable[[Call], Awaitable[Answer]]
    _Handlers = tuple[_Handler, _Handler, _Handler, _Handler]

_SECOND: Final = 1_000_000
_LONGEST_OVERLAP: Final = 2_592_000
"""Seconds: 30 days."""

Sha256 = Annotated[
    str,
    Meta(
        max_length=64,
        pattern="^[0-9A-Fa-f]{64}$",
        description="SHA-256 (hexadecimal) of a secret that exists already: imports that key",
    ),
]


class NewOperatorKey(Request, kw_only=True):
    name: Name
    expires_at: Time | None = None
    secret_sha256: Sha256 | None = None


class NewKey(NewOperatorKey, kw_only=True):
    teamspace_id: Annotated[str, Meta(description="Left out: the default one")] | None = None
    level: KeyLevel = KeyLevel.ORGANIZATION
    scopes: list[Scope] = msgspec.field(default_factory=lambda: list(DEFAULT_SCOPES))


class Rotation(Request, kw_only=True):
    overlap_seconds: Annotated[
        int,
        Meta(ge=0, le=_LONGEST_OVERLAP, description="How long the old secret goes on working"),
    ] = 0


class KeyView(Response, kw_only=True):
    object: Literal["api_key"] = "api_key"
    id: str
    name: str
    secret: (
        Annotated[
            str | None,
            Meta(description="Shown once, when it is made; null where that answer is repeated"),
        ]
        | UnsetType
    ) = UNSET
    teamspace_id: Annotated[str | None, Meta(description="null: an operator's key")]
    level: Literal["organization", "account"] | None
    scopes: list[Scope]
    imported: bool
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None
    created_at: Time


KeyList = list_type(KeyView, "KeyList")

_decode_key: Final = msgspec.json.Decoder(NewKey)
_decode_operator_key: Final = msgspec.json.Decoder(NewOperatorKey)
_decode_rotation: Final = msgspec.json.Decoder(Rotation)


def create_key(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_key, call.body)
    wanted = set(body.scopes)
    teamspace_id = body.teamspace_id
    if teamspace_id is not None:
        text_field("/teamspace_id", teamspace_id)
    key = _new_key(
        call,
        body,
        organization_id=call.organization_id,
        teamspace_id=teamspace_id,
        level=body.level,
        scopes=tuple(scope for scope in Scope if scope in wanted),
    )
    return _create(call, body, key)


def create_operator_key(call: Call) -> Awaitable[Answer]:
    body = decode_strictly(_decode_operator_key, call.body)
    return _create(call, body, _new_key(call, body, organization_id=None))


def _new_key(
    call: Call,
    body: NewOperatorKey,
    *,
    organization_id: str | None,
    teamspace_id: str | None = None,
    level: KeyLevel = KeyLevel.ORGANIZATION,
    scopes: tuple[Scope, ...] = (),
) -> ApiKey:
    expires_at = body.expires_at
    return ApiKey(
        id=call.service.new_id("key"),
        organization_id=organization_id,
        teamspace_id=teamspace_id,
        name=text_field("/name", body.name),
        level=level,
        scopes=scopes,
        imported=body.secret_sha256 is not None,
        created_at=call.service.clock(),
        expires_at=None if expires_at is None else instant_field("/expires_at", expires_at),
    )


def _create(call: Call, body: NewOperatorKey, key: ApiKey) -> Awaitable[Answer]:
    if body.secret_sha256 is not None:
        digest = stored_digest(bytes.fromhex(body.secret_sha256), call.service.pepper)
        show = _Showing(call, 201)
    else:
        secret = _make_secret(call)
        digest = call.service.authenticator.digest(secret.encode())
        show = _Showing(call, 201, secret)
    return carry_out(call, _lane(key.organization_id), CreateKey(key=key, digest=digest), show)


def _make_secret(call: Call) -> str:
    return make_secret(call.service.entropy(ENTROPY_BYTES))


def _lane(organization_id: str | None) -> str:
    return DIRECTORY if organization_id is None else organization_id


@dataclass(frozen=True, slots=True)
class _Showing:
    """Shows the key that came of a request, with the secret that was made for it."""

    call: Call
    status: int
    secret: str | None = None

    def __call__(self, outcome: object) -> Shown:
        key = expect(ApiKey, outcome)
        if self.secret is None:
            return Shown(self.status, key_view(self.call, key))
        return Shown(
            self.status, key_view(self.call, key, self.secret), key_view(self.call, key, None)
        )


def rotate_key(call: Call) -> Awaitable[Answer]:
    return _rotate(call, call.organization_id)


def rotate_operator_key(call: Call) -> Awaitable[Answer]:
    return _rotate(call, None)


def _rotate(call: Call, organization_id: str | None) -> Awaitable[Answer]:
    body = decode_strictly(_decode_rotation, call.body or b"{}")
    secret = _make_secret(call)
    unit = RotateKey(
        organization_id=organization_id,
        key_id=call.params["key_id"],
        digest=call.service.authenticator.digest(secret.encode()),
        overlap=body.overlap_seconds * _SECOND,
    )
    return carry_out(call, _lane(organization_id), unit, _Showing(call, 200, secret))


def revoke_key(call: Call) -> Awaitable[Answer]:
    return _revoke(call, call.organization_id)


def revoke_operator_key(call: Call) -> Awaitable[Answer]:
    return _revoke(call, None)


def _revoke(call: Call, organization_id: str | None) -> Awaitable[Answer]:
    unit: Unit = RevokeKey(organization_id=organization_id, key_id=call.params["key_id"])
    return carry_out(call, _lane(organization_id), unit, _Showing(call, 200))


def list_keys(call: Call) -> Awaitable[Answer]:
    async def fetch(page: Page) -> Sequence[ApiKey] | None:
        reader = call.service.reads.reader
        if await reader.organization(call.organization_id) is None:
            return None
        return await reader.keys(call.organization_id, page)

    return list_answer(read_page(call.query), fetch, _shower(call))


def list_operator_keys(call: Call) -> Awaitable[Answer]:
    async def fetch(page: Page) -> Sequence[ApiKey]:
        return await call.service.reads.reader.keys(None, page)

    return list_answer(read_page(call.query), fetch, _shower(call))


def _shower(call: Call) -> Callable[[ApiKey], KeyView]:
    return lambda key: key_view(call, key)


def key_view(call: Call, key: ApiKey, secret: str | UnsetType | None = UNSET) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        secret=secret,
        teamspace_id=key.teamspace_id,
        level=None if key.is_operator else key.level.value,
        scopes=list(key.scopes),
        imported=key.imported,
        expires_at=time_json(key.expires_at),
        revoked_at=time_json(key.revoked_at),
        last_used_at=time_json(_last_used_at(call, key)),
        created_at=time_json(key.created_at) or "",
    )


def _last_used_at(call: Call, key: ApiKey) -> int | None:
    """When the key was last used, also where that was noted but is not written yet."""
    noted = call.service.authenticator.last_used.get((key.organization_id, key.id))
    return max(filter(None, (noted, key.last_used_at)), default=None)


def _operations(
    path: str, noun: str, whose: str, request: type[NewOperatorKey], handlers: _Handlers
) -> tuple[Operation, ...]:
    """The same four operations for either family of keys."""
    create, listing, rotate, revoke = handlers
    missing = ("resource_not_found",) if "{organization_id}" in path else ()
    return (
        Operation(
            name=f"create_{noun}",
            method="POST",
            path=path,
            handle=create,
            audience=Audience.OPERATOR,
            tag="Keys",
            request=request,
            response=KeyView,
            status=201,
            errors=(*missing, "conflict", "validation_failed"),
            idempotent=True,
            summary=f"Make or import a key of {whose}",
            description=(
                "The `secret` is shown in this answer only. With `secret_sha256` a key that exists "
                "already is imported: its holder goes on using it, and no secret is shown."
            ),
        ),
        Operation(
            name=f"list_{noun}s",
            method="GET",
            path=path,
            handle=listing,
            audience=Audience.OPERATOR,
            tag="Keys",
            response=KeyList,
            errors=(*missing, "validation_failed"),
            query=PAGING,
            summary=f"List the keys of {whose}",
        ),
        Operation(
            name=f"rotate_{noun}",
            method="POST",
            path=path + "/{key_id}/rotate",
            handle=rotate,
            audience=Audience.OPERATOR,
            tag="Keys",
            request=Rotation,
            request_optional=True,
            response=KeyView,
            errors=("resource_not_found", "conflict", "validation_failed"),
            idempotent=True,
            summary=f"Give a key of {whose} a new secret",
            description=(
                "The key keeps its id. The old secret goes on working for `overlap_seconds`; left "
                "out, it stops at once. The new one is shown in this answer only."
            ),
        ),
        Operation(
            name=f"revoke_{noun}",
            method="DELETE",
            path=path + "/{key_id}",
            handle=revoke,
            audience=Audience.OPERATOR,
            tag="Keys",
            response=KeyView,
            errors=("resource_not_found",),
            summary=f"Revoke a key of {whose}",
            description="In force at once and for good; answers with the key as it is then.",
        ),
    )


OPERATIONS = (
    *_operations(
        "/v1/admin/organizations/{organization_id}/keys",
        "key",
        "an organization",
        NewKey,
        (create_key, list_keys, rotate_key, revoke_key),
    ),
    *_operations(
        "/v1/admin/keys",
        "operator_key",
        "operators",
        NewOperatorKey,
        (create_operator_key, list_operator_keys, rotate_operator_key, revoke_operator_key),
    ),
)
