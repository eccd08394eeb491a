"""Refused requests: one looked up by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallystick.storage.queries import load_statements
from tallystick.storage.refused_rows import refused_from

if TYPE_CHECKING:
    from tallystick.ledger.refused import RefusedRequest
    from tallystick.storage.postgres.connections import Connection

_READ: Final = load_statements("postgres", "requests")["read_refused"]


async def read_refused(
    connection: Connection, organization_id: str, request_id: str
) -> RefusedRequest | None:
    row = await connection.fetchrow(_READ, organization_id, request_id)
    return None if row is None else refused_from(row)
