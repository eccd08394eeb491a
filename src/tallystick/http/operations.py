"""What an operation is: a function from a decoded request to an answer, and its entry in the table.

An operation knows no server. It is declared once, with its method, path, scope and types; routing,
authentication, limits, the OpenAPI document and both lanes read the same declaration.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tallystick.http.wire import encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

    from tallystick.domain.directory import Scope
    from tallystick.http.auth import Principal
    from tallystick.http.service import Service
    from tallystick.ledger.pending import Pending

MAX_BODY: Final = 1 << 20
"""Bytes of a JSON body."""
STREAMED: Final = "tallystick.streamed"
"""The name under which a request's scope says that its body is read as it comes."""


class Audience(enum.Enum):
    """Whose keys an operation is for."""

    TENANT = enum.auto()
    OPERATOR = enum.auto()
    OPEN = enum.auto()


class Answer(NamedTuple):
    """A response value: the gate adds the headers that every response has."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    parts: AsyncGenerator[bytes, None] | None = None
    """Yields the body in place of `body`, where it is long; for the common lane only."""


@dataclass(slots=True)
class Call:
    """One admitted request. `query` holds the parameters that the operation declares.

    `stream` yields the body where the operation reads it by itself; elsewhere `body` is whole.
    """

    service: Service
    operation: Operation
    principal: Principal
    request_id: str
    headers: list[tuple[bytes, bytes]]
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Callable[[], AsyncIterator[bytes]] | None = None

    @property
    def organization_id(self) -> str:
        """The organization that the key acts for (an operator names it in the path)."""
        return self.params.get("organization_id") or self.principal.organization_id

    def header(self, name: bytes) -> bytes | None:
        """The value of a header (lower-case name); the first where it is repeated."""
        for candidate, value in self.headers:
            if candidate == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class OfOrganization:
    """Handles calls whose answer depends on nothing but the organization. Whoever knows that one
    asks for the answer, and need not make a `Call`.

    `ahead` begins to read what has to be waited for, if anything. Reading is harmless, so it may be
    called before it is known whether they may be told.
    """

    answer: Callable[[Service, str], Answer | Awaitable[Answer]]
    ahead: Callable[[Service, str], Pending[Answer] | None]

    def __call__(self, call: Call) -> Answer | Awaitable[Answer]:
        return self.answer(call.service, call.organization_id)


class Parameter(NamedTuple):
    """A query parameter: its JSON schema and what it is for."""

    name: str
    schema: Mapping[str, object]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One line of the operations table.

    `name` is the operation's id everywhere: in OpenAPI, in `rate_limits`, in logs. `request` is the
    body's type (None: no body is read); `media_types` says what a body may be, `streams` that the
    handler reads the body by itself under the media types named there.

    The reference is generated from this line. Where one type does not say it, `bodies` names the
    type of a body by its media type (of a streamed one: of each line), and `responses` the type of
    an answer by its status; `example` is a body that the reference shows.
    """

    name: str
    method: str
    path: str
    handle: Callable[[Call], Answer | Awaitable[Answer]]
    summary: str
    description: str = ""
    tag: str = "Credits"
    audience: Audience = Audience.TENANT
    scope: Scope | None = None
    request: Any = None
    request_optional: bool = False
    media_types: tuple[bytes, ...] = (b"application/json",)
    streams: tuple[bytes, ...] = ()
    bodies: Mapping[bytes, Any] = field(default_factory=dict)
    example: Any = None
    response: Any = None
    produces: bytes = b"application/json"
    files: tuple[bytes, ...] = ()
    """Media types of files that it answers with instead, to a client that likes them better."""
    pages: tuple[bytes, ...] = ()
    """Content types of what it shows instead, to a client that likes it better."""
    status: int = 200
    also: Mapping[int, str] = field(default_factory=dict)
    """Further successful statuses and what they mean."""
    responses: Mapping[int, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    """Codes beyond those that every operation of its audience can answer."""
    query: tuple[Parameter, ...] = ()
    idempotent: bool = False
    """Takes an `Idempotency-Key`."""
    is_hot: bool = False
    """Also answered by the express lane: its path has no parameters, and it reads no query."""


def answer(status: int, value: object, *headers: tuple[bytes, bytes]) -> Answer:
    """`value` as JSON."""
    return Answer(status, encode(value), b"application/json", headers)
