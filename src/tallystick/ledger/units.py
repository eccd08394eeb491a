"""What the ledger can be asked to do to an account, as units of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.commands import (
    DAY,
    NOTHING_EARLIER,
    BookUsage,
    Command,
    Earlier,
    Outcome,
)
from tallystick.domain.decide import decide
from tallystick.domain.errors import Reason, Refusal
from tallystick.ledger.naming import earlier, note, want
from tallystick.ledger.ports import Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tallystick.domain.account import Account
    from tallystick.ledger.ports import ReplayKey, Wanted
    from tallystick.ledger.work import Unit, Work

REPLAYS_KEPT: Final = DAY


class NoSuchOrganization(NamedTuple):
    organization_id: str


@dataclass(frozen=True, slots=True)
class AtomicRefusal:
    """An atomic unit changed nothing because its command at `index` was refused."""

    index: int
    refusal: Refusal


class AccountUnit(NamedTuple):
    """Commands for one organization, each as if sent singly or, where `atomic`, all or none."""

    organization_id: str
    commands: Sequence[Command]
    atomic: bool = False

    @property
    def weight(self) -> int:
        return len(self.commands)

    def wants(self, wanted: Wanted) -> None:
        wanted.organizations.add(self.organization_id)
        for command in self.commands:
            if isinstance(command, BookUsage):
                wanted.events.add((self.organization_id, command.event_id))
                if command.quantity is not None and command.meter is not None:
                    wanted.prices.add(command.meter)
            else:
                want(wanted, self.organization_id, command)

    def decide(self, work: Work) -> list[Outcome] | AtomicRefusal | NoSuchOrganization:
        account = work.account(self.organization_id)
        if account is None:
            return NoSuchOrganization(self.organization_id)
        if self.atomic:
            return self._decide_atomically(work, account)
        return [decide_one(work, account, command) for command in self.commands]

    def _decide_atomically(self, work: Work, account: Account) -> list[Outcome] | AtomicRefusal:
        mark = work.mark(account)
        outcomes: list[Outcome] = []
        for index, command in enumerate(self.commands):
            outcome = decide_one(work, account, command)
            if isinstance(outcome, Refusal):
                work.return_to(mark)
                return AtomicRefusal(index, outcome)
            outcomes.append(outcome)
        return outcomes


def decide_one(work: Work, account: Account, command: Command) -> Outcome:
    """Decides a command and notes what later ones of the batch must know."""
    earlier = _earlier(work, account.organization_id, command)
    outcome, entries = decide(account, command, work.now(account), earlier)
    work.post(account, entries)
    if isinstance(command, BookUsage):
        if entries:
            work.note_usage(
                entries[0], command.dimensions, overdraw=command.overdraw, salt=command.salt
            )
    elif not isinstance(outcome, Refusal):
        note(work, account, command, entries)
    return outcome


def _earlier(work: Work, organization_id: str, command: Command) -> Earlier:
    if isinstance(command, BookUsage):
        name = (organization_id, command.event_id)
        entry = work.snapshot.events.get(name)
        if entry is not None:
            return Earlier(entry, dimensions=work.snapshot.dimensions.get(name))
        if command.quantity is not None:
            return Earlier(prices=work.snapshot.prices)
        return NOTHING_EARLIER
    return earlier(work.snapshot, organization_id, command)


class NoSuchEvent(NamedTuple):
    event_id: str


class EraseDimensions(NamedTuple):
    """Erases the dimensions of a usage event, and of the hold that it came out of; where that has
    been done, or there are none, it does nothing.

    `acting_for` is the only teamspace whose events may be erased; None: any.
    """

    organization_id: str
    event_id: str
    acting_for: str | None = None

    @property
    def weight(self) -> int:
        return 1

    def wants(self, wanted: Wanted) -> None:
        wanted.organizations.add(self.organization_id)
        wanted.events.add((self.organization_id, self.event_id))
        wanted.reversals.add((self.organization_id, self.event_id))

    def decide(self, work: Work) -> NoSuchEvent | Refusal | None:
        name = (self.organization_id, self.event_id)
        entry = work.snapshot.events.get(name)
        if entry is None:
            return NoSuchEvent(self.event_id)
        if self.acting_for not in {None, entry.teamspace_id}:
            return Refusal(reason=Reason.OTHER_TEAMSPACE)
        kept = work.snapshot.dimensions.get(name)
        if kept is not None and kept.erased_at is None:
            work.erase_dimensions(entry, kept)
        return None


class AdvanceUnit(NamedTuple):
    """Writes what has fallen due: the sweeper's command."""

    organization_id: str

    @property
    def weight(self) -> int:
        return 1

    def wants(self, wanted: Wanted) -> None:
        wanted.organizations.add(self.organization_id)

    def decide(self, work: Work) -> None:
        work.account(self.organization_id)


class Rendered(NamedTuple):
    """An answer as it goes out; `replay_body` is what a repetition gets (no secrets)."""

    status: int
    body: bytes
    replay_body: bytes


class KeyReused(NamedTuple):
    """The `Idempotency-Key` was used before, for another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentUnit:
    """A unit whose answer is kept under an `Idempotency-Key`, in the unit's own transaction."""

    unit: Unit
    key: ReplayKey
    organization_id: str
    request_digest: bytes
    render: Callable[[object], Rendered]

    @property
    def weight(self) -> int:
        return self.unit.weight

    def wants(self, wanted: Wanted) -> None:
        wanted.replays.add(self.key)
        self.unit.wants(wanted)

    def decide(self, work: Work) -> object:
        now = work.snapshot.now
        kept = work.snapshot.replays.get(self.key)
        if kept is not None and now - kept.created_at < REPLAYS_KEPT:
            return kept if kept.request_digest == self.request_digest else KeyReused()
        outcome = self.unit.decide(work)
        answer = self.render(outcome)
        if answer.status < 300:
            self._keep(work, answer, now)
        return outcome

    def _keep(self, work: Work, answer: Rendered, now: int) -> None:
        replay = Replay(
            key=self.key,
            request_digest=self.request_digest,
            status=answer.status,
            body=answer.replay_body,
            created_at=now,
        )
        work.snapshot.replays[self.key] = work.changes.replays[self.key] = replay
