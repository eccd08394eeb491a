"""Organizations as tests create and change them, over HTTP."""

from __future__ import annotations

from typing import Any

from tests.answers import body_of
from tests.harness import Headers, World

PATH = "/v1/admin/organizations"

EVERYTHING: dict[str, Any] = {
    "name": "Acme",
    "external_id": "cus_42",
    "allowance": 10000.25,
    "billing_period": {
        "interval": "month",
        "count": 1,
        "anchor": "2026-01-31T00:00:00",
        "timezone": "Europe/Paris",
    },
    "rollover": {"mode": "percent", "cap": 12.5, "periods": 2},
    "overage": {"mode": "limit", "limit": 50},
    "rate_limits": {"get_credits": 1000},
    "usage_dimensions": ["region", "model"],
}
DEFAULTS: dict[str, Any] = {
    "allowance": 0,
    "billing_period": {
        "interval": "month",
        "count": 1,
        "anchor": "2000-01-01T00:00:00",
        "timezone": "UTC",
    },
    "rollover": {"mode": "none"},
    "overage": {"mode": "deny"},
    "rate_limits": {},
    "usage_dimensions": [],
}


async def create(w: World, **terms: object) -> dict[str, Any]:
    answer = await w.send("POST", PATH, w.admin, {"name": "Acme", **terms})
    made: dict[str, Any] = body_of(answer, 201)
    return made


async def change(w: World, organization: dict[str, Any], **terms: object) -> dict[str, Any]:
    answer = await w.send("PATCH", f"{PATH}/{organization['id']}", w.admin, terms)
    changed: dict[str, Any] = body_of(answer)
    return changed


async def credits_of(w: World, reader: Headers) -> tuple[float, float, float]:
    report = body_of(await w.send("GET", "/v1/organization/credits", reader))
    return report["remaining"], report["consumed"], report["total"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"),
    ({"name": "x" * 256}, "/name"),
    ({"name": "nul\0"}, "/name"),
    ({"name": None}, "/name"),
    ({"external_id": ""}, "/external_id"),
    ({"external_id": "with space"}, "/external_id"),
    ({"external_id": "newline\n"}, "/external_id"),
    ({"external_id": "x" * 256}, "/external_id"),
    ({"allowance": -1}, "/allowance"),
    ({"allowance": 0.0000001}, "/allowance"),
    ({"allowance": 1_000_000_001}, "/allowance"),
    ({"allowance": "5"}, "/allowance"),
    ({"allowance": None}, "/allowance"),
    ({"billing_period": None}, "/billing_period"),
    ({"billing_period": {"interval": "fortnight"}}, "/billing_period/interval"),
    ({"billing_period": {"count": 0}}, "/billing_period/count"),
    ({"billing_period": {"count": 121}}, "/billing_period/count"),
    ({"billing_period": {"count": 1.5}}, "/billing_period/count"),
    ({"billing_period": {"timezone": "Mars/Olympus"}}, "/billing_period/timezone"),
    ({"billing_period": {"timezone": "../etc/passwd"}}, "/billing_period/timezone"),
    ({"billing_period": {"anchor": "2026-01-31T00:00:00Z"}}, "/billing_period/anchor"),
    ({"billing_period": {"anchor": "2026-01-31T00:00:00+01:00"}}, "/billing_period/anchor"),
    ({"billing_period": {"anchor": "2026-01-31"}}, "/billing_period/anchor"),
    ({"billing_period": {"anchor": "2026-02-30T00:00:00"}}, "/billing_period/anchor"),
    ({"billing_period": {"zone": "UTC"}}, "/billing_period/zone"),
    ({"rollover": {}}, "/rollover/mode"),
    ({"rollover": {"mode": "some"}}, "/rollover/mode"),
    ({"rollover": {"mode": "amount"}}, "/rollover/cap"),
    ({"rollover": {"mode": "all", "cap": 1}}, "/rollover/cap"),
    ({"rollover": {"mode": "percent", "cap": 100.000001}}, "/rollover/cap"),
    ({"rollover": {"mode": "amount", "cap": -1}}, "/rollover/cap"),
    ({"rollover": {"mode": "all", "periods": 0}}, "/rollover/periods"),
    ({"rollover": {"mode": "all", "periods": 101}}, "/rollover/periods"),
    ({"overage": {"mode": "limit"}}, "/overage/limit"),
    ({"overage": {"mode": "deny", "limit": 1}}, "/overage/limit"),
    ({"overage": {"mode": "limit", "limit": None}}, "/overage/limit"),
    ({"rate_limits": {"get_credit": 5}}, "/rate_limits/get_credit"),
    ({"rate_limits": {"a/b~c": 5}}, "/rate_limits/a~1b~0c"),
    ({"rate_limits": {"create_organization": 5}}, "/rate_limits/create_organization"),
    ({"rate_limits": {"get_credits": -1}}, "/rate_limits/*"),
    ({"rate_limits": {"get_credits": 1_000_001}}, "/rate_limits/*"),
    ({"rate_limits": {"get_credits": 1.5}}, "/rate_limits/*"),
    ({"colour": "red"}, "/colour"),
]
