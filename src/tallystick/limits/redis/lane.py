"""One Redis server: checks gather while a call is under way and go into the next one.

Theory of operation. A lane is one connection and one task, which lives as long as the limiter. What
is asked while a flight is under way waits; when it has landed, all that waits flies, in calls of at
most 64 checks, sent in one piece. Nobody waits for a timer, no request has a task, and answers are
handed to futures.

*The deadline* is the oldest check's, so one timer serves all. Who asks while the flight before is
out has waited by the time his own takes off; his flight is late as soon as he is.

*The circuit breaker* is `up`. When a check is late or a call fails, the lane goes down: all that
fly or wait are given up (decided without Redis, at once), and nobody is let in, so nobody else
waits. A late flight stays out: its answers go nowhere, but they show that the server is alive.
After `HUNG_SECONDS` the connection is given up as well. Before the lane goes up again a probe, a
check with all it takes, must have come back within the deadline. Pauses between attempts grow, and
are short again when the lane has been up for a while: a server that is always too slow is asked
now and then, and does not cost the deadline each time.

What was given up may have been counted by the server all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Protocol

import hiredis
import msgspec
from redis.exceptions import AskError, NoScriptError, RedisError, ResponseError, TryAgainError

from tallystick.limits.policy import Decision
from tallystick.limits.redis.server import LimitsError, inspect, translate
from tallystick.observe import logger

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from tallystick.limits.fallback import Counts
    from tallystick.limits.redis.groups import Place
    from tallystick.limits.redis.server import Node, Server

SCRIPT: Final = files(__package__).joinpath("acquire.lua").read_text(encoding="utf-8")
MOST_PER_CALL: Final = 64
MOST_PER_FLIGHT: Final = 256
DEADLINE_SECONDS: Final = 0.05
HUNG_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 1.0
"""How often a connection is tried that nobody uses."""
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 2.0
STEADY_SECONDS: Final = 10.0
"""Up for so long, and the next outage is another one."""
MOST_HOPS: Final = 5
_FAILURES: Final = (LimitsError, RedisError, OSError)

# A NamedTuple's own constructor costs twice as much.
_new = tuple.__new__


class Check(msgspec.Struct, gc=False):
    """A question and who waits for the answer."""

    name: bytes
    group: int
    asked: int  # the limit; of a peek, ~limit
    key: Hashable
    now_ms: int  # of the node's own clock
    future: asyncio.Future[Decision]
    since: float  # by the event loop's clock
    hops: int = 0
    alone: bool = False  # in a call without other keys: its slot is on the move
    asking: bool = False  # the server may answer although the slot is not its own yet


def report_end(task: asyncio.Task[None]) -> None:
    """Says so where a task that should go on has met a bug; keys are then limited by policy."""
    if not task.cancelled():
        logger().error("limits in Redis stopped; restart the server", exc_info=task.exception())


def read_answer(number: int, asked: int) -> Decision:
    """What the script says of one check, in the layout that stands in it."""
    limit = asked if asked >= 0 else ~asked
    remaining, reset_after_ms = number >> 32 & 0xFFFFF, number >> 16 & 0xFFFF
    return _new(Decision, (number >> 52 == 1, limit, remaining, reset_after_ms, number & 0xFFFF))


class Owner(Protocol):
    """What a lane is part of."""

    window_ms: int
    deadline_seconds: float
    spans: bool
    """Whether one call may have keys of several groups, as on one server."""

    @property
    def counts(self) -> Counts: ...

    def give_up(self, checks: Sequence[Check]) -> None: ...

    def redirect(self, checks: Sequence[Check], error: AskError, node: Node) -> None: ...

    def notice(self, *, is_cluster: bool) -> None: ...

    def changed(self, lane: Lane) -> None: ...


class Lane:
    """Asks one server. `up` says whether it may be asked now, `trouble` why not."""

    def __init__(self, server: Server, node: Node, owner: Owner, probe: bytes) -> None:
        """`probe` is the name of a window that the server has, for trying it."""
        self.node = node
        self.up = False
        self.trouble: LimitsError | None = None
        self.late = 0
        self._server = server
        self._owner = owner
        self._deadline = owner.deadline_seconds
        self._probe = probe
        self._sha = b""
        self._pause = 0.0
        self._up_since = 0.0
        self.loop = asyncio.get_running_loop()
        self._waiting: deque[Check] = deque()
        self._flying: list[list[Check]] = []
        self._idle: asyncio.Future[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._limit = asyncio.timeout(None)
        self._task = asyncio.create_task(self._live())
        self._task.add_done_callback(self._ended)

    def ask(self, place: Place, asked: int, key: Hashable, now_ms: int) -> asyncio.Future[Decision]:
        """Only while `up`. What is asked is the limit; of a peek, ~limit."""
        loop = self.loop
        future: asyncio.Future[Decision] = loop.create_future()
        self._submit(Check(place.name, place.group, asked, key, now_ms, future, loop.time()))
        return future

    def _submit(self, check: Check) -> None:
        self._waiting.append(check)
        if self._timer is None:
            self._timer = self.loop.call_at(check.since + self._deadline, self._look)
        if self._idle is not None:
            self._wake()

    def resubmit(self, checks: Sequence[Check]) -> None:
        """Before all that wait. Given up instead where there is no hope."""
        if not self.up or checks[0].hops >= MOST_HOPS:
            self._owner.give_up(checks)
            return
        waiting = list(self._waiting)
        self._waiting.clear()
        for check in checks:
            check.hops += 1
            self._submit(check)
        self._waiting.extend(waiting)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    # --- the connection's life ---

    async def _live(self) -> None:
        while True:
            try:
                await self._connect_and_serve()
            except _FAILURES as error:
                self._go_down(translate(error, self.node))
            await self._rest()

    async def _connect_and_serve(self) -> None:
        connection = await self._server.connect(self.node)
        try:
            async with asyncio.timeout(HUNG_SECONDS) as self._limit:
                is_cluster = await inspect(connection, self.node)
                await self._load(connection)
                self._owner.notice(is_cluster=is_cluster)
                await self._serve(connection)
        finally:
            await connection.disconnect(nowait=True)

    async def _serve(self, connection: AbstractConnection) -> None:
        follows = False
        while True:
            if not self.up:
                await self._come_up(connection)
            if not self._waiting:
                await self._next(connection)
            elif follows:
                # Who has just been answered asks again at once, and shares this flight.
                await asyncio.sleep(0)
            if self._waiting:
                await self._fly(connection)
                follows = True

    async def _next(self, connection: AbstractConnection) -> None:
        """Returns when somebody waits. A server that leaves meanwhile is noticed before."""
        self._idle = self.loop.create_future()
        beat = self.loop.call_later(BEAT_SECONDS, self._wake)
        try:
            await self._idle
        finally:
            self._idle = None
            beat.cancel()
        if not self._waiting:
            self._limit.reschedule(self.loop.time() + HUNG_SECONDS)
            await self._try(connection)
            if self.up:
                self._limit.reschedule(None)

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _come_up(self, connection: AbstractConnection) -> None:
        while True:
            self._limit.reschedule(self.loop.time() + HUNG_SECONDS)
            began = self.loop.time()
            await self._try(connection)
            if self.loop.time() - began < self._deadline:
                break
            self._limit.reschedule(None)
            await self._rest()
        self._limit.reschedule(None)
        self.up, self.trouble, self._up_since = True, None, self.loop.time()
        self._owner.changed(self)

    async def _try(self, connection: AbstractConnection) -> None:
        """One check of a window that nobody else has. It writes, so it fails where writing does."""
        await connection.send_packed_command([self._pack([self._probe], [1])], check_health=False)
        # That its slot is elsewhere now is an answer too.
        with suppress(AskError):
            await connection.read_response()

    async def _load(self, connection: AbstractConnection) -> None:
        await connection.send_command("SCRIPT", "LOAD", SCRIPT, check_health=False)
        self._sha = await connection.read_response()

    async def _rest(self) -> None:
        pause = self._pause
        self._pause = min(max(2 * pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)

    def _go_down(self, trouble: LimitsError) -> None:
        if self.up and self.loop.time() - self._up_since > STEADY_SECONDS:
            self._pause = 0.0
        self.up, self.trouble = False, trouble
        self._give_up_all()
        self._owner.changed(self)

    def _give_up_all(self) -> None:
        abandoned = [check for call in self._flying for check in call]
        abandoned += self._waiting
        self._flying = []
        self._waiting.clear()
        self._owner.give_up(abandoned)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.up = False
        self._give_up_all()
        if self._timer is not None:
            self._timer.cancel()
        report_end(task)

    # --- flights ---

    async def _fly(self, connection: AbstractConnection) -> None:
        calls = self._board()
        packed = []
        for call in calls:
            if call[0].asking:
                packed.append(hiredis.pack_command((b"ASKING",)))
            packed.append(self._pack([each.name for each in call], [each.asked for each in call]))
        await connection.send_packed_command(packed, check_health=False)
        script_lost = False
        for call in calls:
            try:
                if call[0].asking:
                    await connection.read_response()
                answers = await connection.read_response()
            except NoScriptError:
                script_lost = True
                self.resubmit(call)
            except (AskError, TryAgainError) as error:
                self._on_the_move(call, error)
            else:
                self._land(call, answers)
        self._flying = []
        if script_lost:
            await self._load(connection)

    def _board(self) -> list[list[Check]]:
        """The calls of the next flight; who has gone away meanwhile stays behind."""
        waiting, spans = self._waiting, self._owner.spans
        calls: list[list[Check]] = []
        filling: dict[object, list[Check]] = {}
        for _ in range(min(len(waiting), MOST_PER_FLIGHT)):
            check = waiting.popleft()
            if check.future.done():
                continue
            company = check.name if check.alone else 0 if spans else check.group
            call = filling.get(company)
            if call is None or len(call) == MOST_PER_CALL or call[0].asking is not check.asking:
                filling[company] = call = []
                calls.append(call)
            call.append(check)
        self._flying = calls
        return calls

    def _pack(self, names: Sequence[bytes], asked: Sequence[int]) -> bytes:
        command = (b"EVALSHA", self._sha, len(names), *names, self._owner.window_ms, *asked)
        # hiredis takes tuples of any length; its types know only those of one.
        packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
        return packed

    def _land(self, call: list[Check], answers: Sequence[int]) -> None:
        admitted = refused = 0
        for check, number in zip(call, answers, strict=True):
            asked, future = check.asked, check.future
            if future.done():
                continue
            decision = read_answer(number, asked)
            if asked >= 0:
                if decision[0]:
                    admitted += 1
                else:
                    refused += 1
            future.set_result(decision)
        counts = self._owner.counts
        counts.shared_admitted += admitted
        counts.shared_refused += refused

    def _on_the_move(self, call: list[Check], error: ResponseError) -> None:
        """A slot is on its way to another server, or has arrived there (MOVED is an ASK)."""
        if isinstance(error, AskError):
            self._owner.redirect(call, error, self.node)
            return
        # Some of its keys are here, some there. Of a single one each server knows what to say.
        for check in call:
            check.alone = True
        self.resubmit(call)

    # --- the deadline ---

    def _look(self) -> None:
        # If this process was held up, answers may lie in the socket. They come first: two turns of
        # the loop have one look at the socket between them, whatever the loop's own order is.
        self._timer = self.loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._timer = self.loop.call_soon(self._judge)

    def _judge(self) -> None:
        self._timer = None
        if self._flying:
            oldest = self._flying[0][0]
        elif self._waiting:
            oldest = self._waiting[0]
        else:
            return
        due = oldest.since + self._deadline
        if self.loop.time() < due:
            self._timer = self.loop.call_at(due, self._look)
        else:
            self._overdue()

    def _overdue(self) -> None:
        self.late += 1
        self._limit.reschedule(self.loop.time() + HUNG_SECONDS)
        self._go_down(translate(TimeoutError(), self.node))
