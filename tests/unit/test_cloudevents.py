"""CloudEvents as usage: which attribute says what, and where one is wrong."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.domain.commands import BookUsage
from tallystick.http.handlers.cloudevents import read_cloud_event
from tests.usage_forms import NOW, WHO, command, complaint

CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "7",
    "source": "/sensors",
    "type": "llm.tokens",
    "data": {"credits": 1},
}


def cloud(**changes: object) -> BookUsage:
    event = {name: value for name, value in (CLOUD_EVENT | changes).items() if value is not ...}
    return read_cloud_event(msgspec.json.encode(event), "/3", WHO, NOW, bytes)


def test_a_cloud_event_says_the_same_in_its_own_words() -> None:
    plain = command(
        '{"id": "/sensors|7", "credits": 1.5, "meter": "llm.tokens",'
        ' "timestamp": "2026-03-10T10:00:00Z", "dimensions": {"a": "b"},'
        ' "on_insufficient": "overdraw"}'
    )
    assert plain == cloud(
        time="2026-03-10T10:00:00Z",
        datacontenttype="application/json; charset=utf-8",
        subject=None,
        dataschema="https://example.com/schema",
        traceparent="00-1",
        partitionkey=7,
        data={"credits": 1.5, "dimensions": {"a": "b"}, "on_insufficient": "overdraw"},
    )


def test_two_sources_never_share_an_id() -> None:
    assert cloud(source="a|b%", id="c").event_id == "a%7Cb%25|c"
    assert cloud(source="a", id="b%|c").event_id == "a|b%|c"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"specversion": ...}, "/3/specversion"),
        ({"specversion": "0.3"}, "/3/specversion"),
        ({"id": ""}, "/3/id"),
        ({"id": "a b"}, "/3/id"),
        ({"source": ...}, "/3/source"),
        ({"source": "/с"}, "/3/source"),
        ({"source": "|" * 84, "id": "xxx"}, "/3/id"),
        ({"type": ""}, "/3/type"),
        ({"type": "m\0"}, "/3/type"),
        ({"time": "now"}, "/3/time"),
        ({"subject": 1}, "/3/subject"),
        ({"Time": "2026-03-10T10:00:00Z"}, "/3/Time"),
        ({"data_base64": "eyJjcmVkaXRzIjoxfQ=="}, "/3/data_base64"),
        ({"data_base64": "eyJjcmVkaXRzIjoxfQ==", "data": ...}, "/3/data"),
        ({"datacontenttype": "text/plain"}, "/3/datacontenttype"),
        ({"data": ...}, "/3/data"),
        ({"data": None}, "/3/data"),
        ({"data": {}}, "/3/data/credits"),
        ({"data": {"credits": -1}}, "/3/data/credits"),
        ({"data": {"credits": 1, "meter": "m"}}, "/3/data/meter"),
        ({"data": {"credits": 1, "dimensions": {"a": 1}}}, "/3/data/dimensions/a"),
        ({"data": {"credits": 1, "dimensions": {"a": "\0"}}}, "/3/data/dimensions/a"),
    ],
)
def test_a_422_points_into_the_cloud_event(changes: dict[str, object], pointer: str) -> None:
    assert complaint(lambda: cloud(**changes)) == (pointer, "invalid")


@pytest.mark.parametrize(
    "body",
    [
        '{"specversion":"1.0","id":"7","id":"7","source":"s","type":"t","data":{"credits":1}}',
        '{"specversion":"1.0","id":"7","source":"s","type":"t","x":1,"x":1,"data":{"credits":1}}',
        '{"specversion":"1.0","id":"7","source":"s","type":"t","data":{"credits":1,"credits":1}}',
    ],
)
def test_no_key_of_a_cloud_event_occurs_twice(body: str) -> None:
    found = complaint(lambda: read_cloud_event(body.encode(), "/3", WHO, NOW, bytes))
    assert found == ("/3", "duplicate_key")
