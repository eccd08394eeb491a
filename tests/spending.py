"""Spending over HTTP, what it leaves, and how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import httpx

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

    def submit_or_fail(organization_id: str, unit: Any) -> asyncio.Future[Any]:  # noqa: ANN401
        # Any unit at all: what fails is what carries them.
        if next(left, None) is not None:
            return submit(organization_id, unit)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(failure())
        return future

    return mock.patch.object(w.service.ledger, "submit", submit_or_fail)
