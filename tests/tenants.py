"""Tenants of every kind, in a world: with credits and without, limited, asleep, their keys good,
ended and never known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.answers import body_of
from tests.harness import World
from tests.messages import Field, Senders

ORGANIZATIONS: Final = "/v1/admin/organizations"
Json = dict[str, Any]


async def tenant(w: World, name: str, **terms: object) -> Json:
    terms = {"name": name, "allowance": 10_000, **terms}
    return body_of(await w.send("POST", ORGANIZATIONS, w.admin, terms), 201)


async def key_of(w: World, organization: Json, **terms: object) -> Json:
    path = f"{ORGANIZATIONS}/{organization['id']}/keys"
    return body_of(await w.send("POST", path, w.admin, {"name": "A key", **terms}), 201)


async def bearer_field(w: World, **terms: object) -> Field:
    """The header with a key of a new tenant."""
    key = await key_of(w, await tenant(w, "Acme", **terms))
    return b"Authorization", b"Bearer " + key["secret"].encode()


async def command(w: World, method: str, organization: Json, path: str, **terms: object) -> Json:
    """What an operator does to an organization."""
    at = f"{ORGANIZATIONS}/{organization['id']}{path}"
    return body_of(await w.send(method, at, w.admin, terms or None))


async def teamspace(w: World, organization: Json, name: str) -> Json:
    secret = (await key_of(w, organization, scopes=["teamspaces:write"]))["secret"]
    headers = {"authorization": f"Bearer {secret}"}
    path = "/v1/organization/teamspaces"
    return body_of(await w.send("POST", path, headers, {"name": name}), 201)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """Who sends requests, and the teamspaces in which they act."""

    senders: Senders
    teamspaces: list[str]


async def every_kind(w: World) -> Tenants:
    acme, poor = await tenant(w, "Acme"), await tenant(w, "Poor", allowance=2)
    limited = await tenant(w, "Limited", rate_limits={"get_credits": 2, "book_usage": 3})
    shut = await tenant(w, "Shut", rate_limits={"get_credits": 0})
    asleep = await tenant(w, "Asleep")
    second = await teamspace(w, acme, "Second")
    revoked = await key_of(w, acme)
    good = [
        await key_of(w, acme),
        await key_of(w, acme, level="account"),
        await key_of(w, poor),
    ]
    refused = [
        revoked,
        await key_of(w, limited),
        await key_of(w, shut),
        await key_of(w, asleep),
        await key_of(w, acme, scopes=["credits:read"]),
        await key_of(w, acme, scopes=["usage:write"]),
        await key_of(w, acme, expires_at=w.clock.text(seconds=90)),
    ]
    await command(w, "DELETE", acme, f"/keys/{revoked['id']}")
    await command(w, "POST", asleep, "/suspend")
    homes = [each["default_teamspace_id"] for each in (acme, poor, limited, shut, asleep)]
    named = (second["id"], homes[0], homes[1], "ts_nowhere")
    return Tenants(
        senders=Senders(
            good=[one["secret"].encode() for one in good],
            refused=[*(one["secret"].encode() for one in refused), b"nobody", b"tsk_x"],
            teamspaces=[one.encode() for one in named],
        ),
        teamspaces=[second["id"], *homes],
    )
