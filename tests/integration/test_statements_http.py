"""Statements over HTTP: for programs, for spreadsheets and for paper."""

from __future__ import annotations

import csv
import io

import pytest

from tallystick.domain.directory import DEFAULT_SCOPES
from tests.harness import Headers, World, in_world
from tests.tenants import tenant

PERIODS = "/v1/organization/credits/periods"
USAGE = "/v1/organization/credits/usage"
FIGURES = (
    *("opening", "granted", "returned", "consumed", "overage"),
    *("expired", "voided", "closing"),
)


async def lived(w: World) -> Headers:
    """March with usage of two meters and an expiry, then April."""
    acme = await w.organization("Acme & <Söhne>", allowance=100)
    key = await w.key(acme)
    for number, meter in enumerate(("llm.tokens", "=cmd", "llm.tokens", None)):
        event = {"id": f"e-{number}", "credits": 30.5, "on_insufficient": "overdraw"}
        event |= {} if meter is None else {"meter": meter}
        assert (await w.client.post(USAGE, headers=key, json=event)).status_code == 201
    grant = {"amount": 50, "kind": "top_up"}
    grants = f"/v1/admin/organizations/{acme.id}/grants"
    assert (await w.client.post(grants, headers=w.admin, json=grant)).status_code == 201
    w.clock.set("2026-04-02T00:00:00Z")
    return key


@in_world
async def test_the_figures_of_a_period(w: World) -> None:
    key = await lived(w)
    march = (await w.client.get(f"{PERIODS}/0", headers=key)).json()
    assert [march[name] for name in FIGURES] == [0, 150, 0, 122, 22, 0, 0, 50]
    assert (march["status"], march["as_of"]) == ("past", "2026-04-01T00:00:00.000000Z")
    by = {line["meter"]: (line["credits"], line["events"]) for line in march["consumed_by"]}
    assert by == {None: (30.5, 1), "=cmd": (30.5, 1), "llm.tokens": (61, 2)}
    april = (await w.client.get(f"{PERIODS}/1", headers=key)).json()
    assert [april[name] for name in FIGURES] == [50, 100, 0, 0, 0, 0, 0, 150]
    assert (april["status"], april["as_of"]) == ("current", "2026-04-02T00:00:00.000000Z")
    assert april["consumed_by"] == []


@in_world
async def test_a_spreadsheet_gets_a_line_for_each_figure(w: World) -> None:
    key = await lived(w)
    answer = await w.client.get(f"{PERIODS}/0", headers={**key, "accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert {each["line"]: each["credits"] for each in lines[:8]} == dict(
        zip(FIGURES, ["0", "150", "0", "122", "22", "0", "0", "50"], strict=True)
    )
    by = [(each["meter"], each["events"], each["credits"]) for each in lines[8:]]
    assert by == [("", "1", "30.5"), ("'=cmd", "1", "30.5"), ("llm.tokens", "2", "61")]


@in_world
async def test_a_browser_gets_a_page_that_asks_nobody_for_anything(w: World) -> None:
    key = await lived(w)
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = await w.client.get(f"{PERIODS}/0", headers={**key, "accept": accept})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    assert "Acme &amp; &lt;Söhne&gt;" in answer.text
    assert "<script" not in answer.text
    assert "src=" not in answer.text


@in_world
async def test_the_page_is_in_the_words_of_who_reads_it(w: World) -> None:
    """Teamspaces by their names, times by the clocks of the place."""
    period = {"interval": "month", "anchor": "2026-01-01T00:00:00", "timezone": "Europe/Paris"}
    acme = await tenant(w, "Acme", allowance=100, billing_period=period)
    account = await w.key(acme["id"], level="account", scopes=["teamspaces:write", *DEFAULT_SCOPES])
    for number, name in enumerate(("R & D", "Twin", "Twin")):
        made = await w.send("POST", "/v1/organization/teamspaces", account, {"name": name})
        there = {**account, "datagrid-teamspace": made.json()["id"]}
        await w.send("POST", USAGE, there, {"id": f"e-{number}", "credits": 1})
    answer = await w.client.get(f"{PERIODS}/0", headers={**account, "accept": "text/html"})
    assert "<td>R &amp; D</td>" in answer.text
    assert answer.text.count("<td>Twin (ts_") == 2
    assert '<time datetime="2026-02-28T23:00:00.000000Z">2026-03-01 00:00</time>' in answer.text
    assert '<time datetime="2026-03-31T22:00:00.000000Z">2026-04-01 00:00</time>' in answer.text
    assert '<time datetime="2026-03-10T12:00:00.000000Z">2026-03-10 13:00</time>' in answer.text
    assert "Times are those of Europe/Paris." in answer.text


@pytest.mark.parametrize("index", ["2", "99999999999999999999", "-1", "01", "x", "%31", "١"])
@in_world
async def test_a_period_that_has_not_started_is_not_found(w: World, index: str) -> None:
    key = await lived(w)
    answer = await w.client.get(f"{PERIODS}/{index}", headers=key)
    # An index may be percent-encoded, like everything in a path.
    assert answer.status_code == (200 if index == "%31" else 404)
