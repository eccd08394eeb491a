from __future__ import annotations

import tracemalloc
import weakref
from itertools import pairwise

import pytest

from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import MAX_LIMIT, WINDOW_MS, Decision

KEY = ("teamspace", "operation")

# What the in-memory moving window of the `limits` package takes for a full window of 200, and less
# than was ever measured (docs/adr/0010-exact-sliding-window.md).
PEER_BYTES_PER_FULL_KEY = 29_000


def admitted(limit: int, remaining: int, reset_after_ms: int, retry_after_ms: int) -> Decision:
    return Decision(
        admitted=True,
        limit=limit,
        remaining=remaining,
        reset_after_ms=reset_after_ms,
        retry_after_ms=retry_after_ms,
    )


def refused(limit: int, reset_after_ms: int, retry_after_ms: int) -> Decision:
    return Decision(
        admitted=False,
        limit=limit,
        remaining=0,
        reset_after_ms=reset_after_ms,
        retry_after_ms=retry_after_ms,
    )


def admit(limiter: MemoryLimiter, limit: int, *times_ms: int) -> None:
    for now_ms in times_ms:
        assert limiter.acquire(KEY, limit, now_ms).admitted


def waits(limiter: MemoryLimiter, limit: int, now_ms: int, refusals: int) -> list[int]:
    decisions = [limiter.acquire(KEY, limit, now_ms) for _ in range(refusals)]
    assert not any(decision.admitted for decision in decisions)
    return [decision.retry_after_ms for decision in decisions]


# --- the window ---


def test_the_first_requests_are_admitted_up_to_the_limit() -> None:
    limiter = MemoryLimiter()
    assert limiter.acquire(KEY, 3, 1000) == admitted(3, 2, 60_000, 0)
    assert limiter.acquire(KEY, 3, 1010) == admitted(3, 1, 59_990, 0)
    assert limiter.acquire(KEY, 3, 1020) == admitted(3, 0, 59_980, 59_980)
    assert limiter.acquire(KEY, 3, 1030) == refused(3, 59_970, 59_970)


@pytest.mark.parametrize(("age_ms", "left"), [(59_999, False), (60_000, True), (60_001, True)])
def test_a_request_exactly_a_window_old_has_left(age_ms: int, left: bool) -> None:
    limiter = MemoryLimiter()
    limiter.acquire("another", 1, 0)  # so that the window does not end where the dictionaries swap
    admit(limiter, 1, 5000)
    assert not limiter.acquire(KEY, 1, 5000 + 59_990).admitted
    assert limiter.acquire(KEY, 1, 5000 + age_ms).admitted is left


def test_refused_requests_do_not_count() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 1, 0)
    waits(limiter, 1, 30_000, refusals=50)
    admit(limiter, 1, 60_000)


def test_every_key_has_a_window_of_its_own() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 1, 0)
    assert limiter.acquire(("teamspace", "another"), 1, 0).admitted
    assert not limiter.acquire(KEY, 1, 0).admitted


@pytest.mark.parametrize("idle_ms", [65_535, 65_536, 65_537, 131_072, 10 * 65_536 + 1, 1 << 40])
def test_an_old_request_does_not_come_back_when_its_stamp_comes_round(idle_ms: int) -> None:
    limiter = MemoryLimiter()
    admit(limiter, 2, 100, 200)
    assert limiter.acquire(KEY, 2, 200 + idle_ms) == admitted(2, 1, 60_000, 0)


def test_a_window_that_began_before_the_stamps_came_round_goes_on() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 3, 65_530, 65_540, 65_550)
    assert waits(limiter, 3, 65_560, refusals=3) == [59_970, 59_980, 59_990]


@pytest.mark.parametrize("busy_ms", [30_000, 59_999, 90_000, 119_999])
def test_a_request_is_remembered_whenever_the_dictionaries_swap(busy_ms: int) -> None:
    limiter = MemoryLimiter()
    limiter.acquire("another", 1, 0)  # the first check of all starts the swapping
    admit(limiter, 1, busy_ms)
    for now_ms in range(busy_ms, busy_ms + WINDOW_MS, 7):
        limiter.acquire("another", 1, now_ms)
    assert not limiter.acquire(KEY, 1, busy_ms + WINDOW_MS - 1).admitted
    assert limiter.acquire(KEY, 1, busy_ms + WINDOW_MS).admitted


def test_a_clock_that_goes_back_stands_still() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 2, 50_000)
    assert limiter.acquire(KEY, 2, 10_000) == admitted(2, 0, 60_000, 60_000)
    assert not limiter.acquire(KEY, 2, 109_999).admitted
    assert limiter.acquire(KEY, 2, 110_000).remaining == 1


def test_a_clock_may_start_anywhere() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 1, -100_000)
    assert not limiter.acquire(KEY, 1, -40_001).admitted
    admit(limiter, 1, -40_000)


@pytest.mark.parametrize("window_ms", [1, 1000, 65_535])
def test_a_window_may_have_another_length(window_ms: int) -> None:
    limiter = MemoryLimiter(window_ms=window_ms)
    admit(limiter, 1, 7)
    assert waits(limiter, 1, 7 + window_ms - 1, refusals=1) == [1]
    admit(limiter, 1, 7 + window_ms)


@pytest.mark.parametrize("window_ms", [-1, 0, 65_536, 3_600_000])
def test_a_window_that_two_bytes_cannot_hold_is_refused(window_ms: int) -> None:
    with pytest.raises(ValueError, match=f"window_ms must be 1 to 65535, not {window_ms}"):
        MemoryLimiter(window_ms=window_ms)


# --- limits that change ---


def test_nothing_is_admitted_under_a_limit_of_0() -> None:
    limiter = MemoryLimiter()
    assert limiter.acquire(KEY, 0, 5000) == refused(0, 0, 60_000)
    admit(limiter, 1, 10_000)
    assert limiter.acquire(KEY, 0, 20_000) == refused(0, 50_000, 60_000)
    assert limiter.peek(KEY, 0, 20_000) == refused(0, 50_000, 60_000)


def test_a_raised_limit_counts_what_was_admitted_under_the_old_one() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 2, 0, 10)
    assert limiter.acquire(KEY, 4, 20).remaining == 1
    assert limiter.acquire(KEY, 4, 30).remaining == 0
    assert limiter.acquire(KEY, 4, 40) == refused(4, 59_960, 59_960)


def test_a_lowered_limit_admits_when_enough_have_left_and_says_so() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 5, 0, 10, 20, 30, 40)
    # Reset is when the oldest leaves; a slot opens only when the fourth of the five does.
    assert limiter.acquire(KEY, 2, 50) == refused(2, 59_950, 59_980)
    assert not limiter.acquire(KEY, 2, 60_029).admitted
    assert limiter.acquire(KEY, 2, 60_030).admitted


def test_a_window_of_a_million_is_exact() -> None:
    limiter = MemoryLimiter()
    for index in range(MAX_LIMIT):
        limiter.acquire(KEY, MAX_LIMIT, index // 20)  # the last at 49 999
    assert limiter.acquire(KEY, MAX_LIMIT, 50_000) == refused(MAX_LIMIT, 10_000, 10_000)
    assert limiter.peek(KEY, MAX_LIMIT, 60_000).remaining == 20
    assert limiter.peek(KEY, MAX_LIMIT, 84_999).remaining == 500_000
    assert limiter.peek(KEY, MAX_LIMIT, 109_998).remaining == MAX_LIMIT - 20
    assert limiter.peek(KEY, MAX_LIMIT, 109_999) == admitted(MAX_LIMIT, MAX_LIMIT, 0, 0)


# --- promises ---


def test_the_kth_refused_request_is_told_the_kth_slot_and_the_first_reset() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 3, 0, 10, 20)
    refusals = [limiter.acquire(KEY, 3, 100) for _ in range(3)]
    assert [refusal.retry_after_ms for refusal in refusals] == [59_900, 59_910, 59_920]
    assert [refusal.reset_after_ms for refusal in refusals] == [59_900] * 3


def test_when_every_slot_is_promised_the_promises_start_again() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 3, 0, 10, 20)
    assert waits(limiter, 3, 100, refusals=7) == [
        *(59_900, 59_910, 59_920),
        *(59_900, 59_910, 59_920),
        59_900,
    ]


def test_a_promise_is_done_with_when_its_slot_opens() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 3, 0, 10, 20)
    waits(limiter, 3, 100, refusals=2)  # told the slots of 0 and 10
    admit(limiter, 3, 60_000)
    assert waits(limiter, 3, 60_001, refusals=3) == [19, 59_999, 9]  # 20, 60 000, then 10 again


def test_a_new_slot_is_promised_before_any_other_is_promised_again() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 3, 0, 10, 20)
    waits(limiter, 3, 100, refusals=5)  # every slot, then those of 0 and 10 again
    admit(limiter, 3, 60_000)
    assert waits(limiter, 3, 60_001, refusals=2) == [59_999, 19]


def test_after_a_quiet_window_the_first_slot_is_told_again() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 3, 0, 10, 20)
    waits(limiter, 3, 100, refusals=8)
    admit(limiter, 3, 70_000, 70_010, 70_020)
    assert waits(limiter, 3, 70_100, refusals=1) == [59_900]


def test_a_promise_is_no_reservation() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 1, 0)
    waits(limiter, 1, 100, refusals=1)
    admit(limiter, 1, 60_000)  # whoever that was


def test_the_last_admitted_request_is_told_a_slot_that_nobody_else_was() -> None:
    limiter = MemoryLimiter()
    admit(limiter, 2, 0, 10)
    waits(limiter, 2, 100, refusals=2)
    assert limiter.acquire(KEY, 2, 60_000) == admitted(2, 0, 10, 60_000)


# --- peek ---


def test_peek_counts_nothing_and_makes_no_promise() -> None:
    limiter = MemoryLimiter()
    assert limiter.peek(KEY, 2, 0) == admitted(2, 2, 0, 0)
    admit(limiter, 2, 0)
    assert limiter.peek(KEY, 2, 10) == admitted(2, 1, 59_990, 0)
    admit(limiter, 2, 20)
    for _ in range(3):
        assert limiter.peek(KEY, 2, 30) == refused(2, 59_970, 59_970)
    assert waits(limiter, 2, 30, refusals=2) == [59_970, 59_990]
    assert limiter.peek(KEY, 2, 60_000).admitted


def test_peek_finds_a_key_that_was_last_checked_before_the_swap() -> None:
    limiter = MemoryLimiter()
    limiter.acquire("another", 1, 0)
    admit(limiter, 1, 59_999)
    assert not limiter.peek(KEY, 1, 60_001).admitted
    assert not limiter.acquire(KEY, 1, 60_001).admitted


# --- memory ---


def traced_bytes() -> int:
    return tracemalloc.get_traced_memory()[0]


def test_a_full_key_takes_a_twentieth_of_what_a_list_of_entries_takes() -> None:
    keys = [("teamspace", number) for number in range(300)]
    tracemalloc.start()
    try:
        before = traced_bytes()
        limiter = MemoryLimiter()
        for now_ms in range(200):
            for key in keys:
                limiter.acquire(key, 200, 1_000_000_000 + now_ms)
        full = (traced_bytes() - before) / len(keys)
        for now_ms in range(1_000_060_000, 1_000_200_000, 1000):
            limiter.acquire("another", 200, now_ms)
        idle = (traced_bytes() - before) / len(keys)
    finally:
        tracemalloc.stop()
    assert 2 * 200 < full <= PEER_BYTES_PER_FULL_KEY / 20
    assert idle < 10


def test_a_burst_is_given_back_while_its_key_stays_busy() -> None:
    tracemalloc.start()
    try:
        before = traced_bytes()
        limiter = MemoryLimiter()
        for _ in range(20_000):
            limiter.acquire(KEY, MAX_LIMIT, 0)
        burst = traced_bytes() - before
        for now_ms in range(0, 200_000, 1000):
            limiter.acquire(KEY, MAX_LIMIT, now_ms)
        calm = traced_bytes() - before
    finally:
        tracemalloc.stop()
    assert burst > 2 * 20_000
    assert calm < 2_000


class Key:
    """A key that can be watched as it goes."""

    __slots__ = ("__weakref__",)


def test_idle_keys_go_a_few_at_a_time_without_being_asked_for() -> None:
    limiter = MemoryLimiter()
    keys = [Key() for _ in range(3000)]
    for key in keys:
        limiter.acquire(key, 200, 0)
    watched = [weakref.ref(key) for key in keys]
    del key, keys
    alive = []
    for now_ms in range(1000, 200_000, 1000):
        limiter.acquire("another", 200, now_ms)
        alive.append(sum(key() is not None for key in watched))
    assert alive[0] == 3000
    assert alive[-1] == 0
    assert max(before - after for before, after in pairwise(alive)) <= 600


# --- strangers ---


def test_beyond_its_capacity_newcomers_share_one_window() -> None:
    limiter = MemoryLimiter(capacity=3)
    for number in range(3):
        assert limiter.acquire(number, 2, 0) == admitted(2, 1, 60_000, 0)
    assert limiter.acquire("a fourth", 2, 1) == admitted(2, 1, 60_000, 0)
    assert limiter.peek("a fifth", 2, 1) == limiter.peek("a fourth", 2, 1)
    assert limiter.acquire("a fifth", 2, 1) == admitted(2, 0, 60_000, 60_000)
    assert limiter.acquire("a sixth", 2, 1) == refused(2, 60_000, 60_000)
    # Who was there before is not touched by it.
    for number in range(3):
        assert limiter.acquire(number, 2, 2).admitted


def test_when_there_is_room_again_newcomers_have_windows_of_their_own() -> None:
    limiter = MemoryLimiter(capacity=2)
    for key in ("a", "b", "c", "d"):
        limiter.acquire(key, 2, 0)
    assert not limiter.acquire("e", 2, 0).admitted
    # Before two windows have passed, what is idle may still be held.
    assert limiter.acquire("a", 2, 60_000) == admitted(2, 1, 60_000, 0)
    assert limiter.acquire("c", 2, 119_999) == admitted(2, 1, 60_000, 0)
    assert limiter.acquire("d", 2, 120_000) == admitted(2, 1, 60_000, 0)
    assert limiter.acquire("e", 2, 120_000).admitted


def test_a_flood_of_strangers_takes_bounded_memory() -> None:
    limiter = MemoryLimiter(capacity=1_000)
    tracemalloc.start()
    try:
        for number in range(20_000):
            limiter.acquire(number, 30, number // 100)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000 * 400
