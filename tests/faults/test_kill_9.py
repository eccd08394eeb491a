"""The server is killed while 64 clients book usage, again and again, on one database file.

KILL_ROUNDS says how often (`make faults` kills it 20 times). After each round the file is audited
as the dead process left it; then the server starts on it again, and has to know every event that it
acknowledged.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.spenders import (
    Spender,
    check_acknowledged,
    check_all_booked,
    check_balances,
    ingest,
    insist,
    make_spenders,
)
from tests.ledger_check import Facts
from tests.server import Server, running_server
from tests.verified import check_twice

ROUNDS = int(os.environ.get("KILL_ROUNDS", "3"))
CLIENTS = 64


def test_nothing_acknowledged_is_lost_and_nothing_is_booked_twice(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        spenders = make_spenders(server, CLIENTS)
        for number in range(ROUNDS):
            known = {spender: set(spender.acknowledged) for spender in spenders}
            asyncio.run(ingest(server, spenders, 100 + 171 * number % 500, server.kill))
            assert any(spender.unanswered for spender in spenders), "nobody was interrupted"
            ledger = check_twice(server.database)
            check_acknowledged(spenders, ledger)
            server.start()
            asyncio.run(check_answers(server, spenders, known, ledger))
        asyncio.run(insist(server, spenders))
        check_all_booked(spenders, check_twice(server.database))


async def check_answers(
    server: Server,
    spenders: Sequence[Spender],
    known: Mapping[Spender, set[str]],
    ledger: Mapping[str, Facts],
) -> None:
    """The started server says what the file says, and repeats every receipt of this round."""
    await check_balances(server.url, spenders, ledger)
    for spender in spenders:
        await spender.ask_again(server.url, sorted(set(spender.acknowledged) - known[spender]))
    await check_balances(server.url, spenders, ledger)
