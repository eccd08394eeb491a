"""Several server processes behind one address.

The parent opens the doors and serves nobody. Its workers are the same command again with the doors
handed down, so each connection is taken by whichever worker is free, and what waits in the doors'
queues while workers come and go is not lost. Parent and worker hold the ends of a socket pair: the
worker says on it that it serves, and either sees on it that the other has gone; a worker without a
parent ends as if it had been told to.

A worker that dies is replaced, at once where it had served for a while, else after a pause that
doubles. SIGHUP replaces all workers one after the other, each only when its successor serves: by
then with settings read anew, and with another version of the program if that was installed. Told
again meanwhile, it does so once more, for settings may have changed since. SIGINT and SIGTERM end
the workers after what is under way; a second one ends them at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.http.server import ENDING_SIGNALS, GRACE_SECONDS
from tallystick.observe import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

START_SECONDS: Final = 30
"""What a worker has to say that it serves."""
_STOP_SECONDS: Final = GRACE_SECONDS + 5
_STEADY_SECONDS: Final = 10
"""Who served for so long did not die of its start."""
_PAUSES: Final = (1, 2, 4, 8, 16, 30)
_SERVES: Final = b"."


class Handed(NamedTuple):
    """What a worker is handed down: its number, its end of the pair, the doors."""

    number: int
    leash: int
    doors: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Handed:
        """Raises ValueError, also where that is not what is held open."""
        number, leash, doors = text.split(":")
        found = cls(int(number), int(leash), tuple(int(door) for door in doors.split(",")))
        if not all(map(_is_socket, (found.leash, *found.doors))):
            raise ValueError("no sockets are open under these numbers")
        return found

    def __str__(self) -> str:
        return f"{self.number}:{self.leash}:{','.join(map(str, self.doors))}"

    def open_doors(self) -> list[socket.socket]:
        doors = [socket.socket(fileno=door) for door in self.doors]
        for door in doors:
            door.settimeout(0)
        return doors


class Leash:
    """A worker's end of the pair. `when_gone` is called when the parent has gone."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self.when_gone: Callable[[], None] | None = None

    def serves(self) -> None:
        """Tells the parent, and watches it from now on."""
        self._socket.settimeout(0)
        with suppress(OSError):
            self._socket.send(_SERVES)
        asyncio.get_running_loop().add_reader(self._socket, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        if self.when_gone is not None:
            self.when_gone()


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


@dataclass(eq=False, slots=True)
class _Worker:
    process: asyncio.subprocess.Process
    leash: socket.socket
    started: float

    def tell_to_end(self) -> None:
        """After what is under way, however often it is told."""
        self.signal(signal.SIGTERM)

    def tell_to_end_at_once(self) -> None:
        self.signal(signal.SIGQUIT)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Workers:
    """Keeps `count` processes of `command` behind `doors` until it is told to end."""

    def __init__(self, command: Sequence[str], doors: Sequence[socket.socket], count: int) -> None:
        self._command = command
        self._doors = doors
        self._count = count
        self._slots: dict[int, _Worker] = {}
        self._starting: set[_Worker] = set()
        self._failures: dict[int, int] = {}
        self._watching: set[asyncio.Task[None]] = set()
        self._told = 0
        self._end = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> bool:
        """False where one of them did not come to serve, unless it was told to end meanwhile;
        returns when all have ended. `ready` is called when all serve."""
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, self._told_to_end)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        served = await self._start_all()
        if served and not self._end.is_set():
            self._watch(self._keep_reloading())
            ready()
            await self._end.wait()
        self._end.set()
        await self._stop_all()
        return served or self._told > 0

    # ── signals ──

    def _told_to_end(self) -> None:
        self._told += 1
        self._end.set()
        self._reload.set()
        for worker in self._starting:
            worker.tell_to_end()
        if self._told > 1:
            for worker in (*self._starting, *self._slots.values()):
                worker.tell_to_end_at_once()

    # ── coming and going ──

    async def _start_all(self) -> bool:
        started = await asyncio.gather(*(self._start(number) for number in range(self._count)))
        for number, worker in enumerate(started):
            if worker is not None:
                self._slots[number] = worker
                self._watch(self._outlive(number, worker))
        return None not in started

    async def _start(self, number: int) -> _Worker | None:
        """A worker that serves; None where it does not come to that, and has ended."""
        worker = await self._spawn(number)
        if worker is None:
            return None
        self._starting.add(worker)
        if self._end.is_set():
            # Those that were there were told while this one was made.
            worker.tell_to_end()
        serves = await self._comes_to_serve(worker)
        self._starting.discard(worker)
        if serves:
            return worker
        worker.signal(signal.SIGKILL)
        await worker.process.wait()
        worker.leash.close()
        return None

    async def _spawn(self, number: int) -> _Worker | None:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        with theirs:
            doors = tuple(door.fileno() for door in self._doors)
            handed = Handed(number, theirs.fileno(), doors)
            try:
                # A session of its own: Ctrl-C in a terminal is for the parent, who passes it on
                # once.
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    "--worker",
                    str(handed),
                    pass_fds=(theirs.fileno(), *doors),
                    start_new_session=True,
                )
            except OSError as error:
                # No memory, no process left, or the program is being replaced: it may pass.
                ours.close()
                logger().error("a worker cannot be made", worker=number, reason=str(error))
                return None
        return _Worker(process, ours, asyncio.get_running_loop().time())

    async def _comes_to_serve(self, worker: _Worker) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(START_SECONDS):
                return await loop.sock_recv(worker.leash, 1) == _SERVES
        except (TimeoutError, OSError):
            return False

    async def _outlive(self, number: int, worker: _Worker) -> None:
        """Waits for a worker's end, and replaces it where nobody wanted that; and so on."""
        present: _Worker | None = worker
        while present is not None:
            status = await present.process.wait()
            present.leash.close()
            if not self._is_missed(number, present):
                return
            pid = present.process.pid
            logger().warning("a worker died", worker=number, pid=pid, status=status)
            if asyncio.get_running_loop().time() - present.started >= _STEADY_SECONDS:
                self._failures.pop(number, None)
            present = await self._succeed(number, present)

    def _is_missed(self, number: int, dead: _Worker) -> bool:
        """Whether its place is to be filled, and nobody has done so, as a reload may."""
        return not self._end.is_set() and self._slots.get(number) is dead

    async def _succeed(self, number: int, dead: _Worker) -> _Worker | None:
        """The dead one's successor, however often it takes; None where none is needed any more."""
        while self._is_missed(number, dead):
            failures = self._failures.get(number, 0)
            self._failures[number] = failures + 1
            if failures:
                await self._pause(_PAUSES[min(failures, len(_PAUSES)) - 1])
            if not self._is_missed(number, dead) or (new := await self._start(number)) is None:
                continue
            if self._slots[number] is dead:
                self._slots[number] = new
                return new
            new.tell_to_end()
            await self._ended(new)
            new.leash.close()
        return None

    async def _pause(self, seconds: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()

    async def _keep_reloading(self) -> None:
        while not self._end.is_set():
            await self._reload.wait()
            self._reload.clear()
            await self._replace_all()

    async def _replace_all(self) -> None:
        """Puts a new worker into each place, and then tells the old one to end."""
        for number in range(self._count):
            if self._end.is_set():
                return
            new = await self._start(number)
            if new is None:
                logger().error(
                    "a new worker did not come to serve; the old ones go on", worker=number
                )
                return
            # By now the old one may have died and been replaced.
            old, self._slots[number] = self._slots[number], new
            self._watch(self._outlive(number, new))
            old.tell_to_end()
            await self._ended(old)
        logger().info("all workers were replaced", workers=self._count)

    async def _stop_all(self) -> None:
        workers = list(self._slots.values())
        for worker in workers:
            worker.tell_to_end()
        await asyncio.gather(*map(self._ended, workers))
        if self._watching:
            await asyncio.wait(self._watching)

    async def _ended(self, worker: _Worker) -> None:
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await worker.process.wait()
        except TimeoutError:
            worker.signal(signal.SIGKILL)
            await worker.process.wait()

    def _watch(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)


def same_command() -> list[str]:
    """The command line of this process, for a worker."""
    return [sys.executable, "-m", "tallystick", *sys.argv[1:]]
