"""A memory of what was lately sent, by its exact bytes, for bytes that hold a secret.

So it is bounded in size and in time: 1 MiB of bytes, and a minute at most after their last use.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

CAPACITY: Final = 1 << 20
"""Bytes that are remembered at most."""
GENERATION_SECONDS: Final = 28
"""What was not asked for in one whole generation is forgotten with the next. Two of them are less
than the minute that is promised, since the seconds of a busy server are a little long."""

Meaning = TypeVar("Meaning")


class Lately(Generic[Meaning]):
    """Remembers what bytes mean, in two generations, so that idle ones vanish without a scan."""

    def __init__(self) -> None:
        self._young: dict[bytes, Meaning] = {}
        self._old: dict[bytes, Meaning] = {}
        self._size = 0
        self._seconds = 0

    def get(self, sent: bytes) -> Meaning | None:
        """What `sent` means, if it was put here lately."""
        found = self._young.get(sent)
        if found is None and self._old:
            found = self._old.get(sent)
            if found is not None:
                self.put(sent, found)
        return found

    def put(self, sent: bytes, meaning: Meaning) -> None:
        if self._size + len(sent) > CAPACITY // 2:
            self._turn()
        if sent not in self._young:
            self._size += len(sent)
        self._young[sent] = meaning

    def clear(self) -> None:
        self._young, self._old, self._size = {}, {}, 0

    def second_passed(self) -> None:
        """Called once a second."""
        self._seconds += 1
        if self._seconds >= GENERATION_SECONDS:
            self._turn()

    def _turn(self) -> None:
        self._old, self._young = self._young, {}
        self._size = self._seconds = 0
