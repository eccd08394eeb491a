"""Request heads on the express lane: which it takes, and the memory of those it took.

Clients repeat their heads byte for byte, so what the parser made of one that it accepted need not
be made again. A head is remembered by its exact bytes, the blank line included; whatever differs in
one byte is another head and goes to the parser.

A head holds a secret. So the memory is bounded in size and in time, and dropped whole whenever
anything about keys, organizations or teamspaces changes. It says who sent the head; whether they
may still act is asked every time.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tallystick.http.hosts import is_host
from tallystick.http.lately import Lately
from tallystick.http.operations import MAX_BODY
from tallystick.http.wire import media_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.http.auth import Principal
    from tallystick.http.operations import Operation
    from tallystick.ledger.ports import Changes

END_OF_HEAD: Final = b"\r\n\r\n"
LONGEST_HEAD: Final = 2_048
# Twice as many as there may be heads of the usual length.
_MARKS: Final = 1 << 14

# Headers that make a request unusual, and those that mean something here, once.
_UNUSUAL: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
_JUDGED: Final = frozenset(
    {
        b"authorization",
        b"datagrid-teamspace",
        b"content-type",
        b"content-encoding",
        b"content-length",
        b"accept",
        b"connection",
        b"host",
    }
)


@dataclass(frozen=True, slots=True)
class Head:
    """What a head means: the operation, who sent it, and how long the body is.

    `epoch` is the authenticator's when it found the principal: in a later one this means nothing.
    `judged` holds the headers that mean something to the gate.
    """

    operation: Operation
    principal: Principal
    epoch: object
    headers: list[tuple[bytes, bytes]]
    judged: Mapping[bytes, bytes]
    length: int


class Heads(Lately[Head]):
    """The heads that came more than once.

    Of one that came once, only a mark is kept: where each differs from the last, to remember them
    is work for nothing. A mark is a hash with a key of this process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._marks = array("q", bytes(8 * _MARKS))

    def came_before(self, head: bytes) -> bool:
        """Whether it came lately, as far as a table of marks can tell; it will have now."""
        mark = hash(head)
        if self._marks[mark % _MARKS] == mark:
            return True
        self._marks[mark % _MARKS] = mark
        return False

    def put(self, head: bytes, meaning: Head) -> None:
        if len(head) <= LONGEST_HEAD:
            super().put(head, meaning)

    def forget(self, changes: Changes) -> None:
        """Listens to the ledger: drops everything where a key may have changed."""
        if changes.concern_keys():
            self.clear()


def judged_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes] | None:
    """The headers that mean something here; None where a request is unusual or ambiguous."""
    judged: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _JUDGED:
            if name in judged:
                return None
            judged[name] = value
        elif name in _UNUSUAL:
            return None
    host = judged.get(b"host")
    if host is None or not is_host(host):
        return None
    connection = judged.get(b"connection")
    return judged if connection is None or connection.lower() == b"keep-alive" else None


def is_read_whole(operation: Operation, judged: Mapping[bytes, bytes]) -> bool:
    """Whether the body is one that the lane gathers: of known size, within bounds, no stream."""
    length = judged.get(b"content-length")
    if operation.request is None:
        return length is None or int(length) == 0
    if length is None or int(length) > MAX_BODY:
        return False
    return media_type(judged.get(b"content-type")) not in operation.streams


def split_head(data: bytes) -> tuple[bytes, bytes]:
    """The head with which `data` begins, empty where it is none to be remembered, and the rest."""
    end = data.find(END_OF_HEAD, 0, LONGEST_HEAD) + len(END_OF_HEAD)
    return (data[:end], data[end:]) if end >= len(END_OF_HEAD) else (b"", data)


def whole_head(arrived: bytes, url: bytes, headers: int, length: int) -> bytes | None:
    """The bytes of a head that was all there when its first byte was read, to be remembered.

    None where there is any doubt about which bytes those are: another line end than CR LF, folded
    headers, something before the request line, more after the body than the body.
    """
    end = arrived.find(END_OF_HEAD, 0, LONGEST_HEAD) + len(END_OF_HEAD)
    head = arrived[:end]
    lines = headers + 2
    if (
        end == len(END_OF_HEAD) - 1
        or len(arrived) - end > length
        or head.count(b"\n") != lines
        or head.count(b"\r\n") != lines
        or not head.partition(b"\r\n")[0].endswith(b" %b HTTP/1.1" % url)
    ):
        return None
    return head
