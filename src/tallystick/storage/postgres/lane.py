"""A lane of a PostgreSQL store: batches, one at a time.

Theory of operation. A batch is BEGIN, one statement that locks and reads (`load.sql`), one that
writes nearly everything (`lane.sql`), and COMMIT. What an account's lock guards is read by queries
that begin after it was taken, so they see what its last holder wrote.

Nobody holds up the rest: an account that somebody else has locked is left out, and what concerns it
goes on the next flight, which waits for it for a moment, before it locks anything else. One that
stays locked for longer than any batch takes (somebody's forgotten session) is waited for no more:
what concerns it fails, and the others never notice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tallystick.domain.prices import NO_PRICES, PriceBook
from tallystick.storage.loaded import note_loaded
from tallystick.storage.postgres.load import SQL, arguments, snapshot_of
from tallystick.storage.postgres.prices import PriceCache, read_book
from tallystick.storage.postgres.session import Session
from tallystick.storage.postgres.write import write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from tallystick.ledger.ports import Changes, Snapshot, Wanted
    from tallystick.storage.loaded import Loaded
    from tallystick.storage.postgres.clock import DatabaseClock
    from tallystick.storage.postgres.connect import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a lane waits for what."""

    account_ms: int = 100
    """For accounts that the last batch left behind, in one batch."""
    accounts_seconds: float = 2.0
    """For an account in all, over batches."""
    lock_ms: int = 2_000
    """For the price book, an operator's key, and whoever writes the same name."""
    statement_ms: int = 5_000
    step_seconds: float = 8.0
    """For the server's answer to a statement, COMMIT included."""


def session_settings(patience: Patience) -> Mapping[str, str]:
    """The settings of a session that writes."""
    return {
        "default_transaction_isolation": "read committed",
        "lock_timeout": f"{patience.lock_ms}ms",
        "statement_timeout": f"{patience.statement_ms}ms",
        "idle_in_transaction_session_timeout": "10s",
        # A lane finds rows by their keys and does nothing else. One plan for each statement, made
        # once, whatever the tables held at that moment; from key to row, partition by partition.
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }


class PostgresLane:
    """Writes on one connection; other lanes, here and elsewhere, write beside it."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        seen: DatabaseClock,
        clock: Callable[[], int] | None,
        patience: Patience,
    ) -> None:
        """`connect` makes a connection with `session_settings`; `seen` is told what the database's
        clock says; `clock`, where there is one, takes its place (for tests)."""
        self._session = Session(connect, patience.step_seconds)
        self._seen = seen
        self._clock = clock
        self._patience = patience
        self._left_behind: dict[str, float] = {}
        self._loaded: dict[str, Loaded] = {}
        self._now = 0
        self._prices = PriceCache()

    async def load(self, wanted: Wanted) -> Snapshot:
        await self.abandon()
        connection = await self._session.begin()
        try:
            snapshot = await self._load(connection, wanted)
        except BaseException:
            # Nobody is to wait for locks of a transaction that nobody goes on with. And how long
            # somebody has been waited for is counted anew: who asks next may come much later.
            self._left_behind.clear()
            await self.abandon()
            raise
        self._note_elsewhere(snapshot)
        self._loaded, self._now = note_loaded(snapshot), snapshot.now
        return snapshot

    async def append(self, changes: Changes) -> None:
        connection = self._session.transaction()
        try:
            await self._session.step(write(connection, changes, self._loaded, self._now))
        except BaseException:
            await self.abandon()
            raise
        await self._session.commit()

    async def confirm(self) -> None:
        """A COMMIT too. What a writer committed may be seen before a standby has it, where that
        writer was broken off or the server restarted; who has locked a row waits with his COMMIT
        until all before it is flushed and, where that is set up, replicated."""
        await self._session.commit()

    async def abandon(self) -> None:
        await self._session.roll_back()

    async def close(self) -> None:
        """Undoes what is open and lets go of the connection."""
        await self._session.close()

    async def _load(self, connection: Connection, wanted: Wanted) -> Snapshot:
        patient_with = self._patient_with()
        asked = time.monotonic_ns()
        found = await self._session.step(
            connection.fetch(
                SQL["load"], *arguments(wanted, patient_with, f"{self._patience.account_ms}ms")
            )
        )
        snapshot, book = snapshot_of(found)
        self._seen.note(snapshot.now, asked, time.monotonic_ns())
        if self._clock is not None:
            snapshot.now = self._clock()
        snapshot.prices = NO_PRICES
        if book is not None:
            snapshot.prices = await self._price_book(connection, book, wanted.prices)
        return snapshot

    async def _price_book(
        self, connection: Connection, state: tuple[int, ...], meters: Collection[str]
    ) -> PriceBook:
        found = self._prices.find(state, meters)
        if len(found) == len(meters):
            return PriceBook(found)
        return await self._session.step(read_book(connection, self._prices, meters))

    def _patient_with(self) -> list[str]:
        """Accounts that the last batch left behind, but not those that it gave up."""
        since = time.monotonic() - self._patience.accounts_seconds
        return [name for name, left_at in self._left_behind.items() if left_at > since]

    def _note_elsewhere(self, snapshot: Snapshot) -> None:
        if not (self._left_behind or snapshot.elsewhere):
            return
        now = time.monotonic()
        for name in snapshot.accounts:
            self._left_behind.pop(name, None)
        for name in snapshot.elsewhere:
            left_at = self._left_behind.setdefault(name, now)
            if now - left_at >= self._patience.accounts_seconds:
                snapshot.given_up.add(name)
        forgotten = now - 10 * self._patience.accounts_seconds
        self._left_behind = {
            name: left_at
            for name, left_at in self._left_behind.items()
            if left_at > forgotten or name in snapshot.elsewhere
        }
