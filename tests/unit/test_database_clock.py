"""The database's clock as a process knows it, from readings that took a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.ledger.ports import StoreUnavailable
from tallystick.storage.postgres.clock import DatabaseClock

AHEAD_US = 1_800_000_000_000_000
"""What the database's clock shows when the process's begins."""


class Process:
    """A process whose clock passes when told."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.clock = DatabaseClock(lambda: self.now_ns)

    def read(self, there_ns: int, back_ns: int, ahead_us: int = AHEAD_US) -> None:
        """Asks for the time, which the question and the answer take a while to get there."""
        asked = self.now_ns
        said = ahead_us + (asked + there_ns) // 1000
        self.now_ns += there_ns + back_ns
        self.clock.note(said, asked, self.now_ns)

    @property
    def truth(self) -> int:
        return AHEAD_US + self.now_ns // 1000


def test_it_is_unknown_until_it_was_read() -> None:
    with pytest.raises(StoreUnavailable):
        DatabaseClock()()


WAYS = st.tuples(*[st.integers(0, 10**7)] * 3)


@given(st.lists(WAYS, min_size=1))
def test_it_is_never_ahead_never_back_and_late_by_a_round_trip_at_most(
    readings: list[tuple[int, int, int]],
) -> None:
    process = Process()
    shown, trip = 0, 10**9
    for wait, there, back in readings:
        process.now_ns += wait
        process.read(there, back)
        trip = min(trip, there + back)
        assert process.truth - trip // 1000 - 2 <= process.clock() <= process.truth
        assert shown <= process.clock()
        shown = process.clock()


@pytest.mark.parametrize("jump", [-5_000_000, 5_000_000])
def test_it_follows_another_server_whose_clock_shows_something_else(jump: int) -> None:
    process = Process()
    process.read(1000, 1000)
    process.read(1000, 1000, AHEAD_US + jump)
    assert process.truth + jump - 3 <= process.clock() <= process.truth + jump + 3
