"""`tallystick usage import`: a file of usage events, booked once however often it is imported.

Lines go to the service a few at a time, in order, and the next ones only after these are durable.
So the counts are exact at every moment, and an import that was interrupted is simply run again:
what had been booked is found to be booked, by the events' ids.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from tallystick.cli.client import USAGE, acting_for, read_json, refused
from tallystick.cli.errors import MISUSED, SOME_REJECTED, CommandError
from tallystick.cli.options import asking
from tallystick.cli.output import Column
from tallystick.cli.usage_files import FORMATS, MAX_LINE, Line, format_of, read_lines
from tallystick.cli.values import amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from tallystick.cli.client import Api
    from tallystick.cli.output import Output

# The service describes at most 100 rejected lines of a request; so none goes undescribed.
_LINES: Final = 100
_BYTES: Final = 1 << 19
_DESCRIBED: Final = 10_000
_SHOWN: Final = 20
_NDJSON: Final = "application/x-ndjson"
_CLOUD_EVENT: Final = "application/cloudevents+json"
_CLOUD_EVENTS: Final = "application/cloudevents-batch+json"
_COLUMNS: Final = (
    Column("line", "line", right=True),
    Column("id", "id"),
    Column("why", "error", lambda error: f"{error['error']}: {error['details']['reason']}"),
)


@dataclass(slots=True)
class Tally:
    """What has become of the lines so far; the first rejected ones are described."""

    booked: int = 0
    duplicates: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, line: int, event_id: str | None, error: object) -> None:
        self.rejected += 1
        if len(self.errors) < _DESCRIBED:
            self.errors.append({"line": line, "id": event_id, "error": error})

    def __str__(self) -> str:
        return f"{self.booked:,} booked, {self.duplicates:,} duplicates, {self.rejected:,} rejected"


@click.group()
def usage() -> None:
    """Book usage from files."""


@usage.command("import")
@click.argument("file", metavar="FILE")
@click.option("--organization", required=True, metavar="ORG", help="Whose usage it is.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="What FILE is [default: as .csv, .ndjson or .jsonl say].",
)
@asking
async def import_(
    api: Api, out: Output, /, file: str, organization: str, form: str | None
) -> int | None:
    """Book the usage events in FILE, or on standard input for -.

    Each event is booked once, by its id: after an interruption run the same command again. Lines
    that are rejected are listed with their numbers, the others are booked, and the exit code is 5.

    \b
    CSV:    id,credits (or quantity),meter,timestamp,on_insufficient,dimension:<name>
    NDJSON: {"id": "evt-1", "credits": 1.25, "meter": "llm.tokens"}
    """
    form = format_of(file, form)
    with _opened(file) as source:
        found = await api.organization(organization)
        booking = _book_cloud_events if form == "cloudevents" else _book_events
        tally = Tally()
        with _shown_progress(source, tally, out) as advance:
            groups = _groups(read_lines(source, form))
            while lines := _next(groups):
                await booking(api, acting_for(found["id"]), _readable(lines, tally), tally)
                advance()
    return _report(out, tally)


def _next(groups: Iterator[list[Line]]) -> list[Line] | None:
    """The next lines. Where they are long in coming, Ctrl-C ends the waiting: asyncio would note it
    and wait for them to come."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return next(groups, None)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(
            f"cannot read {name}: {error.strerror}",
            todo="Name a file that is there and may be read.",
            exit_code=MISUSED,
        ) from None
    with file:
        yield file


def _groups(lines: Iterator[Line]) -> Iterator[list[Line]]:
    group: list[Line] = []
    size = 0
    for line in lines:
        length = len(line.json or b"")
        if group and (len(group) == _LINES or size + length > _BYTES):
            yield group
            group, size = [], 0
        group.append(line)
        size += length
    if group:
        yield group


def _readable(lines: Sequence[Line], tally: Tally) -> list[tuple[int, bytes]]:
    """The lines that can be sent; the others are rejected here."""
    good: list[tuple[int, bytes]] = []
    for number, content in lines:
        if content is None:
            tally.reject(number, None, _too_long())
        else:
            good.append((number, content))
    return good


def _too_long() -> dict[str, object]:
    reason = f"a line may have {MAX_LINE} bytes"
    return {"error": "payload_too_large", "details": {"reason": reason}}


async def _book_events(
    api: Api, headers: dict[str, str], lines: Sequence[tuple[int, bytes]], tally: Tally
) -> None:
    if not lines:
        return
    body = b"\n".join(content for _, content in lines)
    answer = await api.send("POST", USAGE, body, _NDJSON, headers=headers)
    if not answer.is_success:
        raise refused(answer)
    result = read_json(answer.content)
    tally.booked += result["booked"]
    tally.duplicates += result["duplicates"]
    for each in result["errors"]:
        tally.reject(lines[each["line"] - 1][0], each.get("id"), each["error"])


async def _book_cloud_events(
    api: Api, headers: dict[str, str], lines: Sequence[tuple[int, bytes]], tally: Tally
) -> None:
    """A batch of CloudEvents is refused as a whole where one is malformed: then each goes alone."""
    if lines and all(_is_one_object(content) for _, content in lines):
        body = b"[" + b",".join(content for _, content in lines) + b"]"
        answer = await api.send("POST", USAGE, body, _CLOUD_EVENTS, headers=headers)
        if answer.is_success:
            _count(read_json(answer.content), lines, tally)
            return
        if answer.status_code != httpx.codes.UNPROCESSABLE_ENTITY:
            raise refused(answer)
    for number, content in lines:
        answer = await api.send("POST", USAGE, content, _CLOUD_EVENT, headers=headers)
        if answer.is_success:
            is_duplicate = answer.status_code == httpx.codes.OK
            tally.duplicates += is_duplicate
            tally.booked += not is_duplicate
        elif answer.is_server_error:
            raise refused(answer)
        else:
            tally.reject(number, None, read_json(answer.content))


def _is_one_object(content: bytes) -> bool:
    """Whether `content` can stand in a list as one item."""
    try:
        return isinstance(msgspec.json.decode(content), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _count(result: dict[str, Any], lines: Sequence[tuple[int, bytes]], tally: Tally) -> None:
    tally.booked += result["booked"]
    tally.duplicates += result["duplicates"]
    for (number, _), item in zip(lines, result["data"], strict=True):
        if item["status"] == "rejected":
            tally.reject(number, item["id"], item["error"])


@contextmanager
def _shown_progress(source: BinaryIO, tally: Tally, out: Output) -> Iterator[Callable[[], None]]:
    """Shows how far an import is, where somebody looks; and how far it came, if it breaks off."""
    with ExitStack() as stack:
        advance = _bar(source, tally, stack) if _is_watched(out) else lambda: None
        try:
            yield advance
        except BaseException:
            stack.close()
            out.note(f"until then: {tally}")
            raise


def _is_watched(out: Output) -> bool:
    return sys.stderr.isatty() and not out.as_json


def _bar(source: BinaryIO, tally: Tally, stack: ExitStack) -> Callable[[], None]:
    status = os.fstat(source.fileno())
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    progress = Progress(
        SpinnerColumn(),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    )
    stack.enter_context(progress)
    task = progress.add_task(str(tally), total=total)

    def advance() -> None:
        done = source.tell() if total is not None else None
        progress.update(task, completed=done, description=str(tally))

    return advance


def _report(out: Output, tally: Tally) -> int | None:
    out.result(
        {
            "object": "usage_import",
            "booked": tally.booked,
            "duplicates": tally.duplicates,
            "rejected": tally.rejected,
            "errors": tally.errors,
        },
        [
            ("booked", amount(tally.booked)),
            ("duplicates", amount(tally.duplicates)),
            ("rejected", amount(tally.rejected)),
        ],
    )
    if not tally.rejected:
        return None
    if not out.as_json:
        shown = tally.errors[:_SHOWN] if out.on_terminal else tally.errors
        out.listing(shown, _COLUMNS)
        if len(shown) < tally.rejected:
            out.note(f"… and {tally.rejected - len(shown):,} more; --json lists {_DESCRIBED:,}")
        out.note("Mend these lines and import the file again: nothing is booked twice.")
    return SOME_REJECTED
