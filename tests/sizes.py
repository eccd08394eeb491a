"""Real servers of the sizes in which the service is run.

embedded    one process on a file
workers     two processes behind one address, on PostgreSQL and Redis
nodes       several servers, which share PostgreSQL and Redis
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.server import Server, running_server
from tests.servers.postgres import Postgres
from tests.servers.redis import redis_server

EMBEDDED: Final = "embedded"
WORKERS: Final = "workers"
SIZES: Final = (EMBEDDED, WORKERS)


@contextmanager
def server_of(
    size: str,
    folder: Path,
    cluster: Callable[[], Postgres],
    **settings: Any,  # noqa: ANN401 - as `serve` has them
) -> Iterator[Server]:
    """A server of that size on a new database."""
    if size == EMBEDDED:
        with running_server(folder, **settings) as server:
            yield server
    else:
        with running_workers(folder, cluster().empty_database(), **settings) as server:
            yield server


@contextmanager
def running_workers(
    folder: Path,
    url: str,
    *,
    environ: Mapping[str, str | None] | None = None,
    **settings: Any,  # noqa: ANN401 - as `serve` has them
) -> Iterator[Server]:
    """Two workers on the database at `url`, with a Redis of their own."""
    settings = {"workers": 2, **settings}
    with (
        redis_server(folder / "redis") as redis,
        running_server(
            folder, environ=environ, database=url, limits=redis.url, **settings
        ) as server,
    ):
        yield server


@contextmanager
def running_nodes(
    folder: Path,
    url: str,
    *,
    workers: Sequence[int] = (1, 1),
    **settings: Any,  # noqa: ANN401 - as `serve` has them
) -> Iterator[list[Server]]:
    """Servers on the database at `url`, each of so many processes, which share a Redis."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder / "redis"))
        nodes = []
        for number, processes in enumerate(workers):
            place = folder / f"node-{number}"
            place.mkdir()
            node = running_server(
                place, database=url, limits=redis.url, workers=processes, **settings
            )
            nodes.append(stack.enter_context(node))
        yield nodes
