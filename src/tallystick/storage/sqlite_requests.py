"""Refused requests in an SQLite file: written with a batch, looked up by their id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tallystick.storage.queries import load_statements
from tallystick.storage.refused_rows import refused_from, refused_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from tallystick.ledger.refused import Kept, RefusedRequest

_SQL: Final = load_statements("sqlite", "requests")
AT_ONCE: Final = 512
"""How many that are too old a batch forgets: twice as many as it may bring, a few milliseconds."""


def write_refused(
    connection: apsw.Connection, requests: Sequence[RefusedRequest], kept: Kept
) -> None:
    """Writes `requests`, in the open transaction, and forgets what is no longer kept."""
    if requests:
        connection.executemany(_SQL["note_refused"], map(refused_row, requests))
        names = {request.organization_id for request in requests}
        beyond = [(name, kept.latest) for name in sorted(names)]
        connection.executemany(_SQL["forget_refused_beyond"], beyond)
    connection.execute(_SQL["forget_refused_before"], (kept.since, AT_ONCE)).fetchall()


def read_refused(
    connection: apsw.Connection, organization_id: str, request_id: str
) -> RefusedRequest | None:
    rows: list[Any] = connection.execute(
        _SQL["read_refused"], (organization_id, request_id)
    ).fetchall()
    return refused_from(rows[0]) if rows else None
