"""Examples for the reference: a value for each schema, and a curl line for each operation.

A value is put together from the schema itself. What a schema does not know, such as a plausible
balance, stands in a table by the field's name; a field that neither knows fails a test.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

from tallystick.http.openapi_schemas import name_of
from tallystick.http.operations import Audience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.http.openapi_schemas import Schema
    from tallystick.http.operations import Operation

HOST: Final = "http://127.0.0.1:8080"
_LINE: Final = 60
UNKNOWN: Final = "?"
"""What stands for a text that nobody has given an example of."""

_ORGANIZATION: Final = "org_01kaw5r7k2e3vthq0d8m4x9f6c"
_TEAMSPACE: Final = "ts_01kaw5r7k2e3vthq0d8m4x9f6d"
_KEY: Final = "key_01kaw5r7k2e3vthq0d8m4x9f6e"
_GRANT: Final = "grant_01kaw5r7k2e3vthq0d8m4x9f6f"
_PRICE: Final = "price_01kaw5r7k2e3vthq0d8m4x9f6g"
_HOLD: Final = "hold_01kaw5r7k2e3vthq0d8m4x9f6g"

_BY_NAME: Final[Mapping[str, object]] = {
    "UsagePoint.group": {"teamspace": _TEAMSPACE},
    "UsagePoint.events": 3,
    "BookedUsage.id": "evt-1",
    "BookedUsage.meter": "llm.tokens",
    "NewOrganization.usage_dimensions": ["model"],
    "Organization.usage_dimensions": ["model"],
    "Key.id": _KEY,
    "Key.name": "Production",
    "Key.secret": "tally_01kaw5r7k2e3vthq_0123456789abcdefghijklmnopqrstuv",
    "Membership.teamspace_id": _TEAMSPACE,
    "NewGrant.reference": "order-7",
    "NewKey.name": "Production",
    "NewOperatorKey.name": "Deployment",
    "NewOrganization.external_id": "cus_42",
    "NewOrganization.allowance": 10000,
    "NewOrganization.billing_period": {"interval": "month", "timezone": "Europe/Paris"},
    "NewTeamspace.name": "Research",
    "OrganizationChange.allowance": 20000,
    "OrganizationChange.apply": "now",
    "TeamspaceChange.name": "Research and development",
    "Rotation.overlap_seconds": 86400,
    "Organization.id": _ORGANIZATION,
    "Organization.name": "Acme",
    "Organization.external_id": "cus_42",
    "Teamspace.id": _TEAMSPACE,
    "Teamspace.name": "Research",
    "LimitedTeamspace.id": _TEAMSPACE,
    "LimitedTeamspace.name": "Research",
    "Grant.id": _GRANT,
    "Grant.kind": "top_up",
    "Grant.reference": "order-7",
    "NewGrant.kind": "top_up",
    "Entry.id": "entry_01kaw5r7k2e3vthq0d8m4x9f6c_000000000005",
    "Entry.kind": "usage.booked",
    "Entry.event_id": "evt-1",
    "Entry.teamspace_id": _TEAMSPACE,
    "Entry.api_key_id": _KEY,
    "Entry.meter": "llm.tokens",
    "Price.id": _PRICE,
    "Price.meter": "llm.tokens",
    "Price.dimensions": {"model": "m-large"},
    "Price.credits": 3,
    "Price.per": 1_000_000,
    "Price.rounding": "half_even",
    "PriceEnding.ends_at": "2027-01-01T00:00:00Z",
    "PriceAdditions.added": 1,
    "NewPrice.meter": "llm.tokens",
    "UsagePreview.status": "booked",
    "UsagePreview.credits": 0.0045,
    "UsagePreview.quantity": 1500,
    "UsagePreview.overage": 0,
    "Overage.mode": "deny",
    "OverageTerms.mode": "deny",
    "Period.status": "current",
    "Hold.id": _HOLD,
    "Hold.status": "open",
    "Hold.credits": 25,
    "Hold.held": 25,
    "Hold.captured": 0,
    "Hold.expires_at": "2026-11-22T10:10:00.000000Z",
    "Hold.reference": "job-7",
    "Hold.meter": "agent.steps",
    "Hold.dimensions": {"agent": "triage"},
    "Hold.api_key_id": _KEY,
    "CapturedHold.id": _HOLD,
    "CapturedHold.status": "open",
    "CapturedHold.credits": 25,
    "CapturedHold.held": 23.75,
    "CapturedHold.captured": 1.25,
    "CapturedHold.expires_at": "2026-11-22T10:10:00.000000Z",
    "CapturedHold.reference": "job-7",
    "CapturedHold.meter": "agent.steps",
    "CapturedHold.dimensions": {"agent": "triage"},
    "CapturedHold.api_key_id": _KEY,
    "UsageReversal.id": "reversal_01kaw5r7k2e3vthq0d8m4x9f6h",
    "UsageReversal.event_id": "evt-42",
    "UsageReversal.credits": 0.5,
    "UsageReversal.returned": [{"grant_id": _GRANT, "credits": 0.5}],
    "UsageReversal.reference": "ticket-7",
    "UsageReversal.reason": "the answer was cut off",
    "UsageReversal.remaining": 9999.25,
    "UsageReversal.consumed": 0.75,
    "UsageReversal.sequence": 6,
    "Budget.id": _TEAMSPACE,
    "Budget.used": 412.5,
    "Budget.held": 25,
    "Budget.available": 562.5,
    "RemovedBudget.id": _TEAMSPACE,
    "RefusedRequest.id": "req_7f3a9c2e51b804d600000001",
    "RefusedRequest.operation": "book_usage",
    "RefusedRequest.method": "POST",
    "RefusedRequest.path": "/v1/organization/credits/usage",
    "RefusedRequest.at": "2026-11-22T10:00:00.000000Z",
    "RefusedRequest.status": 402,
    "RefusedRequest.error": "credit_exceeded",
    "RefusedRequest.message": "Not enough credits",
    "RefusedRequest.details": {
        "reason": "1.25 credits are required, 0.5 available",
        "required": 1.25,
        "available": 0.5,
        "blocked_by": "organization",
        "resets_at": "2026-12-01T00:00:00.000000Z",
    },
    "RefusedRequest.api_key_id": _KEY,
    "RefusedRequest.event_ids": ["evt-1"],
    "RefusedRequest.rejected": 1,
    "Statement.status": "current",
    "BalancePeriod.timezone": "UTC",
    "Receipt.status": "booked",
    "UsageResult.status": "booked",
    "UsageResult.object": "usage_event",
    "UsageResult.credits": 1.25,
    "UsageResult.overage": 0,
    "UsageResult.drawn": [{"grant_id": _GRANT, "credits": 1.25}],
    "UsageResult.remaining": 9998.75,
    "UsageResult.consumed": 1.25,
    "UsageResult.sequence": 5,
    "UsageResult.booked_at": "2026-11-22T10:00:00.000000Z",
    "UsageResults.booked": 1,
    "UsageImport.booked": 41998,
    "UsageImport.duplicates": 2,
    "UsageImport.errors": [],
    "UsageRequest.id": "evt-1",
    "UsageEvent.id": "evt-1",
    "UsageEvent.credits": 1.25,
    "Receipt.id": "evt-1",
    "UsageResult.id": "evt-1",
    "CloudEvent.id": "42",
    "CloudEvent.source": "/inference/eu-1",
    "CloudEvent.type": "llm.tokens",
    "CloudEvent.time": "2026-11-22T10:00:00Z",
    "CloudEvent.data": {"credits": 1.25, "dimensions": {"model": "m-large"}},
    "TeamspaceLimits.rate_limits": {"get_credits": 1000},
    "allowance": 10000,
    "amount": 10000,
    "anchor": "2026-01-31T00:00:00",
    "available": 9998.75,
    "burn_rate_per_day": 412.5,
    "cap": 500,
    "consumed": 1.25,
    "consumed_after": 1.25,
    "count": 1,
    "credits": 1.25,
    "current_teamspace_id": _TEAMSPACE,
    "default_teamspace_id": _TEAMSPACE,
    "end": "2026-12-01T00:00:00.000000Z",
    "expires_at": "2027-11-22T10:00:00.000000Z",
    "grant_id": _GRANT,
    "hash": "9f4e1c7ab2d05836e1f7c4a90b3d6285f0a9c8e7d6b5a4932817f6e5d4c3b2a1",
    "interval": "month",
    "limit": 1000,
    "mode": "none",
    "name": "Acme",
    "previous_hash": "3c1f0e9d8b7a695847362514032f1e0d9c8b7a6958473625140f1e2d3c4b5a69",
    "priority": 50,
    "projected_exhaustion_at": "2026-12-16T15:20:00.000000Z",
    "remaining": 9998.75,
    "remaining_after": 9998.75,
    "revoked_at": None,
    "scopes": ["credits:read", "usage:write"],
    "sequence": 5,
    "start": "2026-11-01T00:00:00.000000Z",
    "status": "active",
    "takes_effect_at": None,
    "teamspace_id": _TEAMSPACE,
    "timezone": "Europe/Paris",
    "total": 10000,
    "user_id": _KEY,
}
"""Examples by the name of the field, with its schema's name where that makes a difference."""

_BY_FORMAT: Final[Mapping[str, object]] = {"date-time": "2026-11-22T10:00:00.000000Z"}


def example_of(schema: Schema, components: Mapping[str, Schema]) -> Any:  # noqa: ANN401 - any JSON value
    """A value that `schema` allows. A request shows what it must have, an answer what it has."""
    return _Examples(components).of(schema, "")


class _Examples:
    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def of(self, schema: Schema, inside: str) -> Any:  # noqa: ANN401 - any JSON value
        if "$ref" in schema:
            name = name_of(schema["$ref"])
            return self.of(self._components[name], name)
        if "const" in schema:
            return schema["const"]
        for choice in ("oneOf", "anyOf"):
            if choice in schema:
                return self._first(schema[choice], inside)
        for known in ("examples", "enum"):
            if known in schema:
                return schema[known][0]
        return self._of_type(schema, inside)

    def _first(self, choices: list[Schema], inside: str) -> Any:  # noqa: ANN401 - any JSON value
        """The first alternative: null where it is the other one, and nothing better is known."""
        is_nullable = {"type": "null"} in choices
        return None if is_nullable else self.of(choices[0], inside)

    def _of_type(self, schema: Schema, inside: str) -> Any:  # noqa: ANN401 - any JSON value
        kind = schema.get("type", "object")
        if isinstance(kind, list):
            return _BY_FORMAT.get(schema.get("format", ""))
        match kind:
            case "object":
                return self._object(schema, inside)
            case "array":
                return [self.of(schema["items"], inside)]
            case "string":
                return _BY_FORMAT.get(schema.get("format", ""), UNKNOWN)
            case "boolean":
                return False
            case _:
                return schema.get("default", schema.get("minimum", 0))

    def _object(self, schema: Schema, inside: str) -> dict[str, Any]:
        required = schema.get("required", [])
        return {
            name: self._field(inside, name, part)
            for name, part in schema.get("properties", {}).items()
            if name in required or f"{inside}.{name}" in _BY_NAME
        }

    def _field(self, inside: str, name: str, schema: Schema) -> Any:  # noqa: ANN401 - any JSON value
        for known in (f"{inside}.{name}", name):
            if known in _BY_NAME and "const" not in schema:
                return _BY_NAME[known]
        return self.of(schema, inside)


def sample_curl(operation: Operation, described: Schema) -> str:
    """A line for a shell that calls `operation`."""
    path = operation.path
    for parameter in described.get("parameters", ()):
        if parameter["in"] == "path":
            example = parameter["schema"]["examples"][0]
            path = path.replace("{" + parameter["name"] + "}", example)
    parts = [f"curl {HOST}{path}"]
    if operation.method != "GET":
        parts[0] = f"curl -X {operation.method} {HOST}{path}"
    if operation.audience is not Audience.OPEN:
        is_operator = operation.audience is Audience.OPERATOR
        key = "$TALLYSTICK_ADMIN_KEY" if is_operator else "$TALLYSTICK_KEY"
        parts.append(f'-H "Authorization: Bearer {key}"')
    if "requestBody" in described:
        media_type, content = next(iter(described["requestBody"]["content"].items()))
        parts.append(f"-H 'Content-Type: {media_type}'")
        parts.append(f"-d {shlex.quote(_body_text(content['example']))}")
    return " \\\n  ".join(parts)


def _body_text(value: object) -> str:
    """JSON on one line where it fits the page, else on several."""
    line = json.dumps(value)
    return line if len(line) <= _LINE else json.dumps(value, indent=2)
