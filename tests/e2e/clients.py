"""The official Python client in all its forms, called in one way, with its traffic on record.

with official_client("async-strict", server.base_url, key) as (client, traffic):
    client.organization.credits.get()
    assert [each.status for each in traffic] == [200]
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypedDict, TypeVar, Unpack

import httpx
from datagrid_ai import (
    AsyncDatagrid,
    Datagrid,
    DefaultAsyncHttpxClient,
    DefaultHttpxClient,
)

T = TypeVar("T")
Hooks = dict[str, list[Callable[..., Any]]]

KINDS: Final = ("sync", "async", "sync-strict", "async-strict")


class Options(TypedDict, total=False):
    """What else a client can be told."""

    teamspace: str
    max_retries: int


class Exchange(NamedTuple):
    """A request as it was sent, and its answer; times are those of the monotonic clock."""

    status: int
    headers: httpx.Headers
    retry: str
    sent_at: float
    answered_at: float


Traffic = list[Exchange]


def _note_sent(request: httpx.Request) -> None:
    request.extensions["sent_at"] = time.monotonic()


def _noted(response: httpx.Response) -> Exchange:
    request = response.request
    return Exchange(
        response.status_code,
        response.headers,
        request.headers["x-stainless-retry-count"],
        request.extensions["sent_at"],
        time.monotonic(),
    )


@contextmanager
def official_client(
    kind: str, base_url: str | None, api_key: str | None, **options: Unpack[Options]
) -> Iterator[tuple[Any, Traffic]]:
    """A client of that kind; without URL and key it looks for them in the environment."""
    strict = kind.endswith("strict")
    if kind.startswith("async"):
        with asyncio.Runner() as runner:
            awaited, traffic = asynchronous_client(base_url, api_key, strict=strict, **options)
            try:
                yield Blocking(awaited, runner), traffic
            finally:
                runner.run(awaited.close())
    else:
        client, traffic = _synchronous_client(base_url, api_key, strict=strict, **options)
        with client:
            yield client, traffic


def asynchronous_client(
    base_url: str | None, api_key: str | None, *, strict: bool = False, **options: Unpack[Options]
) -> tuple[AsyncDatagrid, Traffic]:
    traffic: Traffic = []

    async def note_sent(request: httpx.Request) -> None:
        _note_sent(request)

    async def note(response: httpx.Response) -> None:
        traffic.append(_noted(response))

    hooks: Hooks = {"request": [note_sent], "response": [note]}
    http = DefaultAsyncHttpxClient(event_hooks=hooks, trust_env=False)
    return AsyncDatagrid(
        base_url=base_url,
        api_key=api_key,
        http_client=http,
        _strict_response_validation=strict,
        **options,
    ), traffic


def _synchronous_client(
    base_url: str | None, api_key: str | None, *, strict: bool, **options: Unpack[Options]
) -> tuple[Datagrid, Traffic]:
    traffic: Traffic = []

    def note(response: httpx.Response) -> None:
        traffic.append(_noted(response))

    hooks: Hooks = {"request": [_note_sent], "response": [note]}
    http = DefaultHttpxClient(event_hooks=hooks, trust_env=False)
    return Datagrid(
        base_url=base_url,
        api_key=api_key,
        http_client=http,
        _strict_response_validation=strict,
        **options,
    ), traffic


class Blocking:
    """The asynchronous client, called as the synchronous one is: what it awaits is waited for."""

    def __init__(self, target: object, runner: asyncio.Runner) -> None:
        self._target: Any = target
        self._runner = runner

    def __getattr__(self, name: str) -> Blocking:
        return Blocking(getattr(self._target, name), self._runner)

    def __call__(self, *args: object, **kwargs: object) -> object:
        found = self._target(*args, **kwargs)
        if isinstance(found, AsyncIterable):
            return self._runner.run(_gathered(found))
        return self._runner.run(_awaited(found)) if inspect.isawaitable(found) else found


async def _gathered(items: AsyncIterable[T]) -> list[T]:
    return [item async for item in items]


async def _awaited(found: Awaitable[T]) -> T:
    return await found
