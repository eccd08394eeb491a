"""The wiring, as far as it does anything by itself."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tallystick import bootstrap
from tallystick.bootstrap import (
    beside,
    check_operations,
    embedded,
    housekeeping,
    make_first_operator,
    tidy,
    upkeep,
    write_private,
)
from tallystick.config import ConfigError, Settings, resolve
from tallystick.http.auth import Principal
from tallystick.ledger.coalesce import Overloaded
from tallystick.ledger.directory import Housekeeping
from tallystick.ledger.ports import StoreUnavailable
from tallystick.ledger.reading import Page
from tallystick.ledger.refused import WAITING_EACH, RefusedRequest
from tallystick.ledger.units import REPLAYS_KEPT
from tallystick.storage.errors import AlreadyOwned
from tallystick.storage.sqlite import SqliteStore
from tests.harness import bearer


def settings_for(folder: Path, **environ: str) -> Settings:
    return resolve({"database": str(folder / "ledger.db")}, environ).settings


def in_service(
    folder: Path, test: Callable[[bootstrap.Running], Awaitable[None]], **environ: str
) -> None:
    """Runs `test` with the service on a database in `folder`."""

    async def scenario() -> None:
        async with embedded(settings_for(folder, **environ)) as running:
            await test(running)

    asyncio.run(scenario())


def test_a_database_has_one_owner_at_a_time(tmp_path: Path) -> None:
    async def test(_: bootstrap.Running) -> None:
        with pytest.raises(AlreadyOwned):
            async with embedded(settings_for(tmp_path)):
                pass

    in_service(tmp_path, test)
    in_service(tmp_path, lambda _: asyncio.sleep(0))


def test_a_database_that_cannot_be_closed_in_order_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: SqliteStore) -> None:
        raise StoreUnavailable("by order of the test")

    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(SqliteStore, "close", refuse)
        in_service(tmp_path, lambda _: asyncio.sleep(0))
    [line] = logged
    assert line["reason"] == "by order of the test"
    in_service(tmp_path, lambda _: asyncio.sleep(0))


def test_ids_sort_by_age() -> None:
    made = [bootstrap.new_id("org") for _ in range(1_000)]
    assert made == sorted(set(made))


# ── the first operator ──


def test_a_first_operator_whose_making_broke_off_is_made_again(tmp_path: Path) -> None:
    """The file comes first: without it there would be a key that nobody knows."""
    path = tmp_path / "ledger.db.admin-key"

    async def test(running: bootstrap.Running) -> None:
        service = running.service
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(service.ledger, "submit", unavailable)
            with pytest.raises(StoreUnavailable):
                await make_first_operator(service, path)
        lost = path.read_text()
        secret = await make_first_operator(service, path) or ""
        assert path.read_text() == f"{secret}\n" != lost
        who = service.authenticator.identify(bearer(secret)["authorization"].encode(), None)
        assert isinstance(who, Principal)
        assert who.is_operator

    in_service(tmp_path, test)


async def unavailable(*_: object) -> object:
    raise StoreUnavailable("the disk is full")


def test_there_is_no_second_first_operator(tmp_path: Path) -> None:
    async def test(running: bootstrap.Running) -> None:
        path = tmp_path / "key"
        assert await make_first_operator(running.service, path) is not None
        kept = path.read_text()
        assert await make_first_operator(running.service, path) is None
        assert path.read_text() == kept

    in_service(tmp_path, test)


def test_a_private_file_is_whole_or_not_there(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "key", "secret")
        write_private(tmp_path / "key", "another")
        with pytest.raises(IsADirectoryError):
            write_private(tmp_path, "secret")
    finally:
        os.umask(before)
    assert (tmp_path / "key").read_text() == "another\n"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_companions_stand_beside_the_database() -> None:
    assert beside(Path("/var/lib/ledger.db"), ".sock") == Path("/var/lib/ledger.db.sock")


# ── upkeep ──


def test_when_keys_were_used_is_written_or_kept(tmp_path: Path) -> None:
    async def test(running: bootstrap.Running) -> None:
        service = running.service
        secret = await make_first_operator(service, tmp_path / "key") or ""
        service.authenticator.identify(bearer(secret)["authorization"].encode(), None)
        used = dict(service.authenticator.last_used)
        assert len(used) == 1
        with pytest.MonkeyPatch.context() as broken, capture_logs() as logs:
            broken.setattr(service.ledger, "submit", unavailable)
            await tidy(service)
        assert [line["reason"] for line in logs] == ["the disk is full"]
        assert service.authenticator.last_used == used
        await tidy(service)
        assert service.authenticator.last_used == {}
        [key] = await service.reads.reader.keys(None, Page(1))
        assert key.last_used_at == used[None, key.id]

    in_service(tmp_path, test)


def refused_request(number: int = 1) -> RefusedRequest:
    return RefusedRequest(
        organization_id="org_acme",
        id=f"req_{number}",
        at=bootstrap.clock(),
        operation="book_usage",
        method="POST",
        path="/v1/organization/credits/usage",
        status=402,
        code="credit_exceeded",
        details=b'{"reason":"x"}',
        teamspace_id="ts_home",
        api_key_id="key_1",
        event_ids=("evt-1",),
        rejected=1,
    )


def test_what_was_refused_outlives_the_server(tmp_path: Path) -> None:
    request = refused_request()

    async def note(running: bootstrap.Running) -> None:
        async with upkeep(running.service):
            running.service.refused.note(request)

    async def ask(running: bootstrap.Running) -> None:
        assert await running.service.refused.find("org_acme", request.id) == request
        assert await running.service.refused.find("org_other", request.id) is None

    in_service(tmp_path, note)
    in_service(tmp_path, ask)


def test_what_was_refused_is_written_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it cannot be, that is reported and tried again."""
    second, failed, written = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def pause(seconds: int) -> None:
        if seconds != housekeeping.NOTING_SECONDS:
            await asyncio.Event().wait()
        await second.wait()
        second.clear()

    monkeypatch.setattr(housekeeping, "_pause", lambda seconds: lambda: pause(seconds))
    monkeypatch.setattr(housekeeping, "_report", lambda _: failed.set())

    async def test(running: bootstrap.Running) -> None:
        service, request = running.service, refused_request()
        service.ledger.listen(lambda _: written.set())
        async with asyncio.timeout(20), upkeep(service):
            service.refused.note(request)
            with pytest.MonkeyPatch.context() as broken:
                broken.setattr(service.ledger, "submit", unavailable)
                second.set()
                await failed.wait()
            second.set()
            await written.wait()
            found = await service.reads.reader.refused_request("org_acme", request.id)
            assert found == request

    in_service(tmp_path, test)


def test_upkeep_follows_the_ledgers_clock_and_not_the_processs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not the same where the ledger's is a database's."""
    swept: list[int] = []

    async def sweep(_: object, clock: Callable[[], int], *__: object) -> None:
        swept.append(clock())

    monkeypatch.setattr(housekeeping, "keep_sweeping", sweep)

    async def test(running: bootstrap.Running) -> None:
        service = running.service
        service.clock = lambda: REPLAYS_KEPT + 7
        units: list[Housekeeping] = []
        monkeypatch.setattr(service.ledger, "submit", noting(units))
        async with upkeep(service):
            await asyncio.sleep(0)
        assert swept == [REPLAYS_KEPT + 7]
        assert [unit.forget_replays_before for unit in units] == [7]

    with capture_logs():  # that the sweeper has ended
        in_service(tmp_path, test)


def noting(units: list[Housekeeping]) -> Callable[[str, object], asyncio.Future[None]]:
    def submit(_: str, unit: object) -> asyncio.Future[None]:
        if isinstance(unit, Housekeeping):
            units.append(unit)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    return submit


def test_what_could_not_be_noted_is_counted_in_the_log(tmp_path: Path) -> None:
    async def test(running: bootstrap.Running) -> None:
        for number in range(WAITING_EACH + 3):
            running.service.refused.note(refused_request(number))
        for expected in ([3], []):
            with capture_logs() as logs:
                await tidy(running.service)
            assert [line["dropped"] for line in logs] == expected

    in_service(tmp_path, test)


def test_a_part_of_the_upkeep_that_dies_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(housekeeping, "keep_sweeping", die)

    async def test(running: bootstrap.Running) -> None:
        with capture_logs() as logs:
            async with upkeep(running.service):
                # It begins, and fails at once.
                await asyncio.sleep(0)
        assert logs[0]["event"] == "sweeper stopped; restart the server"
        assert isinstance(logs[0]["exc_info"], LookupError)

    in_service(tmp_path, test)


def test_what_hinders_the_sweeper_is_reported(tmp_path: Path) -> None:
    with capture_logs() as logs:
        housekeeping._report(Overloaded("too much"))
        housekeeping._report(LookupError("a bug"))
    assert [line["reason"] for line in logs] == ["too much", "a bug"]
    assert [bool(line["exc_info"]) for line in logs] == [False, True]


# ── limits on operations ──


def test_limits_are_for_operations_that_have_one(tmp_path: Path) -> None:
    good = resolve({}, {"TALLYSTICK_RATE_LIMITS": "get_credits=5,list_organizations=6"})
    check_operations(good)
    for name in ("get_credit", "get_health"):
        with pytest.raises(ConfigError, match=f"TALLYSTICK_RATE_LIMITS: {name} is no operation"):
            check_operations(resolve({}, {"TALLYSTICK_RATE_LIMITS": f"{name}=5"}))
