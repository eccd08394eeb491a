"""Backups that are taken under load can be restored, agree with themselves, and have what was
acknowledged before they began."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from bench.postgres import SUPERUSER, find_binary, own, postgres_daemon, run_as_owner
from tests.commands import Commands
from tests.harness import bearer
from tests.server import Server, running_server
from tests.servers.postgres import Postgres, connected, name_of

USAGE = "/v1/organization/credits/usage"
LEAST = 100
"""Events before a backup begins."""


class Spender:
    """Books events one after the other, and knows what was acknowledged."""

    def __init__(self, server: Server) -> None:
        acme = server.organization(external_id="acme", allowance=1_000_000)
        self.secret = server.key(acme)
        self.booked = 0
        self._server = server
        self._ends = threading.Event()
        self._enough = threading.Event()

    def spend(self) -> None:
        with httpx.Client(base_url=self._server.url, headers=bearer(self.secret)) as client:
            for number in itertools.count():
                if self._ends.is_set():
                    return
                answer = client.post(USAGE, json={"id": f"evt-{number}", "credits": 1})
                assert answer.is_success, answer.text
                self.booked = number + 1
                if self.booked >= LEAST:
                    self._enough.set()

    def has_enough(self) -> None:
        assert self._enough.wait(60)

    def end(self) -> None:
        self._ends.set()


@contextmanager
def under_load(url: str, folder: Path) -> Iterator[Spender]:
    with running_server(folder, database=url) as server:
        spender = Spender(server)
        thread = threading.Thread(target=spender.spend)
        thread.start()
        try:
            spender.has_enough()
            yield spender
        finally:
            spender.end()
            thread.join()


def program(name: str, *arguments: object) -> None:
    done = subprocess.run(
        [str(find_binary(name)), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def check_restored(url: str, folder: Path, secret: str, least: int, most: int) -> None:
    """It agrees with itself, has what it has to, and serves."""
    assert Commands(database=url).json("verify")["agrees"]
    with running_server(folder, database=url) as server:
        consumed = consumed_by(server, secret)
        assert least <= consumed <= most
        again = {"id": f"evt-{least - 1}", "credits": 1}
        answer = httpx.post(f"{server.url}{USAGE}", json=again, headers=bearer(secret))
        assert answer.is_success
        assert consumed_by(server, secret) == consumed


def consumed_by(server: Server, secret: str) -> int:
    answer = httpx.get(f"{server.url}/v1/organization/credits", headers=bearer(secret))
    consumed: int = answer.json()["consumed"]
    return consumed


@pytest.mark.parametrize("partitions", [0, 3])
def test_a_dump_taken_under_load_is_restored(
    durable: Postgres, tmp_path: Path, partitions: int
) -> None:
    url, restored = durable.database(partitions=partitions), durable.empty_database()
    dump = tmp_path / "tallystick.dump"
    with under_load(url, tmp_path) as spender:
        before = spender.booked
        program("pg_dump", "--format=custom", f"--file={dump}", url)
        after = spender.booked + 1
        program("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={restored}", dump)
    check_restored(restored, tmp_path, spender.secret, before, after)


def test_a_restored_dump_keeps_its_triggers_and_grants(durable: Postgres, tmp_path: Path) -> None:
    url, restored = durable.database(), durable.empty_database()
    durable.execute("CREATE ROLE restored_service LOGIN")
    Commands(database=url).json("migrate", "--role", "restored_service")
    dump = tmp_path / "tallystick.dump"
    program("pg_dump", "--format=custom", f"--file={dump}", url)
    program("pg_restore", "--exit-on-error", f"--dbname={restored}", dump)
    as_role = durable.url(name_of(restored), user="restored_service")
    with running_server(tmp_path, database=as_role) as server:
        server.organization()

    async def try_to_change() -> None:
        async with connected(restored) as owner:
            await owner.execute("UPDATE entries SET credits = 5")

    with pytest.raises(
        asyncpg.IntegrityConstraintViolationError, match="entries are never changed"
    ):
        asyncio.run(try_to_change())


def test_a_base_backup_taken_under_load_is_restored(durable: Postgres, tmp_path: Path) -> None:
    url = durable.database()
    folder = durable.daemon.folder.with_name("restored")
    folder.mkdir()
    own(folder)
    with under_load(url, tmp_path) as spender:
        before = spender.booked
        source = ["-h", "127.0.0.1", "-p", str(durable.daemon.port), "-U", SUPERUSER]
        copy = [str(find_binary("pg_basebackup")), *source, "-D", str(folder / "data")]
        run_as_owner([*copy, "-X", "stream", "-c", "fast"])
        after = spender.booked + 1
    restored = postgres_daemon(folder, {"autovacuum": "off"})
    restored.start()
    try:
        there = Postgres(restored).url(name_of(url))
        check_restored(there, tmp_path, spender.secret, before, after)
    finally:
        restored.stop()
