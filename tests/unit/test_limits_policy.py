from __future__ import annotations

from types import MappingProxyType

import pytest

from tallystick.limits.policy import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Decision,
    Limits,
    client_address_key,
    headers,
    uncounted,
)

NOON_MS = 1_700_000_000_000  # a whole second


def decision(
    *, admitted: bool = True, remaining: int = 0, reset_after_ms: int = 1, retry_after_ms: int = 1
) -> Decision:
    return Decision(admitted, 200, remaining, reset_after_ms, retry_after_ms)


def test_an_answer_with_requests_to_spare_says_limit_remaining_and_reset_only() -> None:
    fields = headers(
        decision(remaining=199, reset_after_ms=60_000, retry_after_ms=0), NOON_MS, NOON_MS
    )
    assert fields == [
        (b"x-ratelimit-limit", b"200"),
        (b"x-ratelimit-remaining", b"199"),
        (b"x-ratelimit-reset", b"1700000060"),
    ]


def test_the_last_admitted_answer_also_says_when_to_come_back() -> None:
    fields = dict(headers(decision(admitted=True, retry_after_ms=1500), NOON_MS, NOON_MS))
    assert fields[b"x-ratelimit-remaining"] == b"0"
    assert fields[b"retry-after"] == b"2"
    assert b"retry-after-ms" not in fields


def test_a_refusal_says_it_to_the_millisecond() -> None:
    fields = dict(headers(decision(admitted=False, retry_after_ms=1500), NOON_MS, NOON_MS))
    assert fields[b"retry-after"] == b"2"
    assert fields[b"retry-after-ms"] == b"1500"


@pytest.mark.parametrize(
    ("now_ms", "reset_after_ms", "reset_s"),
    [
        (NOON_MS, 0, b"1700000000"),
        (NOON_MS, 1, b"1700000001"),
        (NOON_MS, 1000, b"1700000001"),
        (NOON_MS, 1001, b"1700000002"),
        (NOON_MS + 1, 999, b"1700000001"),
        (NOON_MS + 999, 1, b"1700000001"),
        (NOON_MS + 999, 2, b"1700000002"),
        (NOON_MS + 999, 0, b"1700000001"),
    ],
)
def test_reset_is_the_epoch_second_rounded_up(
    now_ms: int, reset_after_ms: int, reset_s: bytes
) -> None:
    fields = dict(headers(decision(remaining=1, reset_after_ms=reset_after_ms), now_ms, now_ms))
    assert fields[b"x-ratelimit-reset"] == reset_s


@pytest.mark.parametrize(
    ("retry_after_ms", "seconds", "milliseconds"),
    [
        (0, b"1", b"1"),
        (1, b"1", b"1"),
        (999, b"1", b"999"),
        (1000, b"1", b"1000"),
        (1001, b"2", b"1001"),
        (59_000, b"59", b"59000"),
        (59_001, b"60", b"59001"),
        (60_000, b"60", b"60000"),
        (65_535, b"60", b"60000"),
    ],
)
def test_retry_after_rounds_up_and_is_never_longer_than_clients_obey(
    retry_after_ms: int, seconds: bytes, milliseconds: bytes
) -> None:
    fields = dict(
        headers(decision(admitted=False, retry_after_ms=retry_after_ms), NOON_MS, NOON_MS)
    )
    assert (fields[b"retry-after"], fields[b"retry-after-ms"]) == (seconds, milliseconds)


@pytest.mark.parametrize("retry_after_ms", [0, 1, 30_000, 60_000])
def test_there_is_no_retry_after_while_any_request_remains(retry_after_ms: int) -> None:
    fields = dict(headers(decision(remaining=1, retry_after_ms=retry_after_ms), NOON_MS, NOON_MS))
    assert not {b"retry-after", b"retry-after-ms"} & fields.keys()


def test_what_the_window_said_counts_from_when_it_was_asked() -> None:
    asked = decision(admitted=False, reset_after_ms=60_000, retry_after_ms=60_000)
    fields = dict(headers(asked, NOON_MS, NOON_MS + 20_500))
    assert fields[b"x-ratelimit-reset"] == b"1700000060"
    assert (fields[b"retry-after"], fields[b"retry-after-ms"]) == (b"40", b"39500")
    late = dict(headers(asked, NOON_MS, NOON_MS + 70_000))
    assert (late[b"retry-after"], late[b"retry-after-ms"]) == (b"1", b"1")


def test_an_uncounted_answer_has_everything_remaining_and_resets_now() -> None:
    assert uncounted(200, NOON_MS + 1) == [
        (b"x-ratelimit-limit", b"200"),
        (b"x-ratelimit-remaining", b"200"),
        (b"x-ratelimit-reset", b"1700000001"),
    ]


def test_an_uncounted_answer_where_nothing_is_allowed_still_carries_retry_after() -> None:
    fields = dict(uncounted(0, NOON_MS))
    assert fields[b"x-ratelimit-remaining"] == b"0"
    assert fields[b"retry-after"] == b"60"
    assert b"retry-after-ms" not in fields


OPERATION = "GET /v1/organization/credits"
OTHER = "POST /v1/organization/credits/usage"


@pytest.mark.parametrize(
    ("server", "organization", "teamspace", "limit"),
    [
        ({}, {}, {}, DEFAULT_LIMIT),
        ({OPERATION: 10}, {}, {}, 10),
        ({OPERATION: 10}, {OPERATION: 20}, {}, 20),
        ({OPERATION: 10}, {OPERATION: 20}, {OPERATION: 30}, 30),
        ({OPERATION: 10}, {}, {OPERATION: 30}, 30),
        ({OPERATION: 10}, {OPERATION: 20}, {OPERATION: 0}, 0),
        ({OPERATION: 10}, {OPERATION: 0}, {}, 0),
        ({OPERATION: 0}, {}, {}, 0),
        ({OTHER: 10}, {OTHER: 20}, {OTHER: 30}, DEFAULT_LIMIT),
    ],
)
def test_the_narrowest_limit_wins(
    server: dict[str, int], organization: dict[str, int], teamspace: dict[str, int], limit: int
) -> None:
    assert Limits(operations=server).resolve(OPERATION, organization, teamspace) == limit


def test_the_default_can_be_set() -> None:
    assert Limits(default=7).resolve(OPERATION, {}, {}) == 7
    assert Limits().resolve(OPERATION, {}, {}) == 200


def test_limits_do_not_change_with_the_mapping_they_were_made_from() -> None:
    mine = {OPERATION: 10}
    limits = Limits(operations=mine)
    mine[OPERATION] = 99
    assert limits.resolve(OPERATION, {}, {}) == 10
    assert isinstance(limits.operations, MappingProxyType)


@pytest.mark.parametrize("limit", [-1, MAX_LIMIT + 1])
def test_a_limit_out_of_range_is_refused_by_name(limit: int) -> None:
    with pytest.raises(ValueError, match=f"default must be 0 to 1000000, not {limit}"):
        Limits(default=limit)
    with pytest.raises(ValueError, match=f"usage must be 0 to 1000000, not {limit}"):
        Limits(operations={"usage": limit})


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_a_client_is_its_ipv4_address_or_its_ipv6_network(address: str, key: str) -> None:
    assert client_address_key(address) == key


@pytest.mark.parametrize(
    "address", ["testclient", "192.0.2.256", "192.0.2.01", "192.0.2.1:80", "[::1]", "1", "\0", "é"]
)
def test_what_is_not_an_address_shares_one_window(address: str) -> None:
    assert client_address_key(address) == client_address_key("")
