"""Statements close along random lives, to the last micro-credit, and each on the one before."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.domain.statements import Statement
from tallystick.ledger.statements import read_statement
from tests.histories import DAY, Life, history

SEEDS = range(30)
STEPS = 120


def lines_up(statement: Statement, before: Statement | None) -> None:
    moved = statement.granted + statement.returned - statement.expired - statement.voided
    covered = statement.consumed - statement.overage
    assert statement.closing == statement.opening + moved - covered, statement
    assert sum(line.credits for line in statement.usage) == statement.consumed, statement
    assert min(statement.granted, statement.returned, statement.expired, statement.voided) >= 0
    assert statement.opening == (0 if before is None else before.closing), statement
    if before is not None:
        assert statement.start == before.end


async def statements(life: Life) -> list[Statement]:
    found: list[Statement] = []
    while one := await read_statement(
        life.store.reader, life.clock, life.organization_id, len(found)
    ):
        found.append(one)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_every_statement_closes(seed: int) -> None:
    asyncio.run(scenario(seed))


async def scenario(seed: int) -> None:
    async with history(seed) as life:
        await life.go(STEPS)
        # Whether time has been written yet makes no difference.
        for wait in (0, DAY, 9 * DAY):
            life.clock.now += wait
            found = await statements(life)
            for number, one in enumerate(found):
                lines_up(one, found[number - 1] if number else None)
            assert [one.is_over for one in found] == [True] * (len(found) - 1) + [False]
            credits_now = await life.reads.balance(life.organization_id)
            assert credits_now is not None
            assert found[-1].closing == credits_now.state.remaining
            assert found[-1].consumed == credits_now.state.consumed
            assert found[-1].overage == credits_now.state.overage
