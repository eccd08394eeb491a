"""More tasks than a window admits, all at once, with the official client's own retries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.e2e.clients import Exchange, Traffic, asynchronous_client
from tests.server import Server, running_server
from tests.sockets import CREDITS, connected

TASKS = 400
LIMIT = 200
WINDOW_MS = 4_000
SLOTS = 50
SLOW_WINDOW_MS = 3_000
# Slots open one such pause after the other: much more slowly than clients come who were all told to
# come when the first one does.
LEISURE = 0.03
# Both ends of a window are rounded to whole milliseconds.
ROUNDING_MS = 2


def test_of_many_tasks_that_obey_none_fails_for_good(tmp_path: Path) -> None:
    with running_server(tmp_path, window_ms=WINDOW_MS) as server:
        acme = server.organization(allowance=7, rate_limits={"get_credits": LIMIT})
        answers = ask_all_at_once(server.base_url, server.key(acme), TASKS)
        remaining, traffic = asyncio.run(answers)
    assert remaining == [7.0] * TASKS
    admitted = [each for each in traffic if each.status == 200]
    assert len(admitted) == TASKS
    assert most_in_a_window(admitted) <= LIMIT
    # Some had to come twice, or nothing was shown.
    assert {each.status for each in traffic} == {200, 429}


async def ask_all_at_once(base_url: str, secret: str, tasks: int) -> tuple[list[float], Traffic]:
    """What every task was told in the end, and the whole traffic. Whatever fails raises."""
    client, traffic = asynchronous_client(base_url, secret)
    async with client:
        asking = [client.organization.credits.get() for _ in range(tasks)]
        reports = await asyncio.gather(*asking)
    return [report.remaining for report in reports], traffic


def test_slots_that_open_one_by_one_are_told_one_by_one(tmp_path: Path) -> None:
    with running_server(tmp_path, window_ms=SLOW_WINDOW_MS) as server:
        acme = server.organization(allowance=7, rate_limits={"get_credits": SLOTS})
        remaining, traffic = asyncio.run(fill_slowly_and_ask(server, server.key(acme)))
    assert remaining == [7.0] * SLOTS
    assert len({each.headers["retry-after-ms"] for each in traffic if each.status == 429}) > 1


async def fill_slowly_and_ask(server: Server, secret: str) -> tuple[list[float], Traffic]:
    """A lone client fills the window at its leisure; then others want in, all together."""
    async with connected(server.url, secret) as connection:
        for _ in range(SLOTS):
            assert (await connection.ask("GET", CREDITS)).status == 200
            await asyncio.sleep(LEISURE)
    return await ask_all_at_once(server.base_url, secret, SLOTS)


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
