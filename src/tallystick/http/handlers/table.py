"""The operations table: every operation of the service, once."""

from __future__ import annotations

from tallystick.http.handlers import (
    balances,
    budgets,
    entries,
    grant_lists,
    grants,
    health,
    holds,
    identity,
    keys,
    organizations,
    periods,
    previews,
    prices,
    reference,
    requests,
    reversals,
    statements,
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
    *reversals.OPERATIONS,
    *holds.OPERATIONS,
    *budgets.OPERATIONS,
    *grant_lists.OPERATIONS,
    *entries.OPERATIONS,
    *periods.OPERATIONS,
    *statements.OPERATIONS,
    *requests.OPERATIONS,
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
