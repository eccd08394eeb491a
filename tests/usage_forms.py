"""Reading usage events without a service: who acts, when, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tallystick.domain.commands import BookUsage
from tallystick.domain.periods import parse_instant
from tallystick.http.auth import Principal
from tallystick.http.errors import ApiError
from tallystick.http.handlers.usage_events import batch, read_request, single, to_command

NOW = parse_instant("2026-03-10T12:00:00Z")
WHO = Principal(
    key_id="key_1",
    key_name="A key",
    organization_id="org_1",
    teamspace_id="ts_1",
    limit_of=lambda _: 1,
)


def command(body: str | bytes) -> BookUsage:
    """What the event in `body` becomes."""
    sent = body.encode() if isinstance(body, str) else body
    return single(read_request(sent), WHO, NOW, bytes)


def commands(body: bytes) -> list[BookUsage]:
    """What the event or the batch in `body` becomes."""
    request = read_request(body)
    events = batch(request)
    if events is None:
        return [single(request, WHO, NOW, bytes)]
    return [
        to_command(event.id, event.credits, event, f"/events/{number}", WHO, NOW, bytes)
        for number, event in enumerate(events)
    ]


def complaint(read: Callable[[], object]) -> tuple[str, str]:
    """The pointer and the code of the 422 that `read` raises."""
    with pytest.raises(ApiError) as raised:
        read()
    assert raised.value.code.name == "validation_failed"
    [error] = raised.value.errors
    return error.pointer, error.code
