"""PostgreSQL and SQLite answer every question about the same ledger alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from tallystick.domain.entries import EntryKind
from tallystick.domain.holds import HoldStatus
from tallystick.domain.ids import entry_id
from tallystick.domain.series import BucketSize, Grouping, cut
from tallystick.ledger import work
from tallystick.ledger.budgets import BudgetUnit
from tallystick.ledger.reading import EntryFilter, Page, Reader, UnknownCursor
from tallystick.storage.postgres import entries as entry_search
from tallystick.storage.postgres.clock import DatabaseClock
from tallystick.storage.postgres.connections import READING
from tallystick.storage.postgres.reader import PostgresReader
from tallystick.storage.sqlite import SqliteStore
from tests.histories import DAY, TEAMSPACES, history
from tests.postgres_copies import copy_ledger
from tests.servers.postgres import Postgres

ORG = f"org_{0:026d}"
STEPS = 200
NOBODY = "org_?"
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")
GROUPINGS = (
    Grouping(),
    Grouping(by_teamspace=True),
    Grouping(by_teamspace=True, by_meter=True, by_key=True),
    Grouping(dimension="model"),
    Grouping(by_meter=True, dimension="model"),
)
SOME_USAGE_HAS_A_MODEL = """
INSERT INTO usage_rollups
    SELECT organization_id, 'model', bucket, 'm' || api_key_id, teamspace_id, meter, api_key_id,
        credits, events
    FROM usage_rollups WHERE meter = 'images';
CREATE TEMPORARY TABLE valued AS SELECT * FROM usage_days WHERE meter = 'images';
UPDATE valued SET dimension = 'model', value = 'm' || api_key_id;
INSERT INTO usage_days SELECT * FROM valued;
"""

Ask = Callable[[Reader], Awaitable[object]]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, list[str], list[str]]:
    """A file, its present, and the ids of the events and holds in it."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"

    async def scenario() -> tuple[Path, int, list[str], list[str]]:
        async with history(7, path, also=1) as life:
            await life.go(STEPS)
            for _ in range(5):
                await life.place()
            await life.ledger.submit(ORG, BudgetUnit(ORG, TEAMSPACES[0], 7))
            return path, life.now, life.events, life.holds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "MILESTONE_DISTANCE", 16)
        found = asyncio.run(scenario())
    with closing(apsw.Connection(str(path))) as file:
        file.execute(SOME_USAGE_HAS_A_MODEL)
    return found


class Both:
    """The two readers, who are asked the same."""

    def __init__(self, ledger: tuple[Path, int, list[str], list[str]], url: str) -> None:
        self.path, self.now, self.events, self.holds = ledger
        self._url = url

    def agree(self, *questions: Ask) -> list[Any]:
        """What both of them answer; refusals included."""
        return asyncio.run(self._agree(questions))

    async def _agree(self, questions: Sequence[Ask]) -> list[Any]:
        store = SqliteStore.open(self.path, clock=lambda: self.now)
        connect = partial(asyncpg.connect, self._url, server_settings=dict(READING))
        reader = PostgresReader(connect, DatabaseClock())
        answers = []
        try:
            for question in questions:
                expected = await _answer(question, store.reader)
                assert await _answer(question, reader) == expected
                answers.append(expected)
        finally:
            await reader.close()
            await store.close()
        return answers


async def _answer(question: Ask, reader: Reader) -> object:
    try:
        return await question(reader)
    except UnknownCursor as refusal:
        return repr(refusal)


@pytest.fixture
def both(postgres: Postgres, ledger: tuple[Path, int, list[str], list[str]]) -> Iterator[Both]:
    url = postgres.database(partitions=2)
    asyncio.run(copy_ledger(ledger[0], url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry_search, "STRETCH", 10)
        yield Both(ledger, url)


def test_accounts_and_periods(both: Both) -> None:
    (account, nobody, periods, *records) = both.agree(
        lambda r: r.account(ORG),
        lambda r: r.account(NOBODY),
        lambda r: r.periods(ORG),
        *(partial(_period, index=index) for index in range(99)),
    )
    assert (nobody, account.organization_id) == (None, ORG)
    assert account.holds
    assert account.budgets
    assert len(periods) > 3
    assert [record.period is not None for record in records[: len(periods)]] == [True] * len(
        periods
    )
    assert any(record.voided_at for record in records)
    assert any(record.usage for record in records)
    assert records[-1].period is None


async def _period(reader: Reader, index: int) -> object:
    record = await reader.period_record(ORG, index)
    # They add up whatever their order.
    return record and record._replace(entries=sorted(record.entries, key=lambda one: one.sequence))


def test_single_objects(both: Both) -> None:
    answers = both.agree(
        lambda r: r.organization(ORG),
        lambda r: r.organization_named("nobody"),
        lambda r: r.teamspace(ORG, TEAMSPACES[0]),
        *(partial(_about_event, event_id=event_id) for event_id in both.events),
        *(partial(_hold, hold_id=hold_id) for hold_id in both.holds),
    )
    assert sum(1 for answer in answers if answer is not None) > 20


async def _about_event(reader: Reader, event_id: str) -> object:
    return (
        await reader.event(ORG, event_id),
        await reader.usage_event(ORG, event_id),
        await reader.reversals(ORG, event_id),
    )


async def _hold(reader: Reader, hold_id: str) -> object:
    return await reader.hold(ORG, hold_id)


def test_lists_of_entries(both: Both) -> None:
    (found,) = both.agree(lambda r: r.entries(ORG, Page(1000), EntryFilter()))
    drawn = next(one.entry.drawn[0][0] for one in found if one.entry.drawn)
    reversed_event = next(o.entry.event_id for o in found if o.entry.kind == "usage.reversed")
    middle = found[len(found) // 2].entry
    pages = [
        Page(4, after=after, before=before, ascending=ascending)
        for (after, before), ascending in product(
            (
                (None, None),
                (entry_id(ORG, middle.sequence), None),
                (None, entry_id(ORG, middle.sequence)),
                ("?", None),
            ),
            (True, False),
        )
    ]
    filters = [
        EntryFilter(kind, event_id, grant_id, start, end)
        for kind, event_id, grant_id, (start, end) in product(
            (None, EntryKind.USAGE_BOOKED, EntryKind.USAGE_REVERSED, EntryKind.GRANT_ISSUED),
            (None, reversed_event),
            (None, drawn),
            ((None, None), (middle.booked_at, None), (None, middle.booked_at)),
        )
    ]
    answers = both.agree(
        *(partial(_entries, page=page, where=where) for page, where in product(pages, filters))
    )
    assert sum(map(bool, answers)) > len(answers) / 3


async def _entries(reader: Reader, page: Page, where: EntryFilter) -> object:
    return await reader.entries(ORG, page, where)


def test_lists_of_grants_and_holds(both: Both) -> None:
    statuses: list[HoldStatus | None] = [None, *HoldStatus]
    cursors = [None, both.holds[3], "?"]
    both.agree(
        *(
            partial(_holds, page=Page(3, after=cursor, ascending=ascending), status=status)
            for cursor, ascending, status in product(cursors, (True, False), statuses)
        ),
        lambda r: r.grants(ORG, Page(4)),
        lambda r: r.grants(ORG, Page(4), 60),
        lambda r: r.grants(ORG, Page(4, ascending=True), 60),
        lambda r: r.organizations(Page(4)),
        lambda r: r.teamspaces(ORG, Page(4)),
        lambda r: r.due(both.now + 9 * DAY, 10),
    )


async def _holds(reader: Reader, page: Page, status: HoldStatus | None) -> object:
    return await reader.holds(ORG, page, status)


def test_earlier_instants(both: Both) -> None:
    (found,) = both.agree(lambda r: r.entries(ORG, Page(1000), EntryFilter()))
    booked = [one.entry.booked_at for one in found]
    instants = [at + beside for at in booked[::9] for beside in (-1, 0, 1)]
    histories = both.agree(*(partial(_history, instant=at, up_to=len(found)) for at in instants))
    assert any(one.milestone for one in histories)
    assert any(one.grants for one in histories)


async def _history(reader: Reader, instant: int, up_to: int) -> object:
    return await reader.history(ORG, instant, up_to)


def test_statistics_of_usage(both: Both) -> None:
    start, end = both.now - 40 * DAY, both.now + DAY
    start, end = start - start % (DAY // 96), end - end % (DAY // 96)
    sizes = {BucketSize.HOUR: 20, BucketSize.DAY: 40, BucketSize.WEEK: 40, BucketSize.MONTH: 40}
    answers = both.agree(
        *(
            partial(_usage, bounds=cut(end - days * DAY, end, size, zone), grouping=grouping)
            for (size, days), zone, grouping in product(sizes.items(), ZONES, GROUPINGS)
        ),
        lambda r: r.consumed_between(ORG, start, end),
        lambda r: r.first_usage(ORG, start),
        lambda r: r.first_usage(ORG, end + 999 * DAY),
    )
    assert all(any(buckets) for buckets in answers[:-3])
    assert answers[-3] > 0
    assert answers[-1] is None


async def _usage(reader: Reader, bounds: list[int], grouping: Grouping) -> object:
    found = await reader.usage_between(ORG, bounds, grouping)
    return [{group: amounts for group, amounts in each.items() if any(amounts)} for each in found]
