"""Moves the write-ahead log into the database beside the batches, and keeps it short.

Theory of operation. SQLite's own checkpoints run within a COMMIT, which then takes as long as a
thousand scattered writes and a sync of the database do. Here a thread and a connection of their own
move the log while batches go on. That alone would never let the log begin anew: when a pass ends,
batches have added to the log, and SQLite starts again from its beginning only when all of it has
been moved. So, when a pass has left little to move, the lane is asked to let one more run before
its next transaction (`finish`): it finds a few pages, and the next batch writes over the log.

    1000 pages in the log  →  a pass beside the batches, and more of them while much is left
    little is left         →  the lane waits for a short pass, and the log begins anew
    9000 pages in the log  →  the lane waits for what is under way: the disk is behind

The first kind of pass is checkpoint `PASSIVE`, which waits for nobody and which nobody waits for;
so is the second, at a moment when nobody writes. A reader who holds on to the past keeps the log
from beginning anew as long as it does; the next attempt comes when the log has grown by as much
again. An attempt that fails costs nothing but the attempt: the log has it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

PAGES: Final = 1000
"""In the log when moving begins: 4 MB."""
LITTLE: Final = 200
"""Pages that are left to a pass for which the next batch waits."""
MOST: Final = 8 * PAGES
"""By which the log may grow while passes are under way."""
_PASSES: Final = 5
"""Beside the batches, before one is made to wait whatever is left."""


class LogMover:
    """Tells when the log is to be moved, and does it."""

    def __init__(self, connect: Callable[[], apsw.Connection], executor: Executor) -> None:
        self._connect = connect
        self._connection: apsw.Connection | None = None
        self._executor = executor
        self._pass: Future[int | None] | None = None
        self._passes = 0
        self._pages = 0
        self._seen = 0
        self._next_at = PAGES

    def watch(self, writer: apsw.Connection) -> None:
        """Takes the place of SQLite's own checkpoints on the lane's connection."""
        writer.set_wal_hook(self._note_pages)

    def _note_pages(self, _: apsw.Connection, __: str, pages: int) -> int:
        if pages < self._pages:
            self._next_at = PAGES  # the log began anew
        self._pages = pages
        return apsw.SQLITE_OK

    def wants_to_finish(self) -> bool:
        """After a commit: begins a pass where one is due; whether the lane is to wait for one."""
        if self._pass is None:
            if self._pages >= self._next_at:
                self._begin_pass()
            return False
        if not self._pass.done():
            return self._pages >= self._next_at + MOST
        left, self._pass = self._pass.result(), None
        if left is None:
            self._give_up()
            return False
        left += self._pages - self._seen
        if left > LITTLE and self._passes < _PASSES:
            self._begin_pass()
            return False
        return True

    def finish(self, writer: apsw.Connection) -> None:
        """The pass that the lane waits for, in the lane's worker."""
        if self._pass is not None:
            self._pass.result()
            self._pass = None
        _move(writer)
        self._give_up()

    def _give_up(self) -> None:
        """Until the log has grown as much again, unless it begins anew before."""
        self._passes = 0
        self._next_at = self._pages + PAGES

    def _begin_pass(self) -> None:
        self._passes += 1
        self._seen = self._pages
        self._pass = self._executor.submit(self._move)

    def _move(self) -> int | None:
        try:
            if self._connection is None:
                self._connection = self._connect()
        except apsw.Error:
            return None
        return _move(self._connection)

    def close(self) -> None:
        """Waits for a pass under way."""
        self._executor.shutdown()
        if self._connection is not None:
            self._connection.close(force=True)


def _move(connection: apsw.Connection) -> int | None:
    """One pass; how many pages of the log as it was then are left, None where it failed."""
    try:
        pages, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error:
        return None
    return pages - moved
