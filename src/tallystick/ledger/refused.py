"""Requests that were refused or failed, for whoever asks why; no part of the ledger.

Theory of operation. What is refused is noted in memory, which costs the request a moment and waits
for nobody. Once a second what was noted is written, in the batches that write all else, and until
that is durable it is found in memory; a crash loses what was noted in its last second. Whatever
arrives, memory holds so many of each organization and so many in all: beyond that the oldest of the
same organization makes room, so nobody's flood costs others their notes.

Of each organization the latest are kept, for some days. What is written a second time, because
nobody knew whether it had been, stays as it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.commands import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tallystick.ledger.ledger import Ledger
    from tallystick.ledger.ports import Wanted
    from tallystick.ledger.work import Work

LATEST: Final = 10_000
"""Requests kept of each organization."""
KEPT_FOR: Final = 7 * DAY
WAITING_EACH: Final = 256
"""Requests of one organization that wait to be written: what one batch holds."""
WAITING: Final = 8_192
"""Requests that wait in all."""


class RefusedRequest(NamedTuple):
    """What is known of a request that was refused or failed, or some of whose events were rejected.

    `path` is the operation's template. `code` and `details` (a JSON object with the reason and the
    figures that decided it) are those of the error, or of the first event's that was rejected.
    `rejected` counts the events that were, `event_ids` names the first of them.
    """

    organization_id: str
    id: str
    at: int
    operation: str
    method: str
    path: str
    status: int
    code: str
    details: bytes
    teamspace_id: str
    api_key_id: str | None
    event_ids: tuple[str, ...]
    rejected: int


class Kept(NamedTuple):
    """How many of an organization's latest requests stay, and since when."""

    latest: int
    since: int


class NoteRefused(NamedTuple):
    """Writes requests of one organization, and forgets those that are no longer kept."""

    requests: Sequence[RefusedRequest]
    kept: Kept

    @property
    def weight(self) -> int:
        return max(len(self.requests), 1)

    def wants(self, wanted: Wanted) -> None:
        """Nothing: it writes without looking."""

    def decide(self, work: Work) -> None:
        work.changes.refused.extend(self.requests)
        work.changes.refused_kept = self.kept


class RefusedRequests:
    """Notes, writes and finds them."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], int],
        *,
        latest: int = LATEST,
        waiting_each: int = WAITING_EACH,
        waiting: int = WAITING,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._latest = latest
        self._most_each = waiting_each
        self._most = waiting
        self._waiting: dict[str, deque[RefusedRequest]] = {}
        self._count = 0
        self._under_way: list[Mapping[str, deque[RefusedRequest]]] = []
        self._dropped = 0

    def note(self, request: RefusedRequest) -> None:
        """Notes a request, in the place of the organization's oldest where there is no room."""
        mine = self._waiting.setdefault(request.organization_id, deque())
        if len(mine) >= self._most_each or self._count >= self._most:
            self._dropped += 1
            if not mine:
                del self._waiting[request.organization_id]
                return
            mine.popleft()
            self._count -= 1
        mine.append(request)
        self._count += 1

    def take_dropped(self) -> int:
        """How many were dropped since it was asked last."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    async def find(self, organization_id: str, request_id: str) -> RefusedRequest | None:
        found = self._in_memory(organization_id, request_id)
        if found is None:
            reader = self._ledger.store.reader
            found = await reader.refused_request(organization_id, request_id)
        return None if found is None or found.at < self._kept().since else found

    async def write(self) -> None:
        """Writes what waits. Raises StoreError or Overloaded, and then it goes on waiting."""
        if not self._waiting:
            return
        taken, self._waiting, self._count = self._waiting, {}, 0
        self._under_way.append(taken)
        try:
            kept = self._kept()
            units = [
                self._ledger.submit(name, NoteRefused(tuple(requests), kept))
                for name, requests in taken.items()
            ]
            await asyncio.gather(*units)
        except BaseException:
            self._put_back(taken)
            raise
        finally:
            self._under_way.remove(taken)

    async def forget(self) -> None:
        """Forgets some of those that have been kept for long enough, of whomever they are."""
        await self._ledger.submit("", NoteRefused((), self._kept()))

    def _kept(self) -> Kept:
        return Kept(self._latest, self._clock() - KEPT_FOR)

    def _in_memory(self, organization_id: str, request_id: str) -> RefusedRequest | None:
        for noted in (self._waiting, *self._under_way):
            for request in noted.get(organization_id, ()):
                if request.id == request_id:
                    return request
        return None

    def _put_back(self, taken: Mapping[str, deque[RefusedRequest]]) -> None:
        since, self._waiting, self._count = self._waiting, {}, 0
        for noted in (taken, since):
            for requests in noted.values():
                for request in requests:
                    self.note(request)
