"""More broken cores: one for each clause of what holds promise."""

from __future__ import annotations

from tests.property.mutations import Mutation

HOLD_MUTATIONS = (
    Mutation(
        "rule 9: a hold needs credits that are available",
        "holding",
        "not_covered(account, command.credits) or over_budget(",
        "over_budget(",
    ),
    Mutation(
        "rule 9: an overage policy widens no hold",
        "holding",
        "not_covered(account, command.credits) or",
        "not_covered(account, command.credits, account.plan.overage.headroom(0)) or",
    ),
    Mutation(
        "rule 9: what is held is not available",
        "account",
        "return self.remaining - self.held",
        "return self.remaining",
    ),
    Mutation(
        "rule 9: nobody else spends what is held",
        "grants",
        "taken = min(grant.remaining - grant.held, credits_wanted)",
        "taken = min(grant.remaining, credits_wanted)",
    ),
    Mutation(
        "rule 9: nobody else holds what is held",
        "grants",
        "part = min(grant.unheld, credits_wanted)",
        "part = min(grant.remaining, credits_wanted)",
    ),
    Mutation(
        "rule 9: a hold lives at most seven days",
        "holding",
        "if command.expires_in > LONGEST_HOLD:",
        "if command.expires_in > 2 * LONGEST_HOLD:",
    ),
    Mutation(
        "rule 9: seven days in all, however often it is extended",
        "holds",
        "return self.created_at + LONGEST_HOLD",
        "return self.expires_at + LONGEST_HOLD",
    ),
    Mutation(
        "rule 9: seven days are not too long",
        "holding",
        "if expires_at > hold.latest_expiry:",
        "if expires_at >= hold.latest_expiry:",
    ),
    Mutation(
        "rule 9: an extension counts from now",
        "holding",
        "expires_at = now + command.expires_in\n    if",
        "expires_at = hold.expires_at + command.expires_in\n    if",
    ),
    Mutation(
        "rule 9: an extension never shortens",
        "holding",
        "if expires_at <= hold.expires_at:",
        "if expires_at == hold.expires_at:",
    ),
    Mutation(
        "rule 9: an extended hold takes its new turn to expire",
        "holding",
        "    remove_open(account.open_holds, hold)\n"
        "    hold.expires_at = expires_at\n"
        "    add_open(account.open_holds, hold)\n",
        "    hold.expires_at = expires_at\n",
    ),
    Mutation(
        "rule 9: a capture takes from grants in the order drawn",
        "holds",
        "for grant_id, part in parts:",
        "for grant_id, part in reversed(parts):",
    ),
    Mutation(
        "rule 9: what is held survives its grant's expiry",
        "account",
        "lapsed = grant.unheld",
        "lapsed = grant.remaining",
    ),
    Mutation(
        "rule 9: what is held survives a void of its grant",
        "decide",
        "left = grant.unheld if is_live else 0",
        "left = grant.remaining if is_live else 0",
    ),
    Mutation(
        "rule 9: a capture is booked in the period in which it happens",
        "spending",
        "    account.consumed += used\n    note_used(account.budgets, hold",
        "    account.consumed += used if hold.created_at >= account.period_start else 0\n"
        "    note_used(account.budgets, hold",
    ),
    Mutation(
        "rule 9: to capture everything ends the hold",
        "spending",
        "    if not hold.parts:\n        close_hold",
        "    if not hold.parts and command.final:\n        close_hold",
    ),
    Mutation(
        "rule 9: a final capture of nothing ends the hold",
        "spending",
        "if command.final and hold.parts:",
        "if command.final and used and hold.parts:",
    ),
    Mutation(
        "rule 9: what was captured in part has not ended",
        "spending",
        "if command.final and hold.parts:",
        "if hold.parts:",
    ),
    Mutation(
        "rule 9: a final capture ends the hold as captured",
        "spending",
        "HoldStatus.CAPTURED, EntryKind.HOLD_RELEASED",
        "HoldStatus.RELEASED, EntryKind.HOLD_RELEASED",
    ),
    Mutation(
        "rule 9: more than is held is refused without leave",
        "spending",
        "if not command.allow_excess:",
        "if not (command.allow_excess or command.overdraw):",
    ),
    Mutation(
        "rule 9: only the excess is decided as usage",
        "spending",
        "return unauthorized(account, excess,",
        "return unauthorized(account, command.credits,",
    ),
    Mutation(
        "rule 9: an excess that is not covered is refused",
        "spending",
        "    if command.overdraw:\n",
        "    if command.allow_excess:\n",
    ),
    Mutation(
        "rule 9: an excess that is recorded is not refused",
        "spending",
        "    if command.overdraw:\n        return None\n",
        "",
    ),
    Mutation(
        "rule 9: what goes back to an expired grant lapses",
        "holds",
        "if grant.status is not GrantStatus.ACTIVE:",
        "if grant.status is GrantStatus.VOIDED:",
    ),
    Mutation(
        "rule 9: what goes back to a voided grant lapses",
        "holds",
        "if grant.status is not GrantStatus.ACTIVE:",
        "if grant.status is GrantStatus.EXPIRED:",
    ),
    Mutation(
        "rule 9: a grant that was captured whole is exhausted",
        "holds",
        "        if not grant.remaining:\n            _exhaust(account, grant)\n",
        "",
    ),
    Mutation(
        "rule 9: a hold expires at its instant",
        "account",
        "        due = min(due, account.open_holds[0].expires_at)\n",
        "        due = min(due, account.open_holds[0].expires_at + 1)\n",
    ),
    Mutation(
        "rule 9: a new hold falls due in time",
        "holding",
        "    account.next_due_at = min(account.next_due_at, hold.expires_at)\n",
        "",
    ),
    Mutation(
        "rule 9: holds expire before grants",
        "account",
        "        expire_holds(account, at, entries)\n"
        "        _expire_grants(account, at, calendar, entries)\n",
        "        _expire_grants(account, at, calendar, entries)\n"
        "        expire_holds(account, at, entries)\n",
    ),
    Mutation(
        "rule 9: at one instant holds expire in the order placed",
        "holds",
        "return hold.expires_at, hold.placed",
        "return hold.expires_at, -hold.placed",
    ),
    Mutation(
        "rule 9: a hold ends once",
        "holding",
        "if hold.status is not HoldStatus.OPEN:",
        "if hold.status is HoldStatus.EXPIRED:",
    ),
    Mutation(
        "rule 9: a key bound to a teamspace ends only its holds",
        "holding",
        "if acting_for not in {None, hold.teamspace_id}:",
        'if acting_for == "":',
    ),
    Mutation(
        "rule 9: a capture is booked for the key that placed the hold",
        "spending",
        "        api_key_id=hold.api_key_id,\n        meter=command.meter,",
        "        api_key_id=None,\n        meter=command.meter,",
    ),
    Mutation(
        "rule 9: a capture has the hold's meter where it names none",
        "spending",
        "meter = hold.meter if command.meter is None else command.meter",
        "meter = command.meter",
    ),
    Mutation(
        "rule 9: a suspended organization captures nothing",
        "spending",
        "if account.status is not AccountStatus.ACTIVE:\n"
        "        return not_active(account)\n"
        "    if refusal := refuse_hold",
        "if account.status is AccountStatus.CLOSED:\n"
        "        return not_active(account)\n"
        "    if refusal := refuse_hold",
    ),
    Mutation(
        "rule 9: a suspended organization may release",
        "holding",
        "        return Refusal(reason=Reason.NO_SUCH_HOLD), []\n"
        "    if refusal := refuse_hold(hold, command.acting_for):\n"
        "        return refusal, []\n"
        "\n",
        "        return Refusal(reason=Reason.NO_SUCH_HOLD), []\n"
        "    if account.status is not AccountStatus.ACTIVE:\n"
        "        return not_active(account), []\n"
        "    if refusal := refuse_hold(hold, command.acting_for):\n"
        "        return refusal, []\n"
        "\n",
    ),
    Mutation(
        "rule 9: a hold's reference with other content is a conflict",
        "holding",
        "if earlier.entry.content != command.content(_digest_again(command, hold)):",
        "if earlier.entry.credits != command.credits:",
    ),
    Mutation(
        "rule 9: a capture's id with other content is a conflict",
        "spending",
        "if earlier.entry.content != content:",
        "if earlier.entry.credits != command.credits:",
    ),
    Mutation(
        "rule 9: the hold is part of a capture's content",
        "commands",
        "_part(command.hold_id) + usage",
        "usage",
    ),
    Mutation(
        "rule 9: final and excess are part of a capture's content",
        "commands",
        'b"capture|%d|%d|" % (command.final, command.allow_excess)',
        'b"capture|"',
    ),
    Mutation(
        "rule 9: a grant that comes twice in a row comes once",
        "spending",
        "if held and drawn and held[-1][0] == drawn[0][0]:",
        "if held == drawn != ():",
    ),
    Mutation(
        "rule 9: what is held does not roll over",
        "account",
        "_roll_over(account, lapsed, at, calendar, entries)",
        "_roll_over(account, lapsed + grant.held, at, calendar, entries)",
    ),
    Mutation(
        "rule 9: a read ends no hold",
        "account",
        "hold_id: replace(hold) for",
        "hold_id: hold for",
    ),
)
