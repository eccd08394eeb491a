"""The common lane: Starlette routes every operation of the table to one small ASGI endpoint.

Paths are routed as they were sent, before percent-decoding, so an encoded slash in an id never
becomes a separator. Whatever fails inside an operation without being an answer is a bug: it gets
the envelope of a 500 and is raised on, so that the server logs it.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tallystick.http.auth import Denied, Principal
from tallystick.http.errors import FAILURES, ApiError, FieldError, translate
from tallystick.http.gate import UNJUDGED, Gate, Verdict, check_media_type
from tallystick.http.operations import MAX_BODY, STREAMED, Answer, Audience, Call, Operation
from tallystick.http.streams import send_parts
from tallystick.http.wire import media_type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

    from tallystick.http.service import Service

MAX_QUERY: Final = 8_192
_ACT_FOR: Final = b"tallystick-organization"
# Who opens the service's address in a browser wants to see what it is. Relative, for a service may
# stand behind a prefix.
_TO_REFERENCE: Final = Answer(
    302, b"The reference is at docs\n", b"text/plain; charset=utf-8", ((b"location", b"docs"),)
)


class ClientGone(ConnectionError):
    """The client left before its request was whole: nobody waits for an answer."""


def create_app(
    service: Service,
    operations: Sequence[Operation],
    *,
    local: bool = False,
    lifespan: Lifespan[Starlette] | None = None,
) -> ASGIApp:
    """The ASGI application; `local` serves the operator beside the database, who needs no key."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    service.limitable = frozenset(
        operation.name for operation in operations if operation.audience is Audience.TENANT
    )
    gate = Gate(service)
    routes = [
        Route(path, PathEndpoint(service, gate, methods, local=local))
        for path, methods in by_path.items()
    ]
    fallback = Fallback(service, gate)
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={500: fallback.answer_bug})
    app.router.redirect_slashes = False
    app.router.default = fallback
    return RawPaths(app)


class RawPaths:
    """Routes by the path as it was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("latin-1")
        await self._app(scope, receive, send)


class Fallback:
    """Answers for paths that no operation has, `/` among them, and for bugs."""

    def __init__(self, service: Service, gate: Gate) -> None:
        self._service = service
        self._gate = gate

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        exchange = Exchange(self._service, self._gate, scope)
        await exchange.send(send, self._answer(exchange, scope))

    def _answer(self, exchange: Exchange, scope: Scope) -> Answer:
        if scope["path"] == "/" and scope["method"] in {"GET", "HEAD"}:
            return _TO_REFERENCE
        error = ApiError("resource_not_found", "no operation has this path")
        return exchange.refuse(error)

    async def answer_bug(self, request: Request, _: Exception) -> Response:
        exchange = request.scope.get("tallystick.exchange")
        if not isinstance(exchange, Exchange):
            exchange = Exchange(self._service, self._gate, request.scope)
        error = ApiError("internal_error", "the request met a bug, which has been logged")
        answer = exchange.refuse(error)
        response = Response(answer.body, answer.status)
        response.raw_headers = exchange.response_headers(answer)
        return response


class Exchange:
    """One request on the common lane and the response to it."""

    def __init__(self, service: Service, gate: Gate, scope: Scope) -> None:
        self._gate = gate
        self.request_id = next(service.request_ids)
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.verdict = UNJUDGED
        self.since_ms = 0
        """When it was known who asks, by the monotonic clock."""
        self.operation: Operation | None = None
        scope["tallystick.exchange"] = self

    def header(self, name: bytes) -> bytes | None:
        """The header's value, None where it is absent. One that is repeated is the list of its
        values (RFC 9110): two keys are none, and two teamspaces are not the key's own."""
        values = [value for candidate, value in self.headers if candidate == name]
        return b", ".join(values) if values else None

    def refuse(self, error: ApiError) -> Answer:
        """The answer that an error is."""
        accept = self.header(b"accept")
        return self._gate.refuse(error, self.operation, self.verdict, self.request_id, accept)

    def response_headers(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        return self._gate.finish(answer, self.verdict, self.request_id)

    async def send(self, send: Send, answer: Answer, receive: Receive | None = None) -> None:
        """Sends an answer. Parts of a body are made as long as `receive` has not heard that the
        client left; without it, as for HEAD, none are made."""
        headers = self.response_headers(answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.parts is not None and receive is not None:
            await send_parts(answer.parts, receive, send)
            return
        if answer.parts is not None:
            await answer.parts.aclose()
        await send({"type": "http.response.body", "body": answer.body})


class PathEndpoint:
    """All operations of one path."""

    def __init__(
        self, service: Service, gate: Gate, methods: Mapping[str, Operation], *, local: bool
    ) -> None:
        self._service = service
        self._gate = gate
        self._local = local
        self._methods = dict(methods)
        if "GET" in self._methods:
            self._methods["HEAD"] = self._methods["GET"]
        self._allow = ", ".join(sorted(self._methods)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._service, self._gate, scope)
        try:
            answer = await self._answer(exchange, scope, receive)
        except ApiError as error:
            answer = exchange.refuse(error)
        except FAILURES as failure:
            answer = exchange.refuse(translate(failure))
        except ClientGone:
            return
        await exchange.send(send, answer, receive if scope["method"] != "HEAD" else None)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive) -> Answer:
        operation = self._methods.get(scope["method"])
        if operation is None:
            reason = f"{scope['method']} is not supported here"
            raise ApiError("method_not_allowed", reason, headers=[(b"allow", self._allow)])
        exchange.operation = operation
        if operation.audience is Audience.OPEN:
            principal = self._service.authenticator.local(None)
        else:
            principal = await self._admit(operation, exchange, scope)
        body = Body(operation, exchange, receive)
        if body.is_streamed():
            scope[STREAMED] = True
        whole = await body.whole()
        if operation.audience is not Audience.OPEN:
            await self._check_key(principal, exchange)
        body.check_type(whole)
        call = Call(
            service=self._service,
            operation=operation,
            principal=principal,
            request_id=exchange.request_id,
            headers=exchange.headers,
            params=_path_params(scope["path_params"]),
            query=_query(operation, scope["query_string"]),
            body=whole,
            stream=body.pieces,
        )
        answer = operation.handle(call)
        return await answer if isawaitable(answer) else answer

    async def _admit(self, operation: Operation, exchange: Exchange, scope: Scope) -> Principal:
        """Key, window and scope."""
        who = await self._identify(exchange)
        exchange.since_ms = self._service.monotonic_ms()
        client = scope.get("client")
        address = self._gate.client_address(client[0] if client else "", exchange.headers)
        judged = self._gate.judge(operation, who, address)
        exchange.verdict = verdict = judged if isinstance(judged, Verdict) else await judged
        if verdict.error is not None or verdict.principal is None:
            raise verdict.error or ApiError("no_authentication", "nobody is acting")
        return verdict.principal

    async def _check_key(self, principal: Principal, exchange: Exchange) -> None:
        """Raises 401 where the key of a request that was admitted is good no more."""
        if self._gate.trusts(principal, exchange.since_ms):
            return
        who = await self._identify(exchange)
        if isinstance(who, Denied):
            raise ApiError("no_authentication", who.reason)

    async def _identify(self, exchange: Exchange) -> Principal | Denied:
        if self._local:
            return await self._local_principal(exchange)
        found = self._gate.identify(
            exchange.header(b"authorization"), exchange.header(b"datagrid-teamspace")
        )
        return found if isinstance(found, Principal | Denied) else await found

    async def _local_principal(self, exchange: Exchange) -> Principal:
        named = exchange.header(_ACT_FOR)
        if named is None:
            return self._service.authenticator.local(None)
        organization = await self._service.reads.reader.organization(named.decode("latin-1"))
        if organization is None:
            raise ApiError("resource_not_found", "there is no such organization")
        return self._service.authenticator.local(organization)


def _path_params(params: Mapping[str, str]) -> dict[str, str]:
    """Percent-decoded path parameters; what is no text that storage can hold names nothing."""
    invalid = ApiError("resource_not_found", "the path holds an id that is not valid")
    try:
        found = {name: unquote_to_bytes(value).decode() for name, value in params.items()}
    except UnicodeDecodeError:
        raise invalid from None
    if any("\x00" in value for value in found.values()):
        raise invalid
    return found


def _query(operation: Operation, query_string: bytes) -> dict[str, str]:
    """The parameters that the operation declares; one that declares none ignores them all."""
    if not operation.query or not query_string:
        return {}
    if len(query_string) > MAX_QUERY:
        raise _bad_query("", "the query is too long")
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50
        )
    except ValueError:
        raise _bad_query("", "the query is not valid") from None
    found: dict[str, str] = {}
    declared = {parameter.name for parameter in operation.query}
    for name, value in pairs:
        if name not in declared:
            raise _bad_query(name, "is not a parameter of this operation")
        if name in found:
            raise _bad_query(name, "is given twice")
        if "\x00" in value:
            raise _bad_query(name, "must not contain NUL")
        found[name] = value
    return found


def _bad_query(name: str, message: str) -> ApiError:
    pointer = f"?{name}" if name else "?"
    return ApiError(
        "validation_failed",
        f"query parameter {name!r} {message}" if name else message,
        errors=[FieldError(pointer, "invalid", message)],
    )


class Body:
    """The request's body, read only as far as the operation allows."""

    def __init__(self, operation: Operation, exchange: Exchange, receive: Receive) -> None:
        self._operation = operation
        self._exchange = exchange
        self._receive = receive

    def is_streamed(self) -> bool:
        """Whether the operation reads it as it comes."""
        return media_type(self._exchange.header(b"content-type")) in self._operation.streams

    async def whole(self) -> bytes:
        """The body where the operation takes one that is not streamed; else nothing is read."""
        if self._operation.request is None or self.is_streamed():
            return b""
        length = self._exchange.header(b"content-length")
        if length is not None and int(length) > MAX_BODY:
            raise _too_large()
        return b"".join([piece async for piece in self._pieces(MAX_BODY)])

    def check_type(self, whole: bytes) -> None:
        """Raises 415 where the whole body is of no kind that the operation reads."""
        if self._operation.request is None or self.is_streamed():
            return
        if whole or not self._operation.request_optional:
            header = self._exchange.header
            check_media_type(self._operation, header(b"content-type"), header(b"content-encoding"))

    def pieces(self) -> AsyncIterator[bytes]:
        """The body piece by piece, however long it is."""
        return self._pieces(None)

    async def _pieces(self, limit: int | None) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            size += len(piece)
            if limit is not None and size > limit:
                raise _too_large()
            if piece:
                yield piece
            if not message.get("more_body", False):
                return


def _too_large() -> ApiError:
    return ApiError("payload_too_large", f"a body may have {MAX_BODY} bytes")
