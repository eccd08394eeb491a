"""One process owns a database file, and only its user can read it."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallystick.storage.errors import AlreadyOwned, StoreNotUsable, UnsafePermissions
from tallystick.storage.owner import OwnerLock
from tallystick.storage.sqlite import SqliteStore

OWN = """
import sys
from tallystick.storage.owner import OwnerLock
lock = OwnerLock(sys.argv[1])
print("owned", flush=True)
sys.stdin.read()
"""


@contextmanager
def owner(database: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns `database` until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWN, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def lax_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_second_process_is_told_who_the_first_is(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    with owner(database) as first:
        with pytest.raises(AlreadyOwned) as refused:
            OwnerLock(database)
        assert refused.value.pid == first.pid
        assert f"in use by process {first.pid} since 20" in str(refused.value)
        assert "Stop that process" in str(refused.value)
    OwnerLock(database).release()


def test_a_second_owner_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with OwnerLock(tmp_path / "ledger.db") as lock:
        with pytest.raises(AlreadyOwned) as refused:
            OwnerLock(tmp_path / "ledger.db")
        assert refused.value.pid == os.getpid()
        lock.release()
        OwnerLock(tmp_path / "ledger.db").release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    with owner(database) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        with OwnerLock(database) as lock:
            assert lock.path.read_text().startswith(f"{os.getpid()}\n")


def test_a_program_that_the_owner_starts_does_not_keep_the_lock(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    lock = OwnerLock(database)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('started', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        close_fds=False,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        lock.release()
        OwnerLock(database).release()


@pytest.mark.parametrize(
    "content", ["", "4194999\n2020-01-01T00:00:00+00:00\n", "nonsense\0\xff\n" * 9]
)
def test_a_file_that_was_left_behind_means_nothing(tmp_path: Path, content: str) -> None:
    database = tmp_path / "ledger.db"
    (tmp_path / "ledger.db.lock").write_text(content)
    with OwnerLock(database) as lock:
        pid, since = lock.path.read_text().splitlines()
    assert pid == str(os.getpid())
    assert since > "2026"


def test_an_owner_that_has_not_signed_is_another_process(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    with OwnerLock(database) as lock:
        lock.path.write_text("")
        with pytest.raises(AlreadyOwned, match="in use by another process, and") as refused:
            OwnerLock(database)
        assert refused.value.pid is None


def test_a_folder_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreNotUsable, match=r"cannot open .*nowhere/ledger.db.lock.*the folder"):
        OwnerLock(tmp_path / "nowhere" / "ledger.db")
    with pytest.raises(StoreNotUsable, match=r"cannot open .*nowhere/ledger.db: No such"):
        SqliteStore.open(tmp_path / "nowhere" / "ledger.db", clock=lambda: 0)


@pytest.mark.usefixtures("lax_umask")
def test_every_file_is_private(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    with OwnerLock(database):
        store = SqliteStore.open(database, clock=lambda: 0)
        names = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock")
        modes = {name: oct(mode(tmp_path / name)) for name in names}
        asyncio.run(store.close())
    assert modes == dict.fromkeys(names, "0o600")


@pytest.mark.parametrize("unsafe", [0o640, 0o604, 0o620, 0o777])
@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, unsafe: int, suffix: str) -> None:
    database = tmp_path / "ledger.db"
    asyncio.run(SqliteStore.open(database, clock=lambda: 0).close())
    reachable = tmp_path / f"ledger.db{suffix}"
    reachable.touch()
    reachable.chmod(unsafe)
    with pytest.raises(UnsafePermissions) as refused:
        SqliteStore.open(database, clock=lambda: 0)
    assert f"chmod 600 {reachable}" in str(refused.value)
    reachable.chmod(0o600)
    asyncio.run(SqliteStore.open(database, clock=lambda: 0).close())


def test_root_leaves_another_users_database_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "ledger.db"
    database.touch(0o600)
    if os.geteuid() == 0:
        os.chown(database, 54_321, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(StoreNotUsable, match=r"belongs to the user .*, and root") as refused:
        OwnerLock(database)
    assert "Run this as them: sudo -u " in str(refused.value)
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.db"]
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    OwnerLock(database).release()


def test_root_may_have_a_database_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    OwnerLock(tmp_path / "ledger.db").release()
