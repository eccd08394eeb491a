"""Twice as many tasks as a window admits, all at once, with the official client's own retries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.e2e.clients import Exchange, Traffic, asynchronous_client
from tests.server import running_server

TASKS = 400
LIMIT = 200
WINDOW_MS = 4_000
# Both ends of a window are rounded to whole milliseconds.
ROUNDING_MS = 2


def test_of_many_tasks_that_obey_none_fails_for_good(tmp_path: Path) -> None:
    with running_server(tmp_path, rate_limit=LIMIT, window_ms=WINDOW_MS) as server:
        secret = server.key(server.organization(allowance=7))
        remaining, traffic = asyncio.run(ask_all_at_once(server.base_url, secret))
    assert remaining == [7.0] * TASKS
    admitted = [each for each in traffic if each.status == 200]
    assert len(admitted) == TASKS
    assert most_in_a_window(admitted) <= LIMIT
    # Some had to come twice, or nothing was shown.
    assert {each.status for each in traffic} == {200, 429}


async def ask_all_at_once(base_url: str, secret: str) -> tuple[list[float], Traffic]:
    """What every task was told in the end, and the whole traffic. Whatever fails raises."""
    client, traffic = asynchronous_client(base_url, secret)
    async with client:
        tasks = [client.organization.credits.get() for _ in range(TASKS)]
        reports = await asyncio.gather(*tasks)
    return [report.remaining for report in reports], traffic


def most_in_a_window(admitted: Sequence[Exchange]) -> int:
    """The most requests that lie, from sending to answer, within the length of one window.

    A request was admitted somewhere between the two, so the server admitted at least so many.
    """
    length = (WINDOW_MS - ROUNDING_MS) / 1000
    ends = [each.answered_at for each in admitted]
    return max(
        sum(end - length < each.sent_at and each.answered_at <= end for each in admitted)
        for end in ends
    )


def test_too_many_in_a_window_would_be_noticed() -> None:
    all_at_once = [Exchange(200, httpx.Headers(), "0", 0.0, 1.0)] * (LIMIT + 1)
    assert most_in_a_window(all_at_once) == LIMIT + 1
    one_later = [*all_at_once[1:], Exchange(200, httpx.Headers(), "1", 4.0, 4.5)]
    assert most_in_a_window(one_later) == LIMIT
