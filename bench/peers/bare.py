"""Nothing but `executemany`: `python -m bench.peers.bare PORT FOLDER ordered|random`.

A step is a batch of 100 events in one transaction: the rows that such a batch comes to in the
service (entries, ids, the roll-up, the account and its grant) in the same tables with the same
indexes, on a connection with the same settings. Nothing is looked up, decided or hashed, and only
the writing is timed. The rows are made before, their hashes are zeros.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from bench.ledgers import KEY, METER, TEAMSPACE, Case, Ids, IdSource, clock, connect, names
from bench.peers import alone
from tallystick.domain.usage import BUCKET, RollupKey
from tallystick.storage import rows
from tallystick.storage.sqlite_load import SQL, load_accounts
from tallystick.storage.sqlite_usage import day_row

DATABASE: Final = "bare.db"
_CREDITS: Final = 1000
_HASH: Final = bytes(32)
_ADD_ID: Final = """
    INSERT INTO usage_events (organization_id, event_id, sequence, overdraw)
    VALUES (?1, ?2, ?3, 0)
"""


class Taken(NamedTuple):
    """Nanoseconds by the wall clock, and of CPU."""

    wall: int
    cpu: int


class Rows(NamedTuple):
    """What is written of a batch, each for one statement."""

    entries: list[rows.Row]
    ids: list[rows.Row]
    rollups: list[rows.Row]
    days: list[rows.Row]
    accounts: list[rows.Row]
    grants: list[rows.Row]


class Bare:
    def __init__(self, path: Path, case: Case, seed: int) -> None:
        self._case = case
        self._ids = IdSource(case.ids, seed)
        self._connection = connect(path)
        self._accounts = [*load_accounts(self._connection, names(case.organizations)).values()]
        self._number = count(10)

    def batch(self) -> Taken:
        made = self._rows()
        started, cpu = time.perf_counter_ns(), time.process_time_ns()
        self._write(made)
        return Taken(time.perf_counter_ns() - started, time.process_time_ns() - cpu)

    def _rows(self) -> Rows:
        now = clock()
        made = Rows([], [], [], [], [], [])
        for event_id, at in zip(self._ids.take(self._case.events), self._number, strict=False):
            account = self._accounts[at % len(self._accounts)]
            drawn = f'[["{account.allowance_grant_id}",{_CREDITS}]]'
            head = (account.organization_id, at, "usage.booked", _CREDITS, drawn, None, event_id)
            balances = (account.remaining, account.consumed, 0, 0)
            made.entries.append(
                (*head, None, TEAMSPACE, KEY, METER, now, now, *balances, None, bytes(32), _HASH)
            )
            made.ids.append((account.organization_id, event_id, at))
        for account in self._accounts[: self._case.events]:
            account.remaining -= _CREDITS
            account.consumed += _CREDITS
            bucket = now - now % BUCKET
            name = account.organization_id
            key = RollupKey(name, bucket, TEAMSPACE, METER, KEY)
            made.rollups.append((*key, _CREDITS, 1))
            made.days.append(day_row(key, (_CREDITS, 1)))
            made.accounts.append(rows.moved_account_row(account))
            grant = account.grants[account.allowance_grant_id or ""]
            grant.remaining -= _CREDITS
            made.grants.append((name, grant.id, grant.amount, grant.remaining, grant.held))
        return made

    def _write(self, made: Rows) -> None:
        connection = self._connection
        connection.execute(SQL["begin"])
        connection.executemany(SQL["add_entry"], made.entries)
        connection.executemany(_ADD_ID, made.ids)
        connection.executemany(SQL["add_to_rollup"], made.rollups)
        connection.executemany(SQL["add_to_day"], made.days)
        connection.executemany(SQL["move_account"], made.accounts)
        connection.executemany(SQL["change_grant"], made.grants)
        connection.execute(SQL["commit"])

    def close(self) -> None:
        self._connection.close()


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    ids: Ids = "random" if sys.argv[3] == "random" else "ordered"
    bare = Bare(folder / DATABASE, Case(events=100, ids=ids), 7_002)
    alone.serve(port, lambda: bare.batch().wall)


if __name__ == "__main__":
    main()
