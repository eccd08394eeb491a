"""Plain usage is recounted in a loop of its own, which finds what the walk of any entry finds.

The entries forged here are chained anew, so that no hash tells on them: what is wrong is only what
they say.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from tallystick.domain.commands import CreateGrant
from tallystick.domain.credits import MICRO
from tallystick.domain.entries import GENESIS, Entry, EntryKind, link, plain_usage_linker
from tallystick.domain.grants import GrantKind
from tallystick.ledger import recount, work
from tallystick.ledger.recount import Recount
from tallystick.ledger.verify import Report
from tallystick.storage import rows
from tests.histories import DAY, history
from tests.verified import verified

EVENTS = 60
TOP_UP = 10**6 * MICRO
FORGED = 40
"""Which of the organization's entries is forged, in the midst of plain usage."""

Change = Callable[[Entry], dict[str, Any]]

CHANGES: dict[str, Change] = {
    "credits": lambda entry: {"credits": entry.credits + 1},
    "drawn more": lambda entry: {"drawn": ((entry.drawn[0][0], entry.credits + 1),)},
    "drawn less": lambda entry: {"drawn": ((entry.drawn[0][0], entry.credits - 1),)},
    "drawn elsewhere": lambda _: {"drawn": (("grant_x", 7),)},
    "nothing drawn": lambda _: {"drawn": ()},
    "dated back": lambda entry: {"booked_at": entry.booked_at - DAY},
    "occurred earlier": lambda entry: {"occurred_at": (entry.occurred_at or 0) - DAY},
    "never occurred": lambda _: {"occurred_at": None},
    "remaining": lambda entry: {"remaining_after": entry.remaining_after + 1},
    "consumed": lambda entry: {"consumed_after": entry.consumed_after + 1},
    "overage": lambda entry: {"overage_after": entry.overage_after + 1},
    "held": lambda entry: {"held_after": entry.held_after + 1},
    "kind": lambda _: {"kind": EntryKind.PLAN_CHANGED},
    "hold": lambda _: {"hold_id": "hold_x"},
    "rated": lambda _: {"detail": '{"price_id":"price_x","quantity":"1"}'},
    "event": lambda entry: {"event_id": f"{entry.event_id}x"},
    "no event": lambda _: {"event_id": None},
    "teamspace": lambda _: {"teamspace_id": "ts_x"},
    "nobody's key": lambda _: {"api_key_id": "key_x"},
    "meter": lambda _: {"meter": "another"},
    "sequence": lambda entry: {"sequence": entry.sequence + 1000},
}
UNSAID: dict[str, Change] = {
    "content": lambda _: {"content": bytes(32)},
    "no content": lambda _: {"content": None},
    "grant": lambda _: {"grant_id": "grant_x"},
}
"""What only the chain of hashes vouches for."""


@pytest.fixture(scope="module", autouse=True)
def _near(request: pytest.FixtureRequest) -> Iterator[None]:
    """Milestones, and looks up, that runs of plain usage come to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "MILESTONE_DISTANCE", 16)
        patch.setattr(recount, "_STRETCH", 10)
        yield


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"

    async def scenario() -> None:
        async with history(1, path) as life:
            top_up = CreateGrant(amount=TOP_UP, kind=GrantKind.TOP_UP, priority=1)
            await life.do(top_up)
            for _ in range(EVENTS):
                life.clock.now += 1
                await life.do(life.usage()._replace(credits=life.amount()))

    asyncio.run(scenario())
    return path


def entries(connection: apsw.Connection) -> list[Entry]:
    found = connection.execute("SELECT * FROM entries ORDER BY sequence")
    return [rows.entry_from(row) for row in found]


def forge(path: Path, forged: list[Entry]) -> None:
    """Writes the entries anew, each chained to the one before."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("DROP TRIGGER entries_refuse_delete")
        connection.execute("DELETE FROM entries")
        head, marks = GENESIS, ", ".join("?" * 20)
        for entry in forged:
            head = link(entry, head)
            row = (*entry[:4], rows.drawn_text(entry.drawn), *entry[5:], head)
            connection.execute(f"INSERT INTO entries VALUES ({marks})", row)  # noqa: S608 - of this file
        connection.execute("UPDATE accounts SET head = ?", (head,))


def since_forged(path: Path, change: Callable[[Entry], Entry]) -> list[Entry]:
    """All entries, changed from the forged one on."""
    with closing(apsw.Connection(str(path))) as connection:
        found = entries(connection)
    return [change(entry) if entry.sequence >= FORGED else entry for entry in found]


def alter(path: Path, statement: str) -> None:
    """Executes a statement about the sequence that is forged, whatever forbids it."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DROP TRIGGER IF EXISTS entries_refuse_update")
        connection.execute("DROP TRIGGER usage_events_refuse_update")
        connection.execute("DROP TRIGGER usage_events_refuse_delete")
        connection.execute(statement, (FORGED,))


def changed(ledger: Path, copy: Path, change: Change) -> Path:
    path = Path(shutil.copy(ledger, copy))
    with closing(apsw.Connection(str(path))) as connection:
        found = entries(connection)
    forged = [
        entry._replace(**change(entry)) if entry.sequence == FORGED else entry for entry in found
    ]
    forge(path, forged)
    return path


def slowly(path: Path) -> Report:
    """What the walk finds that takes every entry for one of any kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recount, "_pass_plain_usage", lambda _, entries: next(entries, None))
        return verified(path)


def steps(path: Path) -> list[int]:
    """The sequences of entries that were taken for ones of any kind."""
    taken: list[int] = []
    take = Recount._take

    def noted(self: Recount, entry: Entry) -> None:
        taken.append(entry.sequence)
        take(self, entry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recount, "_take", noted)
        assert verified(path).differences == {}
    return taken


def test_plain_usage_is_not_taken_for_any_entry(ledger: Path) -> None:
    with closing(apsw.Connection(str(ledger))) as connection:
        count = len(entries(connection))
    taken = steps(ledger)
    assert count > EVENTS
    assert FORGED not in taken
    assert len(taken) < count / 2


def test_the_ledger_passes_and_so_does_one_that_is_chained_anew(
    ledger: Path, tmp_path: Path
) -> None:
    path = changed(ledger, tmp_path / "same.db", lambda _: {})
    assert verified(path) == slowly(path) == verified(ledger)
    assert verified(path).differences == {}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_wrong_with_plain_usage_is_found(ledger: Path, tmp_path: Path, what: str) -> None:
    path = changed(ledger, tmp_path / "forged.db", CHANGES[what])
    report = verified(path)
    assert report.disagreeing == 1
    assert report.differences == slowly(path).differences


@pytest.mark.parametrize("what", UNSAID)
def test_what_only_the_chain_vouches_for(ledger: Path, tmp_path: Path, what: str) -> None:
    path = changed(ledger, tmp_path / "forged.db", UNSAID[what])
    assert verified(path) == slowly(path)


def test_more_than_was_left_of_the_grant_is_found(ledger: Path, tmp_path: Path) -> None:
    """All balances after it are as they would be."""

    def overdrawn(entry: Entry) -> Entry:
        shifted = entry._replace(
            remaining_after=entry.remaining_after - TOP_UP,
            consumed_after=entry.consumed_after + TOP_UP,
        )
        if entry.sequence > FORGED:
            return shifted
        used = entry.credits + TOP_UP
        return shifted._replace(credits=used, drawn=((entry.drawn[0][0], used),))

    path = Path(shutil.copy(ledger, tmp_path / "forged.db"))
    forge(path, since_forged(path, overdrawn))
    [difference] = verified(path).differences.values()
    assert (difference.table, difference.key) == ("entries", {"sequence": FORGED})
    assert slowly(path).differences == verified(path).differences


def test_a_gap_in_the_sequence_is_found(ledger: Path, tmp_path: Path) -> None:
    """The index of events has the same gap."""
    path = Path(shutil.copy(ledger, tmp_path / "forged.db"))
    forge(path, since_forged(path, lambda entry: entry._replace(sequence=entry.sequence + 1)))
    alter(path, "UPDATE usage_events SET sequence = sequence + 1 WHERE sequence >= ?")
    [difference] = verified(path).differences.values()
    assert (difference.table, difference.column) == ("entries", "sequence")
    assert slowly(path).differences == verified(path).differences


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE entries SET drawn = replace(drawn, ',', ', ') WHERE sequence = ?", "entries"),
        ("UPDATE usage_events SET event_id = 'x' WHERE sequence = ?", "usage_events"),
        ("DELETE FROM usage_events WHERE sequence = ?", "usage_events"),
        ("UPDATE usage_events SET sequence = sequence + 1 WHERE sequence > ?", "usage_events"),
    ],
)
def test_a_row_that_was_changed_by_itself_is_found(
    ledger: Path, tmp_path: Path, statement: str, table: str
) -> None:
    path = Path(shutil.copy(ledger, tmp_path / "forged.db"))
    alter(path, statement)
    [difference] = verified(path).differences.values()
    assert difference.table == table
    assert slowly(path).differences == verified(path).differences


def test_a_period_that_nobody_started_is_found(ledger: Path, tmp_path: Path) -> None:
    """Usage is dated after its period's end, all else is as it should be."""
    path = Path(shutil.copy(ledger, tmp_path / "forged.db"))
    forge(
        path,
        since_forged(path, lambda entry: entry._replace(booked_at=entry.booked_at + 8 * DAY)),
    )
    [difference] = verified(path).differences.values()
    assert (difference.table, difference.key) == ("entries", {"sequence": FORGED})
    assert "period's end" in difference.why
    assert slowly(path).differences == verified(path).differences


@pytest.mark.parametrize(
    "who", [("ts_1", "key_1", "llm.tökens"), ("ts_1", None, None), (None,) * 3]
)
@pytest.mark.parametrize("event_id", ["evt-1", "", "évt" * 90])
def test_plain_usage_is_linked_like_any_entry(
    ledger: Path, who: tuple[str | None, ...], event_id: str
) -> None:
    with closing(apsw.Connection(str(ledger))) as connection:
        [entry] = [entry for entry in entries(connection) if entry.sequence == FORGED]
    teamspace_id, api_key_id, meter = who
    entry = entry._replace(
        event_id=event_id, teamspace_id=teamspace_id, api_key_id=api_key_id, meter=meter
    )
    link_usage = plain_usage_linker(entry.organization_id, entry.drawn[0][0])
    # fmt: off
    assert link(entry, bytes(range(32))) == link_usage(
        bytes(range(32)), entry.sequence, entry.credits, event_id, *who,
        entry.occurred_at, entry.booked_at, entry.remaining_after, entry.consumed_after,
        entry.overage_after, entry.held_after, entry.content,
    )
    # fmt: on
