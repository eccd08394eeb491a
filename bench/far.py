"""What a read of the credits costs on PostgreSQL and Redis, by its steps: `python -m bench.far`.

Everything but the clients' sockets, in one process: 64 connections ask again as soon as they have
their answer, so windows and balances travel together as they do under load. Beside it, in turns, a
hello-world does the same on uvicorn's protocol. Printed is CPU time of this process; with
`--profile`, where it goes.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bench.databases import for_the_service, postgres_and_redis
from bench.lane import KNOWN_HEAD, connect, found
from bench.peers.hello import ignore_body
from tallystick.bootstrap import running
from tallystick.config import resolve

_CONNECTIONS: Final = 64
_ROUNDS: Final = 20

Connect = Callable[[asyncio.Transport], asyncio.Protocol]


class _Crowd:
    """Connections that ask and ask again, `rounds` times each."""

    def __init__(self, connect: Connect) -> None:
        self.wires = [_Wire(connect, self._answered) for _ in range(_CONNECTIONS)]
        self._left = 0
        self._done: asyncio.Future[None] | None = None

    async def ask(self, rounds: int) -> float:
        """Microseconds of CPU time a request."""
        self._left = rounds * _CONNECTIONS
        self._done = asyncio.get_running_loop().create_future()
        started = time.process_time_ns()
        for wire in self.wires:
            wire.ask(rounds)
        await self._done
        return (time.process_time_ns() - started) / rounds / _CONNECTIONS / 1000

    def _answered(self) -> None:
        self._left -= 1
        if not self._left and self._done is not None:
            self._done.set_result(None)


class _Wire(asyncio.Transport):
    """A client's end: what is written is an answer, and the next request follows."""

    def __init__(self, connect: Connect, answered: Callable[[], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 8000)})
        self._loop = asyncio.get_running_loop()
        self._answered = answered
        self._left = 0
        self._protocol: Any = connect(self)

    def ask(self, times: int) -> None:
        self._left = times
        self._protocol.data_received(KNOWN_HEAD)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        said = bytes(data)
        if not said.startswith(b"HTTP/1.1 200"):
            if said.startswith(b"HTTP/"):
                raise RuntimeError(f"no good answer: {said!r}")
            return  # the body of what is written in two pieces
        self._answered()
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._protocol.data_received, KNOWN_HEAD)

    def is_closing(self) -> bool:
        return False


def _hello() -> Connect:
    config = uvicorn.Config(ignore_body, interface="asgi3", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Tue, 10 Mar 2026 12:00:00 GMT")]

    def make(wire: asyncio.Transport) -> asyncio.Protocol:
        protocol = HttpToolsProtocol(config=config, server_state=state, app_state={})
        protocol.connection_made(wire)
        return protocol

    return make


def _profiled(profile: cProfile.Profile, lines: int) -> None:
    pstats.Stats(profile).sort_stats("tottime").print_stats(lines)


async def main(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    async with running(resolve(settings, {}).settings) as served:
        await found(served.service)
        crowd = _Crowd(lambda wire: connect(served.service, served.public, wire)[0])
        hello = _Crowd(_hello())
        for warm_up in (crowd, hello):
            await warm_up.ask(_ROUNDS)
        taken = [
            (await crowd.ask(_ROUNDS), await hello.ask(_ROUNDS)) for _ in range(options.slices)
        ]
        ours, theirs = ([each[side] for each in taken] for side in (0, 1))
        ratio = median(a / b for a, b in taken)
        print(f"a read {_spread(ours)} µs, hello-world {_spread(theirs)} µs, {ratio:.2f} ×")
        if options.profile:
            profile = cProfile.Profile(time.process_time)
            profile.enable()
            await crowd.ask(_ROUNDS)
            profile.disable()
            _profiled(profile, options.profile)


def _spread(figures: Sequence[float]) -> str:
    return f"{median(figures):.1f} ({min(figures):.1f} at least)"


def start() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=150)
    parser.add_argument("--profile", type=int, default=0, metavar="LINES")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder:
        Path(folder).chmod(0o711)
        with postgres_and_redis(Path(folder)) as backing:
            told = for_the_service(backing)
            settings = {
                "database": told["TALLYSTICK_DATABASE"],
                "limits": told["TALLYSTICK_LIMITS"],
                "rate_limit": "1000000",
            }
            uvloop.run(main(options, settings))


if __name__ == "__main__":
    start()
