"""The statement of a billing period, as of now where it still runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tallystick.domain.account import advance
from tallystick.domain.decide import ledger_time
from tallystick.domain.entries import EntryKind
from tallystick.domain.grants import GrantStatus
from tallystick.domain.statements import Moves, Statement
from tallystick.ledger.work import period_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.entries import Entry
    from tallystick.domain.grants import Grant
    from tallystick.domain.statements import UsageLine
    from tallystick.ledger.ports import PeriodRow
    from tallystick.ledger.reading import Reader


class PeriodRecord(NamedTuple):
    """What was written of one billing period, all of one moment.

    `period`, `opening` and `last` are None where it has not been written that it started: its first
    entry, and the last one so far. `entries` are those that move credits and are no usage; `grants`
    those that they name, `voided_at` when these were voided for good. `usage` is net, by meter and
    teamspace.
    """

    account: Account
    period: PeriodRow | None
    opening: Entry | None
    last: Entry | None
    entries: Sequence[Entry]
    grants: Mapping[str, Grant]
    voided_at: Mapping[str, int]
    usage: Sequence[UsageLine]


async def read_statement(
    reader: Reader, clock: Callable[[], int], organization_id: str, index: int
) -> Statement | None:
    """None where there is no such organization, or the period has not started."""
    record = await reader.period_record(organization_id, index)
    if record is None:
        return None
    account = record.account
    period, opening, last = record.period, record.opening, record.last
    # What is held of a grant that was voided lapses later than anything that is written.
    voided_at = {
        grant.id: 0 for grant in account.grants.values() if grant.status is GrantStatus.VOIDED
    }
    moves = Moves({**account.grants, **record.grants}, {**voided_at, **record.voided_at})
    moves.take(record.entries)
    now = ledger_time(account, clock())
    present = account.period_index
    for entry in advance(account, now):
        if entry.kind is EntryKind.PERIOD_STARTED:
            present += 1
            if present == index:
                period, opening, last = period_row(entry), entry, entry
        elif present == index:
            moves.take([entry])
            last = entry
    if period is None or opening is None or last is None:
        return None
    is_over = present > index
    return Statement(
        index=index,
        start=period.start,
        end=period.end,
        timezone=period.timezone,
        as_of=period.end if is_over else now,
        is_over=is_over,
        opening=opening.remaining_after,
        granted=moves.granted,
        returned=moves.returned,
        consumed=last.consumed_after,
        overage=last.overage_after,
        expired=moves.expired,
        voided=moves.voided,
        closing=last.remaining_after,
        usage=tuple(record.usage),
    )
