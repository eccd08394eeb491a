"""The lock is in step with pyproject.toml, and nothing in it is unchecked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from packaging.requirements import Requirement

from tests.tidy.documents import normal
from tests.tidy.project import ROOT, Finding

LOCK = (ROOT / "requirements.lock").read_text()
PEERS_LOCK = (ROOT / "bench" / "peers" / "requirements.lock").read_text()
PYPROJECT = (ROOT / "pyproject.toml").read_text()

_PIN = re.compile(
    r"^([\w.-]+)==([\w.+!-]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def _project(table: dict[str, Any]) -> list[str]:
    return [*table["project"]["dependencies"], *table["dependency-groups"]["dev"]]


def _peers(table: dict[str, Any]) -> list[str]:
    return [*table["dependency-groups"]["bench"]]


def check_lock(
    pyproject: str, lock: str, specs: Callable[[dict[str, Any]], list[str]] = _project
) -> Iterator[Finding]:
    pins = {normal(name): version for name, version, _ in _PIN.findall(lock)}
    for spec in specs(tomllib.loads(pyproject)):
        wanted = Requirement(spec)
        if not wanted.specifier.contains(pins.get(normal(wanted.name), "0")):
            yield Finding(1, f"the lock does not satisfy {spec}; run `make lock`")


def check_hashes(lock: str) -> Iterator[Finding]:
    names = re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)
    for name in sorted(set(names) - {name for name, _, _ in _PIN.findall(lock)}):
        yield Finding(1, f"{name} is locked without a hash")


def test_the_lock_satisfies_the_project() -> None:
    assert list(check_lock(PYPROJECT, LOCK)) == []


def test_the_peers_lock_satisfies_the_benchmark() -> None:
    assert list(check_lock(PYPROJECT, PEERS_LOCK, _peers)) == []
    assert list(check_lock(PYPROJECT.replace('"granian>=', '"granian>=9'), PEERS_LOCK, _peers))


def test_everything_locked_has_a_hash() -> None:
    assert list(check_hashes(LOCK + PEERS_LOCK)) == []


def test_a_lock_that_lags_behind_is_found() -> None:
    assert list(check_lock(PYPROJECT.replace('"apsw>=', '"apsw>=9'), LOCK))
    assert list(check_lock(PYPROJECT.replace('"apsw>=', '"not-locked>='), LOCK))


def test_a_pin_without_a_hash_is_found() -> None:
    assert list(check_hashes(LOCK + "stray==1.0\n"))
