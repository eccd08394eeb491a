"""One broken core for each rule: which text of which domain module to replace, and by what."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import tallystick.domain

_DOMAIN = Path(tallystick.domain.__path__[0])


class Mutation(NamedTuple):
    """In `module`, the text `old` (found there once) becomes `new`, which breaks a rule."""

    breaks: str
    module: str
    old: str
    new: str

    @property
    def name(self) -> str:
        return f"tallystick.domain.{self.module}"

    def source(self) -> str:
        source = (_DOMAIN / f"{self.module}.py").read_text(encoding="utf-8")
        assert source.count(self.old) == 1, "the text to replace is not there, or not once"
        return source.replace(self.old, self.new)


MUTATIONS = (
    Mutation(
        "rule 2: the sequence has no gaps",
        "account",
        "self.sequence += 1",
        "self.sequence += 1 + (kind is EntryKind.GRANT_VOIDED)",
    ),
    Mutation(
        "rule 2: each entry is chained to the one before",
        "entries",
        "        previous_hash = digest\n",
        "",
    ),
    Mutation(
        "rule 2: an entry states a fact",
        "decide",
        "if (after, present) == (before, account.plan) and not difference:",
        "if after == before and not difference and not command.apply_now:",
    ),
    Mutation(
        "rule 3: lower priority burns first",
        "grants",
        "        grant.priority,\n",
        "        -grant.priority,\n",
    ),
    Mutation(
        "rule 3: earlier expiry burns first",
        "grants",
        "        grant.ends_at,\n",
        "        -grant.ends_at,\n",
    ),
    Mutation(
        "rule 3: never expires last",
        "grants",
        "return NEVER if",
        "return 0 if",
    ),
    Mutation(
        "rule 3: kinds burn in their order",
        "grants",
        "        _KIND_RANK[grant.kind],\n",
        "        -_KIND_RANK[grant.kind],\n",
    ),
    Mutation(
        "rule 3: earlier effective time burns first",
        "grants",
        "        grant.effective_at,\n        grant.issued,\n",
        "        grant.issued,\n        grant.effective_at,\n",
    ),
    Mutation(
        "rule 3: then the order of issue",
        "grants",
        "        grant.issued,\n    )",
        "        -grant.issued,\n    )",
    ),
    Mutation(
        "rule 3: grants that were read back burn in order",
        "account",
        "insort(self.burning, grant, key=burn_key)",
        "self.burning.append(grant)",
    ),
    Mutation(
        "rule 3: what is used up leaves the burn order",
        "spending",
        "account.burning = [grant for grant in account.burning if grant.remaining]",
        "pass",
    ),
    Mutation(
        "rule 4: what is due now has happened",
        "account",
        "while account.next_due_at <= now:",
        "while account.next_due_at < now:",
    ),
    Mutation(
        "rule 4: expiry comes before activation",
        "account",
        "        at = account.next_due_at\n",
        "        at = account.next_due_at\n        _activate_grants(account, at, entries)\n",
    ),
    Mutation(
        "rule 4: what is written late is dated when it happened",
        "account",
        "        _activate_grants(account, at, entries)\n",
        "        _activate_grants(account, now, entries)\n",
    ),
    Mutation(
        "rule 4: at one instant grants expire in the order of issue",
        "account",
        "sorted(expired, key=lambda grant: grant.issued)",
        "sorted(expired, key=lambda grant: -grant.issued)",
    ),
    Mutation(
        "rule 4: a read writes nothing",
        "account",
        "grant_id: replace(grant) for",
        "grant_id: grant for",
    ),
    Mutation(
        "rule 4: what a new grant brings falls due in time",
        "account",
        "    account.next_due_at = min(account.next_due_at, effective_at if is_pending else "
        "grant.ends_at)\n",
        "",
    ),
    Mutation(
        "rule 4: the ledger's clock never goes back",
        "decide",
        "return max(clock, account.advanced_to)",
        "return clock",
    ),
    Mutation(
        "rule 5: periods come from the anchor, not from the period before",
        "account",
        "end = calendar.boundary_after(account.plan.schedule, at)",
        "end = at + account.period_end - account.period_start",
    ),
    Mutation(
        "rule 5: the clock is that of the plan's zone",
        "periods",
        "zone = load_zone(self.timezone)",
        'zone = load_zone("UTC")',
    ),
    Mutation(
        "rule 6: deny means deny",
        "plans",
        "            case OverageMode.DENY:\n                return 0",
        "            case OverageMode.DENY:\n                return 1",
    ),
    Mutation(
        "rule 6: overage may reach its limit",
        "refusals",
        "if required - account.available <= headroom:",
        "if required - account.available < headroom:",
    ),
    Mutation(
        "rule 6: the overage limit is for the whole period",
        "refusals",
        "headroom(account.overage)",
        "headroom(0)",
    ),
    Mutation(
        "rule 6: recorded usage is never refused for lack of credits",
        "spending",
        "if refusal is None and not command.overdraw:",
        "if refusal is None:",
    ),
    Mutation(
        "rule 6: what is not covered is overage",
        "spending",
        "account.overage += used - covered",
        "account.overage += 0",
    ),
    Mutation(
        "rule 6: a refusal changes nothing",
        "spending",
        "    if refusal := _usage_refusal(account, command):\n",
        "    account.advanced_to = now\n    if refusal := _usage_refusal(account, command):\n",
    ),
    Mutation(
        "rule 7: the receipt shows the balance after it",
        "spending",
        "            account.remaining,\n            account.consumed,\n",
        "            account.remaining + used,\n            account.consumed,\n",
    ),
    Mutation(
        "rule 8: the same id with other content is a conflict",
        "commands",
        "return entry.content == command.content",
        "return len(entry.content or b'') == len(command.content)",
    ),
    Mutation(
        "rule 8: no timestamp differs from any timestamp",
        "commands",
        "moment = -1 if occurred_at is None else occurred_at",
        "moment = 0",
    ),
    Mutation(
        "rule 8: the teamspace is part of the content",
        "commands",
        "parts = _two_parts(teamspace_id, meter)",
        "parts = _part(meter)",
    ),
    Mutation(
        "rule 8: duplicates are looked up before any state is judged",
        "spending",
        "    if earlier.entry is not None:\n        if not is_repeated(",
        "    if account.status is not AccountStatus.ACTIVE:\n"
        "        return not_active(account), []\n"
        "    if earlier.entry is not None:\n"
        "        if not is_repeated(",
    ),
    Mutation(
        "rule 8: a grant's reference has the same rule",
        "decide",
        "if earlier.entry.content != content:",
        "if earlier.entry.content == content:",
    ),
    Mutation(
        "rule 11: only the allowance rolls over, and once",
        "account",
        "if grant.id == account.allowance_grant_id:",
        "if grant.kind is not GrantKind.TOP_UP:",
    ),
    Mutation(
        "rule 11: a percentage is rounded down",
        "plans",
        "return unspent * (self.cap or 0) // (100 * MICRO)",
        "return -(-unspent * (self.cap or 0) // (100 * MICRO))",
    ),
    Mutation(
        "rule 11: rollover is by the terms of the period that ended",
        "account",
        "rollover = account.plan.rollover\n",
        "rollover = (account.next_plan or account.plan).rollover\n",
    ),
    Mutation(
        "rule 11: what rolled over lives its number of periods",
        "account",
        "calendar.boundary_after(schedule, at, rollover.periods)",
        "calendar.boundary_after(schedule, at)",
    ),
    Mutation(
        "rule 12: a new allowance counts from the next period",
        "decide",
        "    if command.apply_now:\n        present",
        "    if True:\n        present",
    ),
    Mutation(
        "rule 12: an allowance never falls below what is spent of it",
        "decide",
        "return max(plan.allowance - grant.amount, -grant.unheld)",
        "return plan.allowance - grant.amount",
    ),
    Mutation(
        "rule 12: an allowance that was voided stays so",
        "decide",
        "if grant.status is GrantStatus.VOIDED:",
        "if grant.status is GrantStatus.EXPIRED:",
    ),
    Mutation(
        "rule 12: changes of the period wait for its end",
        "decide",
        "present = replace(account.plan, overage=after.overage)",
        "present = replace(after, allowance=account.plan.allowance)",
    ),
    Mutation(
        "rule 12: a new overage policy counts at once",
        "decide",
        "present = replace(account.plan, overage=after.overage)",
        "present = account.plan",
    ),
    Mutation(
        "a period starts with nothing consumed and no overage",
        "account",
        "account.consumed = account.overage = 0",
        "account.consumed = 0",
    ),
    Mutation(
        "top-ups never repay overage",
        "account",
        "        account.remaining += amount\n",
        "        account.remaining += amount\n"
        "        account.overage -= min(amount, account.overage)\n",
    ),
    Mutation(
        "a grant that is voided whole is voided for good",
        "decide",
        "        _end(account, grant, GrantStatus.VOIDED)\n",
        "        pass\n",
    ),
    Mutation(
        "a void takes no more than is left",
        "decide",
        "if taken > left:",
        "if taken > grant.amount:",
    ),
    Mutation(
        "a grant must not end before it begins",
        "decide",
        "command.expires_at <= max(now, effective_at)",
        "command.expires_at <= now",
    ),
    Mutation(
        "sums stay in range: pending grants count",
        "account",
        "return MAX_SUM - self.total - self.pending",
        "return MAX_SUM - self.total",
    ),
    Mutation(
        "sums stay in range: an allowance gets no more than there is room for",
        "account",
        "allowance = min(account.plan.allowance, account.room)",
        "allowance = account.plan.allowance",
    ),
    Mutation(
        "sums stay in range: usage",
        "refusals",
        "if account.consumed + used <= MAX_SUM:",
        "if used <= MAX_SUM:",
    ),
    Mutation(
        "a suspended organization spends nothing",
        "spending",
        "if account.status is not AccountStatus.ACTIVE:\n"
        "        return not_active(account)\n    refusal = beyond_sums",
        "if account.status is AccountStatus.CLOSED:\n"
        "        return not_active(account)\n    refusal = beyond_sums",
    ),
    Mutation(
        "a closed organization stays closed",
        "decide",
        "and command.status is not AccountStatus.CLOSED:",
        "and command.status is AccountStatus.SUSPENDED:",
    ),
)
