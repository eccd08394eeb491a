"""What is asked for stays, the rest goes, and there is never more than may be."""

from __future__ import annotations

import random

from tallystick.storage.remembered import Remembered


def test_what_was_put_is_found() -> None:
    remembered: Remembered[int] = Remembered(4)
    remembered.put("a", 1)
    assert remembered.get("a") == 1
    remembered.put("a", 2)
    assert remembered.get("a") == 2
    assert remembered.get("b") is None


def test_there_is_never_more_than_may_be() -> None:
    remembered: Remembered[int] = Remembered(100)
    chance = random.Random(1)
    for number in range(2_000):
        remembered.put(f"new-{number}", number)
        remembered.get(f"new-{chance.randrange(number + 1)}")
        assert len(remembered) <= 100
    assert len(remembered) >= 50


def test_what_is_asked_for_stays_however_many_others_come() -> None:
    remembered: Remembered[int] = Remembered(100)
    remembered.put("kept", 1)
    for number in range(1_000):
        remembered.put(f"new-{number}", number)
        assert remembered.get("kept") == 1
    assert remembered.get("new-0") is None


def test_what_is_taken_is_gone_wherever_it_was() -> None:
    remembered: Remembered[int] = Remembered(4)
    remembered.put("a", 1)
    remembered.put("b", 2)  # `a` and `b` are the older half now
    remembered.put("a", 3)
    assert remembered.take("a") == 3
    assert remembered.get("a") is None
    assert remembered.take("b") == 2
    assert remembered.take("b") is None
    assert len(remembered) == 0


def test_nothing_is_left_of_what_is_cleared() -> None:
    remembered: Remembered[int] = Remembered(4)
    for name in "abc":
        remembered.put(name, 1)
    remembered.clear()
    assert [remembered.get(name) for name in "abc"] == [None] * 3
