"""Bodies that `POST …/usage` does not read: too large, encoded, or of another kind."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from tests.harness import Headers, World, in_world
from tests.refusals import CLOUD, CLOUDS, JSON, NDJSON, both_forms, refused
from tests.spending import PATH, credits_now, send_and_leave

EVENT = b'{"id":"a","credits":1}'
TOO_LARGE = EVENT + b" " * (1 << 20)


@both_forms
@pytest.mark.parametrize("media_type", [JSON, CLOUD, CLOUDS])
@in_world
async def test_a_body_over_1_mib(w: World, media_type: str, accept: str) -> None:
    await refused(
        w,
        TOO_LARGE,
        [("content-type", media_type)],
        status=413,
        code="payload_too_large",
        accept=accept,
    )


@in_world
async def test_a_chunked_body_over_1_mib_is_not_read_to_its_end(w: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 65_536
        raise AssertionError("it was read on")

    await refused(w, endless(), [("content-type", JSON)], status=413, code="payload_too_large")


@in_world
async def test_a_body_of_exactly_1_mib_is_read(w: World) -> None:
    key = await w.key(await w.organization(allowance=1))
    body = EVENT.ljust(1 << 20)
    answer = await w.client.post(PATH, content=body, headers=key | {"content-type": JSON})
    assert answer.status_code == 201


BOMB = gzip.compress(EVENT + b" " * 10_000_000)


@both_forms
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "")],
        [("content-type", "text/plain")],
        [("content-type", "application/x-www-form-urlencoded")],
        [("content-type", "multipart/form-data; boundary=x")],
        [("content-type", "application/jsonp")],
        [("content-type", "application/json-seq")],
        [("content-type", "application/cloudevents+avro")],
        [("content-type", "application/\u0458son")],
        [("content-type", JSON), ("content-type", JSON)],
        [("content-type", JSON), ("content-encoding", "gzip")],
        [("content-type", CLOUD), ("content-encoding", "br")],
        [("content-type", NDJSON), ("content-encoding", "gzip")],
        [("content-type", NDJSON), ("content-encoding", "deflate")],
        [
            ("content-type", NDJSON),
            ("content-encoding", "identity"),
            ("content-encoding", "gzip"),
        ],
    ],
    ids=str,
)
@in_world
async def test_media_types_and_encodings_that_are_not_read(
    w: World, headers: list[tuple[str, str]], accept: str
) -> None:
    await refused(w, BOMB, headers, status=415, code="unsupported_media_type", accept=accept)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": "Application/JSON"},
        {"content-type": JSON, "content-encoding": "identity"},
    ],
    ids=str,
)
@in_world
async def test_spellings_of_the_media_type_that_are_read(w: World, headers: Headers) -> None:
    key = await w.key(await w.organization(allowance=1))
    answer = await w.client.post(PATH, content=EVENT, headers=key | headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("media_type", [JSON, CLOUD, CLOUDS])
@in_world
async def test_a_body_that_breaks_off_is_neither_read_nor_answered(
    w: World, media_type: str
) -> None:
    key = await w.key(await w.organization(allowance=1))

    async def at_once() -> None:
        pass

    assert await send_and_leave(w, key, media_type, EVENT, leave=at_once) == []
    assert await credits_now(w, key) == '{"remaining":1,"consumed":0,"total":1}'
