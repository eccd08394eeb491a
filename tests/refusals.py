"""Bodies of `POST …/usage` that are refused: what the refusal says, and that nothing changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.harness import Headers, World
from tests.spending import PATH, post

JSON = "application/json"
CLOUD = "application/cloudevents+json"
CLOUDS = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"

both_forms = pytest.mark.parametrize("accept", [JSON, PROBLEM])


async def state(w: World, headers: Headers) -> object:
    """All that a booking would change: figures, grants and the ledger's sequence."""
    answer = await w.client.get("/v1/organization/credits/balance", headers=headers)
    assert answer.status_code == 200
    return answer.json()


def check_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The envelope, or the problem details, of a clear refusal."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["message"]
    assert body["mitigation"]
    assert body["retryable"] is False
    assert body["details"]["reason"]
    assert answer.headers["x-should-retry"] == "false"
    assert len(answer.content) < 4_000
    if answer.headers["content-type"] == PROBLEM:
        assert body["type"] == f"https://api.datagrid.com/errors/{code}"
        assert body["status"] == status
        assert body["title"]
        assert body["detail"] == body["details"]["reason"]
    else:
        assert answer.headers["content-type"] == JSON
        assert body["status_code"] == body["statusCode"] == status
        assert body["error"] == code
    return body


async def refused(
    w: World,
    content: bytes | AsyncIterator[bytes],
    headers: list[tuple[str, str]] | None = None,
    *,
    status: int = 422,
    code: str = "validation_failed",
    accept: str = "*/*",
) -> dict[str, Any]:
    """Sends `content`; what the refusal says, after checking that nothing else came of it."""
    key = await w.key(await w.organization(allowance=100))
    assert (await post(w, key, {"id": "before", "credits": 1})).status_code == 201
    before = await state(w, key)
    sent = headers if headers is not None else [("content-type", JSON)]
    answer = await w.client.post(
        PATH,
        content=content,
        headers=[
            (name.encode(), value.encode())
            for name, value in (*key.items(), ("accept", accept), *sent)
        ],
    )
    body = check_error(answer, status, code)
    assert await state(w, key) == before
    return body
