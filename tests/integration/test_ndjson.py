"""A stream of events to `POST …/usage`: bad lines do not stop it, and no length is too long."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest import mock

import httpx
import pytest

from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.directory import RevokeKey
from tallystick.ledger.ports import Changes, OutcomeUnknown, StoreUnavailable
from tallystick.ledger.reading import Page
from tallystick.ledger.work import Unit
from tests.harness import Headers, World, in_world
from tests.refusals import NDJSON
from tests.spending import PATH, credits_now, error_of, failing_after, post, send_and_leave

Body = bytes | AsyncIterator[bytes]


def line(event_id: str, amount: int = 1) -> bytes:
    return b'{"id":"%s","credits":%d}\n' % (event_id.encode(), amount)


def lines(count: int, *, start: int = 0) -> bytes:
    return b"".join(line(f"e{number}") for number in range(start, start + count))


async def stream(w: World, key: Headers, content: Body) -> httpx.Response:
    return await w.client.post(PATH, content=content, headers=key | {"content-type": NDJSON})


async def imported(w: World, key: Headers, content: Body) -> dict[str, Any]:
    answer = await stream(w, key, content)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert list(body) == ["object", "booked", "duplicates", "rejected", "errors"]
    assert body.pop("object") == "usage_import"
    return body


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


class Bookings:
    """Counts the events that are durable."""

    def __init__(self, w: World) -> None:
        self.count = 0
        self._more = asyncio.Event()
        w.service.ledger.listen(self._note)

    def _note(self, changes: Changes) -> None:
        self.count += len(changes.usage)
        self._more.set()

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.count < count:
                self._more.clear()
                await self._more.wait()


def totals(booked: int, duplicates: int = 0, rejected: int = 0) -> dict[str, object]:
    return {"booked": booked, "duplicates": duplicates, "rejected": rejected}


@in_world
async def test_a_stream_is_answered_with_its_totals(w: World) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    found = await imported(w, key, lines(600) + lines(100))
    assert found == totals(600, 100) | {"errors": []}
    assert await credits_now(w, key) == '{"remaining":400,"consumed":600,"total":1000}'


@in_world
async def test_bad_lines_are_rejected_by_number_and_the_rest_goes_on(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    sent = (
        line("a")
        + b"\n \t\r\n"
        + b'{"id":"a","credits":2}\r\n'
        + b"not JSON\n"
        + b'{"id":"b","credits":1,"credits":2}\n'
        + b'{"id":"c","credits":-1}\n'
        + line("d", 100)
        + b'{"id":"x y","credits":1}\n'
        + b'{"id":"e","credits":1,"dimensions":{"a":1}}\n'
        + line("a")
        + b'{"id":"last","credits":1}'
    )
    found = await imported(w, key, sent)
    errors = [
        (each["line"], each.get("id"), each["error"]["status_code"], each["error"]["error"])
        for each in found.pop("errors")
    ]
    assert errors == [
        (4, "a", 409, "conflict"),
        (5, None, 422, "validation_failed"),
        (6, None, 422, "validation_failed"),
        (7, "c", 422, "validation_failed"),
        (8, "d", 402, "credit_exceeded"),
        (9, None, 422, "validation_failed"),
        (10, None, 422, "validation_failed"),
    ]
    assert found == totals(2, 1, 7)
    assert await credits_now(w, key) == '{"remaining":8,"consumed":2,"total":10}'


@in_world
async def test_an_error_of_a_line_is_the_envelope_of_that_event(w: World) -> None:
    key = await w.key(await w.organization(allowance=1))
    [dear, wrong] = (await imported(w, key, line("a", 5) + b'{"id":"b"}\n'))["errors"]
    single = (await post(w, key, {"id": "a", "credits": 5})).json()
    del single["request_id"]
    assert dear == {"line": 1, "id": "a", "error": single}
    assert wrong["line"] == 2
    assert [error["pointer"] for error in wrong["error"]["errors"]] == ["/credits"]


@in_world
async def test_the_first_100_errors_are_shown_and_all_are_counted(w: World) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    block = b"".join(b"?\n" if number % 2 else line("dear", 5_000) for number in range(500))
    found = await imported(w, key, lines(300) + block + lines(300))
    assert [each["line"] for each in found.pop("errors")] == [*range(301, 401)]
    assert found == totals(300, 300, 500)


@in_world
async def test_a_line_over_64_kib_is_rejected_alone(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    fits = line("fits").rstrip().ljust(65_536) + b"\n"
    content = pieces(line("a") + b'{"id":"', *[b"x" * 50_000] * 40, b'"}\n' + fits + line("b"))
    found = await imported(w, key, content)
    [error] = found.pop("errors")
    assert (error["line"], error["error"]["error"]) == (2, "payload_too_large")
    assert found == totals(3, rejected=1)


@in_world
async def test_an_error_does_not_grow_with_its_line(w: World) -> None:
    key = await w.key(await w.organization())
    answer = await stream(w, key, (b'{"%s":1}\n' % (b"x" * 60_000)) * 200)
    assert answer.json()["rejected"] == 200
    assert len(answer.content) < 200_000


@in_world
async def test_a_stream_may_be_empty(w: World) -> None:
    key = await w.key(await w.organization())
    for content in (b"", b"\n\n"):
        assert await imported(w, key, content) == totals(0) | {"errors": []}


@in_world
async def test_a_stream_has_no_total_limit_and_may_be_cut_anywhere(w: World) -> None:
    key = await w.key(await w.organization(allowance=100_000))
    sent = b"".join(line(f"e{number}").rstrip().ljust(700) + b"\n" for number in range(3_000))
    cut = (sent[at : at + 9_973] for at in range(0, len(sent), 9_973))
    assert await imported(w, key, pieces(*cut)) == totals(3_000) | {"errors": []}
    again = pieces(*(sent[at : at + 65_536] for at in range(0, len(sent), 65_536)))
    assert await imported(w, key, again) == totals(0, 3_000) | {"errors": []}


@in_world
async def test_a_stream_of_bad_lines_leaves_nothing_in_memory(w: World) -> None:
    key = await w.key(await w.organization())
    piece = (b'{"id":"%s"}\n' % (b"x" * 1_014)) * 64
    assert len(piece) == 65_536
    # Without the collector, so that what refers to itself would stay.
    gc.disable()
    tracemalloc.start()
    try:
        found = await imported(w, key, pieces(*[piece] * 200))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert found["rejected"] == 12_800
    assert peak < 2_000_000


@in_world
async def test_lines_are_decided_in_their_order(w: World) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    sent = lines(900) + b'{"id":"e899","credits":2}\n' + line("a", 100) + line("b", 1)
    found = await imported(w, key, sent)
    [conflict, dear] = found.pop("errors")
    assert (conflict["line"], conflict["error"]["error"]) == (901, "conflict")
    assert dear == dear | {"line": 903, "id": "b"}
    assert found == totals(901, rejected=2)


@in_world
async def test_events_are_booked_while_their_sender_pauses(w: World) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    bookings = Bookings(w)

    async def pausing() -> AsyncIterator[bytes]:
        for number in range(1, 10):
            yield line(f"e{number}")
            await bookings.reach(number)
        yield lines(300, start=10)
        await bookings.reach(309)

    assert await imported(w, key, pausing()) == totals(309) | {"errors": []}


# ── What breaks off ──


@in_world
async def test_what_was_booked_before_the_client_left_stays(w: World) -> None:
    key = await w.key(await w.organization(allowance=1_000))
    bookings = Bookings(w)
    cut = line("cut").removesuffix(b"\n")
    answered = await send_and_leave(
        w, key, NDJSON, lines(300) + cut, leave=lambda: bookings.reach(300)
    )
    assert answered == []
    assert await credits_now(w, key) == '{"remaining":700,"consumed":300,"total":1000}'
    assert await imported(w, key, lines(301)) == totals(1, 300) | {"errors": []}


@pytest.mark.parametrize("failure", [StoreUnavailable, OutcomeUnknown, Overloaded])
@in_world
async def test_storage_that_fails_half_way_leaves_what_was_booked(
    w: World, failure: Callable[[], Exception]
) -> None:
    key = await w.key(await w.organization(allowance=10_000))
    with failing_after(w, 2, failure):
        code, _ = error_of(await stream(w, key, lines(3_000)), 503)
    assert code == "outcome_unknown"
    assert await credits_now(w, key) == '{"remaining":9488,"consumed":512,"total":10000}'
    assert await imported(w, key, lines(3_000)) == totals(2_488, 512) | {"errors": []}


@in_world
async def test_storage_that_fails_at_once_has_booked_nothing(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    with failing_after(w, 0, StoreUnavailable):
        code, _ = error_of(await stream(w, key, lines(3)), 503)
    assert code == "service_unavailable"


@in_world
async def test_a_ledger_that_takes_no_more_is_a_503(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    with mock.patch.object(w.service.ledger, "submit", side_effect=Overloaded):
        answer = await stream(w, key, lines(3))
    code, _ = error_of(answer, 503)
    assert code == "service_unavailable"
    assert answer.headers["retry-after"] == "1"


@in_world
async def test_a_stream_ends_when_its_key_is_revoked(w: World) -> None:
    acme = await w.organization(allowance=1_000)
    key, other = await w.key(acme), await w.key(acme)
    bookings = Bookings(w)
    _, revoked = await w.service.reads.reader.keys(acme.id, Page(limit=2))

    async def revoking() -> AsyncIterator[bytes]:
        yield lines(10)
        await bookings.reach(10)
        await w.service.ledger.submit(
            acme.id, RevokeKey(organization_id=acme.id, key_id=revoked.id)
        )
        yield lines(10, start=10)

    code, details = error_of(await stream(w, key, revoking()), 401)
    assert (code, details["reason"]) == ("no_authentication", "the API key was revoked")
    assert json.loads(await credits_now(w, other))["consumed"] == 10


@in_world
async def test_no_more_is_read_than_the_ledger_takes(w: World) -> None:
    key = await w.key(await w.organization(allowance=100_000))
    submit = w.service.ledger.submit
    read = 0
    held: asyncio.Queue[tuple[str, Unit, asyncio.Future[Any]]] = asyncio.Queue()

    def hold(organization_id: str, unit: Unit) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        held.put_nowait((organization_id, unit, future))
        return future

    async def plenty() -> AsyncIterator[bytes]:
        nonlocal read
        for number in range(100):
            read += 1
            yield lines(256, start=256 * number)

    with mock.patch.object(w.service.ledger, "submit", hold):
        answer = asyncio.create_task(stream(w, key, plenty()))
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert (held.qsize(), read) == (4, 5)
        for _ in range(100):
            organization_id, unit, future = await held.get()
            future.set_result(await submit(organization_id, unit))
        assert (await answer).json()["booked"] == 25_600
