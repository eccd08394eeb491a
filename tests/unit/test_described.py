"""The judge of exchanges finds what is not as the document says."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.described import DESCRIPTION

ALWAYS = {
    "content-type": "application/json",
    "x-request-id": "req_1",
    "x-ratelimit-limit": "200",
    "x-ratelimit-remaining": "199",
    "x-ratelimit-reset": "1",
    "cache-control": "private, no-store",
    "vary": "Accept",
}
REPORT = '{"remaining": 1, "consumed": 0.57, "total": 1.57}'
CREDITS = httpx.Request("GET", "http://x/v1/organization/credits")
USAGE = httpx.Request(
    "POST", "http://x/v1/organization/credits/usage", json={"id": "evt-1", "credits": 1}
)


def judge(
    status: int = 200,
    text: str = REPORT,
    *,
    request: httpx.Request = CREDITS,
    **changed: str | None,
) -> None:
    headers = {**ALWAYS, **{name.replace("_", "-"): value for name, value in changed.items()}}
    present = {name: value for name, value in headers.items() if value is not None}
    response = httpx.Response(status, headers=present, text=text, request=request)
    asyncio.run(DESCRIPTION.check(response))


def test_what_is_described_passes() -> None:
    judge()


def test_a_status_that_is_not_documented_is_found() -> None:
    with pytest.raises(AssertionError, match="no such status is documented"):
        judge(status=202)


@pytest.mark.parametrize(
    "text",
    [
        REPORT.replace("0.57", '"0.57"'),
        REPORT.replace('"total"', '"sum"'),
        "[]",
    ],
)
def test_a_body_of_another_shape_is_found(text: str) -> None:
    with pytest.raises(AssertionError, match="GET /v1/organization/credits → 200"):
        judge(text=text)


def test_a_time_that_is_none_is_found() -> None:
    text = (
        '{"object": "list", "has_more": false, "data": [{"object": "credits.period", "index": 0, '
    )
    text += (
        '"start": "yesterday", "end": "2026-04-01T00:00:00Z", "status": "past", "allowance": 1}]}'
    )
    request = httpx.Request("GET", "http://x/v1/organization/credits/periods")
    judge(text=text.replace("yesterday", "2026-03-01T00:00:00Z"), request=request)
    with pytest.raises(AssertionError, match="is not a 'date-time'"):
        judge(text=text, request=request)


def test_a_header_that_is_missing_is_found() -> None:
    with pytest.raises(AssertionError, match="x-ratelimit-reset is missing"):
        judge(x_ratelimit_reset=None)


def test_a_header_that_is_not_documented_is_found() -> None:
    with pytest.raises(AssertionError, match="x-powered-by is not documented"):
        judge(x_powered_by="curiosity")


def test_a_header_out_of_its_range_is_found() -> None:
    judge(retry_after="60")
    with pytest.raises(AssertionError, match="retry-after"):
        judge(retry_after="61")


def test_another_media_type_is_found() -> None:
    with pytest.raises(AssertionError, match="text/plain is not documented"):
        judge(content_type="text/plain")


def test_a_body_that_was_accepted_against_the_document_is_found() -> None:
    receipt = (
        '{"object": "usage_event", "id": "evt-1", "status": "booked", "credits": 1, "overage": 0, '
        '"drawn": [], "remaining": 1, "consumed": 1, "sequence": 5, '
        '"booked_at": "2026-03-01T00:00:00.000000Z"}'
    )
    judge(201, receipt, request=USAGE)
    for body in ({"id": "evt-1"}, {"id": "evt 1", "credits": 1}, {"id": "e", "credits": 1, "x": 1}):
        wrong = httpx.Request("POST", USAGE.url, json=body)
        with pytest.raises(AssertionError, match="accepted"):
            judge(201, receipt, request=wrong)
