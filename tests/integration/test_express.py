"""The express lane's connections: who does not read, who is slow, idle, gone or unlucky."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, NoReturn

import pytest

from tallystick.http.exchange import Lane
from tallystick.http.express import KEEP_ALIVE_SECONDS
from tallystick.http.framing import BODY_SECONDS, PACE_SECONDS, UNREAD_SECONDS
from tallystick.http.gate import Gate
from tallystick.http.operations import Answer, Call
from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.ledger import Ledger
from tallystick.ledger.ports import OutcomeUnknown, StoreUnavailable
from tallystick.ledger.reads import Reads
from tests.harness import World, in_world
from tests.lanes import (
    HOT,
    Connection,
    Heard,
    Side,
    common_side,
    express_side,
    is_express,
    twins,
)
from tests.messages import CREDITS, HOST, USAGE, Field, message
from tests.tenants import bearer_field

HEALTH: Final = message(b"GET", b"/healthz", [HOST])
BODY: Final = b'{"id": "evt-%d", "credits": 1}'


def get(key: Field) -> bytes:
    return message(b"GET", CREDITS, [HOST, key])


def post(key: Field, number: int = 1) -> bytes:
    body = BODY % number
    kind, length = (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))
    return message(b"POST", USAGE, [HOST, key, kind, length], body)


def answers(heard: Heard) -> list[tuple[int, Any]]:
    """Status and body of each."""
    found, rest = [], heard.answers
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append((int(head.split()[1]), json.loads(rest[:length])))
        rest = rest[length:]
    return found


def statuses(heard: Heard) -> list[int]:
    return [status for status, _ in answers(heard)]


def pass_seconds(connection: Connection, seconds: int) -> None:
    for _ in range(seconds):
        connection.protocol.second_passed()


# ── who does not read ──


@in_world
async def test_nothing_is_written_to_who_does_not_read(w: World) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    assert statuses(await connection.say(get(key), get(key))) == [200, 200]
    connection.protocol.pause_writing()
    for number in range(3):
        connection.wire.arrive(post(key, number) if number else get(key))
    for _ in range(50):
        await asyncio.sleep(0)
    heard, holds_back = connection.heard(), connection.wire.holds_back
    connection.protocol.resume_writing()
    # What comes behind an answer that cannot leave is not even read.
    assert (heard.answers, heard.is_paused, holds_back) == (b"", True, True)
    await connection.quiet()
    assert statuses(connection.heard()) == [200, 201, 201]
    await connection.say(get(key))
    assert is_express(connection)


@in_world
async def test_who_takes_nothing_of_an_answer_is_let_go(w: World) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    await connection.say(get(key), get(key))
    assert is_express(connection)
    connection.wire.unsent = 400
    pass_seconds(connection, UNREAD_SECONDS)
    # One byte is taken, and the time begins anew.
    connection.wire.unsent = 399
    pass_seconds(connection, UNREAD_SECONDS + 1)
    assert not connection.heard().is_closed
    pass_seconds(connection, 1)
    assert connection.wire.is_aborted
    assert (await connection.say(get(key))).is_closed


@in_world
async def test_nor_is_it_waited_for_at_the_end_of_a_connection(w: World) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    connection.wire.unsent = 400
    await connection.say(get(key) + b"GARBAGE\r\n\r\n")
    pass_seconds(connection, UNREAD_SECONDS + 1)
    assert connection.wire.is_aborted


# ── who is slow ──


@in_world
async def test_a_body_that_does_not_come_is_not_waited_for(w: World) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    said = post(key)
    # The head is remembered by then.
    assert statuses(await connection.say(said, said)) == [201, 200]
    await connection.say(said[:-9])
    assert is_express(connection)
    pass_seconds(connection, BODY_SECONDS)
    assert connection.heard().answers == b""
    pass_seconds(connection, 1)
    heard = connection.heard()
    [(status, body)] = answers(heard)
    assert (status, body["error"], heard.has_ended) == (408, "request_timeout", True)
    assert (await connection.say(said[-9:])).answers == b""
    pass_seconds(connection, 3)
    assert connection.heard().is_closed


@in_world
async def test_a_body_that_drips_is_not_waited_for_on_either_lane(w: World) -> None:
    key = await bearer_field(w)
    for side in (express_side(w), common_side(w)):
        connection, said = side.connect(), post(key).replace(b"Length: 29", b"Length: 99")
        connection.wire.arrive(said)
        for _ in range(PACE_SECONDS):
            pass_seconds(connection, 1)
            connection.wire.arrive(b" ")
        assert connection.heard().answers == b""
        pass_seconds(connection, 1)
        await connection.quiet()
        [(status, body)] = answers(connection.heard())
        assert (status, body["error"]) == (408, "request_timeout")
        assert connection.wire.has_ended
    [(_, body)] = answers(await express_side(w).connect().say(get(key)))
    assert body["consumed"] == 0


# ── who is idle ──


@in_world
async def test_an_idle_connection_is_closed_without_a_timer(w: World) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    for said in (get(key), get(key), post(key), post(key)):
        await connection.say(said)
        assert connection.protocol.timeout_keep_alive_task is None
        pass_seconds(connection, KEEP_ALIVE_SECONDS)
        assert not connection.heard().is_closed
    pass_seconds(connection, 1)
    assert connection.heard().is_closed


@pytest.mark.parametrize("times", [1, 2, 3])
@in_world
async def test_an_idle_connection_keeps_neither_key_nor_body(w: World, times: int) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    secret = key[1].removeprefix(b"Bearer ")
    for said in (get(key), post(key, 77), post((key[0], key[1] + b"x"), 77)):
        # Known, marked and new: each has another way through the lane.
        await connection.say(*[said] * times)
        assert is_express(connection)
        kept = repr([vars(connection.protocol), vars(connection.protocol.cycle)]).encode()
        assert secret not in kept
        assert b"evt-77" not in kept


@in_world
async def test_the_common_lanes_timer_does_not_end_a_connection_in_use(w: World) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    await connection.say(get(key), HEALTH)
    timer = connection.protocol.timeout_keep_alive_task
    assert timer is not None
    await connection.say(get(key))
    assert timer.cancelled()
    assert connection.protocol.timeout_keep_alive_task is None


@in_world
async def test_an_answer_that_took_long_leaves_as_much_time_for_the_next(w: World) -> None:
    connection = express_side(w).connect()
    connection.wire.arrive(message(b"GET", b"/readyz", [HOST]))
    pass_seconds(connection, 2 * KEEP_ALIVE_SECONDS)
    await connection.quiet()
    pass_seconds(connection, KEEP_ALIVE_SECONDS)
    heard = connection.heard()
    assert (statuses(heard), heard.is_closed) == ([200], False)


@in_world
async def test_blank_lines_between_requests_do_not_add_up(w: World) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    for _ in range(40):
        heard = await connection.say(get(key), b"\r\n" * 1_000)
        assert (statuses(heard), heard.has_ended) == ([200], False)


# ── who is gone, and a server that ends ──


@in_world
async def test_a_request_on_its_way_when_the_server_ends_is_answered(w: World) -> None:
    key, side = await bearer_field(w), express_side(w)
    known, new, halfway = side.connect(), side.connect(), side.connect()
    for _ in range(3):
        await known.say(get(key))
    halfway.wire.arrive(get(key)[:20])
    for connection in (known, new, halfway):
        connection.protocol.shutdown()
    halfway.protocol.let_go()
    last = [await known.say(get(key)), await new.say(post(key)), await halfway.say(get(key)[20:])]
    assert [(statuses(heard), heard.is_closed) for heard in last] == [
        ([200], True),
        ([201], True),
        ([200], True),
    ]
    assert all(b"\r\nconnection: close\r\n\r\n" in heard.answers for heard in last)


@in_world
async def test_who_comes_when_the_server_is_ending_has_a_moment(w: World) -> None:
    late = express_side(w).connect()
    late.protocol.let_go()
    assert not late.heard().is_closed
    late.protocol.let_go()
    assert late.heard().is_closed


@in_world
async def test_an_open_request_is_finished_before_the_server_ends(w: World) -> None:
    key, side = await bearer_field(w), express_side(w)
    idle, busy, slow = side.connect(), side.connect(), side.connect()
    await idle.say(get(key))
    busy.wire.arrive(post(key))
    slow.wire.arrive(post(key, 2)[:-9])
    for connection in (idle, busy, slow):
        connection.protocol.shutdown()
        connection.protocol.let_go()
    assert idle.heard().is_closed
    assert not busy.heard().is_closed
    await busy.quiet()
    heard = busy.heard()
    assert (statuses(heard), heard.is_closed) == ([201], True)
    assert b"\r\nconnection: close\r\n\r\n" in heard.answers
    heard = await slow.say(post(key, 2)[-9:])
    assert (statuses(heard), heard.is_closed) == ([201], True)


@pytest.mark.parametrize("known", [False, True])
@in_world
async def test_who_leaves_in_mid_commit_disturbs_nobody(w: World, known: bool) -> None:
    key, side = await bearer_field(w), express_side(w)
    if known:
        await side.connect().say(post(key, 0))
    crowd = [side.connect() for _ in range(4)]
    for number, connection in enumerate(crowd, 1):
        connection.wire.arrive(post(key, number))
    for _ in range(3):
        # By now the batch is on its way.
        await asyncio.sleep(0)
    crowd[0].wire.hang_up()
    crowd[2].wire.hang_up()
    for connection in crowd:
        await connection.quiet()
    for connection in (crowd[1], crowd[3]):
        assert statuses(connection.heard()) == [201]
    assert crowd[0].heard().answers == b""
    [(_, body)] = answers(await side.connect().say(get(key)))
    assert body["consumed"] == 4 + known


# ── who is unlucky ──


def _breaks_at_once(_: Call) -> Answer:
    raise ZeroDivisionError("a bug at once")


async def _breaks_later(call: Call) -> Answer:
    await call.service.ledger.submit(call.organization_id, _Nothing())
    raise ZeroDivisionError("a bug later")


class _Nothing:
    weight = 1

    def wants(self, wanted: object) -> None: ...

    def decide(self, work: object) -> None: ...


@pytest.mark.parametrize("handle", [_breaks_at_once, _breaks_later])
@in_world
async def test_a_bug_is_logged_answered_and_forgotten(
    w: World,
    caplog: pytest.LogCaptureFixture,
    handle: Callable[[Call], Answer | Awaitable[Answer]],
) -> None:
    key, side = await bearer_field(w), express_side(w)
    sound = side.lane
    assert sound is not None
    buggy = [replace(one, handle=handle) if one.method == "GET" else one for one in HOT]
    sound.operations = Lane(w.service, Gate(w.service), buggy).operations
    connection, other = side.connect(), side.connect()
    other.wire.arrive(post(key))
    for _ in range(2):
        heard = await connection.say(get(key))
        [(status, body)] = answers(heard)
        assert (status, body["error"], heard.is_closed) == (500, "internal_error", False)
        assert b"x-ratelimit-limit" in heard.answers
    await other.quiet()
    assert statuses(other.heard()) == [201]
    assert statuses(await connection.say(post(key))) == [200]
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[0] for record in logged] == [ZeroDivisionError] * 2


@in_world
async def test_who_gets_no_answer_is_not_left_waiting_for_it(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    key, side = await bearer_field(w), express_side(w)
    assert side.lane is not None
    side.lane.gate = _Speechless(w.service)
    heard = await side.connect().say(get(key))
    assert (heard.answers, heard.is_closed) == (b"", True)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


class _Speechless(Gate):
    def message(self, *_: object) -> NoReturn:
        raise ZeroDivisionError("a bug while an answer is written")


@in_world
async def test_two_requests_may_wait_for_the_same(w: World) -> None:
    key, side = await bearer_field(w), express_side(w)
    found: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def wait(_: Call) -> Answer:
        return await found

    waiting = [replace(one, handle=wait) for one in HOT]
    assert side.lane is not None
    side.lane.operations = Lane(w.service, Gate(w.service), waiting).operations
    both = [side.connect(), side.connect()]
    for connection in both:
        connection.wire.arrive(get(key))
    found.set_result(Answer(200, b"{}"))
    for connection in both:
        await connection.quiet()
        assert answers(connection.heard()) == [(200, {})]


@in_world
async def test_a_bug_at_the_gate_is_not_the_clients_fault(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    key, connection = await bearer_field(w), express_side(w).connect()
    w.service.limiter = _Broken()
    heard = await connection.say(get(key))
    [(status, body)] = answers(heard)
    assert (status, body["error"], heard.has_ended) == (500, "internal_error", True)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


class _Broken:
    def acquire(self, *_: object) -> NoReturn:
        raise ZeroDivisionError("a bug at the gate")

    peek = acquire


class BrokenLedger(Ledger):
    """Refuses, at once or later."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def submit(self, organization_id: str, unit: object) -> asyncio.Future[Any]:
        if isinstance(self._error, Overloaded):
            raise self._error
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(self._error)
        return future


class BrokenReads(Reads):
    def credits(self, organization_id: str) -> None:
        raise StoreUnavailable("by order of the test")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("gone"), "service_unavailable"),
        (OutcomeUnknown("who knows"), "outcome_unknown"),
        (Overloaded("too many"), "service_unavailable"),
    ],
)
@pytest.mark.parametrize("limit", [2, 1_000])
def test_failing_storage_is_answered_alike(error: Exception, code: str, limit: int) -> None:
    async def scenario() -> None:
        async with twins() as both:
            limits = {"book_usage": limit, "get_credits": limit}
            key = await both.each(lambda w: bearer_field(w, rate_limits=limits))
            pair = both.connect()
            for side in (both.express, both.common):
                break_storage(side, error)
            for said, number in ((get(key), 1), (get(key), 2), (post(key), 1), (post(key), 2)):
                heard = await pair.say(said)
                [(status, body)] = answers(heard)
                assert (status, body["retryable"], heard.is_closed) == (503, True, False)
                assert body["error"] == (code if said != get(key) else "service_unavailable")
                waits = heard.answers.count(b"\r\nretry-after: ")
                full = number == limit
                overloaded = said != get(key) and isinstance(error, Overloaded)
                assert waits == (1 if full or overloaded else 0)
                assert (b"\r\nretry-after: 60\r\n" in heard.answers) == full
            assert both.express.tally.taken == 4

    asyncio.run(scenario())


def break_storage(side: Side, error: Exception) -> None:
    service = side.w.service
    service.ledger = BrokenLedger(error)
    service.reads = BrokenReads(service.reads.reader, service.clock)
