"""A service as its clients know it: one or several nodes, and the database behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ledger_check import Facts
from tests.server import Server, running_server
from tests.verified import check_at, check_by_command


@dataclass(frozen=True, slots=True)
class Site:
    """Nodes that share a database."""

    nodes: Sequence[Server]

    @property
    def urls(self) -> Sequence[str]:
        return [node.url for node in self.nodes]

    @property
    def operator(self) -> Server:
        """Where organizations and keys are made."""
        return self.nodes[0]

    def facts(self) -> dict[str, Facts]:
        """What the ledger says, which agrees with itself."""
        return check_at(self.operator.place)


@contextmanager
def running_site(
    folder: Path,
    count: int = 1,
    *,
    environ: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[Site]:
    """So many nodes, which start at once, while the block lasts; the ledger that they leave agrees
    with itself. `settings` and `environ` as `running_server` has them."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        starts = [running_server(folder, environ=environ, **settings) for _ in range(count)]
        site = Site(list(pool.map(stack.enter_context, starts)))
        yield site
        stack.close()
        check_by_command(site.operator.place)
