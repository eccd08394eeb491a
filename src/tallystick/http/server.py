"""The server: uvicorn with one door into a process, or two.

The public door is a TCP address, where keys say who asks. The other, where the database is a file,
is a Unix socket beside it, for the operator's commands: whoever may open that file may do anything,
so its mode is 0600 from the moment it exists. Both doors lead to the same service; which one a
connection came through decides which application it talks to, and nothing a client sends can change
that.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import stat
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from tallystick.http.exchange import Lane
from tallystick.http.express import ExpressProtocol
from tallystick.http.framing import LINGER_SECONDS, Protocol
from tallystick.http.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.types import ASGIApp

    from tallystick.http.operations import Operation
    from tallystick.http.service import Service

ENDING_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM})
GRACE_SECONDS: Final = 10
"""What requests that are under way have, to finish when the server is told to end."""
_LAST_REQUEST_SECONDS: Final = 0.25
"""How long a connection that is idle when the server ends stays open: a request may be on its way,
and whoever closes at once leaves it without an answer."""
_KEEP_ALIVE_SECONDS: Final = 75
_BACKLOG: Final = 2048
_TICKS_PER_SECOND: Final = 10
# What `sun_path` holds on Linux, its final zero left out.
_LONGEST_SOCKET_PATH: Final = 107


class CannotListen(Exception):
    """An address or a socket cannot be had; the message says why and what to do."""


def url_of(door: socket.socket) -> str:
    """Where a client finds a public door."""
    host, port = door.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bind_public(host: str, port: int) -> list[socket.socket]:
    """A socket for each address that `host` stands for; raises CannotListen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotListen(f"{host} is no address of this machine ({error.strerror})") from None
    doors: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            doors.append(_bind(family, kind, protocol, address))
    except OSError as error:
        for door in doors:
            door.close()
        raise CannotListen(
            f"cannot listen at {host}, port {port}: {error.strerror}. Choose another with --port"
        ) from None
    return doors


def _bind(family: int, kind: int, protocol: int, address: object) -> socket.socket:
    door = socket.socket(family, kind, protocol)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        door.bind(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
        door.settimeout(0)
    except OSError:
        door.close()
        raise
    return door


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of the socket at `path` that fits into a socket's address, valid inside the block.

    Linux takes 107 bytes. A longer path is named through a descriptor of its folder.
    """
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{folder}/{path.name}"
        if len(os.fsencode(short)) > _LONGEST_SOCKET_PATH or not os.path.lexists("/proc/self/fd"):
            raise CannotListen(f"{path} is too long for a socket: give the database a shorter path")
        yield short
    finally:
        os.close(folder)


def bind_local(path: Path) -> socket.socket:
    """The Unix socket at `path`, for its owner only; raises CannotListen.

    The caller owns the database, so a socket that is there already was left behind.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CannotListen(f"{path} is in the way, and is no socket: move it away")
        path.unlink()
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Between bind and a later chmod anybody could connect.
    before = os.umask(0o177)
    try:
        with reachable(path) as name:
            door.bind(name)
    except OSError as error:
        door.close()
        raise CannotListen(f"cannot make the socket {path}: {error.strerror}") from None
    except CannotListen:
        door.close()
        raise
    finally:
        os.umask(before)
    door.settimeout(0)
    return door


class Server(uvicorn.Server):
    """Serves until a signal: `await server.serve(sockets=public_doors)`.

    `ready` is called when the doors are open.
    """

    def __init__(
        self,
        service: Service,
        *,
        public: ASGIApp,
        local: ASGIApp,
        express: Sequence[Operation],
        local_door: socket.socket | None,
        ready: Callable[[], None],
        is_worker: bool = False,
    ) -> None:
        super().__init__(_config(public))
        self._is_worker = is_worker
        self._service = service
        self._gate = Gate(service)
        self._lane = Lane(service, self._gate, express)
        self._local_config = _config(local)
        self._local_door = local_door
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the doors; `sockets` are the public ones."""
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(self._public_protocol(), sock=door, backlog=_BACKLOG)
            for door in sockets or ()
        ]
        if self._local_door is not None:
            local = self._local_protocol()
            self.servers.append(await loop.create_unix_server(local, sock=self._local_door))
        self.started = True
        _keep_out_of_the_collector()
        self._ready()

    def _public_protocol(self) -> Callable[[], Protocol]:
        return partial(
            ExpressProtocol,
            self._lane,
            config=self.config,
            server_state=self.server_state,
            app_state={},
        )

    def _local_protocol(self) -> Callable[[], Protocol]:
        """Without the express lane, which asks for keys."""
        return partial(
            Protocol,
            self._service,
            self._gate,
            config=self._local_config,
            server_state=self.server_state,
            app_state={},
        )

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SECOND == 0:
            self._lane.heads.second_passed()
            self._service.authenticator.second_passed()
            for connection in self._connections():
                connection.second_passed()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        countdown = asyncio.create_task(self._count_down())
        await super().shutdown(sockets)
        countdown.cancel()
        # Whoever is left will not be answered any more, and the work for them ends with this.
        for connection in self._connections():
            connection.transport.abort()

    async def _count_down(self) -> None:
        """Seconds go on passing. Who asks nothing is let go; who is still sending towards the end
        is told that it is over, in time to hear it."""
        await asyncio.sleep(_LAST_REQUEST_SECONDS)
        for left in range(GRACE_SECONDS, 0, -1):
            for connection in self._connections():
                connection.let_go()
                if left == LINGER_SECONDS + 1:
                    connection.cut_off()
                connection.second_passed()
            await asyncio.sleep(1)

    def _connections(self) -> list[Protocol]:
        found = self.server_state.connections
        return [connection for connection in found if isinstance(connection, Protocol)]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends gracefully on a signal, as long as the loop lives: what comes after serving, closing
        the database, is not to be broken off. uvicorn would raise the signal again afterwards, and
        the process would seem to have been killed."""
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGQUIT, self.end_at_once)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # A terminal that closes, or a reload of what cannot replace itself. It is no reason to
            # break off requests; nohup is obeyed.
            loop.add_signal_handler(signal.SIGHUP, self.end)
        yield

    def end(self) -> None:
        """The first signal ends the server after what is under way, the second without it. A worker
        may be told twice of one end, by its parent and with its whole group."""
        self.force_exit = self.force_exit or (self.should_exit and not self._is_worker)
        self.should_exit = True

    def end_at_once(self) -> None:
        """Without what is under way."""
        self.force_exit = self.should_exit = True


def _keep_out_of_the_collector() -> None:
    """What the start has made stays as long as the process. To look through it for garbage took 20
    ms each time, for which every request waited; what requests make is no garbage of that kind."""
    gc.collect()
    gc.freeze()


def _config(app: ASGIApp) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whom to believe is for the gate, which knows the trusted proxies.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    config.load()
    return config
