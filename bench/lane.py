"""Where a read of the credits spends its time on the express lane: `python -m bench.lane`.

Everything but the socket, in one process: whole requests, and the steps of one whose head is known,
each by itself. Printed are nanoseconds; of many short turns the shortest counts, which is the one
that nothing disturbed, and what the loop around a step costs is taken off.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
import uvloop
from uvicorn.server import ServerState

from tallystick.bootstrap import embedded
from tallystick.config import resolve
from tallystick.domain.credits import parse_credits
from tallystick.domain.directory import DEFAULT_SCOPES, ApiKey, KeyLevel
from tallystick.domain.plans import Plan
from tallystick.http.exchange import Lane
from tallystick.http.express import ExpressProtocol
from tallystick.http.gate import Gate, Verdict
from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.operations import Answer
from tallystick.http.service import Service
from tallystick.ledger.directory import CreateKey, CreateOrganization

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_BEARER: Final = "as-long-as-the-secrets-of-keys-that-are-made-here-are"
_HEAD: Final = (
    b"GET /v1/organization/credits HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n"
    b"authorization: Bearer %b\r\n" % _BEARER.encode()
)
KNOWN_HEAD: Final = _HEAD + b"\r\n"
_TURNS: Final = 200
_TIMES: Final = 300


class _Wire(asyncio.Transport):
    """Takes what is written, and sends it nowhere."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 8000)})
        self.sent: bytes | bytearray | memoryview[Any] = b""

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.sent = data

    def is_closing(self) -> bool:
        return False


async def found(service: Service) -> None:
    """An organization with a key."""
    await service.ledger.submit(
        "",
        CreateOrganization(
            organization_id="org_1",
            teamspace_id="ts_1",
            name="Benchmark",
            external_id=None,
            plan=Plan(allowance=parse_credits("1000000000")),
            rate_limits={},
            content=b"",
        ),
    )
    key = ApiKey(
        id="key_1",
        organization_id="org_1",
        teamspace_id="ts_1",
        name="Benchmark",
        level=KeyLevel.ORGANIZATION,
        created_at=0,
        scopes=DEFAULT_SCOPES,
    )
    digest = service.authenticator.digest(_BEARER.encode())
    await service.ledger.submit("", CreateKey(key=key, digest=digest))


def connect(
    service: Service, app: ASGIApp, wire: asyncio.Transport
) -> tuple[ExpressProtocol, Lane]:
    """A connection of the express lane. Each has a lane of its own."""
    config = uvicorn.Config(app, interface="asgi3", lifespan="off", ws="none", log_config=None)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Tue, 10 Mar 2026 12:00:00 GMT")]
    lane = Lane(service, Gate(service), [each for each in OPERATIONS if each.is_hot])
    connection = ExpressProtocol(lane, config=config, server_state=state, app_state={})
    connection.connection_made(wire)
    return connection, lane


def _steps(connection: ExpressProtocol, lane: Lane) -> Iterator[tuple[str, Callable[[], object]]]:
    """The steps by name; some contain others, which stand below them with an indent."""
    for _ in range(3):
        connection.data_received(KNOWN_HEAD)
    known = lane.heads.get(KNOWN_HEAD)
    if known is None:
        raise RuntimeError("the lane did not remember the head")
    service, gate, who, operation = lane.service, lane.gate, known.principal, known.operation
    verdict = gate.judge(operation, who, "")
    if not isinstance(verdict, Verdict):
        raise TypeError("the window was not at hand")
    admission = who.admissions[operation.name]
    reads, name = service.reads, who.organization_id
    exchange, answer = connection.cycle, lane.handle(connection.cycle)
    if not isinstance(answer, Answer):
        raise TypeError("the balance was not at hand")
    opening = lane.opening(200, connection.server_state.default_headers)
    numbers = itertools.count()

    def differing() -> None:
        connection.data_received(_HEAD + b"x-client-request: %012d\r\n\r\n" % next(numbers))

    yield "a request whose head is known", lambda: connection.data_received(KNOWN_HEAD)
    yield "  is nothing open before it", connection._stands_between_messages
    yield "  its head is looked up", lambda: lane.heads.get(KNOWN_HEAD)
    yield "  the key is checked", lambda: service.authenticator.check(who)
    yield "  the gate judges", lambda: gate.judge(operation, who, "")
    yield (
        "    the limiter counts",
        lambda: service.limiter.acquire(admission.window, admission.limit, service.monotonic_ms()),
    )
    yield "  its id", lambda: next(service.request_ids)
    yield "  the operation", lambda: lane.handle(exchange)
    yield "    the ledger's figures", lambda: reads.credits(name)
    yield "      the row", lambda: reads.reader.balance(name)
    yield "  it is written", lambda: connection._write(exchange, answer)
    yield "    head and body", lambda: gate.message(opening, answer, verdict, "req_" * 7)
    yield "a clock", service.clock
    yield "a request whose head differs", differing


def measure(steps: Mapping[str, Callable[[], object]]) -> dict[str, int]:
    """Nanoseconds each; the steps take turns, so that what drifts meets them all."""
    best = dict.fromkeys(["", *steps], 1 << 62)
    for _ in range(_TURNS):
        for name, step in {"": lambda: None, **steps}.items():
            start = time.perf_counter_ns()
            for _ in range(_TIMES):
                step()
            best[name] = min(best[name], time.perf_counter_ns() - start)
    return {name: (best[name] - best[""]) // _TIMES for name in steps}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "tallystick.db")
        settings = resolve({"database": path, "rate_limit": "1000000"}, {}).settings
        async with embedded(settings) as running:
            await found(running.service)
            steps = dict(_steps(*connect(running.service, running.public, _Wire())))
            for name, taken in measure(steps).items():
                print(f"{taken:7} ns  {name}")


if __name__ == "__main__":
    uvloop.run(main())
