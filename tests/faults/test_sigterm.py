"""The server is told to end while 64 clients book usage."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.spenders import check_acknowledged, ingest, make_spenders
from tests.ledger_check import check_ledger
from tests.server import running_server

CLIENTS = 64


def test_under_load_requests_finish_or_were_not_booked(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        spenders = make_spenders(server, CLIENTS)
        asyncio.run(ingest(server, spenders, 300, server.terminate))
        server.wait()
    ledger = check_ledger(server.database)
    check_acknowledged(spenders, ledger)
    acknowledged = {event_id for spender in spenders for event_id in spender.acknowledged}
    booked = {event_id for facts in ledger.values() for event_id in facts.booked}
    assert booked == acknowledged
