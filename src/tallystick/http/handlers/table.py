"""The operations table: every operation of the service, once."""

from __future__ import annotations

from tallystick.http.handlers import (
    balances,
    grants,
    identity,
    keys,
    organizations,
    teamspaces,
)

OPERATIONS = (
    *balances.OPERATIONS,
    *identity.OPERATIONS,
    *teamspaces.OPERATIONS,
    *organizations.OPERATIONS,
    *grants.OPERATIONS,
    *keys.OPERATIONS,
)
