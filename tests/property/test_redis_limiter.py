"""The windows in Redis against the limiter's rule, on long random histories.

The script is the one that nodes run, with two lines changed: it is told the time, and keys outlive
the test. What it answers is compared with the oracle of `test_limiter.py`, field by field. Scripts
broken on purpose show that the comparison would notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from tallystick.limits.policy import MAX_LIMIT, WINDOW_MS, Decision
from tallystick.limits.redis.lane import SCRIPT, read_answer
from tests.property.test_limiter import JUMPS_MS, KEYS, OTHER_LIMITS, Oracle
from tests.servers.redis import redis_server
from tests.unit.test_limits_memory import admitted, refused

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

TOLD = [
    (
        "local now = time[1] * 1000 + math.floor(time[2] / 1000)",
        "local now = tonumber(ARGV[#KEYS + 2])",
    ),
    ("local keep = 2 * window", "local keep = math.max(2 * window, 60000)"),
]
CHECKS = 2_000
LIMITS = (1, 2, 3, 8, 40, 200, 1000)
START_MS = 1_760_000_000_000  # a time of this decade, as the servers' clocks say it


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with redis_server(folder) as server, server.client() as client:
        yield client


def change(script: str, before: str, after: str) -> str:
    assert script.count(before) == 1, "the change no longer fits the script"
    return script.replace(before, after)


def told_the_time(script: str) -> str:
    for before, after in TOLD:
        script = change(script, before, after)
    return script


class Windows:
    """Those of one window length in an empty Redis, by a script that is told the time."""

    def __init__(self, client: Redis, script: str = SCRIPT, window_ms: int = WINDOW_MS) -> None:
        client.flushall()
        self._client = client
        self._sha = client.script_load(told_the_time(script))
        self._window_ms = window_ms

    def ask(self, asked: Sequence[tuple[str, int]], now_ms: int) -> list[Decision]:
        """`asked` are keys and limits; a limit is ~limit to peek."""
        keys = [key for key, _ in asked]
        arguments = [self._window_ms, *(limit for _, limit in asked), now_ms]
        numbers = self._client.evalsha(self._sha, len(keys), *keys, *arguments)
        return [
            read_answer(number, limit) for number, (_, limit) in zip(numbers, asked, strict=True)
        ]


@dataclass(slots=True)
class Rule:
    """The oracle with a clock for each key, which may go back: then its requests move with it."""

    window_ms: int
    keys: dict[str, Oracle] = field(default_factory=dict)

    def decide(self, key: str, asked: int, now_ms: int) -> Decision:
        oracle = self.keys.setdefault(key, Oracle(self.window_ms))
        requests = oracle.requests.get(key, [])
        ahead_ms = requests[-1].at_ms - now_ms if requests else 0
        if ahead_ms > 0:
            requests = [replace(each, at_ms=each.at_ms - ahead_ms) for each in requests]
        if asked <= 0:
            oracle = Oracle(self.window_ms)  # nothing is written
        oracle.requests[key] = requests
        oracle.now_ms = now_ms
        if asked < 0:
            return oracle.peek(key, ~asked, now_ms)
        return oracle.acquire(key, asked, now_ms)


@dataclass(slots=True)
class Walk:
    """One random history, and what happened in it at its own `limit`."""

    random: Random
    windows: Windows
    rule: Rule
    limit: int
    now_ms: int = START_MS
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
            return -self.random.choice((1, 5, self.random.randrange(1, 100_000), 3_600_000))
        if dice < 0.98:
            return self.random.randrange(self.rule.window_ms)
        return self.random.choice((*JUMPS_MS, self.rule.window_ms))

    def to_an_edge(self, key: str) -> int:
        oracle = self.rule.keys.get(key)
        counted = oracle.requests.get(key) if oracle else None
        if not counted:
            return 1
        leaves_at_ms = self.random.choice(counted).at_ms + self.rule.window_ms
        return leaves_at_ms - self.now_ms + self.random.choice((-1, 0, 1))

    def check(self, keys: Sequence[str], limits: dict[str, int]) -> None:
        first = self.random.choice(keys)
        self.now_ms += self.step_ms(first)
        asked = [(first, limits[first])]
        for _ in range(self.random.choice((0, 0, 0, 1, 5))):
            key = self.random.choice(keys)
            asked.append((key, self.random.choice((limits[key], limits[key], ~limits[key]))))
        self.compare(asked)

    def fill(self, key: str) -> None:
        for _ in range(0, self.limit, 50):
            self.now_ms += self.random.randrange(30)
            self.compare([(key, self.limit)] * 50)

    def compare(self, asked: Sequence[tuple[str, int]]) -> None:
        found = self.windows.ask(asked, self.now_ms)
        for (key, limit), decision in zip(asked, found, strict=True):
            assert decision == self.rule.decide(key, limit, self.now_ms), (key, limit)
            if limit == self.limit:
                self.admitted += decision.admitted
                self.refused += not decision.admitted


def walk(windows: Windows, limit: int, seed: int, checks: int, window_ms: int = WINDOW_MS) -> Walk:
    random = Random(seed)
    history = Walk(random, windows, Rule(window_ms), limit)
    keys = KEYS[: 1 if limit >= 200 else 1 + seed % len(KEYS)]
    limits = dict.fromkeys(keys, limit)
    if limit >= 200:
        history.fill(keys[0])
    for number in range(checks):
        if random.random() < 0.005:
            limits[random.choice(keys)] = random.choice((*[limit] * 10, *OTHER_LIMITS))
        try:
            history.check(keys, limits)
        except AssertionError as error:
            error.add_note(f"seed {seed}, check {number}, limits {limits}")
            raise
    return history


@pytest.mark.parametrize("limit", LIMITS)
def test_every_decision_is_the_oracles(client: Redis, limit: int) -> None:
    history = walk(Windows(client), limit, limit, CHECKS)
    # A history in which little happened would prove little.
    assert history.admitted > 30
    assert history.refused > 50


@pytest.mark.parametrize("window_ms", [1, 2, 1000, 65_535])
def test_every_decision_is_the_oracles_for_windows_of_other_lengths(
    client: Redis, window_ms: int
) -> None:
    walk(Windows(client, window_ms=window_ms), 3, 1, 1000, window_ms)
    walk(Windows(client, window_ms=window_ms), 40, 1, 1000, window_ms)


steps = st.tuples(
    st.booleans(),
    st.sampled_from(KEYS[:2]),
    st.integers(0, 4),
    st.sampled_from([0, 0, 1, 5, 5536, 20_000, -7, -70_000, *JUMPS_MS]),
)


@settings(max_examples=100)
@given(history=st.lists(steps, max_size=40))
def test_every_decision_is_the_oracles_on_the_shortest_history_there_is(
    client: Redis, history: list[tuple[bool, str, int, int]]
) -> None:
    windows, rule, now_ms = Windows(client), Rule(WINDOW_MS), START_MS
    for peeks, key, limit, step_ms in history:
        now_ms += step_ms
        asked = ~limit if peeks else limit
        assert windows.ask([(key, asked)], now_ms) == [rule.decide(key, asked, now_ms)]


def test_a_large_window_is_exact(client: Redis) -> None:
    windows, limit = Windows(client), 100_000
    for now_ms in range(0, 50_000, 500):
        windows.ask([("a", limit)] * 1000, START_MS + now_ms)  # the last at 49 500
    full = refused(limit, 10_000, 10_000)
    assert windows.ask([("a", limit)], START_MS + 50_000) == [full]
    (half,) = windows.ask([("a", ~limit)], START_MS + 84_999)
    assert half.remaining == 50_000
    (more,) = windows.ask([("a", MAX_LIMIT)], START_MS + 84_999)
    assert more.remaining == MAX_LIMIT - 50_001
    (all_gone,) = windows.ask([("a", ~MAX_LIMIT)], START_MS + 200_000)
    assert all_gone == admitted(MAX_LIMIT, MAX_LIMIT, 0, 0)


def check_written_anew(windows: Windows) -> None:
    """What lies beyond the part that is read at once is kept when those who left are dropped."""
    rule = Rule(WINDOW_MS)
    for now_ms, limit, times in ((0, 700, 450), (10, 700, 10), (20, 700, 240), (60_010, 700, 300)):
        found = windows.ask([("a", limit)] * times, START_MS + now_ms)
        assert found == [rule.decide("a", limit, START_MS + now_ms) for _ in range(times)]
    for now_ms in (60_019, 60_020, 120_009, 120_010):
        assert windows.ask([("a", 700)], START_MS + now_ms) == [
            rule.decide("a", 700, START_MS + now_ms)
        ]


def check_never_full(windows: Windows) -> None:
    """Who is gone is forgotten also where nobody is refused and the clock goes back."""
    rule = Rule(WINDOW_MS)
    for now_ms in (500 * step - 3000 * (step // 30) for step in range(600)):
        found = windows.ask([("a", 1000)], START_MS + now_ms)
        assert found == [rule.decide("a", 1000, START_MS + now_ms)]


@pytest.mark.parametrize("check", [check_written_anew, check_never_full])
def test_a_window_that_turns_is_exact(client: Redis, check: Callable[[Windows], None]) -> None:
    check(Windows(client))


def test_an_hour_back_delays_nobody_by_more_than_a_window(client: Redis) -> None:
    windows, hour_ms = Windows(client), 3_600_000
    windows.ask([("a", 1)], START_MS)
    (told,) = windows.ask([("a", 1)], START_MS - hour_ms)
    assert told == refused(1, WINDOW_MS, WINDOW_MS)
    (told,) = windows.ask([("a", 1)], START_MS - hour_ms + WINDOW_MS - 1)
    assert told.retry_after_ms == 1
    (told,) = windows.ask([("a", 1)], START_MS - hour_ms + WINDOW_MS)
    assert told.admitted


# What is broken, in the words of acquire.lua: this text becomes that.
_MOVES_BACK = "    oldest_at = oldest_at - ahead\n"
_LETS_GO = "  promised_again = math.max(promised_again - gone, 0)\n"
_CHANGES = "  changed = true\n"
_READS = "promised, promised_again, expires_at = unpack"
FAULTS = [
    ("count == 0 or overdue < 0", "count == 0 or overdue <= 0"),
    ("return count < limit and admit(limit)", "return count <= limit and admit(limit)"),
    ("return (stamp(index) - oldest) % 65536", "return stamp(index) - oldest"),
    ("oldest_at = oldest_at + offset(gone)", "oldest_at = oldest_at + gone"),
    ("    oldest = stamp(gone)\n", ""),
    ("  head = head + gone\n", ""),
    ("  promised = math.max(promised - gone, 0)\n", ""),
    ("  promised_again = math.max(promised_again - gone, 0)\n", ""),
    ("    promised_again = slot + 1\n", "    promised = 1\n"),
    ("    promised = slot + 1\n", "    promised = 1\n"),
    ("local first = counted - limit", "local first = 0"),
    (_MOVES_BACK, ""),
    (f"{_MOVES_BACK}  {_CHANGES}", _MOVES_BACK),
    (f"{_LETS_GO}{_CHANGES}", _LETS_GO),
    ("while more < count and offset(more)", "while more < count and more < 2 and offset(more)"),
    ("(oldest + younger) % 65536", "now % 65536"),
    ("      some = middle\n", "      some = middle + 1\n"),
    ("slot == count and younger or offset(slot)", "offset(slot)"),
    ("call('STRLEN', key)", "READ_BYTES"),
    ("head, expires_at = 0, now + keep", "expires_at = now + keep"),
    ("to <= #text and text:sub(from + 1, to)", "text:sub(from + 1, to)"),
    (_READS, _READS.replace("promised, promised_again", "promised_again, promised")),
]


@pytest.mark.parametrize(("before", "after"), FAULTS)
def test_a_broken_script_is_noticed(client: Redis, before: str, after: str) -> None:
    broken = change(SCRIPT, before, after)
    with pytest.raises((AssertionError, ResponseError)):
        check_all(client, broken)


def check_all(client: Redis, script: str) -> None:
    check_written_anew(Windows(client, script))
    check_never_full(Windows(client, script))
    for limit in (3, 40, 200):
        walk(Windows(client, script), limit, limit, CHECKS)
