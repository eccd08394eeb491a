"""The limiter against its rule, on long random histories.

`Oracle` is the rule written with plain lists. `walk` asks it and a limiter the same questions; the
times it jumps by are the ones at which a ring of 16-bit milliseconds could go wrong. `lone_client`
and `crowd` play clients that do as they are told. All three are run on broken limiters as well, to
show that they would notice.
"""

from __future__ import annotations

import heapq
import importlib.util
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.limits import memory
from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import WINDOW_MS, Decision, headers

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKS = 8_000
LIMITS = (1, 2, 3, 5, 8, 13, 40, 200, 400, 1000)
SEEDS = range(4)
OTHER_LIMITS = (0, 1, 2, 3, 5, 8, 13, 40, 200, 1_000_000)
KEYS = ("a", "b", "c", "d")
JUMPS_MS = (59_999, 60_000, 60_001, 65_535, 65_536, 65_537, 120_000, 131_072, 10_000_000)


@dataclass(slots=True)
class Counted:
    at_ms: int
    promised: bool = False
    again: bool = False  # promised in the present later round


@dataclass(slots=True)
class Oracle:
    window_ms: int
    now_ms: int = -(10**9)
    requests: dict[str, list[Counted]] = field(default_factory=dict)

    def in_window(self, key: str, now_ms: int) -> list[Counted]:
        self.now_ms = max(self.now_ms, now_ms)
        after = self.now_ms - self.window_ms
        self.requests[key] = [c for c in self.requests.get(key, []) if c.at_ms > after]
        return self.requests[key]

    def acquire(self, key: str, limit: int, now_ms: int) -> Decision:
        counted = self.in_window(key, now_ms)
        admitted = len(counted) < limit
        if admitted:
            counted.append(Counted(self.now_ms))
        decision = self.describe(counted, limit, admitted=admitted)
        if not admitted and limit > 0:
            promise(counted, limit)
        return decision

    def peek(self, key: str, limit: int, now_ms: int) -> Decision:
        counted = self.in_window(key, now_ms)
        return self.describe(counted, limit, admitted=len(counted) < limit)

    def describe(self, counted: list[Counted], limit: int, *, admitted: bool) -> Decision:
        remaining = max(limit - len(counted), 0)
        reset_after_ms = self.until_left(counted[0]) if counted else 0
        retry_after_ms = 0
        if remaining == 0:
            told = next_slot(counted, limit)
            retry_after_ms = self.window_ms if told is None else self.until_left(told)
        return Decision(admitted, limit, remaining, reset_after_ms, retry_after_ms)

    def until_left(self, request: Counted) -> int:
        return request.at_ms + self.window_ms - self.now_ms


def next_slot(counted: list[Counted], limit: int) -> Counted | None:
    """The first after all that were told; when the last was told, the same in the next round."""
    if limit == 0:
        return None
    slots = counted[-limit:]
    untold = list(takewhile(lambda slot: not slot.promised, reversed(slots)))
    untold = untold or list(takewhile(lambda slot: not slot.again, reversed(slots)))
    return untold[-1] if untold else slots[0]


def promise(counted: list[Counted], limit: int) -> None:
    slot = next_slot(counted, limit)
    assert slot is not None
    if not slot.promised and not counted[-1].promised:
        slot.promised = True
        return
    if counted[-1].again:
        for each in counted:
            each.again = False
    slot.promised = slot.again = True


@dataclass(slots=True)
class Walk:
    """One random history, and what happened in it at its own `limit`."""

    random: Random
    limiter: MemoryLimiter
    oracle: Oracle
    limit: int
    now_ms: int = 0
    admitted: int = 0
    refused: int = 0

    def step_ms(self, key: str) -> int:
        dice = self.random.random()
        if dice < 0.45:
            return 0
        # A large window needs time to fill before the next jump empties it.
        if dice < 0.93 or self.random.randrange(self.limit) > 10:
            return self.random.randrange(1, self.random.choice((3, 30, 300)))
        if dice < 0.96:
            return self.to_an_edge(key)
        if dice < 0.97:
            return -self.random.randrange(1, 100_000)
        if dice < 0.98:
            return self.random.randrange(self.oracle.window_ms)
        return self.random.choice((*JUMPS_MS, self.oracle.window_ms))

    def to_an_edge(self, key: str) -> int:
        """To the moment at which some request leaves, or a millisecond beside it."""
        counted = self.oracle.requests.get(key)
        if not counted:
            return 1
        leaves_at_ms = self.random.choice(counted).at_ms + self.oracle.window_ms
        return leaves_at_ms - self.oracle.now_ms + self.random.choice((-1, 0, 1))

    def check(self, key: str, limit: int) -> None:
        self.now_ms = max(self.now_ms, self.oracle.now_ms) + self.step_ms(key)
        if self.random.random() < 0.1:
            expected = self.oracle.peek(key, limit, self.now_ms)
            assert self.limiter.peek(key, limit, self.now_ms) == expected
            return
        expected = self.oracle.acquire(key, limit, self.now_ms)
        assert self.limiter.acquire(key, limit, self.now_ms) == expected
        if limit == self.limit:
            self.admitted += expected.admitted
            self.refused += not expected.admitted


def walk(
    limiter: MemoryLimiter, limit: int, seed: int, checks: int, window_ms: int = WINDOW_MS
) -> Walk:
    random = Random(seed)
    history = Walk(random, limiter, Oracle(window_ms), limit)
    keys = KEYS[: 1 if limit >= 200 else 1 + seed % len(KEYS)]
    limits = dict.fromkeys(keys, limit)
    for number in range(checks):
        key = random.choice(keys)
        if random.random() < 0.005:
            limits[key] = random.choice((*[limit] * 10, *OTHER_LIMITS))
        try:
            history.check(key, limits[key])
        except AssertionError as error:
            error.add_note(f"seed {seed}, check {number}, key {key!r}, limit {limits[key]}")
            raise
    return history


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_decision_is_the_oracles(limit: int, seed: int) -> None:
    history = walk(MemoryLimiter(), limit, seed, CHECKS)
    # A history in which little happened would prove little.
    assert history.admitted > 100
    assert history.refused > 50


def test_the_histories_are_long_enough() -> None:
    assert len(LIMITS) * len(SEEDS) * CHECKS >= 300_000


@pytest.mark.parametrize("window_ms", [1, 2, 1000, 65_535])
def test_every_decision_is_the_oracles_for_windows_of_other_lengths(window_ms: int) -> None:
    walk(MemoryLimiter(window_ms=window_ms), 3, 1, 3000, window_ms)


steps = st.tuples(
    st.sampled_from(["acquire", "acquire", "acquire", "peek"]),
    st.sampled_from(KEYS[:2]),
    st.integers(0, 4),
    st.sampled_from([0, 0, 1, 5, 5536, 20_000, -7, *JUMPS_MS]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=60))
def test_every_decision_is_the_oracles_on_the_shortest_history_there_is(
    history: list[tuple[str, str, int, int]],
) -> None:
    limiter, oracle, now_ms = MemoryLimiter(), Oracle(WINDOW_MS), 0
    for verb, key, limit, step_ms in history:
        now_ms += step_ms
        decide: Callable[[str, int, int], Decision] = getattr(limiter, verb)
        expect: Callable[[str, int, int], Decision] = getattr(oracle, verb)
        assert decide(key, limit, now_ms) == expect(key, limit, now_ms)


def lone_client(limiter: MemoryLimiter, seed: int, limit: int) -> int:
    """Sends at random, waits as told when refused; returns how often it was refused."""
    random = Random(seed)
    now_ms, refusals = random.randrange(1 << 32), 0
    pause_ms = max(2 * WINDOW_MS // limit, 2)
    for _ in range(8 * limit + 50):
        now_ms += random.choice((0, 0, 0, 1, random.randrange(pause_ms)))
        decision = limiter.acquire("lone", limit, now_ms)
        if decision.admitted:
            continue
        refusals += 1
        late_ms = random.choice((0, 0, 1, 40))
        now_ms += wait_ms(decision, whole_seconds=random.random() < 0.3) + late_ms
        assert limiter.acquire("lone", limit, now_ms).admitted, f"refused twice: seed {seed}"
    return refusals


def wait_ms(decision: Decision, *, whole_seconds: bool) -> int:
    """What a client reads from the headers; an older one knows only the whole seconds."""
    fields = dict(headers(decision, 0, 0))
    if whole_seconds:
        return 1000 * int(fields[b"retry-after"])
    return int(fields[b"retry-after-ms"])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 30, 200, 1000])
def test_a_lone_obedient_client_is_never_refused_twice_in_a_row(limit: int) -> None:
    seeds = range(5 if limit == 1000 else 20)
    assert sum(lone_client(MemoryLimiter(), seed, limit) for seed in seeds) > 20


@pytest.mark.parametrize("limit", [1, 2, 7, 200])
def test_a_lone_client_that_heeds_the_last_admitted_answer_is_never_refused(limit: int) -> None:
    limiter, random, now_ms = MemoryLimiter(), Random(limit), 0
    for _ in range(10 * limit):
        now_ms += random.choice((0, 1, 50)) + limiter.peek("lone", limit, now_ms).retry_after_ms
        decision = limiter.acquire("lone", limit, now_ms)
        assert decision.admitted
        now_ms += decision.retry_after_ms


@dataclass(frozen=True, slots=True)
class Crowd:
    """How a crowd fared: tries beyond the first, per client, and when those refused came back."""

    retries: list[int]
    returns_ms: list[int]


def crowd(
    limiter: MemoryLimiter, clients: int, limit: int, seed: int, *, whole_seconds: bool = False
) -> Crowd:
    """Clients that each want one answer, all at about the same time, and wait as they are told."""
    random = Random(seed)
    due = [(random.randrange(500), client) for client in range(clients)]
    heapq.heapify(due)
    retries, returns_ms = [0] * clients, []
    while due:
        now_ms, client = heapq.heappop(due)
        decision = limiter.acquire("crowd", limit, now_ms)
        if decision.admitted:
            continue
        retries[client] += 1
        assert retries[client] <= 2, f"client {client} gave up: seed {seed}"
        back_ms = now_ms + wait_ms(decision, whole_seconds=whole_seconds)
        returns_ms.append(back_ms)
        heapq.heappush(due, (back_ms, client))
    return Crowd(retries, returns_ms)


@pytest.mark.parametrize("seed", range(10))
def test_a_crowd_comes_back_spread_over_the_slots_and_succeeds_at_once(seed: int) -> None:
    random = Random(seed)  # draws the arrivals that `crowd` draws
    arrivals = sorted(random.randrange(500) for _ in range(400))
    fared = crowd(MemoryLimiter(), clients=400, limit=200, seed=seed)
    assert sorted(fared.retries) == [0] * 200 + [1] * 200
    assert fared.returns_ms == [at_ms + WINDOW_MS for at_ms in arrivals[:200]]


@pytest.mark.parametrize("seed", range(10))
def test_a_crowd_that_reads_whole_seconds_only_succeeds_at_once(seed: int) -> None:
    fared = crowd(MemoryLimiter(), clients=400, limit=200, seed=seed, whole_seconds=True)
    assert max(fared.retries) == 1


@pytest.mark.parametrize("clients", [450, 500, 600])
@pytest.mark.parametrize("seed", range(5))
def test_a_crowd_of_up_to_three_windows_succeeds_within_two_retries(
    clients: int, seed: int
) -> None:
    fared = crowd(MemoryLimiter(), clients=clients, limit=200, seed=seed)
    assert max(fared.retries) == 2


# --- the checks above notice a broken limiter ---


def check_walk(make: Callable[[], MemoryLimiter]) -> None:
    for limit in (3, 40):
        walk(make(), limit, 1, CHECKS)


def check_lone_client(make: Callable[[], MemoryLimiter]) -> None:
    for limit in (2, 30):
        lone_client(make(), 1, limit)


def check_crowd(make: Callable[[], MemoryLimiter]) -> None:
    crowd(make(), clients=400, limit=200, seed=1)


def check_crowd_of_500(make: Callable[[], MemoryLimiter]) -> None:
    crowd(make(), clients=500, limit=200, seed=1)


# What is broken, in the words of memory.py: this text becomes that, and which check must notice.
FAULTS = [
    ("if window.leaves_at_ms <= now_ms:", "if window.leaves_at_ms < now_ms:", check_walk),
    ("if window.leaves_at_ms <= now_ms:", "if window.leaves_at_ms < now_ms:", check_lone_client),
    ("if count >= limit:", "if count > limit:", check_walk),
    ("        now_ms = self._now_ms\n", "", check_walk),
    (
        "stamps[at] - stamps[self.head]) & _STAMP_MASK",
        "stamps[at] - stamps[self.head])",
        check_walk,
    ),
    ("self._before = self._recent", "self._before = {}", check_walk),
    ("self._swap_at_ms = now_ms + self._window_ms", "self._swap_at_ms = now_ms + 1", check_walk),
    ("more < self.count and", "more < self.count and more < 2 and", check_walk),
    ("some + 1, more, key=", "some + 1, some + 1, key=", check_walk),
    ("self.leaves_at_ms += self.offset_ms(gone)", "self.leaves_at_ms += gone", check_walk),
    ("self.stamps[self.head :] + self.stamps[: self.head]", "self.stamps", check_walk),
    ("max(2 * capacity, _FIRST_CAPACITY)", "_FIRST_CAPACITY", check_walk),
    ("first = self.count - limit", "first = 0", check_walk),
    ("window.promise(slot)", "pass", check_crowd),
    ("window.promise(slot)", "pass", check_walk),
    ("self.promised = slot + 1", "self.promised = 1", check_crowd),
    ("self.promised = max(self.promised - gone, 0)", "pass", check_walk),
    ("self.promised = max(self.promised - gone, 0)", "self.promised = 0", check_walk),
    ("self.promised_again = max(self.promised_again - gone, 0)", "pass", check_walk),
    ("self.promised_again = slot + 1", "self.promised = 1", check_walk),
    ("self.promised_again = slot + 1", "self.promised = 1", check_crowd_of_500),
    (
        "retry_after_ms = reset_after_ms + window.offset_ms(slot)",
        "retry_after_ms = 1",
        check_lone_client,
    ),
]


@pytest.mark.parametrize(("before", "after", "check"), FAULTS)
def test_a_broken_limiter_is_noticed(
    before: str,
    after: str,
    check: Callable[[Callable[[], MemoryLimiter]], None],
    tmp_path: Path,
) -> None:
    check(MemoryLimiter)
    with pytest.raises(AssertionError):
        check(broken(tmp_path, before, after))


def broken(folder: Path, before: str, after: str) -> Callable[[], MemoryLimiter]:
    source = Path(memory.__file__).read_text(encoding="utf-8")
    assert source.count(before) == 1, "the fault no longer fits the code"
    path = folder / "broken_limiter.py"
    path.write_text(source.replace(before, after), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    limiter: Callable[[], MemoryLimiter] = module.MemoryLimiter
    return limiter
