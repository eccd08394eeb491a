"""What was measured, as JSON for programs and as Markdown for people.

A figure is the median over the rounds that count; its spread is that of the middle half of them. A
ratio is the median of the rounds' ratios, which is not the ratio of the medians.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from bench.asides import ASIDES, Aside, Finding
from bench.machine import Machine, Revision
from bench.rows import NO_REQUEST, ROWS, Row
from bench.run import Measured, Settings, Slice
from bench.servers import SERVERS

FORMAT: Final = 1
_FIGURES: Final = ("cpu_us_per_request", "requests_per_second", "p50_ms", "p99_ms", "load_share")
_BUSY: Final = 0.9
_NOT_MEASURED: Final = "not measured: left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    taken_at: datetime
    is_quick: bool
    machine: Machine
    revision: Revision
    settings: Settings
    measured: Sequence[Measured]
    asides: Sequence[Finding] = ()
    seconds: int = 0
    """What the whole run took."""

    @property
    def rows_left_out(self) -> list[Row]:
        """Those of which something is promised that was not looked at."""
        taken = [measured.row for measured in self.measured]
        return [row for row in ROWS if row.target is not None and row not in taken]

    @property
    def asides_left_out(self) -> list[Aside]:
        taken = {finding.title for finding in self.asides}
        return [aside for aside in ASIDES if aside.title not in taken]


def write(report: Report, folder: Path) -> tuple[Path, Path]:
    """Writes both files, named by the time, and returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{report.taken_at:%Y-%m-%d-%H%M%S}"
    data, page = folder / f"{stem}.json", folder / f"{stem}.md"
    data.write_text(json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n")
    page.write_text("\n".join(to_markdown(report)) + "\n")
    return data, page


def figure(values: Sequence[float]) -> Figure:
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [*values]
    return Figure(median=median(values), low=low, high=high)


# ── JSON ──


def to_json(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "taken_at": report.taken_at.isoformat(),
        "quick": report.is_quick,
        "seconds": report.seconds,
        "revision": asdict(report.revision),
        "machine": asdict(report.machine),
        "settings": asdict(report.settings),
        "rows": [_row_json(measured) for measured in report.measured],
        "asides": [asdict(finding) for finding in report.asides],
    }


def _row_json(measured: Measured) -> dict[str, Any]:
    row = measured.row
    return {
        "title": row.title,
        "connections": row.connections,
        "events_per_request": row.request.events,
        "subject": {"server": row.subject, **_figures(measured, lambda taken: taken.subject)},
        "yardstick": {"server": row.yardstick, **_figures(measured, lambda taken: taken.yardstick)},
        "target": None if row.target is None else asdict(row.target),
        "ratios": {name: asdict(_ratio(measured, name)) for name in _FIGURES[:2]},
        "disturbed": not measured.is_clean,
        "kept": len(measured.kept),
        "rounds": [asdict(taken) for taken in measured.rounds],
    }


def _figures(measured: Measured, side: Callable[[Any], Slice]) -> dict[str, Any]:
    return {name: asdict(_over(measured, side, name)) for name in _FIGURES}


def _over(measured: Measured, side: Callable[[Any], Slice], name: str) -> Figure:
    return figure([getattr(side(taken), name) for taken in measured.kept])


def _ratio(measured: Measured, name: str) -> Figure:
    return figure(
        [getattr(taken.subject, name) / getattr(taken.yardstick, name) for taken in measured.kept]
    )


# ── Markdown ──


def to_markdown(report: Report) -> Iterator[str]:
    settings = report.settings
    yield f"# Figures of {report.taken_at:%d %B %Y, %H:%M} UTC"
    yield ""
    if report.is_quick:
        yield "**A quick run: it shows that the benchmark works, and measures nothing.**"
        yield ""
    yield from promises(report)
    yield ""
    yield "## On what"
    yield ""
    yield from _machine(report)
    yield ""
    yield "## CPU time of the server, and throughput"
    yield ""
    yield (
        f"Medians over rounds of {settings.seconds} s a side, with the middle half in parentheses. "
        "× is the median of the rounds' ratios to the yardstick; less is better for CPU time, more "
        "for requests."
    )
    yield ""
    yield from _cpu_table(report.measured)
    yield ""
    yield "## Latency"
    yield ""
    yield from _latency_table(report.measured)
    yield ""
    yield from _yardsticks(report.measured)
    yield from _notes(report.measured)


def promises(report: Report) -> Iterator[str]:
    """Every row of which something is promised, also those that this run left out."""
    yield "## What is promised, and what was measured"
    yield ""
    head = ("path", "connections", "yardstick", "promised", "measured", "verdict")
    rows = [_promise(each, report) for each in report.measured if each.row.target is not None]
    asides = map(_aside, report.asides)
    yield from _table(head, [*rows, *asides, *_left_out(report)])
    yield ""
    yield from (f"- {note}" for finding in report.asides for note in finding.notes)


def _promise(measured: Measured, report: Report) -> tuple[str, ...]:
    row, target = measured.row, measured.row.target
    assert target is not None
    found = _ratio(measured, target.figure)
    verdict = _verdict(is_met=target.is_met(found.median), is_disturbed=not measured.is_clean)
    return (
        *(row.title, _connections(row), row.yardstick, str(target), f"{_cell(found, 2)} ×"),
        "not measured: a quick run" if report.is_quick else verdict,
    )


def _aside(finding: Finding) -> tuple[str, ...]:
    verdict = _verdict(is_met=finding.is_met, is_disturbed=finding.disturbed_by is not None)
    return finding.title, "", finding.yardstick, finding.promised, finding.measured, verdict


def _left_out(report: Report) -> Iterator[tuple[str, ...]]:
    for row in report.rows_left_out:
        why = "not measured: takes `--long`" if row.is_long else _NOT_MEASURED
        yield row.title, _connections(row), row.yardstick, str(row.target), "", why
    for aside in report.asides_left_out:
        yield aside.title, "", "", aside.promised, "", _NOT_MEASURED


def _verdict(*, is_met: bool, is_disturbed: bool) -> str:
    verdict = "met" if is_met else "**missed**"
    return f"{verdict}, disturbed" if is_disturbed else verdict


def _connections(row: Row) -> str:
    return "" if row.request is NO_REQUEST else str(row.connections)


def _machine(report: Report) -> Iterator[str]:
    machine, revision, settings = report.machine, report.revision, report.settings
    packages = ", ".join(f"{name} {found}" for name, found in machine.packages.items())
    virtual = ", virtual machine" if machine.virtualized else ""
    yield from _table(
        ("what", "on what"),
        [
            ("processor", f"{machine.processor}, {machine.cores} cores{virtual}"),
            ("memory", f"{machine.memory_gib} GiB"),
            ("kernel", machine.kernel),
            ("disk", f"{machine.file_system}, {machine.sync_us} µs for a page and `fdatasync`"),
            ("Python", f"{machine.python}; {packages}, SQLite {machine.sqlite}"),
            ("load", f"wrk {machine.wrk} on core {settings.load_core}"),
            ("server", f"on core {settings.server_core}, all threads"),
            ("idle cores", "kept awake" if machine.wakeful else "fall asleep: see the README"),
            ("load average before", str(machine.load_average)),
            ("length of the run", f"{report.seconds // 60} min {report.seconds % 60} s"),
            ("commit", revision.commit + (", with changes" if revision.is_changed else "")),
        ],
    )


def _cpu_table(measured: Iterable[Measured]) -> Iterator[str]:
    compared = ("CPU µs a request", "yardstick", "×", "requests/s", "yardstick", "×")
    head = ("row", "connections", *compared, "events/s", "CPU µs an event", "rounds kept")
    yield from _table(head, map(_cpu_line, measured))


def _cpu_line(measured: Measured) -> tuple[str, ...]:
    row = measured.row
    cells = [row.title, _connections(row)]
    for name, digits in (("cpu_us_per_request", 1), ("requests_per_second", 0)):
        cells.append(_cell(_over(measured, lambda taken: taken.subject, name), digits))
        yardstick = SERVERS[row.yardstick]
        if name == "cpu_us_per_request" and yardstick.works_alone and not yardstick.counts_whole:
            cells += ["", ""]  # its CPU time contains what is not timed
            continue
        cells.append(_cell(_over(measured, lambda taken: taken.yardstick, name), digits))
        cells.append(_cell(_ratio(measured, name), 2))
    return (*cells, *_event_cells(measured), f"{len(measured.kept)} of {len(measured.rounds)}")


def _event_cells(measured: Measured) -> tuple[str, str]:
    events = measured.row.request.events
    if not events:
        return "", ""
    answered = _over(measured, lambda taken: taken.subject, "requests_per_second").median
    cpu_us = _over(measured, lambda taken: taken.subject, "cpu_us_per_request").median
    return f"{answered * events:,.0f}", f"{cpu_us / events:,.1f}"


def _latency_table(measured: Iterable[Measured]) -> Iterator[str]:
    head = ("row", "connections", "p50 ms", "yardstick", "p99 ms", "yardstick")
    asked = (each for each in measured if each.row.request is not NO_REQUEST)
    yield from _table(head, map(_latency_line, asked))


def _latency_line(measured: Measured) -> tuple[str, ...]:
    cells = [measured.row.title, str(measured.row.connections)]
    for name in ("p50_ms", "p99_ms"):
        cells.append(_cell(_over(measured, lambda taken: taken.subject, name), 2))
        cells.append(_cell(_over(measured, lambda taken: taken.yardstick, name), 2))
    return tuple(cells)


def _yardsticks(measured: Sequence[Measured]) -> Iterator[str]:
    for name in dict.fromkeys(each.row.yardstick for each in measured):
        titles = dict.fromkeys(each.row.title for each in measured if each.row.yardstick == name)
        yield f"- The yardstick of *{'*, *'.join(titles)}* is: {SERVERS[name].about}."


def _notes(measured: Iterable[Measured]) -> Iterator[str]:
    for each in measured:
        name = f"{each.row.title} at {each.row.connections} connections"
        if not each.is_clean:
            yield f"- {name}: every round was disturbed, so all of them are shown."
        for side in ("subject", "yardstick"):
            share = median(getattr(taken, side).load_share for taken in each.kept)
            if share > _BUSY:
                yield (
                    f"- {name}: the load generator was busy {share:.0%} of the time for the "
                    f"{side}, whose throughput is a lower bound."
                )


def _cell(found: Figure, digits: int) -> str:
    middle, low, high = (f"{value:,.{digits}f}" for value in (found.median, found.low, found.high))
    return middle if middle == low == high else f"{middle} ({low}–{high})"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"
