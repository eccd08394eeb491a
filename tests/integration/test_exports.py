"""Exports: all entries that match, as of the moment of the request, however many there are."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import pytest

from tallystick.domain.directory import Organization
from tallystick.domain.ids import entry_id
from tallystick.http import exports
from tallystick.http.app import create_app
from tallystick.http.handlers.table import OPERATIONS
from tests.harness import Headers, World, in_world
from tests.moves import book, issue
from tests.spending import error_of

PATH = "/v1/organization/credits/entries"
CSV = "text/csv; charset=utf-8"
NDJSON = "application/x-ndjson"
MONTHS_LATER = "2026-06-15T00:00:00Z"


async def spent(w: World, events: int = 250) -> tuple[Organization, Headers]:
    """More entries than are made at once; three instants, two grants."""
    acme = await w.organization(allowance=1_000)
    await issue(w, acme, "5", priority=0)
    for number in range(events):
        w.clock.advance(seconds=number % 100 == 0)
        await book(w, acme, f"evt-{number}", "0.25", meter="=1+1" if number % 2 else None)
    return acme, await w.key(acme)


async def listed(w: World, key: Headers, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = {"limit": "100", **query}
    while True:
        answer = (await w.client.get(PATH, params=page, headers=key)).json()
        found += answer["data"]
        if not answer["has_more"]:
            return found
        page["after"] = found[-1]["id"]


async def exported(w: World, key: Headers, **query: str) -> list[dict[str, Any]]:
    answer = await w.client.get(PATH, params=query, headers=key | {"accept": NDJSON})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == NDJSON
    assert answer.headers["content-disposition"] == 'attachment; filename="entries.ndjson"'
    assert "content-length" not in answer.headers
    return [json.loads(line) for line in answer.text.splitlines()]


@in_world
async def test_an_export_has_what_the_pages_have_in_their_order(w: World) -> None:
    _, key = await spent(w)
    everything = await listed(w, key)
    assert await exported(w, key) == everything
    assert len(everything) > 2 * exports.PART
    assert await exported(w, key, order="asc") == everything[::-1]
    grant_id = everything[-5]["grant_id"] or everything[-4]["grant_id"]
    for query in (
        {"kind": "grant.issued"},
        {"event_id": "evt-7"},
        {"grant_id": grant_id},
        {"from": w.clock.text(seconds=-1), "to": w.clock.text()},
        {"kind": "usage.booked", "order": "asc", "from": w.clock.text()},
        {"event_id": "evt-none"},
    ):
        assert await exported(w, key, **query) == await listed(w, key, **query), query


@in_world
async def test_it_goes_on_where_another_one_ended(w: World) -> None:
    _, key = await spent(w)
    everything = await exported(w, key, order="asc")
    assert await exported(w, key, order="asc", after=everything[130]["id"]) == everything[131:]


@in_world
async def test_a_csv_file_has_a_column_for_each_field(w: World) -> None:
    _, key = await spent(w, 3)
    answer = await w.client.get(PATH, headers=key | {"accept": "text/csv"})
    assert answer.headers["content-type"] == CSV
    assert answer.text.count("\r\n") == 1 + len(await listed(w, key))
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    for row, entry in zip(rows, await listed(w, key), strict=True):
        del entry["object"]
        assert list(row) == list(entry)
        assert json.loads(row["drawn"]) == entry["drawn"]
        assert float(row["credits"]) == entry["credits"]
        assert row["hash"] == entry["hash"]
        assert row["grant_id"] == (entry["grant_id"] or "")
    assert {row["meter"] for row in rows} == {"", "'=1+1"}


def cell_of(text: str) -> str:
    """What a program reads that reads CSV."""
    line = exports.csv_lines([[exports.safe(text)]]).decode()
    [[cell]] = csv.reader(io.StringIO(line, newline=""))
    return cell


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_no_text_becomes_a_formula(text: str) -> None:
    [[cell]] = csv.reader(
        io.StringIO(exports.csv_lines([[exports.safe(text)]]).decode(), newline="")
    )
    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["a=1", "'=1", " =1", "a,b", 'say "a"', "two\nlines", "ü"])
def test_other_texts_are_as_they_were(text: str) -> None:
    [[cell]] = csv.reader(
        io.StringIO(exports.csv_lines([[exports.safe(text)]]).decode(), newline="")
    )
    assert cell == text


@in_world
async def test_what_has_fallen_due_is_in_it_though_nobody_wrote_it(w: World) -> None:
    _, key = await spent(w)
    w.clock.set(MONTHS_LATER)
    kinds = [entry["kind"] for entry in await exported(w, key, order="asc")]
    assert kinds.count("period.started") == 4
    assert await exported(w, key) == await listed(w, key)


@in_world
async def test_nothing_that_is_booked_meanwhile_is_in_it(w: World) -> None:
    """Nor is anything twice, or missing, whichever way it goes."""
    acme, key = await spent(w)
    for order in ("asc", "desc"):
        before = await exported(w, key, order=order)
        async with half_sent(w, key, f"order={order}") as export:
            for number in range(200):
                await book(w, acme, f"{order}-{number}", "0.25")
            w.clock.advance(seconds=86_400 * 40)
            await book(w, acme, f"{order}-later", "0")
            assert [json.loads(line) for line in await export.rest()] == before


class Export:
    """One request over ASGI whose client takes a part at a time."""

    def __init__(self, w: World, key: Headers, query: str, method: str = "GET") -> None:
        self.parts: list[bytes] = []
        self.status = 0
        self.is_ended = False
        self._taken = asyncio.Semaphore(0)
        self._left = asyncio.Event()
        self._arrived = asyncio.Event()
        scope = {
            "type": "http",
            "method": method,
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in (key | {"accept": NDJSON}).items()],
            "client": ("192.0.2.1", 4711),
        }
        app: Any = create_app(w.service, OPERATIONS)
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, object]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.parts.append(message.get("body", b""))
        self.is_ended = not message.get("more_body", False)
        self._arrived.set()
        await self._taken.acquire()

    async def first(self) -> None:
        await self._arrived.wait()

    async def rest(self) -> list[bytes]:
        for _ in range(10_000):
            self._taken.release()
        await self.task
        assert self.is_ended
        return b"".join(self.parts).splitlines()

    async def leave(self) -> None:
        self._left.set()
        await asyncio.sleep(0)
        self._taken.release()
        await self.task


@asynccontextmanager
async def half_sent(w: World, key: Headers, query: str = "") -> AsyncIterator[Export]:
    export = Export(w, key, query)
    await export.first()
    yield export


@in_world
async def test_no_part_is_made_before_the_one_before_was_taken(w: World) -> None:
    _, key = await spent(w)
    async with half_sent(w, key) as export:
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(export.parts) == 1
        assert len(export.parts[0].splitlines()) == exports.PART
        await export.rest()


@in_world
async def test_when_the_client_leaves_nothing_more_is_made(w: World) -> None:
    _, key = await spent(w)
    async with half_sent(w, key) as export:
        await export.leave()
        assert len(export.parts) == 1
        assert not export.is_ended


@in_world
async def test_storage_that_fails_half_way_does_not_end_the_file(w: World) -> None:
    _, key = await spent(w)
    async with half_sent(w, key) as export:

        async def broken(*_: object) -> None:
            raise OSError("the disk is gone")

        with (
            mock.patch.object(w.service.reads.reader, "entries", broken),
            pytest.raises(OSError, match="disk"),
        ):
            await export.rest()
        assert not export.is_ended


@in_world
async def test_head_says_what_get_would_and_makes_nothing(w: World) -> None:
    _, key = await spent(w)
    answer = await w.client.head(PATH, headers=key | {"accept": NDJSON})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == NDJSON
    assert "x-ratelimit-remaining" in answer.headers


ACCEPTED = [
    ("*/*", "application/json"),
    ("text/csv", CSV),
    ("TEXT/CSV;header=present", CSV),
    ("text/*", CSV),
    ("application/x-ndjson, application/json;q=0.9", NDJSON),
    ("application/x-ndjson;q=0.8, application/json", "application/json"),
    ("text/csv;q=0.5, */*;q=0.4", CSV),
    ("text/csv;q=0", "application/json"),
    ("image/png", "application/json"),
    ("application/json, text/csv", "application/json"),
]


@pytest.mark.parametrize(("accept", "expected"), ACCEPTED)
@in_world
async def test_the_form_is_what_the_client_likes_best(w: World, accept: str, expected: str) -> None:
    key = await w.key(await w.organization(allowance=1))
    answer = await w.client.get(PATH, headers=key | {"accept": accept})
    assert answer.headers["content-type"] == expected


@pytest.mark.parametrize("query", [{"limit": "5"}, {"before": "x"}, {"after": "x"}, {"kind": "x"}])
@in_world
async def test_a_wrong_question_is_refused_before_anything_is_sent(
    w: World, query: dict[str, str]
) -> None:
    key = await w.key(await w.organization(allowance=1))
    answer = await w.client.get(PATH, params=query, headers=key | {"accept": "text/csv"})
    assert error_of(answer, 422)[0] == "validation_failed"
    assert answer.json()["errors"][0]["pointer"] == f"?{next(iter(query))}"


@in_world
async def test_a_cursor_is_right_while_the_ledger_grows(w: World) -> None:
    """Pages that are asked for while entries are booked have none twice and miss none."""
    acme, key = await spent(w, 30)
    for order in ("desc", "asc"):
        before = await listed(w, key, order=order)
        seen: list[str] = []
        query = {"limit": "7", "order": order}
        while True:
            answer = (await w.client.get(PATH, params=query, headers=key)).json()
            seen += [entry["id"] for entry in answer["data"]]
            if not answer["has_more"] or len(seen) > 200:
                break
            query["after"] = seen[-1]
            await book(w, acme, f"{order}-{len(seen)}", "0")
        assert seen[: len(before)] == [entry["id"] for entry in before]
        assert len(set(seen)) == len(seen)
        assert entry_id(acme.id, 1) in seen
