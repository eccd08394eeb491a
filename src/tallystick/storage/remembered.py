"""A dictionary that forgets what has not been asked for longest, roughly and cheaply."""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """Values by name, at most `most` of them.

    Two dictionaries: what is put or found goes to the younger one, and when that holds half of what
    may be held, it becomes the older one, whose content is forgotten. So a value that is asked for
    while half as many others are stays; and finding one costs a look-up, not an order to keep.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, most: int) -> None:
        self._half = max(most // 2, 1)
        self._young: dict[str, Value] = {}
        self._old: dict[str, Value] = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, name: str) -> Value | None:
        found = self._young.get(name)
        if found is None and self._old:
            found = self._old.get(name)
            if found is not None:
                self.put(name, found)
        return found

    def put(self, name: str, value: Value) -> None:
        self._young[name] = value
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}

    def take(self, name: str) -> Value | None:
        """The value, which is forgotten at the same time."""
        older = self._old.pop(name, None)
        return self._young.pop(name, older)

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()
