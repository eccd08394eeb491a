"""One broken ledger for each promise: which text of which module to replace, and by what."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import tallystick

_PACKAGE = Path(tallystick.__path__[0])


class Mutation(NamedTuple):
    """In `module`, the text `old` (found there once) becomes `new`, which breaks a promise."""

    breaks: str
    module: str
    old: str
    new: str

    @property
    def name(self) -> str:
        return f"tallystick.{self.module}"

    def source(self) -> str:
        path = _PACKAGE.joinpath(*self.module.split(".")).with_suffix(".py")
        source = path.read_text(encoding="utf-8")
        assert source.count(self.old) == 1, "the text to replace is not there, or not once"
        return source.replace(self.old, self.new)


ANSWERED_TOO_EARLY = Mutation(
    "nobody is answered before the commit",
    "ledger.ledger",
    "            await self._append(changes)\n",
    '            __import__("asyncio").ensure_future(self._append(changes))\n',
)
STALE_BALANCES = Mutation(
    "a balance in memory is forgotten when its account is written",
    "storage.sqlite_lane",
    "            self._balances.begin(changes.accounts)\n",
    "            pass\n",
)
CLOCK_GOES_BACK = Mutation(
    "an account's time never goes back",
    "domain.decide",
    "return max(clock, account.advanced_to)",
    "return clock",
)
STALE_ACCOUNTS = Mutation(
    "after a commit that failed, accounts are loaded anew",
    "storage.sqlite_lane",
    "            self._forget_under_way()\n            raise\n",
    "            self._accounts.take_back(changes, self._snapshot)\n            raise\n",
)
UNSYNCED = Mutation(
    "what is acknowledged survives a power cut",
    "storage.sqlite",
    '"sync_every_commit" if self.synchronous == "FULL" else "sync_never"',
    '"sync_never"',
)
MUTATIONS = (
    ANSWERED_TOO_EARLY,
    STALE_BALANCES,
    CLOCK_GOES_BACK,
    STALE_ACCOUNTS,
    UNSYNCED,
    Mutation(
        "an id that comes twice in one batch is found the second time",
        "ledger.work",
        "        self.snapshot.events[key] = entry\n",
        "",
    ),
    Mutation(
        "a batch that is flown again does each thing once",
        "ledger.coalesce",
        "            self._alone.extend(batch)\n",
        "            self._alone.extend([*batch, batch[0]])\n",
    ),
    Mutation(
        "an atomic unit that is refused leaves no ids behind",
        "ledger.work",
        "        del self.changes.usage[mark.usage :]\n",
        "",
    ),
    Mutation(
        "an atomic unit that is refused leaves the account as it was",
        "ledger.work",
        "        return Mark(account.copy(), len(drafts)",
        "        return Mark(account, len(drafts)",
    ),
    Mutation(
        "a key that comes twice in one batch is found the second time",
        "ledger.units",
        "work.snapshot.replays[self.key] = work.changes.replays[self.key] = replay",
        "work.changes.replays[self.key] = replay",
    ),
    Mutation(
        "an unknown outcome is not called nothing",
        "storage.sqlite_errors",
        "    return OutcomeUnknown(",
        "    return StoreUnavailable(",
    ),
    Mutation(
        "a read sees what has fallen due since the last entry",
        "ledger.reads",
        "isinstance(row, BalanceRow) and self.clock() < row.next_due_at",
        "isinstance(row, BalanceRow)",
    ),
    Mutation(
        "a new status is written",
        "storage.sqlite_accounts",
        "            and account.status is self.status\n",
        "",
    ),
    Mutation(
        "holds expire also where a period ends at that instant",
        "domain.account",
        "        expire_holds(account, at, entries)\n",
        "        if account.period_end != at:\n            expire_holds(account, at, entries)\n",
    ),
    Mutation(
        "budgets start anew with each period",
        "domain.account",
        "        budget.used = 0\n",
        "        budget.used = budget.used\n",
    ),
    Mutation(
        "what comes back of a capture is not held again",
        "domain.reversals",
        "        _return_to(account, _grant(account, grant_id, earlier), part)\n",
        "        _return_to(account, _grant(account, grant_id, earlier), part)\n"
        "        account.grants[grant_id].held += part * (usage.hold_id is not None)\n",
    ),
    Mutation(
        "an excess beyond the hold is decided as usage",
        "domain.spending",
        "    return unauthorized(account, excess, hold.teamspace_id, hold.api_key_id)\n",
        "    return None\n",
    ),
    Mutation(
        "an account that is kept has its holds",
        "storage.sqlite_accounts",
        "        account.holds = {hold.id: hold for hold in account.open_holds}\n",
        "        account.open_holds = []\n",
    ),
    Mutation(
        "a budget's row says what was used",
        "storage.hold_rows",
        "return (organization_id, budget.subject_id, budget.limit, budget.used)",
        "return (organization_id, budget.subject_id, budget.limit, 0)",
    ),
    Mutation(
        "a hold's row says what was captured",
        "storage.hold_rows",
        "return (organization_id, hold.id, parts, hold.captured, hold.status, hold.expires_at)",
        "return (organization_id, hold.id, parts, 0, hold.status, hold.expires_at)",
    ),
    Mutation(
        "usage is counted in the period that it was booked in",
        "ledger.work",
        "            _add(self.changes.period_usage, period_key, in_period, is_new)\n",
        "            _add(self.changes.period_usage, period_key, abs(in_period), is_new)\n",
    ),
    Mutation(
        "the balance at a past instant counts entries of that microsecond",
        "storage.sqlite_history",
        "bisect_right(range(1, up_to + 1), instant, key=booked_at)",
        "bisect_right(range(1, up_to + 1), instant - 1, key=booked_at)",
    ),
)

UNKNOWN_CALLED_NOTHING = Mutation(
    "an unknown outcome on PostgreSQL is not called nothing",
    "storage.postgres.errors",
    "    return OutcomeUnknown(described(error))\n",
    "    return StoreUnavailable(described(error))\n",
)
HOLDS_NOT_LOADED = Mutation(
    "an account that is loaded from PostgreSQL has its holds",
    "storage.postgres.load",
    "    snapshot.accounts[item[0]].add_hold(hold_from(item))\n",
    "    hold_from(item)\n",
)
TRANSACTION_LEFT_OPEN = Mutation(
    "what PostgreSQL acknowledges was committed",
    "storage.postgres.lane",
    "            await self.abandon()\n            raise\n        await self._session.commit()\n",
    "            await self.abandon()\n            raise\n",
)
ON_POSTGRES = (
    ANSWERED_TOO_EARLY,
    CLOCK_GOES_BACK,
    UNKNOWN_CALLED_NOTHING,
    HOLDS_NOT_LOADED,
    TRANSACTION_LEFT_OPEN,
)
"""Those that worlds on PostgreSQL catch."""
