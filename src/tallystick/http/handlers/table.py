"""The operations table: every operation of the service, once."""

from __future__ import annotations

from tallystick.http.handlers import (
    balances,
    entries,
    grant_lists,
    grants,
    health,
    identity,
    keys,
    organizations,
    periods,
    previews,
    prices,
    reference,
    teamspaces,
    usage,
    usage_reading,
    usage_series,
)

_DESCRIBED = (
    *balances.OPERATIONS,
    *usage.OPERATIONS,
    *previews.OPERATIONS,
    *usage_series.OPERATIONS,
    *usage_reading.OPERATIONS,
    *grant_lists.OPERATIONS,
    *entries.OPERATIONS,
    *periods.OPERATIONS,
    *identity.OPERATIONS,
    *teamspaces.OPERATIONS,
    *organizations.OPERATIONS,
    *grants.OPERATIONS,
    *prices.OPERATIONS,
    *keys.OPERATIONS,
    *health.OPERATIONS,
)

REFERENCE = reference.Reference(_DESCRIBED)

OPERATIONS = (*_DESCRIBED, *REFERENCE.operations)
