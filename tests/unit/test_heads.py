"""The memory of request heads: how much, how long, and never what may be understood in two ways."""

from __future__ import annotations

import pytest

from tallystick.domain.directory import ApiKey, KeyLevel, Organization, Secret, Teamspace
from tallystick.http.auth import Principal
from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.heads import (
    LONGEST_HEAD,
    Head,
    Heads,
    is_read_whole,
    judged_headers,
    whole_head,
)
from tallystick.http.lately import CAPACITY, GENERATION_SECONDS
from tallystick.http.operations import MAX_BODY
from tallystick.ledger.ports import Changes

GET, POST = sorted((one for one in OPERATIONS if one.is_hot), key=lambda one: one.method)
PRINCIPAL = Principal(key_id="key_1", key_name="A key", limit_of=lambda _: 1)
MEANING = Head(GET, PRINCIPAL, object(), [], {}, 0)

Field = tuple[bytes, bytes]


def head(number: int, size: int = 100) -> bytes:
    return b"%d" % number + b"x" * (size - len(b"%d" % number))


# ── how much ──


@pytest.mark.parametrize("size", [20, 100, 1_000, LONGEST_HEAD])
def test_the_memory_is_bounded_in_bytes(size: int) -> None:
    heads = Heads()
    count = 3 * CAPACITY // size
    for number in range(count):
        heads.put(head(number, size), MEANING)
        assert heads.get(head(number, size)) is MEANING
    assert CAPACITY // 4 < _bytes_held(heads) <= CAPACITY


def _bytes_held(heads: Heads) -> int:
    return sum(len(one) for generation in (heads._young, heads._old) for one in generation)


def test_one_that_is_repeated_counts_once() -> None:
    heads = Heads()
    heads.put(head(1), MEANING)
    for _ in range(2 * CAPACITY // 100):
        heads.put(head(2), MEANING)
    assert heads.get(head(1)) is MEANING


def test_a_longer_head_is_not_remembered() -> None:
    heads = Heads()
    heads.put(head(1, LONGEST_HEAD), MEANING)
    heads.put(head(2, LONGEST_HEAD + 1), MEANING)
    assert heads.get(head(1, LONGEST_HEAD)) is MEANING
    assert heads.get(head(2, LONGEST_HEAD + 1)) is None


def test_those_in_use_stay_when_others_crowd_in() -> None:
    heads = Heads()
    heads.put(head(0), MEANING)
    for number in range(1, 4 * CAPACITY // 100):
        heads.put(head(number), MEANING)
        if number % 1_000 == 0:
            assert heads.get(head(0)) is MEANING


def test_a_head_that_comes_once_leaves_a_mark_only() -> None:
    heads = Heads()
    assert not heads.came_before(head(1))
    assert heads.came_before(head(1))
    assert not heads.came_before(head(2))
    assert _bytes_held(heads) == 0


def test_those_that_differ_each_time_do_not_hide_who_comes_back() -> None:
    """Marks share a table, so that some are lost; not many where heads are as usual."""
    heads = Heads()
    for number in range(1_000):
        heads.came_before(head(number))
    found = sum(heads.came_before(head(number)) for number in range(1_000))
    assert found > 800


# ── how long ──


@pytest.mark.parametrize("age", range(GENERATION_SECONDS))
def test_a_head_is_forgotten_within_two_generations(age: int) -> None:
    """A secret outlives its last use by a minute at most, whenever in a generation that was."""
    heads = Heads()
    pass_seconds(heads, age)
    heads.put(head(1), MEANING)
    pass_seconds(heads, GENERATION_SECONDS - 1)
    assert _bytes_held(heads) == 100
    pass_seconds(heads, GENERATION_SECONDS + 1)
    assert _bytes_held(heads) == 0


def test_it_is_forgotten_in_time_although_others_crowd_in() -> None:
    heads = Heads()
    heads.put(head(0), MEANING)
    number = 0
    for _ in range(2 * GENERATION_SECONDS):
        heads.second_passed()
        for _ in range(100):
            number += 1
            heads.put(head(number), MEANING)
    assert heads.get(head(0)) is None


def test_who_comes_back_in_time_is_known_for_ever() -> None:
    heads = Heads()
    heads.put(head(1), MEANING)
    for _ in range(10):
        pass_seconds(heads, GENERATION_SECONDS)
        assert heads.get(head(1)) is MEANING


def pass_seconds(heads: Heads, seconds: int) -> None:
    for _ in range(seconds):
        heads.second_passed()


# ── changes ──


ORGANIZATION = Organization(
    id="org_a", name="A", external_id=None, default_teamspace_id="ts_a", content=b"", created_at=0
)
KEY = ApiKey(
    id="key_1",
    organization_id="org_a",
    teamspace_id="ts_a",
    name="A key",
    level=KeyLevel.ORGANIZATION,
    created_at=0,
)
CHANGED = {
    "keys": KEY,
    "secrets": Secret(hash=b"", organization_id="org_a", key_id="key_1"),
    "organizations": ORGANIZATION,
    "teamspaces": Teamspace(organization_id="org_a", id="ts_a", name="A", created_at=0),
}


def changes(name: str) -> Changes:
    found = Changes()
    getattr(found, name)["changed"] = CHANGED[name]
    return found


@pytest.mark.parametrize("name", CHANGED)
def test_a_change_leaves_no_head_behind(name: str) -> None:
    heads = Heads()
    heads.put(head(1), MEANING)
    pass_seconds(heads, GENERATION_SECONDS)
    heads.put(head(2, LONGEST_HEAD), MEANING)
    heads.forget(changes(name))
    assert _bytes_held(heads) == 0
    assert heads.get(head(1)) is None
    # What was forgotten takes no room.
    for number in range(CAPACITY // 2 // 100):
        heads.put(head(number), MEANING)
    assert not heads._old


def test_usage_changes_nothing_about_heads() -> None:
    heads = Heads()
    heads.put(head(1), MEANING)
    heads.forget(Changes())
    assert heads.get(head(1)) is MEANING


# ── which ──

USUAL = [(b"host", b"a"), (b"authorization", b"Bearer x"), (b"accept", b"*/*")]


def test_headers_that_mean_nothing_may_be_repeated() -> None:
    found = judged_headers([*USUAL, (b"x-a", b"1"), (b"x-a", b"2"), (b"connection", b"Keep-Alive")])
    assert found == {
        b"host": b"a",
        b"authorization": b"Bearer x",
        b"accept": b"*/*",
        b"connection": b"Keep-Alive",
    }


@pytest.mark.parametrize(
    "field",
    [
        (b"host", b"a"),
        (b"authorization", b"Bearer x"),
        (b"accept", b"*/*"),
        (b"expect", b"100-continue"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"connection", b"close"),
        (b"connection", b"keep-alive, close"),
        (b"connection", b"upgrade"),
        (b"connection", b""),
    ],
)
def test_what_is_unusual_or_ambiguous_is_not_for_the_lane(field: Field) -> None:
    assert judged_headers([*USUAL, field]) is None


@pytest.mark.parametrize("hosts", [[], [(b"host", b"a b")]])
def test_a_request_without_a_good_host_is_not_for_the_lane(hosts: list[Field]) -> None:
    assert judged_headers(USUAL) is not None
    assert judged_headers([*hosts, *USUAL[1:]]) is None


@pytest.mark.parametrize(
    "name", [b"datagrid-teamspace", b"content-type", b"content-encoding", b"content-length"]
)
def test_what_counts_may_be_said_once(name: bytes) -> None:
    assert judged_headers([*USUAL, (name, b"1")]) is not None
    assert judged_headers([*USUAL, (name, b"1"), (name, b"1")]) is None


@pytest.mark.parametrize(
    ("length", "kind", "whole"),
    [
        (b"0", b"application/json", True),
        (b"%d" % MAX_BODY, b"application/json", True),
        (b"%d" % (MAX_BODY + 1), b"application/json", False),
        (None, b"application/json", False),
        (b"9", b"application/x-ndjson", False),
        (b"9", b"Application/X-NDJSON ; a=b", False),
        (b"9", b"text/plain", True),
        (b"9", None, True),
    ],
)
def test_the_lane_gathers_bodies_of_known_size(
    length: bytes | None, kind: bytes | None, whole: bool
) -> None:
    said = {b"content-length": length, b"content-type": kind}
    judged = {name: value for name, value in said.items() if value is not None}
    assert is_read_whole(POST, judged) is whole


def test_the_lane_takes_no_body_where_none_is_read() -> None:
    assert is_read_whole(GET, {})
    assert is_read_whole(GET, {b"content-length": b"0"})
    assert not is_read_whole(GET, {b"content-length": b"1"})


URL = b"/v1/organization/credits"
HEAD = b"GET %b HTTP/1.1\r\nHost: a\r\nX-B: c\r\n\r\n" % URL


def test_a_head_that_came_whole_is_remembered_without_what_follows() -> None:
    assert whole_head(HEAD, URL, 2, 0) == HEAD
    assert whole_head(HEAD + b"12345", URL, 2, 5) == HEAD
    # The rest of the body is still to come.
    assert whole_head(HEAD + b"123", URL, 2, 5) == HEAD


@pytest.mark.parametrize(
    "arrived",
    [
        b"",
        b"\r\n\r\n",
        HEAD[:-2],
        HEAD[9:],
        HEAD + b"123456",
        b"\r\n" + HEAD,
        b"\n" + HEAD,
        b"\r\n\r\n" + HEAD,
        HEAD.replace(b"\r\n", b"\n"),
        HEAD.replace(b"a\r\n", b"a\n"),
        HEAD.replace(b"a\r\n", b"a\r\n b\r\n"),
        HEAD.replace(b"X-B: c\r\n", b""),
        HEAD.replace(b"X-B: c", b"X-B: c\r\nX-D: e"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(URL, URL + b"?"),
        HEAD.replace(URL, b"http://a" + URL + b"x"),
        HEAD.replace(b"X-B: c", b"X-B: " + b"c" * LONGEST_HEAD),
    ],
)
def test_a_head_in_doubt_is_not_remembered(arrived: bytes) -> None:
    assert whole_head(arrived, URL, 2, 5) is None
