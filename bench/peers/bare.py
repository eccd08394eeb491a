"""Nothing but `executemany`: `python -m bench.peers.bare PORT FOLDER ordered|random ENTRIES`.

A step is a batch of 100 events in one transaction; see `bench.storage` for its rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.peers import alone
from bench.storage import Bare, Case, Ids, fill


def main() -> None:
    port, folder, entries = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4])
    ids: Ids = "random" if sys.argv[3] == "random" else "ordered"
    case = Case(events=100, ids=ids, entries=entries)
    path = folder / "bare.db"
    fill(path, case)
    bare = Bare(path, case, 7_002)
    alone.serve(port, lambda: bare.slice(case.events).wall)


if __name__ == "__main__":
    main()
