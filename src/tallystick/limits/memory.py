"""The exact sliding window, in memory, for the one process that answers.

A request at `t` is admitted if fewer than `limit` requests were admitted in `(t - window, t]`. To
know that exactly, each admitted request is remembered until it leaves the window; the art is to do
so in two bytes.

*Time stamps.* A window keeps the milliseconds of its counted requests, oldest first, in a ring of
16-bit numbers: the millisecond modulo 65 536. All requests in a ring lie less than a window apart,
because whoever counts one first lets go of those that have left; and a window is shorter than
65 536 ms. So the distance of any of them from the oldest is exact, and only the oldest needs its
whole time, kept as `leaves_at_ms`. Nothing else is ever decoded: it does not matter how long a
window lay idle, nor how often the stamps went round meanwhile.

*Idle keys.* There are two dictionaries: keys checked since the last swap, and keys checked before
it. A check takes its key into the first. They swap every window length, and what is still in the
second by then has not been checked for a whole window: it is empty, and goes, without a scan for
it. It goes a few keys at a time: giving back a hundred thousand in one step would hold up every
other request for longer than it may take.

*Promises.* A slot opens when a counted request leaves. Were every refused client told the first
slot, they would all come back for it together, and all but one would fail. So the k-th is told the
k-th slot. How far a window has promised is an index into its ring; when requests leave, their slots
have opened, their promises are done with, and the index moves down with the ring. When all slots
are promised, a second round starts, with an index of its own; but a request that is counted
meanwhile makes a slot that nobody was told, and that one is told first. So no slot is promised
again while another is promised to nobody. A promise reserves nothing: an open slot is for whoever
comes.

*Strangers*, whom nobody has let in, may be as many as there are addresses. A limiter that counts
them has a `capacity`: so many windows, and one more, which all share who come new while there are
as many. Who had a window before keeps it.

*Limits* may change between any two checks. The slots are always the last `limit` requests in the
ring: after a limit was lowered, the requests before those leave without opening one.

Time is the caller's: whole milliseconds of a clock that does not go back (if it does, it stands
still here). A limiter belongs to one thread.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

import msgspec

from tallystick.limits.policy import WINDOW_MS, Decision

if TYPE_CHECKING:
    from collections.abc import Hashable

_STAMP_MASK = 0xFFFF
_LONGEST_WINDOW_MS = _STAMP_MASK
_FIRST_CAPACITY = 8
# Idle keys given back in one check; some 0.1 ms.
_DROPPED_AT_ONCE = 512
# The key of the window that strangers share; equal to no other.
_SHARED = object()

# A NamedTuple's own constructor costs twice as much, a fifth of a whole check.
_new = tuple.__new__


class MemoryLimiter:
    """Exact sliding windows of `window_ms` milliseconds, one for each key.

    With a `capacity`, keys beyond so many at once share a window. Raises ValueError unless
    `window_ms` is 1 to 65 535.
    """

    __slots__ = (
        "_before",
        "_capacity",
        "_dropped",
        "_now_ms",
        "_recent",
        "_swap_at_ms",
        "_window_ms",
    )

    def __init__(self, *, window_ms: int = WINDOW_MS, capacity: int | None = None) -> None:
        if not 1 <= window_ms <= _LONGEST_WINDOW_MS:
            raise ValueError(f"window_ms must be 1 to {_LONGEST_WINDOW_MS}, not {window_ms}")
        self._window_ms = window_ms
        self._capacity = capacity
        self._recent: dict[Hashable, _Window] = {}
        self._before: dict[Hashable, _Window] = {}
        self._dropped: list[dict[Hashable, _Window]] = []
        self._now_ms = self._swap_at_ms = -(1 << 63)

    def acquire(self, key: Hashable, limit: int, now_ms: int) -> Decision:
        """Decide on one request, and count it if it is admitted."""
        # In one piece, because every request comes through here: each call would add a tenth.
        if now_ms > self._now_ms:
            self._advance(now_ms)
        now_ms = self._now_ms
        window = self._recent.get(key)
        if window is None:
            window = self._recall(key)
        if window.leaves_at_ms <= now_ms:
            window.let_go(now_ms)
        count = window.count
        if count >= limit:
            return self._refuse(window, limit)
        stamps = window.stamps
        capacity = len(stamps)
        if count == capacity:
            capacity = min(limit, max(2 * capacity, _FIRST_CAPACITY))
            stamps = window.resize(capacity)
        if count == 0:
            window.leaves_at_ms = now_ms + self._window_ms
        at = window.head + count
        stamps[at if at < capacity else at - capacity] = now_ms & _STAMP_MASK
        window.count = count = count + 1
        reset_after_ms = window.leaves_at_ms - now_ms
        if count < limit:
            return _new(Decision, (True, limit, limit - count, reset_after_ms, 0))
        retry_after_ms = reset_after_ms + window.offset_ms(window.next_slot(limit))
        return _new(Decision, (True, limit, 0, reset_after_ms, retry_after_ms))

    def peek(self, key: Hashable, limit: int, now_ms: int) -> Decision:
        """What `acquire` would decide now; `remaining` is what there is before it would count.

        Counts nothing and makes no promise.
        """
        if now_ms > self._now_ms:
            self._advance(now_ms)
        window = self._find(key) or _Window(stamps=array("H"))
        window.let_go(self._now_ms)
        if limit <= 0:
            return self._never(window, limit)
        reset_after_ms = window.leaves_at_ms - self._now_ms if window.count else 0
        remaining = limit - window.count
        if remaining > 0:
            return _new(Decision, (True, limit, remaining, reset_after_ms, 0))
        retry_after_ms = reset_after_ms + window.offset_ms(window.next_slot(limit))
        return _new(Decision, (False, limit, 0, reset_after_ms, retry_after_ms))

    def _refuse(self, window: _Window, limit: int) -> Decision:
        if limit <= 0:
            return self._never(window, limit)
        slot = window.next_slot(limit)
        window.promise(slot)
        reset_after_ms = window.leaves_at_ms - self._now_ms
        retry_after_ms = reset_after_ms + window.offset_ms(slot)
        return _new(Decision, (False, limit, 0, reset_after_ms, retry_after_ms))

    def _never(self, window: _Window, limit: int) -> Decision:
        # No slot will open, but the limit may be another one by the time the client comes back.
        reset_after_ms = window.leaves_at_ms - self._now_ms if window.count else 0
        return _new(Decision, (False, limit, 0, reset_after_ms, self._window_ms))

    def _recall(self, key: Hashable) -> _Window:
        """The window of a key that has not been checked since the last swap."""
        if self._shares(key):
            key = _SHARED
            if (shared := self._recent.get(key)) is not None:
                return shared
        window = self._before.pop(key, None)
        if window is None:
            window = _Window(stamps=array("H"))
        else:
            window.let_go(self._now_ms)
            window.trim()
        self._recent[key] = window
        return window

    def _find(self, key: Hashable) -> _Window | None:
        if key not in self._recent and self._shares(key):
            key = _SHARED
        return self._recent.get(key) or self._before.get(key)

    def _shares(self, key: Hashable) -> bool:
        """Whether a key that was not checked lately gets no window of its own."""
        if self._capacity is None or key in self._before:
            return False
        windows = len(self._recent) + len(self._before)
        return windows - (_SHARED in self._recent) - (_SHARED in self._before) >= self._capacity

    def _advance(self, now_ms: int) -> None:
        self._now_ms = now_ms
        if now_ms >= self._swap_at_ms:
            self._swap_at_ms = now_ms + self._window_ms
            if self._before:
                self._dropped.append(self._before)
            self._before = self._recent
            self._recent = {}
        if self._dropped:
            self._drop_some()

    def _drop_some(self) -> None:
        windows = self._dropped[-1]
        for _ in range(min(len(windows), _DROPPED_AT_ONCE)):
            windows.popitem()
        if not windows:
            self._dropped.pop()


class _Window(msgspec.Struct, gc=False):
    """The counted requests of one key. Requests and slots are named by their index, 0 the oldest.

    Out of the garbage collector's sight: there are many, they live long, and none is in a cycle.
    """

    stamps: array[int]  # the ring; its length is its capacity
    head: int = 0  # where in the ring the oldest is
    count: int = 0
    leaves_at_ms: int = 0  # the moment the oldest leaves; means nothing when count is 0
    promised: int = 0  # first slot after those promised
    promised_again: int = 0  # the same in later rounds, while promised == count

    def offset_ms(self, index: int) -> int:
        """By how much a counted request is younger than the oldest."""
        stamps = self.stamps
        at = self.head + index
        if at >= len(stamps):
            at -= len(stamps)
        return (stamps[at] - stamps[self.head]) & _STAMP_MASK

    def let_go(self, now_ms: int) -> None:
        """Forget the requests that have left the window, and the promises of their slots."""
        overdue_ms = now_ms - self.leaves_at_ms
        if overdue_ms < 0 or self.count == 0:
            return
        gone = self._count_gone(overdue_ms)
        if gone < self.count:
            self.leaves_at_ms += self.offset_ms(gone)
        self.head = (self.head + gone) % len(self.stamps)
        self.count -= gone
        if self.promised:
            self.promised = max(self.promised - gone, 0)
            self.promised_again = max(self.promised_again - gone, 0)

    def _count_gone(self, overdue_ms: int) -> int:
        # In strides that double, for mostly one is gone and now and then a million are.
        some, more = 0, 1
        while more < self.count and self.offset_ms(more) <= overdue_ms:
            some, more = more, 2 * more
        if more == some + 1:
            return more
        more = min(more, self.count)
        return bisect_right(range(more), overdue_ms, some + 1, more, key=self.offset_ms)

    def next_slot(self, limit: int) -> int:
        """The slot to tell next, in a full window; `limit` is at least 1."""
        first = self.count - limit
        slot = self.promised if self.promised < self.count else self.promised_again
        return slot if first < slot < self.count else first

    def promise(self, slot: int) -> None:
        if self.promised < self.count:
            self.promised = slot + 1
        else:
            self.promised_again = slot + 1

    def trim(self) -> None:
        """Give back what a burst needed and nobody needs now."""
        if 4 * self.count <= len(self.stamps):
            self.resize(2 * self.count)

    def resize(self, capacity: int) -> array[int]:
        unrolled = self.stamps[self.head :] + self.stamps[: self.head]
        self.stamps = unrolled[: self.count] + array("H", bytes(2 * (capacity - self.count)))
        self.head = 0
        return self.stamps
