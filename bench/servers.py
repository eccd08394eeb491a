"""The servers that are measured: how each is started, and what it needs before it is asked.

A server is one line in `SERVERS`. It runs as in production, in processes of its own, all on one
core, with a folder of its own on a real disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from bench import clocks
from bench.databases import (
    Backing,
    for_limiters,
    for_the_service,
    for_the_typical_stack,
    postgres_and_redis,
    redis,
)
from bench.ledgers import Case, Ids, copy_of_filled, fill, found_many
from bench.load import LoadFailed
from bench.peers import bare, one_transaction
from bench.ports import free_port, wait_until_open
from bench.rows import ORGANIZATIONS
from bench.tenant import ADMIN_KEY, Asker, PeersTenant, Tenant

_END_SECONDS: Final = 15
STEPS: Final = "steps.json"
"""In the folder of a server whose loop is timed, when it has ended."""
_DATABASE: Final = "tallystick.db"
_MILLION: Final = 1_000_000
_KINDS: Final[dict[Ids, str]] = {"ordered": "", "random": ", random ids"}
_BIN: Final = Path(sys.executable).parent
PROJECT: Final = Path(__file__).resolve().parents[1]


_NOTHING: Final = Backing()


def _told_nothing(_: Backing) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`command` gives the arguments for a port and a folder. `prepare` puts into the folder what
    must be there before. `tenant` makes who asks, if the server wants to know. One that
    `works_alone` gets no requests: see `peers.alone`; where it does nothing else meanwhile, all of
    its CPU time counts (`counts_whole`). What it is `backed` by, of which it is `told` by variables
    of its environment, runs beside it, on the other cores. One that `spreads` over several
    processes has no core to itself: it gets them all, and shares them."""

    name: str
    about: str
    command: Callable[[int, Path], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], None] | None = None
    tenant: Callable[[str, Path], Asker] | None = None
    backed: Callable[[Path], AbstractContextManager[Backing]] | None = None
    told: Callable[[Backing], Mapping[str, str]] = _told_nothing
    works_alone: bool = False
    counts_whole: bool = False
    spreads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    server: Server
    port: int
    pids: Sequence[int]
    tenant: Asker | None
    backing: Backing = _NOTHING

    @property
    def url(self) -> str:
        return _url(self.port)

    def cpu_ns(self) -> int:
        return sum(map(clocks.cpu_ns, self.pids))


def _tallystick(port: int, folder: Path) -> list[str]:
    return [
        *(our_tallystick(), "serve", "--host", "127.0.0.1", "--port", str(port)),
        *("--database", str(folder / _DATABASE), "--rate-limit", "1000000"),
    ]


def _filled(entries: int, ids: Ids = "ordered", name: str = _DATABASE) -> Callable[[Path], None]:
    """Many servers begin with the same database, so it is filled once for all that run beside. One
    of ten million entries is too large to lie about twice, and has one server."""
    case = Case(events=100, entries=entries, ids=ids)
    if entries > _MILLION:
        return lambda folder: fill(folder / name, case)
    return lambda folder: copy_of_filled(case, folder.parent / "filled", folder / name)


def _timed_tallystick(port: int, folder: Path) -> list[str]:
    _, *arguments = _tallystick(port, folder)
    return [our_python(), "-m", "bench.steps", str(folder / STEPS), *arguments]


def _service(
    name: str,
    about: str,
    *,
    prepare: Callable[[Path], None] | None = None,
    command: Callable[[int, Path], Sequence[str]] = _tallystick,
) -> Server:
    return Server(
        name=name,
        about=about,
        command=command,
        environment={"TALLYSTICK_ADMIN_KEY": ADMIN_KEY},
        prepare=prepare,
        tenant=lambda url, folder: Tenant(url, folder / _DATABASE),
    )


def _nodes(workers: int) -> Server:
    """The service on PostgreSQL and Redis, in one process or several."""
    few = {1: "one process", 2: "two processes", 4: "four processes"}[workers]
    return Server(
        name=f"tallystick on PostgreSQL + Redis{'' if workers == 1 else f', {few}'}",
        about=f"`tallystick serve --workers {workers}` on PostgreSQL and Redis: {few}, whose own "
        "CPU time is shown, without the databases'",
        command=lambda port, _: [
            *(our_tallystick(), "serve", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", str(workers), "--rate-limit", "1000000"),
        ],
        environment={"TALLYSTICK_ADMIN_KEY": ADMIN_KEY},
        backed=postgres_and_redis,
        told=for_the_service,
        tenant=lambda url, _: Tenant(url),
        spreads=workers > 1,
    )


def _redis_limiter(
    name: str, which: str, about: str, python: Callable[[], str] | None = None
) -> Server:
    return Server(
        name=name,
        about=about,
        command=_alone("shared_windows", which, python=python or our_python),
        backed=lambda folder: redis(folder / "redis"),
        told=for_limiters,
        works_alone=True,
        counts_whole=True,
    )


def our_tallystick() -> str:
    return str(_BIN / "tallystick")


def our_python() -> str:
    return sys.executable


def peers_python() -> str:
    """The interpreter that has what we compare with; raises LoadFailed where there is none."""
    found = PROJECT / ".venv-peers" / "bin" / "python"
    if not found.exists():
        raise LoadFailed("the peers are not installed: `scripts/setup peers` does it")
    return str(found)


def _alone(
    module: str, *arguments: str, python: Callable[[], str] = our_python
) -> Callable[[int, Path], list[str]]:
    return lambda port, folder: [
        *(python(), "-m", f"bench.peers.{module}", str(port), str(folder)),
        *arguments,
    ]


def _nginx(port: int, folder: Path) -> list[str]:
    path = f"{os.environ['PATH']}:/usr/sbin"  # where Debian has it, and people may not look
    nginx = shutil.which("nginx", path=path)
    if nginx is None:
        raise LoadFailed("nginx is not installed: `scripts/setup peers` does it")
    configuration = folder / "nginx.conf"
    template = (PROJECT / "bench" / "peers" / "nginx.conf").read_text()
    configuration.write_text(template.replace("PORT", str(port)))
    return [nginx, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.txt")]


def _granian(app: str) -> Callable[[int, Path], list[str]]:
    """granian with one worker, and the loop and the protocol that uvicorn has here."""
    return lambda port, _: [
        *(peers_python(), "-m", "granian", app, "--interface", "asginl"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--runtime-threads", "1"),
        *("--loop", "uvloop", "--http", "1", "--no-ws", "--log-level", "warning"),
    ]


def _uvicorn(
    app: str, *, python: Callable[[], str] = our_python, lifespan: str = "off"
) -> Callable[[int, Path], list[str]]:
    """uvicorn as `tallystick serve` sets it, and as nobody would set it slower."""
    return lambda port, _: [
        *(python(), "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", lifespan),
        *("--interface", "asgi3", "--no-access-log", "--no-server-header", "--no-proxy-headers"),
        *("--timeout-keep-alive", "75", "--log-level", "warning"),
    ]


SERVERS: Final = {
    server.name: server
    for server in (
        _service("tallystick", "`tallystick serve` on a new SQLite file"),
        *(
            _service(
                f"tallystick, {words} entries{kind}",
                f"`tallystick serve` on a ledger of {figure} entries{kind} at first",
                prepare=_filled(entries, ids),
            )
            for words, figure, entries in (
                ("ten thousand", "10⁴", 10_000),
                ("a million", "10⁶", _MILLION),
                ("ten million", "10⁷", 10 * _MILLION),
            )
            for ids, kind in _KINDS.items()
        ),
        _service(
            "tallystick, a hundred thousand organizations",
            "`tallystick serve` on a database of 10⁵ organizations",
            prepare=lambda folder: found_many(folder / _DATABASE, ORGANIZATIONS),
        ),
        _service(
            "tallystick, its loop timed",
            "`tallystick serve` with a clock around each step of its loop",
            command=_timed_tallystick,
        ),
        *map(_nodes, (1, 2, 4)),
        Server(
            name="hello",
            about="hello-world ASGI app on uvicorn, which ignores the body",
            command=_uvicorn("bench.peers.hello:ignore_body"),
        ),
        Server(
            name="hello, body read",
            about="hello-world ASGI app on uvicorn, which reads the body",
            command=_uvicorn("bench.peers.hello:read_body"),
        ),
        Server(
            name="hello on granian",
            about="hello-world ASGI app on granian with one worker, which ignores the body",
            command=_granian("bench.peers.hello:ignore_body"),
        ),
        Server(name="nginx", about="nginx with one worker and `return 200`", command=_nginx),
        Server(
            name="typical stack",
            about="service of FastAPI, SQLAlchemy with asyncpg on PostgreSQL, and `limits` on Redis"
            " with one uvicorn worker, whose own CPU time is shown, without its databases'",
            command=_uvicorn("bench.peers.typical:app", python=peers_python, lifespan="on"),
            backed=postgres_and_redis,
            told=for_the_typical_stack,
            tenant=lambda url, _: PeersTenant(url),
        ),
        Server(
            name="one transaction an event",
            about="loop that books events by SQL in the same schema, one transaction each, in its "
            "own process and without HTTP",
            command=_alone("one_transaction"),
            prepare=_filled(10_000, name=one_transaction.DATABASE),
            works_alone=True,
        ),
        Server(
            name="bare executemany",
            about="loop that inserts the rows of 100 events a transaction by `executemany` into a "
            "ledger of 10⁶ entries, of which only the inserting is timed",
            command=_alone("bare", "ordered"),
            prepare=_filled(_MILLION, name=bare.DATABASE),
            works_alone=True,
        ),
        Server(
            name="bare executemany, random ids",
            about="loop of the same kind with random ids",
            command=_alone("bare", "random"),
            prepare=_filled(_MILLION, "random", bare.DATABASE),
            works_alone=True,
        ),
        Server(
            name="limiter",
            about="`MemoryLimiter`, filling new windows of 200 in its own process",
            command=_alone("windows", "ours"),
            works_alone=True,
        ),
        Server(
            name="limits",
            about="moving window in memory of the package `limits`, asked for what the headers need"
            " as well",
            command=_alone("windows", "limits", python=peers_python),
            works_alone=True,
        ),
        Server(
            name="limits, without values",
            about="moving window of the same kind that only says yes or no",
            command=_alone("windows", "limits-bare", python=peers_python),
            works_alone=True,
        ),
        _redis_limiter(
            "limiter on Redis", "ours", "`RedisLimiter`, 64 checks at a time, which share a call"
        ),
        _redis_limiter(
            "limiter on Redis, groups",
            "groups",
            "`RedisLimiter`, 64 checks at a time, a call for each slot group as on a Cluster",
        ),
        _redis_limiter(
            "limiter on Redis, one key a call",
            "single",
            "`RedisLimiter`, 64 checks at a time, sent in one piece, a call for each",
        ),
        _redis_limiter(
            "limits on Redis",
            "limits",
            "moving window of the package `limits` on Redis, 64 checks at a time, asked for what "
            "the headers need as well",
            peers_python,
        ),
    )
}


@contextmanager
def running(server: Server, *, core: int, folder: Path) -> Iterator[Running]:
    """The server, ready, while the block lasts; raises LoadFailed where it does not start."""
    folder.mkdir()
    if server.prepare is not None:
        server.prepare(folder)
    others = sorted(os.sched_getaffinity(0) - {core}) or [core]
    with (
        _backing(server, folder, others) as backing,
        _started(server, core=core, folder=folder, backing=backing) as (process, port),
    ):
        if not server.works_alone:
            # A door may be open before the worker behind it has started.
            httpx.get(_url(port), trust_env=False)
        tenant = server.tenant(_url(port), folder) if server.tenant is not None else None
        pids = clocks.family(process.pid)
        try:
            yield Running(server=server, port=port, pids=pids, tenant=tenant, backing=backing)
        finally:
            if tenant is not None:
                tenant.close()


@contextmanager
def _backing(server: Server, folder: Path, cores: Sequence[int]) -> Iterator[Backing]:
    if server.backed is None:
        yield _NOTHING
        return
    with ExitStack() as stack:
        with clocks.on_core(*cores):
            backing = stack.enter_context(server.backed(folder))
        yield backing


@contextmanager
def _started(
    server: Server, *, core: int, folder: Path, backing: Backing
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port, output = free_port(), folder / "output.txt"
    # Nothing else of the environment: no setting slips in.
    environment = {"PATH": os.environ["PATH"], **server.environment, **server.told(backing)}
    cores = sorted(os.sched_getaffinity(0)) if server.spreads else [core]
    with output.open("w") as file, clocks.on_core(*cores):
        process = subprocess.Popen(
            server.command(port, folder),
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        wait_until_open(process, port, output)
        yield process, port
    finally:
        _end(process)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
