"""Spending over HTTP, what it leaves, and how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import httpx

from tallystick.http.app import create_app
from tallystick.http.handlers.table import OPERATIONS
from tallystick.ledger.work import Unit
from tests.harness import Headers, World

PATH = "/v1/organization/credits/usage"


async def post(w: World, headers: Headers, body: object) -> httpx.Response:
    return await w.client.post(PATH, headers=headers, json=body)


async def sequence(w: World, headers: Headers) -> int:
    answer = await w.client.get("/v1/organization/credits/balance", headers=headers)
    found: int = answer.json()["sequence"]
    return found


async def credits_now(w: World, headers: Headers) -> str:
    return (await w.client.get("/v1/organization/credits", headers=headers)).text


def error_of(answer: httpx.Response, status: int) -> tuple[str, dict[str, Any]]:
    """The code and the details of the error that `answer` is."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["status_code"] == body["statusCode"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    return body["error"], body["details"]


def failing_after(
    w: World, units: int, failure: Callable[[], Exception]
) -> AbstractContextManager[object]:
    """The ledger takes that many units; those after them meet `failure`."""
    submit = w.service.ledger.submit
    left = iter(range(units))

    def submit_or_fail(organization_id: str, unit: Unit) -> asyncio.Future[Any]:
        if next(left, None) is not None:
            return submit(organization_id, unit)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(failure())
        return future

    return mock.patch.object(w.service.ledger, "submit", submit_or_fail)


async def send_and_leave(
    w: World,
    headers: Headers,
    media_type: str,
    body: bytes,
    *,
    leave: Callable[[], Awaitable[None]],
) -> list[object]:
    """Sends the beginning of a request and goes when `leave` returns; what was answered to it."""
    answered: list[object] = []
    asked = False

    async def receive() -> dict[str, object]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": True}
        await leave()
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        answered.append(message)

    sent = headers | {"content-type": media_type}
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("192.0.2.1", 4711),
    }
    app: Any = create_app(w.service, OPERATIONS)
    await app(scope, receive, send)
    return answered
