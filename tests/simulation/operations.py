"""What clients ask of the ledger: each step as a unit, and as a question for the oracle.

What a step names (`amount=available`) is looked up once, when it is first tried: a client that
tries again says the same again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tallystick.domain.commands import (
    AccountStatus,
    BudgetSet,
    ChangePlan,
    ExtendHold,
    ReleaseHold,
    SetStatus,
    VoidGrant,
)
from tallystick.domain.errors import Refusal
from tallystick.ledger.budgets import BudgetState, BudgetUnit
from tallystick.ledger.ports import Replay, ReplayKey, UsageRow
from tallystick.ledger.units import (
    REPLAYS_KEPT,
    AccountUnit,
    AdvanceUnit,
    AtomicRefusal,
    IdempotentUnit,
    KeyReused,
    Rendered,
)
from tallystick.ledger.work import Unit, Work
from tests.oracle import Oracle
from tests.oracle_words import Verdict
from tests.property import languages as say
from tests.property.asks import CaptureAsk, GrantAsk, HoldAsk, ReversalAsk, UsageAsk
from tests.simulation import edges
from tests.simulation.judge import Asked, check_outcome, judge_atomically, judge_each
from tests.simulation.script import Step
from tests.simulation.tenant import Tenant, settled


@dataclass(frozen=True, slots=True)
class Operation:
    """A unit for the ledger, and `judge`, which asks the oracle about its outcome."""

    tenant: Tenant
    unit: Unit
    judge: Callable[[object, int], None]


@dataclass(slots=True)
class Kept:
    """What is known of `Idempotency-Key`s: the request's digest, when, and what was answered."""

    answers: dict[ReplayKey, tuple[bytes, int, bytes]] = field(default_factory=dict)


class PoisonUnit:
    """Usage that the database refuses to write: its id is noted twice."""

    def __init__(self, unit: AccountUnit) -> None:
        self._unit = unit
        self.weight = unit.weight
        self.wants = unit.wants

    def decide(self, work: Work) -> object:
        outcome = self._unit.decide(work)
        event_id = f"poison-{len(work.changes.usage)}"
        row = UsageRow(self._unit.organization_id, event_id, 999_999_999, overdraw=False)
        work.changes.usage += [row, row]
        return outcome


def operation(step: Step, tenant: Tenant, clock: int, kept: Kept) -> Operation:
    oracle = settled(tenant.oracle, clock)
    if step.what == "budget":
        return _budget(step, tenant, oracle)
    asked = _ASKED[step.what](step, tenant, oracle, clock)
    unit = AccountUnit(tenant.id, [one.command for one in asked], step.says("atomic"))
    if step.says("poison"):
        return Operation(tenant, PoisonUnit(unit), _never)
    plain = Operation(tenant, unit, _judging(tenant, asked, is_atomic=unit.atomic))
    key = step.maybe("key")
    return plain if key is None else _keyed(plain, ReplayKey("", "key", step.what, key), step, kept)


def sweeping(tenant: Tenant, unit: AdvanceUnit) -> Operation:
    """What the sweeper does to an organization."""

    def judge(outcome: object, now: int) -> None:
        assert outcome is None
        tenant.oracle.settle(tenant.now(now))

    return Operation(tenant, unit, judge)


def _never(_: object, __: int) -> None:
    raise AssertionError("what the database refuses to write was booked")


def _judging(tenant: Tenant, asked: list[Asked], *, is_atomic: bool) -> Callable[[Any, int], None]:
    def judge(outcome: object, now: int) -> None:
        present = tenant.now(now)
        tenant.oracle.settle(present)
        (judge_atomically if is_atomic else judge_each)(tenant, asked, outcome, present)

    return judge


def _keyed(plain: Operation, key: ReplayKey, step: Step, kept: Kept) -> Operation:
    """The same under an `Idempotency-Key`: at most once in a day."""
    digest = f"{plain.tenant.id} {plain.unit!r}".encode()

    def judge(outcome: object, now: int) -> None:
        seen = kept.answers.get(key)
        if seen is not None and now - seen[1] < REPLAYS_KEPT:
            if seen[0] == digest:
                assert isinstance(outcome, Replay), f"{key} was done again: {outcome}"
                assert outcome.body == seen[2], f"{key} was answered otherwise before"
            else:
                assert isinstance(outcome, KeyReused)
            return
        plain.judge(outcome, now)
        answer = _rendered(outcome)
        if answer.status < 300:
            kept.answers[key] = digest, now, answer.body

    unit = IdempotentUnit(
        unit=plain.unit,
        key=key,
        organization_id=plain.tenant.id,
        request_digest=digest,
        render=_rendered,
    )
    return Operation(plain.tenant, unit, judge)


def _rendered(outcome: object) -> Rendered:
    is_refused = isinstance(outcome, AtomicRefusal) or (
        isinstance(outcome, list) and all(isinstance(one, Refusal) for one in outcome)
    )
    text = repr(outcome).encode()
    return Rendered(422 if is_refused else 200, text, text)


def _budget(step: Step, tenant: Tenant, oracle: Oracle) -> Operation:
    subject = tenant.subjects[step.number("subject")]
    limit = edges.limit(step.text("limit"), oracle, subject)

    def judge(outcome: object, now: int) -> None:
        tenant.oracle.settle(tenant.now(now))
        if isinstance(outcome, BudgetState):
            assert say.to_datetime(outcome.resets_at) == tenant.oracle.period.end
            outcome = BudgetSet(outcome.budget)
        assert isinstance(outcome, BudgetSet | Refusal)
        verdict = tenant.oracle.cap(subject, say.if_any(say.to_decimal, limit))
        check_outcome(tenant, tenant.oracle, outcome, verdict)

    return Operation(tenant, BudgetUnit(tenant.id, subject, limit), judge)


def _use(step: Step, tenant: Tenant, oracle: Oracle, _: int) -> list[Asked]:
    """One event, or as many as the step names ids, each with the amount beside it."""
    amounts = step.text("amount").split(",")
    return [
        _usage(step, tenant, event_id, edges.spent(amount, oracle))
        for event_id, amount in zip(step.text("event").split(","), amounts, strict=True)
    ]


def _usage(step: Step, tenant: Tenant, event_id: str, amount: int) -> Asked:
    ask = UsageAsk(
        amount,
        overdraw=step.says("overdraw"),
        meter=step.maybe("meter"),
        occurred_at=None,
        dimensions=_dimensions(step),
        teamspace_id=tenant.teamspaces[step.number("teamspace")],
        api_key_id=tenant.keys[step.number("by")],
    )

    def ask_oracle(oracle: Oracle, now: datetime) -> Verdict:
        return oracle.use(now, event_id, ask.said(), ask.api_key_id)

    return Asked(ask.command(event_id), ask_oracle)


def _dimensions(step: Step) -> dict[str, str] | None:
    model = step.maybe("model")
    return None if model is None else {"model": model}


def _hold(step: Step, tenant: Tenant, oracle: Oracle, clock: int) -> list[Asked]:
    teamspace_id = tenant.teamspaces[step.number("teamspace")]
    api_key_id = tenant.keys[step.number("by")]
    ask = HoldAsk(
        edges.held(step.text("amount"), oracle, (teamspace_id, api_key_id)),
        edges.lasts(step.text("lasts"), oracle, clock),
        teamspace_id,
        api_key_id,
        step.maybe("meter"),
        _dimensions(step),
        step.maybe("reference"),
    )

    def ask_oracle(oracle: Oracle, now: datetime) -> Verdict:
        return oracle.hold(now, ask.said(), api_key_id, ask.reference)

    return [Asked(ask.command(), ask_oracle, step.text("hold"))]


def _capture(step: Step, tenant: Tenant, _: Oracle, __: int) -> list[Asked]:
    hold_id = tenant.hold_id(step.text("hold"))
    number = tenant.numbers.get(hold_id, 0)
    ask = CaptureAsk(
        number,
        edges.captured(step.text("amount"), tenant.hold(hold_id)),
        step.maybe("event"),
        final=step.says("final"),
        allow_excess=step.says("excess"),
        overdraw=step.says("overdraw"),
    )

    def ask_oracle(oracle: Oracle, now: datetime) -> Verdict:
        return oracle.capture(now, number, ask.event_id, ask.said(), None)

    return [Asked(ask.command(hold_id, None), ask_oracle)]


def _release(step: Step, tenant: Tenant, _: Oracle, __: int) -> list[Asked]:
    hold_id = tenant.hold_id(step.text("hold"))
    number = tenant.numbers.get(hold_id, 0)
    return [Asked(ReleaseHold(hold_id=hold_id), lambda o, now: o.release(now, number, None))]


def _extend(step: Step, tenant: Tenant, oracle: Oracle, clock: int) -> list[Asked]:
    hold_id = tenant.hold_id(step.text("hold"))
    number = tenant.numbers.get(hold_id, 0)
    lasts = edges.lasts(step.text("lasts"), oracle, clock)
    span = timedelta(microseconds=lasts)
    command = ExtendHold(hold_id=hold_id, expires_in=lasts)
    return [Asked(command, lambda o, now: o.extend(now, number, span, None))]


def _reverse(step: Step, tenant: Tenant, oracle: Oracle, _: int) -> list[Asked]:
    """Of an event, or of a hold's capture that has the hold's own id."""
    told = tenant.event_told(step.text("event"))
    amount = edges.undone(step.text("amount"), oracle, told)
    ask = ReversalAsk(tenant.event_id(told), amount, step.maybe("reference"))

    def ask_oracle(oracle: Oracle, now: datetime) -> Verdict:
        return oracle.reverse(now, told, ask.said(), ask.reference, None)

    return [Asked(ask.command(None), ask_oracle)]


def _grant(step: Step, _: Tenant, oracle: Oracle, clock: int) -> list[Asked]:
    ask = GrantAsk(
        step.text("kind"),
        edges.granted(step.text("amount")),
        step.number("priority", 50),
        edges.when(step.text("begins", "never"), oracle, clock),
        edges.when(step.text("ends", "never"), oracle, clock),
        step.maybe("reference"),
    )

    def ask_oracle(oracle: Oracle, now: datetime) -> Verdict:
        return oracle.grant(
            now,
            ask.kind,
            say.to_decimal(ask.amount),
            ask.priority,
            say.if_any(say.to_datetime, ask.effective_at),
            say.if_any(say.to_datetime, ask.expires_at),
            ask.reference,
        )

    return [Asked(ask.command(), ask_oracle, step.text("grant"))]


def _void(step: Step, tenant: Tenant, oracle: Oracle, _: int) -> list[Asked]:
    """Of a grant that the script made, or of the allowance."""
    allowance = oracle.period.allowance
    names = {number: grant_id for grant_id, number in tenant.numbers.items()}
    grant_id = tenant.grants.get(step.text("grant"))
    if step.text("grant") == "allowance" and allowance is not None:
        grant_id = names.get(allowance.number)
    number = tenant.numbers.get(grant_id or "", 0)
    part = edges.voided(step.text("amount"), oracle, number)
    command = VoidGrant(grant_id=grant_id or "grant_nobody", credits=part)
    decimal = say.if_any(say.to_decimal, part)
    return [Asked(command, lambda o, now: o.void(now, number, decimal))]


def _plan(step: Step, _: Tenant, __: Oracle, ___: int) -> list[Asked]:
    names = frozenset(step.text("parts").split(","))
    parts = edges.terms(step)
    command = ChangePlan(
        allowance=say.to_micro(parts.allowance) if "allowance" in names else None,
        schedule=say.to_schedule(parts.calendar) if "schedule" in names else None,
        rollover=say.to_rollover(parts) if "rollover" in names else None,
        overage=say.to_overage(parts) if "overage" in names else None,
        apply_now=step.says("now"),
    )

    def ask_oracle(oracle: Oracle, now: datetime) -> Verdict:
        wanted = say.with_parts(oracle.wanted, parts, names)
        return oracle.change(now, wanted, apply_now=command.apply_now)

    return [Asked(command, ask_oracle)]


def _status(step: Step, _: Tenant, __: Oracle, ___: int) -> list[Asked]:
    command = SetStatus(status=AccountStatus(step.text("to")))
    return [Asked(command, lambda o, _: o.set_status(step.text("to")))]


_ASKED = {
    "use": _use,
    "hold": _hold,
    "capture": _capture,
    "release": _release,
    "extend": _extend,
    "reverse": _reverse,
    "grant": _grant,
    "void": _void,
    "plan": _plan,
    "status": _status,
}
