"""A disk that forgets what was not synced, as a file system for SQLite.

Theory of operation. `ForgetfulDisk` is a VFS on top of the real one. What SQLite writes goes to the
real file, so that it reads its own writes; beside it the disk keeps, for each file, what was there
at the last sync and the list of what has happened since, and for the folder the same: which names
it had at its last sync and which it has now. A power cut leaves the synced content and an arbitrary
part of the list: each write whole, not at all or torn at the borders of sectors of 512 bytes, each
truncation done or not; and for each name what the folder had, or has. (As the real VFS does, the
first sync of a new log or journal syncs the folder.)

A power cut need not end anything: `cut` notes what is on the disk at this moment, and the store
goes on. So one run gives as many power cuts as are wanted, in the middle of commits and checkpoints
too, and each is looked at afterwards with the plain file system. The shared-memory file is not
kept: it does not survive a restart.

Files are written by several threads, and a power cut is one moment for all of them: what is written
and what is noted of it, and a cut, exclude one another.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import apsw

SECTOR = 512
_names = itertools.count()


class Write(NamedTuple):
    offset: int
    data: bytes


class Truncate(NamedTuple):
    size: int


@dataclass
class Kept:
    """A file: its content when it was last synced, and what came after."""

    synced: bytes = b""
    since: list[Write | Truncate] = field(default_factory=list)

    def sync(self, content: bytes) -> None:
        self.synced, self.since = content, []

    def after_power_cut(self, chance: random.Random) -> bytes:
        """One of the contents that the disk may be left with."""
        # Controllers have their habits: to keep nothing, everything, or whatever it happens to be.
        odds = chance.choice([0.0, 0.5, 0.95, 1.0])
        content = bytearray(self.synced)
        for change in self.since:
            if isinstance(change, Write):
                _apply(content, change, odds, chance)
            elif chance.random() < odds:
                del content[change.size :]
        return bytes(content)


def _apply(content: bytearray, write: Write, odds: float, chance: random.Random) -> None:
    is_torn = chance.random() < 0.2
    is_kept = chance.random() < odds
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        border = min(end, at - at % SECTOR + SECTOR)
        if chance.random() < odds if is_torn else is_kept:
            content.extend(bytes(max(0, border - len(content))))
            content[at:border] = write.data[at - write.offset : border - write.offset]
        at = border


Folder = dict[str, Kept]


class PowerCut(NamedTuple):
    """What was on the disk at some moment, and what had been acknowledged by then."""

    synced: Folder
    now: Folder
    acknowledged: int

    def restart(self, folder: Path, chance: random.Random) -> None:
        """Writes the files as they are found after the power is back."""
        folder.mkdir()
        for name in sorted(self.synced.keys() | self.now.keys()):
            kept = chance.choice([self.synced, self.now]).get(name)
            if kept is not None:
                (folder / name).touch(0o600)
                (folder / name).write_bytes(kept.after_power_cut(chance))


class ForgetfulDisk(apsw.VFS):
    """Use as `vfs=disk.name`.

    `before` is called with the name of each operation (xWrite, xSync, xTruncate, xDelete) and of
    its file, before it happens; what it raises, the operation fails with. `acknowledged` is for the
    test to count what it was promised.
    """

    def __init__(self, before: Callable[[str, str], None] = lambda _, __: None) -> None:
        self.name = f"forgetful-{os.getpid()}-{next(_names)}"
        self.before = before
        self.synced: Folder = {}
        self.now: Folder = {}
        self.acknowledged = 0
        self.moment = threading.RLock()
        super().__init__(self.name, "")

    def cut(self) -> PowerCut:
        # In one go: a file that is in both folders is one file.
        with self.moment:
            synced, now = deepcopy((self.synced, self.now))
            return PowerCut(synced, now, self.acknowledged)

    def sync_folder(self) -> None:
        self.synced = dict(self.now)

    def xOpen(  # noqa: N802 - SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return ForgetfulFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        name = Path(filename).name
        self.before("xDelete", name)
        with self.moment:
            super().xDelete(filename, syncdir)
            self.now.pop(name, None)
            if syncdir:
                self.sync_folder()


class ForgetfulFile(apsw.VFSFile):
    def __init__(
        self, disk: ForgetfulDisk, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._path = Path(text or "")
        self._name = self._path.name
        self._syncs_folder = self._name.endswith(("-wal", "-journal")) and not self._path.exists()
        super().__init__("", name, flags)
        self._disk = disk
        self._kept = disk.now.setdefault(self._name, Kept())

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before("xWrite", self._name)
        with self._disk.moment:
            super().xWrite(data, offset)
            self._kept.since.append(Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before("xTruncate", self._name)
        with self._disk.moment:
            super().xTruncate(newsize)
            self._kept.since.append(Truncate(newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before("xSync", self._name)
        with self._disk.moment:
            self._kept.sync(self._path.read_bytes())
            if self._syncs_folder:
                self._disk.sync_folder()
                self._syncs_folder = False
