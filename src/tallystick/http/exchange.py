"""The express lane's state: what its connections share, and one open request."""

from __future__ import annotations

from functools import partial
from inspect import isawaitable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tallystick.http.auth import Denied, Principal
from tallystick.http.errors import FAILURES, ApiError
from tallystick.http.gate import check_media_type
from tallystick.http.heads import Head, Heads
from tallystick.http.operations import Answer, Call, OfOrganization
from tallystick.ledger.pending import Pending

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, Task
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from tallystick.http.gate import Gate, Verdict
    from tallystick.http.operations import Operation
    from tallystick.http.service import Service

T = TypeVar("T")
_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})


class Lane:
    """What all connections share: the operations by method and path, how they are called, and the
    memory of heads."""

    def __init__(self, service: Service, gate: Gate, operations: Sequence[Operation]) -> None:
        self.service = service
        self.gate = gate
        self.heads = Heads()
        self.operations: Mapping[tuple[bytes, bytes], Operation] = {
            (operation.method.encode(), operation.path.encode()): operation
            for operation in operations
        }
        self._server_headers: list[tuple[bytes, bytes]] = []
        self._openings: dict[int, bytes] = {}
        service.ledger.listen(self.heads.forget)

    def opening(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """What a response begins with: the status line and the server's own headers (the date), of
        which it makes a new list when they change."""
        if headers is not self._server_headers:
            self._server_headers = headers
            self._openings = {}
        found = self._openings.get(status)
        if found is None:
            lines = [b"%b: %b\r\n" % field for field in headers]
            found = self._openings[status] = b"".join([STATUS_LINE[status], *lines])
        return found

    def handle(self, exchange: Exchange) -> Answer | Awaitable[Answer]:
        """What the operation answers."""
        principal = exchange.verdict.principal
        operation = exchange.operation
        if principal is None:
            raise RuntimeError("a request without principal passed the gate")
        handle = operation.handle
        if isinstance(handle, OfOrganization):
            return handle.answer(self.service, principal.organization_id)
        if operation.request is not None:
            header = exchange.judged.get
            check_media_type(operation, header(b"content-type"), header(b"content-encoding"))
        call = Call(
            self.service,
            operation,
            principal,
            exchange.request_id,
            exchange.headers,
            _NO_PARAMETERS,
            _NO_PARAMETERS,
            b"".join(exchange.pieces),
        )
        return handle(call)

    def ahead(self, operation: Operation, who: Principal | Denied) -> Pending[Answer] | None:
        """What will be told if `who` passes, which has to be waited for."""
        handle = operation.handle
        if not isinstance(handle, OfOrganization) or not isinstance(who, Principal):
            return None
        if not who.admissions[operation.name].may_call:
            return None
        try:
            return handle.ahead(self.service, who.organization_id)
        except FAILURES:
            # Who passes asks once more, and is told why not.
            return None

    async def handle_if_known(self, exchange: Exchange) -> Answer:
        """The same where so much time has passed that the key has to be looked at again."""
        judged = exchange.judged
        found = self.gate.identify(judged.get(b"authorization"), judged.get(b"datagrid-teamspace"))
        who = found if isinstance(found, Principal | Denied) else await found
        if isinstance(who, Denied):
            raise ApiError("no_authentication", who.reason)
        answer = self.handle(exchange)
        return answer if isinstance(answer, Answer) else await answer


class Deaf:
    """Stands where the common lane keeps an event: nobody waits for parts of our requests."""

    def set(self) -> None: ...


_DEAF = Deaf()


class Connection(Protocol):
    """What an exchange knows of the connection that it belongs to; the server waits
    for its `tasks` when it ends."""

    loop: AbstractEventLoop
    tasks: set[Task[None]]

    def answer_raised(self, exchange: Exchange, error: BaseException) -> None: ...


class Exchange:
    """One request on the lane, in the place of a cycle of the common lane.

    The lower half is what that lane wants to see of one. It is judged when its verdict is there,
    and whole when its body is. `since_ms` is when its head was there, where it could not be
    answered at once, `epoch` the authenticator's when it was asked, `head` the bytes that may be
    remembered, `ahead` what is being read for it while it waits for a window.
    What is mostly left as it is stands on the class: to make a request takes half the time so.

    While its operation runs (`with exchange:`), whatever is raised becomes its answer.
    """

    since_ms: int | None = None
    epoch: object = None
    head: bytes | None = None
    ahead: Pending[Answer] | None = None
    length: int = 0
    is_judged: bool = False
    is_whole: bool = False

    response_started: bool = False
    response_complete: bool = False
    disconnected: bool = False
    keep_alive: bool = True
    more_body: bool = False
    message_event: Final = _DEAF

    def __init__(
        self,
        connection: Connection,
        operation: Operation,
        headers: list[tuple[bytes, bytes]],
        judged: Mapping[bytes, bytes],
        verdict: Verdict,
        request_id: str,
        pieces: list[bytes],
    ) -> None:
        self.connection = connection
        self.operation = operation
        self.headers = headers
        self.judged = judged
        self.verdict = verdict
        self.request_id = request_id
        self.pieces = pieces

    def meaning(self, principal: Principal) -> Head:
        """What its head means, to be remembered."""
        return Head(self.operation, principal, self.epoch, self.headers, self.judged, self.length)

    def __enter__(self) -> None: ...

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            # Nothing was raised, or what ends more than this request.
            return False
        self.connection.answer_raised(self, error)
        return True


def follow(exchange: Exchange, awaited: Awaitable[T], then: Callable[[Exchange, T], None]) -> None:
    """Has `then` called with what is waited for."""
    if isinstance(awaited, Pending):
        awaited.future.add_done_callback(partial(_land, exchange, awaited.render, then))
        return
    # In a task, for whoever sets a deadline has to be in one.
    connection = exchange.connection
    task = connection.loop.create_task(_wait(exchange, awaited, then))
    connection.tasks.add(task)
    task.add_done_callback(connection.tasks.discard)


async def _wait(
    exchange: Exchange, awaited: Awaitable[T], then: Callable[[Exchange, T], None]
) -> None:
    with exchange:
        then(exchange, await awaited)


def _land(
    exchange: Exchange,
    render: Callable[[Any], Any],
    then: Callable[[Exchange, Any], None],
    future: Future[Any],
) -> None:
    with exchange:
        found = render(future.result())
        if isawaitable(found):
            follow(exchange, found, then)
        else:
            then(exchange, found)


def leave_unread(exchange: Exchange) -> None:
    """Nobody is told what was read ahead."""
    ahead, exchange.ahead = exchange.ahead, None
    if ahead is not None:
        ahead.future.add_done_callback(_take_note)


def _take_note(ahead: Future[Any]) -> None:
    """Of a failure, if it is one: a future complains of those that nobody has looked at."""
    if not ahead.cancelled():
        ahead.exception()
