"""The operations table: every operation of the service, once."""

from __future__ import annotations

from tallystick.http.handlers import balances

OPERATIONS = (*balances.OPERATIONS,)
