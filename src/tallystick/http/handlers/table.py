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
    teamspaces,
    usage,
)

OPERATIONS = (
    *balances.OPERATIONS,
    *grant_lists.OPERATIONS,
    *entries.OPERATIONS,
    *periods.OPERATIONS,
    *identity.OPERATIONS,
    *teamspaces.OPERATIONS,
    *organizations.OPERATIONS,
    *grants.OPERATIONS,
    *keys.OPERATIONS,
    *usage.OPERATIONS,
    *health.OPERATIONS,
)
