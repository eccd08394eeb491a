"""The command: `python -m bench`, which `make bench` calls."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import report
from bench.asides import ASIDES, Aside, Finding
from bench.clocks import wakeful
from bench.load import LoadFailed, find_wrk
from bench.machine import describe_machine, describe_revision, file_system
from bench.rows import NO_REQUEST, ROWS, Row
from bench.run import Measured, Settings, measure
from bench.servers import SERVERS, Running, running

_PROJECT: Final = Path(__file__).resolve().parents[1]
_RESULTS: Final = Path(__file__).with_name("results")
_ROUNDS_WITHOUT_TARGET: Final = 3
_NO_DISKS: Final = frozenset({"tmpfs", "ramfs"})


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    rows = [row for row in ROWS if options.only in row.title]
    if options.quick:
        # A lonely connection is served by the same code as a crowd.
        rows = [row for row in rows if row.connections > 1 or row.request is NO_REQUEST]
    if not options.long:
        rows = [row for row in rows if not row.is_long]
    if options.quick and not options.only:
        rows = [row for row in rows if not row.takes_much]
    asides = [aside for aside in ASIDES if options.only in aside.title]
    if options.quick:
        asides = []
    if not rows and not asides:
        sys.exit(f"bench: no row has {options.only!r} in its title")
    try:
        find_wrk()
        settings = _settings(options)
        with _scratch(options.scratch, any_disk=options.quick) as folder:
            taken = _take(
                rows,
                asides,
                settings,
                folder,
                quick=options.quick,
                mixed_seconds=options.mixed_seconds,
            )
            report.write(taken, options.results)
            print(*report.promises(taken), sep="\n")
    except LoadFailed as failure:
        sys.exit(f"bench: {failure}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the service beside its yardsticks."
    )
    parser.add_argument(
        "--quick", action="store_true", help="only see whether it works, in about 15 seconds"
    )
    parser.add_argument(
        "--long", action="store_true", help="also the rows that take very large ledgers"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose title has this")
    parser.add_argument("--rounds", type=int, default=5, help="undisturbed rounds wanted (5)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a slice (2)")
    parser.add_argument(
        "--patience",
        type=int,
        default=10,
        metavar="SECONDS",
        help="how long a round waits for others to be quiet (10)",
    )
    parser.add_argument(
        "--mixed-seconds", type=int, default=60, help="length of the mixed load (60)"
    )
    parser.add_argument(
        "--results", type=Path, default=_RESULTS, metavar="FOLDER", help="where figures go"
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        default=_PROJECT / "var",
        metavar="FOLDER",
        help="where databases go while they are needed; on a disk, not in memory",
    )
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    cores = sorted(os.sched_getaffinity(0))
    settings = Settings(
        rounds=options.rounds,
        most_rounds=3 * options.rounds,
        seconds=options.seconds,
        patience=options.patience,
        warm_up=True,
        server_core=cores[0],
        load_core=cores[-1],
    )
    if options.quick:
        return replace(settings, rounds=1, most_rounds=1, seconds=1, patience=0, warm_up=False)
    return settings


@contextmanager
def _scratch(parent: Path, *, any_disk: bool) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    kind = file_system(parent)
    if kind in _NO_DISKS and not any_disk:
        raise LoadFailed(f"--scratch is in memory ({kind}), where syncing costs nothing")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        # Databases that refuse to run as root have to get at theirs.
        Path(folder).chmod(0o711)
        yield Path(folder)


def _take(
    rows: Sequence[Row],
    asides: Sequence[Aside],
    settings: Settings,
    folder: Path,
    *,
    quick: bool,
    mixed_seconds: int,
) -> report.Report:
    taken_at, started = datetime.now(UTC).replace(microsecond=0), time.monotonic()
    with ExitStack() as stack:
        machine = describe_machine(folder, wakeful=stack.enter_context(wakeful()))
        servers = _start_all(stack, rows, settings, folder)
        measured = [_measure(row, servers, settings) for row in rows]
        findings = [_find(aside, settings, folder, mixed_seconds) for aside in asides]
    return report.Report(
        taken_at=taken_at,
        is_quick=quick,
        machine=machine,
        revision=describe_revision(),
        settings=settings,
        measured=measured,
        asides=findings,
        seconds=round(time.monotonic() - started),
    )


def _start_all(
    stack: ExitStack, rows: Sequence[Row], settings: Settings, folder: Path
) -> Mapping[str, Running]:
    names = dict.fromkeys(name for row in rows for name in (row.subject, row.yardstick))
    started = {}
    for number, name in enumerate(names):
        print(f"starting {name}", flush=True)
        server = running(
            SERVERS[name], core=settings.server_core, folder=folder / f"server-{number}"
        )
        started[name] = stack.enter_context(server)
    # What filling has left to be written would be written while others wait for their syncs.
    os.sync()
    return started


def _find(aside: Aside, settings: Settings, folder: Path, seconds: int) -> Finding:
    print(aside.title, flush=True)
    return aside.take(settings, folder, seconds)


def _measure(row: Row, servers: Mapping[str, Running], settings: Settings) -> Measured:
    print(f"{row.title}, connections: {row.connections}", flush=True)
    if row.target is None:
        settings = _at_most(settings, _ROUNDS_WITHOUT_TARGET)
    if row.seconds is not None:
        settings = replace(settings, seconds=min(row.seconds, settings.seconds))
    if row.rounds is not None:
        settings = _at_most(settings, row.rounds)
    return measure(row, servers, settings, lambda line: print(line, flush=True))


def _at_most(settings: Settings, rounds: int) -> Settings:
    rounds = min(rounds, settings.rounds)
    return replace(settings, rounds=rounds, most_rounds=min(3 * rounds, settings.most_rounds))


if __name__ == "__main__":
    main()
