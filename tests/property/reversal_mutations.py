"""More broken cores: one for each clause of what reversals and budgets promise."""

from __future__ import annotations

from tests.property.mutations import Mutation

REVERSAL_MUTATIONS = (
    Mutation(
        "rule 10: grants take back in the reverse of the order drawn",
        "reversals",
        "in reversed(usage.drawn):",
        "in usage.drawn:",
    ),
    Mutation(
        "rule 10: overage comes first",
        "reversals",
        "overage = min(max(uncovered(usage) - done, 0), wanted)",
        "overage = min(uncovered(usage), max(0, done + wanted - sum(d for _, d in usage.drawn)))",
    ),
    Mutation(
        "rule 10: overage is undone once",
        "reversals",
        "min(max(uncovered(usage) - done, 0), wanted)",
        "min(uncovered(usage), wanted)",
    ),
    Mutation(
        "rule 10: what was drawn is given back once",
        "reversals",
        "skipped = min(drawn, done)",
        "skipped = 0",
    ),
    Mutation(
        "rule 10: what was undone of the overage is none of what was drawn",
        "reversals",
        "    done = max(done - uncovered(usage), 0)\n",
        "",
    ),
    Mutation(
        "rule 10: within the period consumed falls by all of it",
        "reversals",
        "account.consumed -= plan.credits",
        "account.consumed -= plan.credits - plan.overage",
    ),
    Mutation(
        "rule 10: within the period overage falls",
        "reversals",
        "        account.overage -= plan.overage\n",
        "",
    ),
    Mutation(
        "rule 10: within the period budgets have it back",
        "reversals",
        "        note_used(account.budgets, usage.teamspace_id, usage.api_key_id, -plan.credits)\n",
        "",
    ),
    Mutation(
        "rule 10: later consumed stays",
        "reversals",
        "in_period = usage.booked_at >= account.period_start",
        "in_period = True",
    ),
    Mutation(
        "rule 10: the instant that begins the period belongs to it",
        "reversals",
        "in_period = usage.booked_at >= account.period_start",
        "in_period = usage.booked_at > account.period_start",
    ),
    Mutation(
        "rule 10: an exhausted grant that has not ended takes credits back",
        "reversals",
        "return grant.ends_at > now",
        "return False",
    ),
    Mutation(
        "rule 10: an exhausted grant whose time is up takes nothing back",
        "reversals",
        "return grant.ends_at > now",
        "return True",
    ),
    Mutation(
        "rule 10: a grant's time is up at its expiry",
        "reversals",
        "return grant.ends_at > now",
        "return grant.ends_at >= now",
    ),
    Mutation(
        "rule 10: an expired grant takes nothing back",
        "reversals",
        "return grant.status is GrantStatus.ACTIVE",
        "return grant.status is not GrantStatus.VOIDED",
    ),
    Mutation(
        "rule 10: a voided grant takes nothing back",
        "reversals",
        "return grant.status is GrantStatus.ACTIVE",
        "return grant.status is not GrantStatus.EXPIRED",
    ),
    Mutation(
        "rule 10: what lapses is told",
        "reversals",
        "lapsed = tuple(part for part in parts if part not in returned)",
        "lapsed = ()",
    ),
    Mutation(
        "rule 10: a grant that takes credits back burns in its order",
        "reversals",
        "insort(account.burning, grant, key=burn_key)",
        "account.burning.append(grant)",
    ),
    Mutation(
        "rule 10: a grant that takes credits back falls due in time",
        "reversals",
        "        account.next_due_at = min(account.next_due_at, grant.ends_at)\n",
        "",
    ),
    Mutation(
        "rule 10: no more is undone than is left",
        "reversals",
        "if wanted > left or (",
        "if wanted > usage.credits or (",
    ),
    Mutation(
        "rule 10: what has been undone whole cannot be undone",
        "reversals",
        "if wanted > left or (earlier.reversals and not left):",
        "if wanted > left:",
    ),
    Mutation(
        "rule 10: usage of nothing may be undone",
        "reversals",
        "(earlier.reversals and not left)",
        "not left",
    ),
    Mutation(
        "rule 10: without an amount all that is left is undone",
        "reversals",
        "wanted = left if command.credits is None",
        "wanted = usage.credits if command.credits is None",
    ),
    Mutation(
        "rule 10: sums bear what comes back later",
        "reversals",
        "if not in_period and sum(part for _, part in returned) > account.room:",
        "if False:",
    ),
    Mutation(
        "rule 10: within the period what comes back always has room",
        "reversals",
        "if not in_period and sum(",
        "if sum(",
    ),
    Mutation(
        "rule 10: a suspended organization may undo",
        "reversals",
        "if account.status is AccountStatus.CLOSED:",
        "if account.status is not AccountStatus.ACTIVE:",
    ),
    Mutation(
        "rule 10: a closed organization undoes nothing",
        "reversals",
        "if account.status is AccountStatus.CLOSED:",
        "if account.status is AccountStatus.SUSPENDED and False:",
    ),
    Mutation(
        "rule 10: a key bound to a teamspace undoes only its usage",
        "reversals",
        "if command.acting_for not in {None, usage.teamspace_id}:",
        'if command.acting_for == "":',
    ),
    Mutation(
        "rule 10: the same reference with other content is a conflict",
        "reversals",
        "if first.content != content:",
        "if command.credits not in {None, first.credits}:",
    ),
    Mutation(
        "rule 10: an amount is part of a reversal's content",
        "commands",
        '{"credits": self.credits, "note": self.note}',
        '{"note": self.note}',
    ),
    Mutation(
        "rule 10: a whole reversal without reference is one",
        "reversals",
        "if reversal_facts(entry).reference == command.reference:",
        "if None is not reversal_facts(entry).reference == command.reference:",
    ),
)

BUDGET_MUTATIONS = (
    Mutation(
        "rule 13: usage counts against budgets",
        "spending",
        "note_used(account.budgets, command.teamspace_id, command.api_key_id, used)",
        "pass",
    ),
    Mutation(
        "rule 13: captures count against budgets",
        "spending",
        "    note_used(account.budgets, hold.teamspace_id, hold.api_key_id, used)\n",
        "",
    ),
    Mutation(
        "rule 13: open holds count against budgets",
        "budgets",
        "self.limit - self.used - self.held",
        "self.limit - self.used",
    ),
    Mutation(
        "rule 13: a new hold counts",
        "account",
        "        note_held(self.budgets, hold.teamspace_id, hold.api_key_id, hold.held)\n",
        "",
    ),
    Mutation(
        "rule 13: what a hold lets go of no longer counts",
        "holds",
        "    note_held(account.budgets, hold.teamspace_id, hold.api_key_id, -credits_moved)\n",
        "",
    ),
    Mutation(
        "rule 13: keys have budgets",
        "budgets",
        "for subject_id in (teamspace_id, api_key_id):",
        "for subject_id in (teamspace_id,):",
    ),
    Mutation(
        "rule 13: teamspaces have budgets",
        "budgets",
        "for subject_id in (teamspace_id, api_key_id):",
        "for subject_id in (api_key_id,):",
    ),
    Mutation(
        "rule 13: the teamspace's budget is asked first",
        "budgets",
        "for subject_id in (teamspace_id, api_key_id):",
        "for subject_id in (api_key_id, teamspace_id):",
    ),
    Mutation(
        "rule 13: a hold beyond a budget is refused",
        "holding",
        " or over_budget(\n"
        "        account, command.credits, command.teamspace_id, command.api_key_id\n"
        "    )",
        "",
    ),
    Mutation(
        "rule 13: a budget may be used up",
        "refusals",
        "if required > budget.available:",
        "if required >= budget.available > 0:",
    ),
    Mutation(
        "rule 13: an overage policy widens no budget",
        "refusals",
        "if required > budget.available:",
        "if required - account.plan.overage.headroom(account.overage) > budget.available:",
    ),
    Mutation(
        "rule 13: a capture within a hold is not refused by a budget",
        "spending",
        "    if excess <= 0:\n        return None\n",
        "    if excess <= 0:\n"
        "        return unauthorized(\n"
        "            account, command.credits, hold.teamspace_id, hold.api_key_id\n"
        "        )\n",
    ),
    Mutation(
        "rule 13: an excess is asked about, but not what is held",
        "refusals",
        "    if refusal is None and account.budgets:\n",
        "    if refusal is None and account.budgets and not account.held:\n",
    ),
    Mutation(
        "rule 13: recorded usage is not refused by a budget",
        "spending",
        "    if refusal is None and not command.overdraw:\n"
        "        refusal = unauthorized(account, command.credits,",
        "    if refusal is None and not (command.overdraw and not account.budgets):\n"
        "        refusal = unauthorized(account, command.credits,",
    ),
    Mutation(
        "rule 13: a period starts with budgets unused",
        "account",
        "        budget.used = 0\n",
        "        budget.used += 0\n",
    ),
    Mutation(
        "rule 13: what is held counts in the next period too",
        "account",
        "        budget.used = 0\n",
        "        budget.used = budget.held = 0\n",
    ),
    Mutation(
        "rule 13: a limit takes effect at once, also below what was used",
        "decide",
        "    budget.limit = command.limit\n",
        "    budget.limit = max(command.limit, budget.used)\n",
    ),
    Mutation(
        "rule 13: a budget counts what was used before it was set",
        "decide",
        "used=command.used, held=held",
        "used=0, held=held",
    ),
    Mutation(
        "rule 13: a budget counts what was held before it was set",
        "decide",
        "used=command.used, held=held",
        "used=command.used, held=0",
    ),
    Mutation(
        "rule 13: a limit that is set again keeps what was used",
        "decide",
        "    budget.limit = command.limit\n",
        "    budget.limit, budget.used = command.limit, 0\n",
    ),
    Mutation(
        "rule 13: a budget that was removed caps nothing",
        "decide",
        "account.budgets.pop(command.subject_id, None)",
        "account.budgets.get(command.subject_id)",
    ),
    Mutation(
        "rule 13: the organization's lack is reported before a budget's",
        "refusals",
        "    refusal = not_covered(account, required, headroom)\n",
        "    refusal = over_budget(account, required, teamspace_id, api_key_id) or not_covered(\n"
        "        account, required, headroom\n"
        "    )\n",
    ),
    Mutation(
        "rule 13: a read uses up no budget",
        "account",
        "{name: replace(budget) for name",
        "{name: budget for name",
    ),
)
