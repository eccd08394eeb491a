"""What tests say about answers."""

from __future__ import annotations

from typing import Any

import httpx


def body_of(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The JSON of an answer that has this status."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def assert_refused(
    answer: httpx.Response, status: int, code: str, *, pointer: str | None = None
) -> dict[str, Any]:
    """The answer is the envelope of this error, and points where it should; returns its details."""
    body = body_of(answer, status)
    assert body["error"] == code, body
    assert body["status_code"] == body["statusCode"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    if status == 422:
        assert pointer in {error["pointer"] for error in body["errors"]}, body
    details: dict[str, Any] = body["details"]
    return details


def assert_not_found(answer: httpx.Response) -> None:
    assert_refused(answer, 404, "resource_not_found")


def assert_invalid(answer: httpx.Response, pointer: str) -> None:
    assert_refused(answer, 422, "validation_failed", pointer=pointer)


def assert_conflict(answer: httpx.Response) -> dict[str, Any]:
    """409 that a repetition cannot mend; returns its details."""
    assert answer.headers["x-should-retry"] == "false"
    return assert_refused(answer, 409, "conflict")
