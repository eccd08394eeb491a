"""One process writes a database file, and only its user can read it.

The lock is `flock` on `<database>.lock`. The kernel drops it with the process, however that ends,
so a lock file that was left behind means nothing and is never deleted: deleting it would let two
processes lock two files of one name. What is written into it is for people only.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tallystick.storage.errors import AlreadyOwned, StoreNotUsable, UnsafePermissions

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PRIVATE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_COMPANIONS: Final = ("", "-wal", "-shm", "-journal")


class OwnerLock:
    """Ownership of a database file, from construction until `release` or the process's end.

    Raises AlreadyOwned where another process has it, and StoreNotUsable where no lock file can be
    made, or where it is another user's and this is root. A process that was forked off shares the
    lock until it ends or becomes another program.
    """

    def __init__(self, database: str | os.PathLike[str]) -> None:
        _refuse_as_root(Path(database))
        self.path = Path(f"{os.fspath(database)}.lock")
        self._descriptor = _open_private(self.path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 200, 0).decode(errors="replace").split("\n")
            os.close(self._descriptor)
            raise _already_owned(Path(database), owner) from None
        self._sign()

    def _sign(self) -> None:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n{started}\n".encode(), 0)

    def release(self) -> None:
        """Lets go; once more does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _already_owned(database: Path, owner: list[str]) -> AlreadyOwned:
    pid = int(owner[0]) if owner[0].isdecimal() else None
    who = "another process" if pid is None else f"process {pid}"
    since = f" since {owner[1]}" if len(owner) > 1 and owner[1] else ""
    return AlreadyOwned(
        f"{database} is in use by {who}{since}, and only one may write it. Stop that process "
        f"first, or name another database file.",
        pid,
    )


def prepare_database_file(database: Path) -> None:
    """Makes the file with mode 0600, or sees to it that nobody else can read the one that is there.

    Raises UnsafePermissions, or StoreNotUsable where there can be no such file.
    """
    os.close(_open_private(database))
    for suffix in _COMPANIONS:
        _refuse_access_by_others(Path(f"{database}{suffix}"))


def _refuse_as_root(database: Path) -> None:
    """Files that root makes beside another user's database would shut that user out of it."""
    if os.geteuid() != 0:
        return
    try:
        owner = database.stat().st_uid
    except OSError:
        # A new one, or what is wrong with it will be said by whoever opens it.
        return
    if owner != 0:
        raise StoreNotUsable(
            f"{database} belongs to the user {_name_of(owner)}, and root would leave files beside "
            f"it that they cannot open. Run this as them: sudo -u {_name_of(owner)} …"
        )


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


def _open_private(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise StoreNotUsable(
            f"cannot open {path}: {error.strerror}. Name a database in a folder that is there and "
            "that you may write to, or make the folder."
        ) from error


def _refuse_access_by_others(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    if mode & _OTHERS:
        raise UnsafePermissions(
            f"{path} can be read or written by other users (mode {mode:04o}): chmod 600 {path}"
        )
