"""Usage events from JSON to commands: what they may say, and where they are wrong."""

from __future__ import annotations

import pytest

from tallystick.domain.commands import DAY, EARLIEST, BookUsage, usage_content
from tallystick.domain.periods import format_instant, parse_instant
from tallystick.http.errors import ApiError
from tallystick.http.handlers.usage_events import is_event_id
from tallystick.http.wire import encode
from tests.usage_forms import NOW, command, commands, complaint

# ── What an event says ──


def test_an_event_becomes_a_command_of_whoever_acts() -> None:
    occurred_at = parse_instant("2026-03-09T10:00:00Z")
    assert command(
        '{"id": "evt-1", "credits": 1.25, "meter": "llm.tokens",'
        ' "timestamp": "2026-03-09T11:00:00+01:00", "dimensions": {"model": "m-large"},'
        ' "on_insufficient": "overdraw"}'
    ) == BookUsage(
        event_id="evt-1",
        credits=1_250_000,
        meter="llm.tokens",
        occurred_at=occurred_at,
        dimensions={"model": "m-large"},
        overdraw=True,
        teamspace_id="ts_1",
        api_key_id="key_1",
        content=usage_content(
            credits_used=1_250_000,
            meter="llm.tokens",
            occurred_at=occurred_at,
            dimensions={"model": "m-large"},
            overdraw=True,
            teamspace_id="ts_1",
            salt=bytes(16),
        ),
        salt=bytes(16),
    )


def test_null_and_a_named_default_are_the_same_as_nothing() -> None:
    plain = command('{"id": "e", "credits": 1}')
    assert plain == command(
        '{"id": "e", "credits": 1.000, "meter": null, "timestamp": null, "dimensions": null,'
        ' "on_insufficient": null, "atomic": null}'
    )
    assert plain == command(
        '{"credits": 1e0, "dimensions": {}, "on_insufficient": "reject", "id": "e"}'
    )


@pytest.mark.parametrize(
    "changed",
    [
        '{"id": "e", "credits": 1.000001}',
        '{"id": "e", "credits": 1, "meter": "m"}',
        '{"id": "e", "credits": 1, "timestamp": "2026-03-10T12:00:00Z"}',
        '{"id": "e", "credits": 1, "dimensions": {"a": ""}}',
        '{"id": "e", "credits": 1, "on_insufficient": "overdraw"}',
    ],
)
def test_whatever_an_event_says_changes_its_content(changed: str) -> None:
    assert command(changed).content != command('{"id": "e", "credits": 1}').content


def test_every_printable_ascii_character_may_stand_in_an_id() -> None:
    allowed = {character for character in map(chr, range(0x3000)) if is_event_id(character)}
    assert allowed == set(map(chr, range(0x21, 0x7F)))
    assert not is_event_id("")
    assert is_event_id("x" * 255)
    assert not is_event_id("x" * 256)


@pytest.mark.parametrize("offset", [0, -1, DAY, DAY - 1])
def test_a_time_may_lie_between_2000_and_tomorrow(offset: int) -> None:
    instant = EARLIEST if offset == 0 else NOW + offset
    text = format_instant(instant)
    assert command(f'{{"id": "e", "credits": 1, "timestamp": "{text}"}}').occurred_at == instant


@pytest.mark.parametrize("instant", [EARLIEST - 1, NOW + DAY + 1])
def test_a_time_may_not_lie_beyond(instant: int) -> None:
    body = f'{{"id": "e", "credits": 1, "timestamp": "{format_instant(instant)}"}}'
    assert complaint(lambda: command(body)) == ("/timestamp", "invalid")


# ── Where it is wrong ──

_SIXTEEN = ",".join(f'"d{number}":""' for number in range(16))


WRONG = [
    ('"credits": 1', "/id"),
    ('"id": null, "credits": 1', "/id"),
    ('"id": "", "credits": 1', "/id"),
    ('"id": "a b", "credits": 1', "/id"),
    ('"id": "a"', "/credits"),
    ('"id": "a", "credits": null', "/credits"),
    ('"id": "a", "credits": "1"', "/credits"),
    ('"id": "a", "credits": {"a": 1, "a": 1}', "/credits"),
    ('"id": "a", "credits": 1, "meter": ""', "/meter"),
    ('"id": "a", "credits": 1, "meter": 7', "/meter"),
    ('"id": "a", "credits": 1, "meter": "a\\u0000"', "/meter"),
    (f'"id": "a", "credits": 1, "meter": "{"m" * 256}"', "/meter"),
    ('"id": "a", "credits": 1, "timestamp": ""', "/timestamp"),
    ('"id": "a", "credits": 1, "timestamp": "2026-03-10T12:00:00"', "/timestamp"),
    ('"id": "a", "credits": 1, "timestamp": 1', "/timestamp"),
    ('"id": "a", "credits": 1, "dimensions": []', "/dimensions"),
    ('"id": "a", "credits": 1, "dimensions": {"": "x"}', "/dimensions"),
    (f'"id": "a", "credits": 1, "dimensions": {{"{"n" * 65}": "x"}}', "/dimensions"),
    (f'"id": "a", "credits": 1, "dimensions": {{{_SIXTEEN}, "more": ""}}', "/dimensions"),
    ('"id": "a", "credits": 1, "dimensions": {"b": "x", "a/b": 1}', "/dimensions/a~1b"),
    ('"id": "a", "credits": 1, "dimensions": {"a": null}', "/dimensions/a"),
    (f'"id": "a", "credits": 1, "dimensions": {{"a": "{"v" * 256}"}}', "/dimensions/a"),
    ('"id": "a", "credits": 1, "dimensions": {"a": "\\u0000"}', "/dimensions/a"),
    ('"id": "a", "credits": 1, "on_insufficient": "allow"', "/on_insufficient"),
    ('"id": "a", "credits": 1, "cost": 1', "/cost"),
]


@pytest.mark.parametrize(("fields", "pointer"), WRONG)
def test_a_422_points_at_the_field(fields: str, pointer: str) -> None:
    assert complaint(lambda: command(f"{{{fields}}}")) == (pointer, "invalid")


@pytest.mark.parametrize(("fields", "pointer"), WRONG)
def test_a_422_points_at_the_field_of_the_event(fields: str, pointer: str) -> None:
    sent = f'{{"events": [{{"id": "ok", "credits": 0}}, {{{fields}}}]}}'.encode()
    assert complaint(lambda: commands(sent)) == (f"/events/1{pointer}", "invalid")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("{}", "/id"),
        ("[]", ""),
        ('"id"', ""),
        ('{"events": []}', "/events"),
        ('{"events": {}}', "/events"),
        ('{"events": [1]}', "/events/0"),
        ('{"events": [{"events": []}]}', "/events/0/events"),
        ('{"events": [{"id": "a", "credits": 1}], "atomic": 1}', "/atomic"),
        ('{"events": [{"id": "a", "credits": 1}], "id": "b"}', "/id"),
        ('{"events": [{"id": "a", "credits": 1}], "meter": null}', "/meter"),
        ('{"id": "a", "credits": 1, "atomic": false}', "/atomic"),
    ],
)
def test_a_request_is_an_event_or_a_batch(body: str, pointer: str) -> None:
    assert complaint(lambda: commands(body.encode())) == (pointer, "invalid")


def test_a_batch_has_at_most_1000_events() -> None:
    events = ",".join('{"id":"a","credits":1}' for _ in range(1001))
    sent = f'{{"events":[{events}]}}'.encode()
    assert complaint(lambda: commands(sent)) == ("/events", "invalid")


@pytest.mark.parametrize(
    "rest",
    [
        "} x",
        ', "credits": NaN}',
        ', "dimensions": {}}',
        f', "credits": {"[" * 9_999}{"]" * 9_999}}}',
    ],
)
def test_a_wrong_dimension_is_found_although_more_is_wrong_behind_it(rest: str) -> None:
    body = f'{{"dimensions": {{"a": 1}}{rest}'.encode()
    assert complaint(lambda: commands(body)) == ("/dimensions", "invalid")


def test_an_error_does_not_grow_with_what_was_sent() -> None:
    for body in (
        f'{{"{"x" * 100_000}": 1}}',
        f'{{"id": "a", "credits": 1, "on_insufficient": "{"x" * 100_000}"}}',
    ):
        with pytest.raises(ApiError) as raised:
            command(body)
        assert len(encode(raised.value.envelope())) < 2_000


@pytest.mark.parametrize("rest", ["", ', "id": "a", "credits": 1', ', "atomic": true'])
def test_a_batch_of_null_is_none(rest: str) -> None:
    body = f'{{"events": null{rest}}}'.encode()
    assert complaint(lambda: commands(body)) == ("/events", "invalid")
