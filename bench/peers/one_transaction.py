"""One transaction for each usage event: `python -m bench.peers.one_transaction PORT FOLDER`.

What a careful person writes first: look whether the id was seen, read the account, decide, write
the rows, commit. The driver, the schema, the rows (entry, id, roll-up, account, grant), the
connection's settings and the durability are those of the service, and so is a hash chained to the
one before. There is no HTTP, no key, no limit and no other client. Statements are prepared once,
and ids have one table instead of the service's two. The log is moved by the COMMIT that fills its
thousandth page, as SQLite does unless told otherwise.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Final

from bench.ledgers import KEY, METER, TEAMSPACE, IdSource, clock, connect, names
from bench.peers import alone
from tallystick.domain.usage import BUCKET, RollupKey
from tallystick.storage.sqlite_load import SQL
from tallystick.storage.sqlite_usage import day_row

DATABASE: Final = "one-transaction.db"
_CREDITS: Final = 1_000_000

# One table of ids with one index, in which each is looked up and to which each is added.
_OWN_IDS: Final = """
    CREATE TABLE event_ids (
        event_id TEXT NOT NULL,
        organization_id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        dimensions TEXT,
        overdraw INTEGER NOT NULL,
        PRIMARY KEY (event_id, organization_id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO event_ids
        SELECT event_id, organization_id, sequence, NULL, 0 FROM entries
        WHERE kind = 'usage.booked' ORDER BY event_id
"""


class OneTransaction:
    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._organization_id = names(1)[0]
        self._ids = IdSource("ordered", 3)
        self._connection.execute(_OWN_IDS)

    def step(self) -> int:
        [event_id] = self._ids.take(1)
        start = time.perf_counter_ns()
        self._connection.execute("BEGIN IMMEDIATE")
        self._book(event_id)
        self._connection.execute("COMMIT")
        return time.perf_counter_ns() - start

    def _book(self, event_id: str) -> None:
        connection, organization_id = self._connection, self._organization_id
        seen = connection.execute(
            "SELECT 1 FROM event_ids WHERE event_id = ? AND organization_id = ?",
            (event_id, organization_id),
        ).fetchone()
        [account] = connection.execute(
            "SELECT remaining, consumed, sequence, head, allowance_grant_id FROM accounts"
            " WHERE organization_id = ?",
            (organization_id,),
        )
        remaining, consumed, sequence, head, grant_id = account
        if seen or remaining < _CREDITS:
            raise RuntimeError("neither happens here")
        sequence, remaining, consumed = sequence + 1, remaining - _CREDITS, consumed + _CREDITS
        now = clock()
        drawn = json.dumps([[grant_id, _CREDITS]])
        facts = (organization_id, sequence, "usage.booked", _CREDITS, drawn, event_id, now)
        digest = hashlib.sha256(head + json.dumps(facts).encode()).digest()
        content = hashlib.sha256(event_id.encode()).digest()
        connection.execute(
            "INSERT INTO entries (organization_id, sequence, kind, credits, drawn, event_id,"
            " teamspace_id, api_key_id, meter, occurred_at, booked_at, remaining_after,"
            " consumed_after, overage_after, held_after, content, hash)"
            " VALUES (?, ?, 'usage.booked', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?)",
            (
                *(organization_id, sequence, _CREDITS, drawn, event_id, TEAMSPACE, KEY, METER),
                *(now, now, remaining, consumed, content, digest),
            ),
        )
        connection.execute(
            "INSERT INTO event_ids (organization_id, event_id, sequence, overdraw)"
            " VALUES (?, ?, ?, 0)",
            (organization_id, event_id, sequence),
        )
        bucket = now - now % BUCKET
        key = RollupKey(organization_id, bucket, TEAMSPACE, METER, KEY)
        connection.execute(SQL["add_to_rollup"], (*key, _CREDITS, 1))
        connection.execute(SQL["add_to_day"], day_row(key, (_CREDITS, 1)))
        connection.execute(
            "UPDATE accounts SET remaining = ?, consumed = ?, sequence = ?, head = ?,"
            " advanced_to = ? WHERE organization_id = ?",
            (remaining, consumed, sequence, digest, now, organization_id),
        )
        connection.execute(
            "UPDATE grants SET remaining = remaining - ? WHERE organization_id = ?"
            " AND grant_id = ?",
            (_CREDITS, organization_id, grant_id),
        )


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    alone.serve(port, OneTransaction(folder / DATABASE).step)


if __name__ == "__main__":
    main()
