"""Bad input to `POST …/usage`: a clear 4xx in either form, and nothing changed."""

from __future__ import annotations

import pytest

from tests.harness import World, in_world
from tests.refusals import CLOUD, CLOUDS, JSON, both_forms, refused

DEEP = b"[" * 10_000 + b"]" * 10_000
DEEP_OBJECTS = b'{"a":' * 10_000 + b"1" + b"}" * 10_000

NUMBERS = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e400": "1e400",
    "minus zero": "-0",
    "minus zero with decimals": "-0.0",
    "negative": "-1",
    "barely negative": "-0.000001",
    "17 decimals": "0.12345678901234567",
    "7 decimals": "1.0000001",
    "more than may be used": "1000000000.000001",
    "10^309": "1e309",
    "309 zeros": "1" + "0" * 309,
    "400 000 digits": "1" * 400_000,
    "an exponent of 400 000 digits": "1e" + "1" * 400_000,
    "2^63": "9223372036854775808",
    "2^64": "18446744073709551616",
    "a string": '"1"',
    "an empty string": '""',
    "fullwidth digits": "１",
    "fullwidth digits in a string": '"１"',
    "Arabic digits": "١",
    "true": "true",
    "null": "null",
    "an array": "[1]",
    "an object": '{"credits":1}',
    "hexadecimal": "0x10",
    "underscore": "1_000",
    "leading zero": "01",
    "plus": "+1",
    "no whole part": ".5",
    "no fraction": "1.",
    "no exponent": "1e",
    "a comma": "1,5",
    "nothing": "",
}

IDS = {
    "no characters": '""',
    "256 characters": f'"{"x" * 256}"',
    "100 000 characters": f'"{"x" * 100_000}"',
    "a space": '"a b"',
    "a line feed": '"a\\nb"',
    "NUL": '"a\\u0000"',
    "raw NUL": '"a\x00"',
    "DEL": '"a\\u007f"',
    "Cyrillic a": '"\u0430"',
    "fullwidth a": '"\uff41"',
    "no-break space": '"a\u00a0b"',
    "zero-width joiner": '"a\u200d"',
    "right-to-left override": '"a\u202eb"',
    "combining accent": '"a\u0301"',
    "fullwidth exclamation mark": '"\uff01"',
    "emoji": '"\U0001f600"',
    "a lone high surrogate": '"\\ud800"',
    "a lone low surrogate": '"\\udc00"',
    "surrogates the wrong way round": '"\\udc00\\ud800"',
    "a number": "1",
    "null": "null",
    "an array": '["a"]',
}

REST = {
    "a meter of no characters": '"meter":""',
    "a meter of 256 characters": f'"meter":"{"m" * 256}"',
    "a meter with NUL": '"meter":"a\\u0000"',
    "a meter with a lone surrogate": '"meter":"\\ud800"',
    "17 dimensions": '"dimensions":{' + ",".join(f'"d{n}":"v"' for n in range(17)) + "}",
    "a dimension without name": '"dimensions":{"":"v"}',
    "a dimension that is a number": '"dimensions":{"a":1}',
    "a dimension that is null": '"dimensions":{"a":null}',
    "a dimension with NUL": '"dimensions":{"a":"\\u0000"}',
    "a dimension's name with NUL": '"dimensions":{"a\\u0000":"b"}',
    "a dimension's name with a lone surrogate": '"dimensions":{"\\ud800":"b"}',
    "a dimension of 256 characters": f'"dimensions":{{"a":"{"v" * 256}"}}',
    "dimensions that are a list": '"dimensions":["a"]',
    "a dimension twice": '"dimensions":{"a":"1","a":"2"}',
    "a dimension twice, spelled otherwise": '"dimensions":{"a":"1","\\u0061":"2"}',
    "credits twice": '"credits":1',
    "id twice, spelled otherwise": '"i\\u0064":"a"',
    "an unknown field": '"cost":1',
    "an unknown field without name": '"":1',
    "a look-alike of a field": '"\u0441redits":1',
    "a field in capitals": '"Meter":"m"',
    "a teamspace in the body": '"teamspace_id":"ts_1"',
    "a look-alike of reject": '"on_insufficient":"r\u0435ject"',
    "another policy": '"on_insufficient":"allow"',
    "a time without offset": '"timestamp":"2026-03-10T12:00:00"',
    "a time that is a number": '"timestamp":1773144000',
    "a day that does not exist": '"timestamp":"2026-02-30T12:00:00Z"',
    "a leap second": '"timestamp":"2026-06-30T23:59:60Z"',
    "the last of 1999": '"timestamp":"1999-12-31T23:59:59.999999Z"',
    "more than 24 hours ahead": '"timestamp":"2026-03-11T12:00:00.000001Z"',
    "a time in fullwidth digits": '"timestamp":"２０２６-03-10T12:00:00Z"',
    "atomic beside a single event": '"atomic":true',
    "events beside a single event": '"events":[{"id":"b","credits":1}]',
    "events that are null beside a single event": '"events":null',
}

BODIES = {
    "nothing": b"",
    "white space": b" \n",
    "null": b"null",
    "events that are null": b'{"events":null}',
    "a number": b"1",
    "a string": b'"id"',
    "a list of events": b'[{"id":"a","credits":1}]',
    "two documents": b'{"id":"a","credits":1}{"id":"b","credits":1}',
    "something behind": b'{"id":"a","credits":1} x',
    "a comment": b'{"id":"a",/**/"credits":1}',
    "a trailing comma": b'{"id":"a","credits":1,}',
    "single quotes": b"{'id':'a','credits':1}",
    "a byte order mark": b'\xef\xbb\xbf{"id":"a","credits":1}',
    "UTF-16": '{"id":"a","credits":1}'.encode("utf-16"),
    "no UTF-8 in an id": b'{"id":"\xff","credits":1}',
    "no UTF-8 in a meter": b'{"id":"a","credits":1,"meter":"\xc3"}',
    "no UTF-8 in a key": b'{"id":"a","credits":1,"\xff":1}',
    "an encoded surrogate": b'{"id":"a","credits":1,"meter":"\xed\xa0\x80"}',
    "an overlong encoding": b'{"id":"a","credits":1,"meter":"\xc0\x80"}',
    "10 000 lists": DEEP,
    "10 000 objects": DEEP_OBJECTS,
    "10 000 lists as id": b'{"credits":1,"id":' + DEEP + b"}",
    "10 000 lists as credits": b'{"id":"a","credits":' + DEEP + b"}",
    "10 000 objects as credits": b'{"id":"a","credits":' + DEEP_OBJECTS + b"}",
    "10 000 lists as dimensions": b'{"id":"a","credits":1,"dimensions":' + DEEP + b"}",
    "10 000 lists as a dimension": b'{"id":"a","credits":1,"dimensions":{"a":' + DEEP + b"}}",
    "10 000 lists in an unknown field": b'{"id":"a","credits":1,"x":' + DEEP + b"}",
    "10 000 lists as events": b'{"events":' + DEEP + b"}",
    "no events": b'{"events":[]}',
    "1001 events": b'{"events":[%s]}' % b",".join([b'{"id":"a","credits":1}'] * 1001),
    "an event that is a list": b'{"events":[[]]}',
    "events twice": b'{"events":[{"id":"a","credits":1}],"events":[{"id":"b","credits":1}]}',
    "a key twice in an event": b'{"events":[{"id":"a","credits":1,"credits":2}]}',
    "atomic that is a number": b'{"events":[{"id":"a","credits":1}],"atomic":1}',
    "atomic that is a word": b'{"events":[{"id":"a","credits":1}],"atomic":"yes"}',
} | {
    f"cut off after {length} bytes": b'{"id":"a","credits":1}'[:length]
    for length in range(1, len(b'{"id":"a","credits":1}'))
}

EVENT = b'{"id":"a","credits":1}'
CLOUD_EVENT = b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"credits":1}%s}'

CLOUD_BODIES = {
    "nothing": b"",
    "a plain event": EVENT,
    "a batch": b"[" + CLOUD_EVENT % b"" + b"]",
    "an attribute twice": CLOUD_EVENT % b',"x":1,"x":2',
    "data twice": CLOUD_EVENT % b',"data":{"credits":1}',
    "an attribute in capitals": CLOUD_EVENT % b',"Time":"2026-03-10T12:00:00Z"',
    "an attribute with a lone surrogate": CLOUD_EVENT % b',"\\ud800":1',
    "an attribute that is no UTF-8": CLOUD_EVENT % b',"x":{"a":"\xff"}',
    "an attribute that is NaN": CLOUD_EVENT % b',"x":NaN',
    "10 000 lists in an attribute": CLOUD_EVENT % (b',"x":' + DEEP),
    "binary data": CLOUD_EVENT % b',"data_base64":"e30="',
    "data that is no JSON": CLOUD_EVENT % b',"datacontenttype":"text/xml"',
    "a media type that is no ASCII": CLOUD_EVENT % ',"datacontenttype":"é"'.encode(),
    "a day that does not exist": CLOUD_EVENT % b',"time":"2026-02-30T12:00:00Z"',
    "cut off": (CLOUD_EVENT % b"")[:-1],
}


async def refused_as_422(w: World, body: bytes, media_type: str, accept: str) -> list[str]:
    """The pointers of a 422."""
    found = await refused(w, body, [("content-type", media_type)], accept=accept)
    assert found["errors"]
    for error in found["errors"]:
        assert error["code"] in {"invalid", "malformed_json", "duplicate_key"}
        assert error["message"]
    return [error["pointer"] for error in found["errors"]]


@both_forms
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@in_world
async def test_what_is_no_amount(w: World, number: str, accept: str) -> None:
    body = f'{{"id":"a","credits":{number}}}'.encode()
    assert await refused_as_422(w, body, JSON, accept) in (["/credits"], [""])


@both_forms
@pytest.mark.parametrize("event_id", IDS.values(), ids=IDS)
@in_world
async def test_what_is_no_id(w: World, event_id: str, accept: str) -> None:
    body = f'{{"id":{event_id},"credits":1}}'.encode()
    assert await refused_as_422(w, body, JSON, accept) in (["/id"], [""])


@both_forms
@pytest.mark.parametrize("rest", REST.values(), ids=REST)
@in_world
async def test_what_an_event_may_not_say(w: World, rest: str, accept: str) -> None:
    body = f'{{"id":"a","credits":1,{rest}}}'.encode()
    await refused_as_422(w, body, JSON, accept)


@pytest.mark.parametrize("rest", REST.values(), ids=REST)
@in_world
async def test_what_an_event_of_a_batch_may_not_say(w: World, rest: str) -> None:
    body = f'{{"events":[{{"id":"good","credits":1}},{{"id":"a","credits":1,{rest}}}]}}'.encode()
    [pointer] = await refused_as_422(w, body, JSON, "*/*")
    assert pointer == "" or pointer.startswith("/events/1")


@both_forms
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@in_world
async def test_what_is_no_request(w: World, body: bytes, accept: str) -> None:
    await refused_as_422(w, body, JSON, accept)


@both_forms
@pytest.mark.parametrize("body", CLOUD_BODIES.values(), ids=CLOUD_BODIES)
@in_world
async def test_what_is_no_cloud_event(w: World, body: bytes, accept: str) -> None:
    await refused_as_422(w, body, CLOUD, accept)


@pytest.mark.parametrize("body", CLOUD_BODIES.values(), ids=CLOUD_BODIES)
@in_world
async def test_what_is_no_cloud_event_of_a_batch(w: World, body: bytes) -> None:
    good = CLOUD_EVENT.replace(b'"id":"1"', b'"id":"2"') % b""
    [pointer] = await refused_as_422(w, b"[%s,%s]" % (good, body), CLOUDS, "*/*")
    assert pointer == "" or pointer.startswith("/1")


@pytest.mark.parametrize(
    "body",
    [CLOUD_EVENT % b"", b"{}", b"[%s]" % b",".join([CLOUD_EVENT % b""] * 1001)],
    ids=["an event", "an object", "1001 events"],
)
@in_world
async def test_what_is_no_batch_of_cloud_events(w: World, body: bytes) -> None:
    await refused_as_422(w, body, CLOUDS, "*/*")
