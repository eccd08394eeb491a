"""What the figures were measured on. No names: neither the machine's nor its folders'."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

import apsw

from bench.load import find_wrk

_PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "apsw")
_PROJECT: Final = Path(__file__).resolve().parents[1]
_SYNCS: Final = 200
_PAGE: Final = bytes(4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`sync_us` is what an appended page and fdatasync take on the disk, half of the times. On a
    `wakeful` machine idle cores do not fall asleep."""

    processor: str
    cores: int
    memory_gib: float
    virtualized: bool
    kernel: str
    python: str
    packages: dict[str, str]
    sqlite: str
    wrk: str
    file_system: str
    sync_us: int
    wakeful: bool
    load_average: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What was measured: a commit, and whether it was changed."""

    commit: str
    is_changed: bool


def describe_machine(folder: Path, *, wakeful: bool) -> Machine:
    """The machine, and the disk that `folder` is on."""
    processor = Path("/proc/cpuinfo").read_text()
    return Machine(
        processor=_field(processor, "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        virtualized=" hypervisor" in _field(processor, "flags"),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={name: version(name) for name in _PACKAGES},
        sqlite=apsw.sqlite_lib_version(),
        wrk=_wrk_version(),
        file_system=file_system(folder),
        sync_us=_sync_us(folder),
        wakeful=wakeful,
        load_average=round(os.getloadavg()[0], 2),
    )


def describe_revision() -> Revision:
    commit = _git("rev-parse", "--short=12", "HEAD")
    return Revision(
        commit=commit or "unknown",
        is_changed=bool(_git("status", "--porcelain", "--", "src", "bench")),
    )


def file_system(folder: Path) -> str:
    """The type of the file system that a folder is on, such as ext4."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = folder.resolve()
    holders = [(len(at), kind) for at, kind in mounts if path.is_relative_to(at)]
    # Of mounts at one place the last covers those before.
    return max(reversed(holders), key=lambda holder: holder[0])[1] if holders else "unknown"


def _field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _wrk_version() -> str:
    said = subprocess.run([find_wrk(), "-v"], capture_output=True, text=True, check=False)
    words = (said.stdout + said.stderr).split()
    return words[1] if len(words) > 1 else "unknown"


def _sync_us(folder: Path) -> int:
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            start = time.perf_counter_ns()
            os.write(file.fileno(), _PAGE)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter_ns() - start)
    return round(median(taken) / 1e3)


def _git(*arguments: str) -> str:
    try:
        said = subprocess.run(
            ["git", "-C", str(_PROJECT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return said.stdout.strip()
