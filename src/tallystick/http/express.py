"""The express lane: the hot operations, answered straight from the parser's callbacks.

Theory of operation. A request for one of the operations of the lane, in the form in which clients
send it (HTTP/1.1, a plain path, a body of known length, nothing open before it on its connection),
needs none of what a general server does for a request: no task, no scope, no events, no timer. Its
answer is computed where the parser says that the request is whole, or, where it waits for a key, a
window, a balance or a batch of the ledger, by the callback of that; it goes out in one write. What
is rarely waited for, as where something has fallen due, has a task.

Everything else, whatever it is, goes down the common lane, which this class inherits: other paths
and methods, queries, percent-encoding, chunked bodies, `Expect`, upgrades, HTTP/1.0, a client that
closes or does not read, and any request that arrives while another is open. Both lanes ask the same
gate and call the same operations.

A request is judged by its head, and called when it is judged and whole. What it waits for, others
may wait for too, so nothing is given up: who leaves is found to be gone when it comes.

An open request looks like a cycle to the common lane (`Exchange`): what is pipelined behind it
queues up, and a server that shuts down waits for it.

A head whose exact bytes were seen before is not parsed at all (`heads`): it costs a look-up. The
parser never sees such a request, which is sound because it stands between two messages then.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from tallystick.http.auth import Denied, Principal
from tallystick.http.errors import FAILURES, ApiError, translate
from tallystick.http.exchange import Exchange, Lane, follow, leave_unread
from tallystick.http.framing import MAX_HEAD, MAX_HEADERS, Protocol
from tallystick.http.gate import UNJUDGED, Verdict
from tallystick.http.heads import (
    END_OF_HEAD,
    Head,
    is_read_whole,
    judged_headers,
    split_head,
    whole_head,
)
from tallystick.http.operations import Answer
from tallystick.ledger.pending import Pending
from tallystick.ledger.ports import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from tallystick.limits.policy import Decision


_Who = Principal | Denied
_logger: Final = logging.getLogger("uvicorn.error")
KEEP_ALIVE_SECONDS: Final = 75
_END_AND_CLOSE: Final = b"\r\nconnection: close" + END_OF_HEAD
_NO_HEADERS: Final[Mapping[bytes, bytes]] = MappingProxyType({})


class ExpressProtocol(Protocol):
    """One connection with both lanes."""

    # uvicorn's cycle of the latest request, or an Exchange in its place; None before the first.
    cycle: Any

    def __init__(
        self,
        lane: Lane,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        super().__init__(
            lane.service,
            lane.gate,
            config=config,
            server_state=server_state,
            app_state=app_state,
        )
        self._lane = lane
        self._express: Exchange | None = None
        self._arrived = b""

    # ── what arrives ──

    def data_received(self, data: bytes) -> None:
        self._arrived = b""
        if self._stands_between_messages():
            if data.endswith(END_OF_HEAD):
                # Nearly always a head without a body. Otherwise nobody remembers it.
                head, body = data, b""
            else:
                head, body = split_head(data)
            known = self._lane.heads.get(head)
            if known is not None and len(body) == known.length:
                authenticator = self._lane.service.authenticator
                who = known.principal
                if known.epoch is authenticator.epoch and authenticator.check(who) is None:
                    self._answer_known(known, body)
                    return
            if self._lane.heads.came_before(head):
                self._arrived = data
        super().data_received(data)
        exchange = self._express
        if exchange is None:
            return
        if exchange.is_whole:
            self._express = None
            if exchange.is_judged:
                self._answer(exchange)
        elif exchange.since_ms is None:
            exchange.since_ms = self._lane.service.monotonic_ms()

    def _stands_between_messages(self) -> bool:
        """Whether the next byte begins a request and nothing is open before it."""
        return (
            not self._in_head
            and not self._in_body
            and (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self._deaf
            and not self._is_ending
            and self._refusal is None
            and not self.flow.write_paused
        )

    def on_headers_complete(self) -> None:
        accepted = self._accept()
        if accepted is None:
            self._make_up_scope()
            super().on_headers_complete()
            return
        exchange, who = accepted
        exchange.more_body = True
        self.headers = []
        self.cycle = exchange
        self._express = exchange
        self._has_cycle = True
        self._in_head = False
        self._in_body = True
        self._pending = 0
        if isinstance(who, Principal | Denied):
            self._judge(exchange, who)
        else:
            follow(exchange, who, self._judge)

    def _open_scope(self) -> None:
        """Without the scope, for which the lane has no use."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def _make_up_scope(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super()._open_scope()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)

    def on_body(self, body: bytes) -> None:
        exchange = self._express
        if exchange is None or self.cycle is not exchange:
            super().on_body(body)
            return
        self._pending = 0
        exchange.pieces.append(body)

    def on_message_complete(self) -> None:
        exchange = self._express
        if exchange is None or self.cycle is not exchange:
            super().on_message_complete()
            return
        self._in_body = False
        self._pending = 0
        exchange.more_body = False
        exchange.is_whole = True

    def _accept(self) -> tuple[Exchange, _Who | Awaitable[_Who]] | None:
        """A request whose head is complete, and who asks; None where it is the common lane's."""
        lane = self._lane
        arrived, self._arrived = self._arrived, b""
        operation = lane.operations.get((self.parser.get_method(), self.url))
        if operation is None or not self._is_usual():
            return None
        judged = judged_headers(self.headers)
        if judged is None or not is_read_whole(operation, judged):
            return None
        service = lane.service
        epoch = service.authenticator.epoch
        try:
            who = lane.gate.identify(
                judged.get(b"authorization"), judged.get(b"datagrid-teamspace")
            )
        except StoreError:
            return None
        request_id = next(service.request_ids)
        exchange = Exchange(self, operation, self.headers, judged, UNJUDGED, request_id, [])
        exchange.epoch = epoch
        exchange.length = length = int(judged.get(b"content-length", b"0"))
        if arrived:
            exchange.head = whole_head(arrived, self.url, len(self.headers), length)
        return exchange, who

    def _is_usual(self) -> bool:
        return (
            self.parser.get_http_version() == "1.1"
            and not self._is_ending
            and self.parser.should_keep_alive()
            and (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and len(self.headers) <= MAX_HEADERS
            and self._first + self._pending <= MAX_HEAD
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    # ── who asks, and whether they may ──

    def _judge(self, exchange: Exchange, who: _Who) -> None:
        gate, address = self._lane.gate, ""
        if isinstance(who, Denied):
            address = gate.client_address(self.client[0] if self.client else "", exchange.headers)
        now_ms = self._lane.service.monotonic_ms()
        verdict = gate.ask(exchange.operation, who, address, now_ms)
        if isinstance(verdict, Verdict):
            self._judged(exchange, verdict)
        else:
            self._await_window(exchange, who, verdict, now_ms)

    def _await_window(
        self, exchange: Exchange, who: _Who, window: asyncio.Future[Decision], now_ms: int
    ) -> None:
        if exchange.since_ms is None:
            exchange.since_ms = now_ms
        exchange.ahead = self._lane.ahead(exchange.operation, who)
        window.add_done_callback(partial(self._land_window, exchange, who))

    def _land_window(self, exchange: Exchange, who: _Who, window: asyncio.Future[Decision]) -> None:
        with exchange:
            self._judged(exchange, self._lane.gate.rule(exchange.operation, who, window.result()))

    def _judged(self, exchange: Exchange, verdict: Verdict) -> None:
        exchange.verdict = verdict
        exchange.is_judged = True
        if exchange.disconnected or self.transport.is_closing():
            # Nothing has been done for them yet, and nothing will be.
            exchange.response_complete = True
            leave_unread(exchange)
        elif verdict.error is not None:
            self.write_error(exchange, verdict.error)
        elif exchange.is_whole:
            self._answer(exchange)

    # ── answers ──

    def _answer_known(self, known: Head, body: bytes) -> None:
        """Answers a request whose head was seen before, and whose principal may still act."""
        lane = self._lane
        now_ms = lane.service.monotonic_ms()
        judged = lane.gate.ask(known.operation, known.principal, "", now_ms)
        exchange = Exchange(
            self,
            known.operation,
            known.headers,
            known.judged,
            judged if isinstance(judged, Verdict) else UNJUDGED,
            next(lane.service.request_ids),
            [body],
        )
        if self.timeout_keep_alive_task is not None:
            # Of the common lane, whose clock must not end a connection that is in use.
            self._unset_keepalive_if_required()
        self._seconds = self._pending = 0
        self._has_cycle = True
        self.cycle = exchange
        if not isinstance(judged, Verdict):
            exchange.is_whole = True
            self._await_window(exchange, known.principal, judged, now_ms)
        elif judged.error is not None:
            self.write_error(exchange, judged.error)
        else:
            self._call(exchange)

    def _answer(self, exchange: Exchange) -> None:
        """Answers a request that is judged and whole."""
        lane, since_ms = self._lane, exchange.since_ms
        principal = exchange.verdict.principal
        if principal is not None:
            if since_ms is not None and not lane.gate.trusts(principal, since_ms):
                follow(exchange, lane.handle_if_known(exchange), self._write)
                return
            if exchange.head is not None and exchange.epoch is lane.service.authenticator.epoch:
                lane.heads.put(exchange.head, exchange.meaning(principal))
        ahead, exchange.ahead = exchange.ahead, None
        if ahead is None:
            self._call(exchange)
        elif ahead.future.done():
            self._land(exchange, ahead.render, ahead.future)
        else:
            ahead.future.add_done_callback(partial(self._land, exchange, ahead.render))

    def _call(self, exchange: Exchange) -> None:
        """Calls the operation; its answer is written now or when what it waits for is there."""
        with exchange:
            answer = self._lane.handle(exchange)
            if isinstance(answer, Answer):
                self._write(exchange, answer)
            elif isinstance(answer, Pending):
                answer.future.add_done_callback(partial(self._land, exchange, answer.render))
            else:
                follow(exchange, answer, self._write)

    def _land(
        self,
        exchange: Exchange,
        render: Callable[[Any], Answer | Awaitable[Answer]],
        future: asyncio.Future[Any],
    ) -> None:
        with exchange:
            answer = render(future.result())
            if isinstance(answer, Answer):
                self._write(exchange, answer)
            else:
                follow(exchange, answer, self._write)

    def answer_raised(self, exchange: Exchange, error: BaseException) -> None:
        """What is no answer is a bug. It is logged, and does not end the batch whose callback met
        it; nor the connection, unless its answer was being written."""
        if isinstance(error, FAILURES):
            error = translate(error)
        elif not isinstance(error, ApiError):
            _logger.error("a bug in %s", exchange.operation.name, exc_info=error)
            if exchange.response_started:
                # Nobody knows how much of it went out: the next answer would be taken for its rest.
                self.transport.close()
                return
            error = ApiError("internal_error", "the request met a bug, which has been logged")
        self.write_error(exchange, error)

    def write_error(self, exchange: Exchange, error: ApiError) -> None:
        if self._express is exchange:
            # What is still to come of its body is for nobody.
            self._express = None
        accept = exchange.judged.get(b"accept")
        operation, verdict, request_id = exchange.operation, exchange.verdict, exchange.request_id
        answer = self._lane.gate.refuse(error, operation, verdict, request_id, accept)
        self._write(exchange, answer)

    def _write(self, exchange: Exchange, answer: Answer) -> None:
        """Sends the answer in one piece and makes room for what comes next."""
        exchange.response_started = exchange.response_complete = True
        if exchange.ahead is not None:
            leave_unread(exchange)
        if exchange.disconnected or self.transport.is_closing():
            return
        lane, state = self._lane, self.server_state
        opening = lane.opening(answer.status, state.default_headers)
        message = lane.gate.message(opening, answer, exchange.verdict, exchange.request_id)
        if exchange.keep_alive:
            self.transport.write(message)
        else:
            self.transport.write(message.replace(END_OF_HEAD, _END_AND_CLOSE, 1))
            self.transport.close()
        # The connection may be idle for long, and keeps neither the body nor the key meanwhile.
        exchange.headers, exchange.pieces = [], []
        exchange.judged, exchange.head = _NO_HEADERS, None
        if self.pipeline or self._refusal is not None:
            self.on_response_complete()
        else:
            state.total_requests += 1

    # ── who is idle ──

    def _is_stream(self) -> bool:
        # A request of the lane has no scope: what there is of one is an earlier request's.
        return self._express is None and super()._is_stream()

    def second_passed(self) -> None:
        super().second_passed()
        if self._refusal is not None or self._in_head or self._in_body or not self._has_cycle:
            return
        if not self.cycle.response_complete:
            self._seconds = 0
        elif self._seconds > KEEP_ALIVE_SECONDS:
            self.transport.close()
