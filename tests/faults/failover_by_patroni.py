"""The primary is killed under load, with its Patroni, and Patroni promotes the synchronous standby.

`make faults` runs it, which also installs Patroni; `make test` has the short form of it in
`test_failover.py`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.faults.sites import running_site
from tests.faults.spenders import (
    check_acknowledged,
    check_all_booked,
    check_balances,
    endure,
    insist,
    make_spenders,
)
from tests.servers.patroni import patroni_cluster

ROUNDS = min(3, int(os.environ.get("KILL_ROUNDS", "3")))
"""Patroni waits for twenty seconds each time before it believes that a primary is dead."""
CLIENTS = 64


def test_nothing_acknowledged_is_lost_by_failing_over(tmp_path: Path) -> None:
    with (
        patroni_cluster() as cluster,
        running_site(tmp_path, 2, database=cluster.database()) as site,
    ):
        spenders = make_spenders(site.operator, CLIENTS)
        for number in range(ROUNDS):
            cluster.wait_until_safe()
            before = sum(spender.setbacks for spender in spenders)
            answers = 300 + 171 * number
            asyncio.run(endure(site.nodes, spenders, answers, cluster.lose_primary))
            assert sum(spender.setbacks for spender in spenders) > before, "nobody noticed"
            check_acknowledged(spenders, site.facts())
        asyncio.run(insist(site.operator, spenders))
        ledger = site.facts()
        check_all_booked(spenders, ledger)
        for node in site.nodes:
            asyncio.run(check_balances(node.url, spenders, ledger))
