"""The server's protocol: uvicorn's, with our answers where a request is none.

Theory of operation. uvicorn's protocol feeds what arrives to a parser and makes a *cycle* of each
head that the parser has read. Whatever the parser refuses, and what it would accept without bound,
ends the connection with an error in the envelope: 400, 408 or 431. Three things make that exact.

*Bounds.* `_pending` counts bytes that were fed since the parser last had something to show for
them: a head that goes on and on, trailers, chunk extensions. A whole head is measured when it is
complete. So no connection holds more than a head's limit and one read beyond it.

*Order.* Answers go out in the order of requests. If one is still on its way when what follows it
turns out broken, the error waits for it. A request whose own body breaks is withdrawn: its
operation sees a client that left.

*Lingering.* A client may be in the middle of sending. To close at once would reset the connection,
and the reset may overtake the answer; so only our side is closed at first, and what still arrives
is dropped for a moment.

*Pace.* Who drips is never silent for long, so silence is not all that is measured. In each minute
from a request's first byte it has to end or to bring so many bytes: a body that is gathered enough
for any honest line, a stream little, because it may be written while it is sent. While it is we who
do not read, no time passes. The other way round, who takes nothing of what lies ready for them is
let go.

Once a second the server calls `second_passed`, which is what cuts off who is slow: one call per
connection a second instead of a timer per request.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tallystick.http.errors import ApiError
from tallystick.http.gate import UNJUDGED, Gate, refuse
from tallystick.http.hosts import is_host
from tallystick.http.operations import STREAMED

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from tallystick.http.service import Service

_logger: Final = logging.getLogger("uvicorn.error")
MAX_HEAD: Final = 32_768
"""Bytes of a request line and its headers."""
MAX_HEADERS: Final = 100
MAX_LENGTH_DIGITS: Final = 20
"""Digits of a body's length. The parser bounds the number and not the zeros before it, of which
Python refuses to read a few thousand."""
HEAD_SECONDS: Final = 10
"""From a head's first byte to its last."""
BODY_SECONDS: Final = 30
"""Between two pieces of a body."""
PACE_SECONDS: Final = 60
"""From a request's first byte it has to end in this time or to bring the bytes below, and so again
in each such time after it."""
BODY_PACE: Final = 524_288
"""Bytes of a body that is gathered before it is read: none takes much more than two minutes."""
STREAM_PACE: Final = 1_024
"""Bytes of a stream: some ten usage events."""
UNREAD_SECONDS: Final = 30
"""Of a client that takes nothing of what lies ready for it."""
FIRST_BYTE_SECONDS: Final = 30
LINGER_SECONDS: Final = 2

_HEADER_OVERHEAD: Final = len(b": \r\n")
_VERSIONS: Final = frozenset({"1.1", "1.0"})
_BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


class Unacceptable(Exception):
    """Raised in the parser's callbacks: the connection ends with `error`."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.reason)
        self.error = error


class Protocol(HttpToolsProtocol):
    """One connection, with the answers of `service`."""

    def __init__(
        self,
        service: Service,
        gate: Gate,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._service = service
        self._gate = gate
        self._refusal: ApiError | None = None
        self._deaf = False
        self._is_ending = False
        self._has_cycle = False
        self._in_head = False
        self._in_body = False
        self._pending = 0
        self._chunk = 0
        self._first = 0
        self._seconds = 0
        self._brought = 0
        self._pace_seconds = 0
        self._unsent = 0
        self._unread_seconds = 0

    # ── what arrives ──

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refusal is not None or self._deaf:
            return
        self._chunk = len(data)
        self._pending += self._chunk
        self._brought += self._chunk
        if not self._in_head:
            self._seconds = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True
        except httptools.HttpParserError as error:
            self._break_off(_reason(error))
        else:
            if self._pending > MAX_HEAD:
                self._break_off(_head_too_large() if self._in_head else _bad("too much framing"))

    def eof_received(  # type: ignore[override]  # as asyncio has it; uvicorn always closes
        self,
    ) -> bool | None:
        """The client sends no more, but may still read: what it sent whole is answered first.

        Returns whether the connection stays open for that.
        """
        if self._refusal is not None or self._deaf:
            return None
        if self._in_head or self._in_body:
            self._break_off(_bad("the request ended before it was whole"))
            return True
        if self._has_cycle and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return True
        return None

    def on_message_begin(self) -> None:
        self._in_head = True
        self._first = self._brought = self._chunk
        self._pending = 0
        self._seconds = self._pace_seconds = 0
        self._open_scope()

    def _open_scope(self) -> None:
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # A chunked body may be followed by trailers. They come too late to mean anything: the
        # request has been judged by its headers.
        if not self._in_head:
            return
        if len(value) > MAX_LENGTH_DIGITS and name.lower() == b"content-length":
            raise Unacceptable(_bad("Content-Length has too many digits"))
        # Named, because super() would cost more than what is called.
        HttpToolsProtocol.on_header(self, name, value)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            raise Unacceptable(_bad("only HTTP/1.1 and 1.0 are spoken here"))
        if len(self.headers) > MAX_HEADERS:
            raise Unacceptable(_head_too_large())
        # Most heads come in one small piece, and need not be measured.
        if self._first + self._pending > MAX_HEAD and self._head_size() > MAX_HEAD:
            raise Unacceptable(_head_too_large())
        self._check_target()
        self._check_host(version)
        self._check_transfer_coding(version)
        upgrade = self.parser.should_upgrade()
        if upgrade and not _BODY_HEADERS.isdisjoint(name for name, _ in self.headers):
            raise Unacceptable(_bad("a request with a body cannot ask for another protocol"))
        super().on_headers_complete()
        self._has_cycle = True
        self._in_head = False
        self._in_body = True
        self._pending = 0
        if upgrade or self._is_ending:
            # Answered in the protocol that we speak; what follows may be in another one.
            self.cycle.keep_alive = False

    def _check_target(self) -> None:
        """A whole URL may come without a path, and then asks for nothing that there is."""
        if not self.url.startswith(b"/") and httptools.parse_url(self.url).path is None:
            raise Unacceptable(_bad("the target has no path"))

    def _check_host(self, version: str) -> None:
        """RFC 9112, section 3.2. An empty one is as good as any: it is not what we route by."""
        hosts = self._values(b"host")
        if not hosts and version == "1.1":
            raise Unacceptable(_bad("HTTP/1.1 needs a Host header"))
        if len(hosts) > 1:
            raise Unacceptable(_bad("there is more than one Host header"))
        if hosts and not is_host(hosts[0]):
            raise Unacceptable(_bad("the Host header names no host"))

    def _check_transfer_coding(self, version: str) -> None:
        """RFC 9112, section 6.1. The parser is content with any coding before `chunked`."""
        codings = self._values(b"transfer-encoding")
        if codings and version == "1.0":
            raise Unacceptable(_bad("HTTP/1.0 has no Transfer-Encoding"))
        if any(coding.strip(b" \t").lower() != b"chunked" for coding in codings):
            raise Unacceptable(_bad("the only transfer coding that is read here is chunked"))

    def _values(self, name: bytes) -> list[bytes]:
        return [value for candidate, value in self.headers if candidate == name]

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._pending = 0
        super().on_message_complete()

    def _head_size(self) -> int:
        lines = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.url) + lines + _HEADER_OVERHEAD * len(self.headers)

    # ── what is not a request ──

    def _break_off(self, error: ApiError) -> None:
        """Ends the connection with `error`, after the answers that come before it."""
        self._refusal = error
        if self.transport.is_closing():
            return
        earlier = self._has_cycle and not self.cycle.response_complete
        if self._in_body:
            if not earlier or self.cycle.response_started:
                # It has its answer already, or part of one.
                self._linger()
                return
            earlier = self._withdraw()
        if not earlier:
            self._answer_refusal(error)

    def _withdraw(self) -> bool:
        """Takes back the request whose body broke; says whether another one is on its way."""
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
            return True
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return False

    def on_response_complete(self) -> None:
        if self._refusal is None or self.pipeline:
            super().on_response_complete()
        elif not self.transport.is_closing():
            self._answer_refusal(self._refusal)

    def _answer_refusal(self, error: ApiError) -> None:
        request_id = next(self._service.request_ids)
        answer = refuse(error, request_id, None)
        headers = [
            *self.server_state.default_headers,
            *self._gate.finish(answer, UNJUDGED, request_id),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[answer.status], lines, answer.body))
        self._linger()

    def _linger(self) -> None:
        self._deaf = True
        self._seconds = 0
        self.flow.resume_reading()
        self.transport.write_eof()

    # ── who is slow ──

    def second_passed(self) -> None:
        """Called by the server once a second."""
        if self._is_unread():
            self.transport.abort()
            return
        if self.flow.read_paused:
            return
        self._seconds += 1
        if self._refusal is not None:
            if self._deaf and self._seconds > LINGER_SECONDS:
                self.transport.close()
        elif self._in_head:
            self._pace_seconds += 1
            if self._seconds > HEAD_SECONDS:
                self._break_off(_too_slow(f"head has to arrive within {HEAD_SECONDS} seconds"))
        elif self._in_body:
            self._pace_seconds += 1
            self._check_pace()
        elif not self._has_cycle and self._seconds > FIRST_BYTE_SECONDS:
            self.transport.close()

    def _check_pace(self) -> None:
        is_stream = self._is_stream()
        least = STREAM_PACE if is_stream else BODY_PACE
        if self._seconds > BODY_SECONDS:
            rule = f"body may pause for at most {BODY_SECONDS} seconds"
        elif self._pace_seconds <= PACE_SECONDS:
            return
        elif self._brought >= least:
            self._brought = self._pace_seconds = 0
            return
        else:
            rule = f"body has to end, or to bring {least} bytes, in every {PACE_SECONDS} seconds"
        stays = "; what was booked of it stays" if is_stream else ""
        self._break_off(_too_slow(rule + stays))

    def _is_stream(self) -> bool:
        """Whether the body that is arriving is read as it comes, for somebody whose key is good."""
        return not self.cycle.response_complete and STREAMED in self.scope

    def _is_unread(self) -> bool:
        """Whether the client has taken nothing for too long of what lies ready to be sent.

        A buffer that is full is filled again only when it was nearly empty (`resume_writing`), so
        an answer without end that is taken slowly is seen to be taken.
        """
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent >= self._unsent:
            self._unread_seconds += 1
        else:
            self._unread_seconds = 0
        self._unsent = unsent
        return self._unread_seconds > UNREAD_SECONDS

    def resume_writing(self) -> None:
        self._unread_seconds = 0
        super().resume_writing()

    # ── the server's end ──

    def shutdown(self) -> None:
        """Called by the server when it ends: the next request is this connection's last. It may be
        on its way already, so nobody is let go yet."""
        self._is_ending = True
        if self._is_answering():
            self.cycle.keep_alive = False

    def let_go(self) -> None:
        """Called by the server some time after `shutdown`, and again: ends the connection of a
        client that has asked nothing since, who sees that nothing was begun."""
        if not self._is_ending:
            # It was taken at the last moment, and came too late to be told.
            self.shutdown()
        elif not (self._in_head or self._in_body or self._refusal or self._is_answering()):
            self.transport.close()

    def _is_answering(self) -> bool:
        return self._has_cycle and not self.cycle.response_complete

    def cut_off(self) -> None:
        """Called by the server when it ends: what has not arrived by now will not be waited for."""
        if self._refusal is None and (self._in_head or self._in_body):
            code = "outcome_unknown" if self._in_body else "service_unavailable"
            reason = "the server ended before the request had arrived whole"
            self._break_off(ApiError(code, reason))


def _reason(error: httptools.HttpParserError) -> ApiError:
    """What the parser, or a callback on its behalf, has against the request."""
    cause = error.__context__
    if isinstance(cause, Unacceptable):
        return cause.error
    if cause is None or isinstance(cause, httptools.HttpParserError | UnicodeError):
        return _bad(str(cause or error))
    _logger.error("a bug while a request was read", exc_info=cause)
    return ApiError("internal_error", "the request met a bug, which has been logged")


def _bad(what: str) -> ApiError:
    return ApiError("bad_request", f"the request's framing is broken: {what}")


def _head_too_large() -> ApiError:
    return ApiError(
        "headers_too_large",
        f"a request's head may have {MAX_HEAD} bytes and {MAX_HEADERS} headers",
    )


def _too_slow(rule: str) -> ApiError:
    return ApiError("request_timeout", f"a request's {rule}")
