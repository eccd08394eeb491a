"""The ledger's process: its lives, each on the disk that the one before left behind.

A process that crashes takes with it all that it had in memory. What it leaves is noted at that
moment: the files as they are (`kill`), or what a disk has of them after a power cut (`power`, see
`tests.faults.power_loss`), in the middle of a commit too. The next life finds these in a folder of
its own. The old one, which nobody hears any more, is closed in order on its own files.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import apsw

from tallystick.ledger.ports import StoreError
from tallystick.ledger.reads import Reads
from tallystick.storage.sqlite import SqliteStore
from tests.faults.power_loss import ForgetfulDisk, Kept
from tests.simulation.threads import Pace, VirtualThreads
from tests.simulation.witness import (
    Life,
    Witness,
    WitnessedLedger,
    WitnessedStore,
    WitnessedUnit,
)

FILE = "ledger.db"
_READ_MARK = "SELECT max(CAST(body AS INTEGER)) FROM replays WHERE operation = 'simulation'"
_ERRORS: dict[str, type[apsw.Error]] = {"full": apsw.FullError, "io": apsw.IOError}
Files = Mapping[str, bytes]
"""What a disk holds, by name."""


@cache
def empty_database() -> bytes:
    """A database of the present schema with nothing in it."""
    with TemporaryDirectory() as folder:
        path = Path(folder, FILE)
        store = SqliteStore.open(path, clock=lambda: 0, synchronous="OFF")
        asyncio.run(store.close())
        return path.read_bytes()


@dataclass(slots=True)
class Trouble:
    """Lets `after` operations on the log pass, and the next `times` fail."""

    operation: str
    error: type[apsw.Error]
    file: str
    after: int
    times: int

    def meet(self, operation: str, file: str) -> None:
        if (operation, file) != (self.operation, self.file) or not self.times:
            return
        self.after -= 1
        if self.after < 0:
            self.times -= 1
            raise self.error("by order of the script")


@dataclass(slots=True)
class Doom:
    """A crash at the disk's operation number `after` from now."""

    how: str
    after: int
    chance: Random


class Process(Life):
    """One life, from the disk as it is found until it ends; `ended` says so to whoever waits.

    `witnessed` makes a witnessed unit of one that is submitted without.
    """

    def __init__(
        self,
        folder: Path,
        files: Files,
        clock: Callable[[], int],
        witness: Witness,
        pace: Pace,
        attempt: Callable[[Callable[[], None]], None],
    ) -> None:
        self.folder = folder
        self.trouble: Trouble | None = None
        self.doom: Doom | None = None
        self.left: Files = {}
        """What the disk has after the crash."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.disk = _disk_with(folder, files, self._before)
        self._threads = VirtualThreads(pace, lambda: attempt(self.look))
        store = SqliteStore.open(
            self.path, clock=clock, owned=True, vfs=self.disk.name, threads=self._threads
        )
        self._spy = apsw.Connection(
            str(self.path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self.disk.name
        )
        super().__init__(witness, self._read_mark)
        self.store = WitnessedStore(store, self)
        self.reads = Reads(self.store.reader, clock)
        self.ledger: WitnessedLedger

    @property
    def path(self) -> Path:
        return self.folder / FILE

    def _read_mark(self) -> int:
        found: list[Any] = self._spy.execute(_READ_MARK).fetchall()
        return int(found[0][0] or 0)

    @contextmanager
    def ledger_file(self) -> Iterator[Path]:
        """Where it all stands, for who looks into it."""
        yield self.path

    def disturb(self, what: str, *, at: str, file: str, after: int, times: int) -> None:
        operation = "xSync" if at == "sync" else "xWrite"
        self.trouble = Trouble(operation, _ERRORS[what], f"{FILE}{file}", after, times)

    def calm(self) -> None:
        self.trouble = self.doom = None

    def run(self, witnessed: Callable[[object], WitnessedUnit]) -> None:
        self.ledger = WitnessedLedger(self.store, witnessed)

    def _before(self, operation: str, file: str) -> None:
        if self.doom is not None:
            self.doom.after -= 1
            if self.doom.after < 0:
                self.crash(self.doom.how, self.doom.chance)
        if self.trouble is not None:
            self.trouble.meet(operation, file)

    def crash(self, how: str, chance: Random) -> None:
        """Notes what is on the disk at this moment; from now on nobody looks or listens."""
        self.calm()
        if how == "power":
            folder = self.folder / "after"
            self.disk.cut().restart(folder, chance)
            self.left = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        else:
            self.left = {
                name: (self.folder / name).read_bytes()
                for name in (FILE, f"{FILE}-wal")
                if (self.folder / name).exists()
            }
        self.is_over = True
        if not self.ended.done():
            self.ended.set_result(None)

    async def bury(self) -> None:
        """Closes what a crash left open, or ends in order."""
        self.is_over = True
        self.calm()
        self._threads.leave_alone()
        self._spy.close()
        with suppress(StoreError):
            await self.ledger.close()
        self.disk.unregister()
        shutil.rmtree(self.folder)


class DiskMachine:
    """Processes one after the other, each on the disk that the one before left behind."""

    def __init__(self) -> None:
        empty_database()
        self._folder = Path(mkdtemp(prefix="tallystick-world-"))
        self._lives = 0
        self._last: Process | None = None

    def start(
        self,
        clock: Callable[[], int],
        witness: Witness,
        pace: Pace,
        attempt: Callable[[Callable[[], None]], None],
    ) -> Process:
        self._lives += 1
        files = (self._last and self._last.left) or {FILE: empty_database()}
        folder = self._folder / str(self._lives)
        self._last = Process(folder, files, clock, witness, pace, attempt)
        return self._last

    def close(self) -> None:
        shutil.rmtree(self._folder)


def _disk_with(folder: Path, files: Files, before: Callable[[str, str], None]) -> ForgetfulDisk:
    """A disk on which these files are, and safe."""
    folder.mkdir()
    disk = ForgetfulDisk()
    for name, content in files.items():
        (folder / name).touch(0o600)
        (folder / name).write_bytes(content)
        disk.now[name] = disk.synced[name] = Kept(content)
    disk.before = before
    return disk
