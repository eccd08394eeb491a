"""The parent of several workers, with workers that do nothing but say who they are.

What real ones make of it is tested with the server, on PostgreSQL and Redis.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from tallystick.cli.serve import serve
from tallystick.cli.workers import Handed, Workers

WORKER = """
import os, select, signal, socket, sys, threading
from pathlib import Path

number, leash, door = (int(part) for part in sys.argv[sys.argv.index("--worker") + 1].split(":"))
folder = Path(sys.argv[1])
if (folder / f"fails-{number}").exists():
    sys.exit(3)
leash, door = socket.socket(fileno=leash), socket.socket(fileno=door)
told, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGTERM, lambda *_: None)
def follow():
    if not leash.recv(1):
        (folder / f"orphan-{os.getpid()}").touch()
        os._exit(0)
leash.send(b".")
threading.Thread(target=follow, daemon=True).start()
while told not in select.select([door, told], [], [])[0]:
    try:
        connection, _ = door.accept()
    except BlockingIOError:
        continue
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""


@dataclass(kw_only=True)
class Shop:
    """A door with workers behind it, as its customers see it."""

    folder: Path
    door: socket.socket
    workers: Workers
    was_turned_away: bool = False
    told_ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self) -> int | None:
        """The pid of whoever answers; None where he was killed while at it."""
        reader, writer = await asyncio.open_connection(*self.door.getsockname())
        answered = b""
        with suppress(ConnectionResetError):
            answered = await reader.read()
        writer.close()
        return int(answered) if answered else None

    async def pids(self, count: int) -> set[int]:
        """Of everybody who answers, as soon as there are so many."""
        found: set[int | None] = set()
        while len(found - {None}) < count:
            found.add(await self.ask())
        self.was_turned_away |= None in found
        return {pid for pid in found if pid is not None}

    def orphans(self) -> set[int]:
        """Those who found that their parent had gone."""
        return {int(file.name.removeprefix("orphan-")) for file in self.folder.glob("orphan-*")}

    def breaks(self, number: int) -> None:
        (self.folder / f"fails-{number}").touch()

    def mends(self, number: int) -> None:
        (self.folder / f"fails-{number}").unlink()


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(0)
        yield opened


@asynccontextmanager
async def shop(folder: Path, door: socket.socket, count: int = 2) -> AsyncIterator[Shop]:
    script = folder / "worker.py"
    script.write_text(WORKER)
    workers = Workers([sys.executable, str(script), str(folder)], [door], count)
    opened = Shop(folder=folder, door=door, workers=workers)
    running = asyncio.ensure_future(workers.run(opened.told_ready.set))
    await opened.told_ready.wait()
    try:
        yield opened
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running


def in_shop(
    folder: Path, door: socket.socket, test: Callable[[Shop], Awaitable[None]], count: int = 2
) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(30), shop(folder, door, count) as opened:
            await test(opened)

    asyncio.run(scenario())


def test_what_is_handed_down_can_be_read_again(door: socket.socket) -> None:
    handed = Handed(3, door.fileno(), (door.fileno(), door.fileno()))
    assert Handed.parse(str(handed)) == handed


@pytest.mark.parametrize("mistaken", ["4", "0:1000:1001", "0:{file}:{file}"])
def test_who_means_workers_and_says_worker_is_told(tmp_path: Path, mistaken: str) -> None:
    with (tmp_path / "file").open("w") as file:
        said = mistaken.format(file=file.fileno())
        result = CliRunner().invoke(serve, ["--worker", said])
    assert result.exit_code == 2
    assert "--workers N" in result.output


def test_all_of_them_answer_at_one_door(tmp_path: Path, door: socket.socket) -> None:
    async def test(opened: Shop) -> None:
        assert len(await opened.pids(3)) == 3

    in_shop(tmp_path, door, test, count=3)


def test_a_worker_that_dies_is_replaced(tmp_path: Path, door: socket.socket) -> None:
    async def test(opened: Shop) -> None:
        before = await opened.pids(2)
        dead = min(before)
        os.kill(dead, signal.SIGKILL)
        while len(after := await opened.pids(2) - {dead}) < 2:
            pass
        assert len(after - before) == 1

    with capture_logs() as logged:
        in_shop(tmp_path, door, test)
    assert [line["event"] for line in logged] == ["a worker died"]


def test_who_is_starting_when_all_are_told_to_end_ends_too(
    tmp_path: Path, door: socket.socket
) -> None:
    async def test(opened: Shop) -> None:
        dead = opened.workers._slots[0].process
        os.kill(dead.pid, signal.SIGKILL)
        await dead.wait()

    in_shop(tmp_path, door, test)


def test_all_are_replaced_and_nobody_is_turned_away(tmp_path: Path, door: socket.socket) -> None:
    async def test(opened: Shop) -> None:
        before = await opened.pids(2)
        os.kill(os.getpid(), signal.SIGHUP)
        while (await opened.pids(2)) & before:
            pass
        assert not opened.was_turned_away

    with capture_logs() as logged:
        in_shop(tmp_path, door, test)
    assert not [line for line in logged if line["log_level"] != "info"]


def test_who_cannot_be_replaced_goes_on(tmp_path: Path, door: socket.socket) -> None:
    async def test(opened: Shop) -> None:
        before = await opened.pids(2)
        opened.breaks(0)
        with capture_logs() as logged:
            os.kill(os.getpid(), signal.SIGHUP)
            while not logged:
                assert await opened.ask() in before
        assert "the old ones go on" in logged[0]["event"]
        assert await opened.pids(2) == before

    in_shop(tmp_path, door, test)


def test_where_one_cannot_start_none_goes_on(tmp_path: Path, door: socket.socket) -> None:
    (tmp_path / "fails-1").touch()
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    async def scenario() -> None:
        workers = Workers([sys.executable, str(script), str(tmp_path)], [door], 2)
        async with asyncio.timeout(30):
            assert not await workers.run(lambda: pytest.fail("it is not ready"))

    asyncio.run(scenario())


def test_workers_end_with_their_parent(tmp_path: Path, door: socket.socket) -> None:
    """As when the parent is killed: all that it held is closed."""

    async def test(opened: Shop) -> None:
        workers = list(opened.workers._slots.values())
        for worker in workers:
            worker.leash.shutdown(socket.SHUT_RDWR)
        assert [await worker.process.wait() for worker in workers] == [0, 0]
        assert opened.orphans() >= {worker.process.pid for worker in workers}

    in_shop(tmp_path, door, test)


def test_a_reload_puts_one_into_the_place_of_who_could_not_be_replaced(
    tmp_path: Path, door: socket.socket
) -> None:
    """As when settings were mended: whoever was about to try again finds the place taken."""

    async def test(opened: Shop) -> None:
        opened.breaks(0)
        watching = [task for task in opened.workers._watching if "_outlive" in repr(task)]
        with capture_logs() as logged:
            os.kill(opened.workers._slots[0].process.pid, signal.SIGKILL)
            while opened.workers._failures.get(0, 0) < 2:
                assert await opened.ask()
            opened.mends(0)
            os.kill(os.getpid(), signal.SIGHUP)
            while logged[-1]["event"] != "all workers were replaced":
                assert await opened.ask()
        # Those who watched over the old ones have nothing left to do.
        await asyncio.gather(*watching)
        assert await opened.pids(2) == {
            worker.process.pid for worker in opened.workers._slots.values()
        }

    in_shop(tmp_path, door, test)


def test_who_is_told_twice_to_reload_does_it_twice(tmp_path: Path, door: socket.socket) -> None:
    async def test(opened: Shop) -> None:
        with capture_logs() as logged:
            os.kill(os.getpid(), signal.SIGHUP)
            while len({*await opened.pids(2)}) < 2 or not opened.workers._starting:
                pass
            os.kill(os.getpid(), signal.SIGHUP)
            while len(logged) < 2:
                assert await opened.ask()
        assert {line["event"] for line in logged} == {"all workers were replaced"}

    in_shop(tmp_path, door, test)


def test_where_no_process_can_be_made_it_is_tried_again(
    tmp_path: Path, door: socket.socket
) -> None:
    async def test(opened: Shop) -> None:
        command = opened.workers._command
        opened.workers._command = [str(tmp_path / "no-such-program")]
        with capture_logs() as logged:
            os.kill(opened.workers._slots[0].process.pid, signal.SIGKILL)
            while "a worker cannot be made" not in [line["event"] for line in logged]:
                assert await opened.ask()
        opened.workers._command = command
        assert len(await opened.pids(2)) == 2

    in_shop(tmp_path, door, test)


def test_who_is_told_to_end_while_it_starts_does_not_wait(
    tmp_path: Path, door: socket.socket
) -> None:
    """A worker that takes for ever to come to serve, as where a server hangs."""
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    hanging = f"open({str(begun)!r}, 'w').close(); import time; time.sleep(60)"

    async def scenario() -> None:
        workers = Workers([sys.executable, "-c", hanging], [door], 1)
        running = asyncio.ensure_future(workers.run(lambda: pytest.fail("it is not ready")))
        async with asyncio.timeout(20):
            await asyncio.to_thread(begun.read_text)
            os.kill(os.getpid(), signal.SIGTERM)
            assert await running

    asyncio.run(scenario())
