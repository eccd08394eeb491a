"""Moving a ledger from its file into PostgreSQL, and proving that it has arrived.

    verify the file → copy what is not there yet → verify the database → compare the two

The file is owned meanwhile, so no server writes it, and it is only read. Everything that is found
wrong on the way is found before the destination is said to be equal, and the file stays what it
was: it is the ledger until somebody starts a server on the other one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from tallystick.ledger.audit import Head
from tallystick.ledger.verify import verify_all
from tallystick.storage.errors import StoreNotUsable
from tallystick.storage.owner import OwnerLock
from tallystick.storage.postgres.audit import AUDITING, PostgresAudit
from tallystick.storage.postgres.connect import Database
from tallystick.storage.postgres.transfer import Different, destination
from tallystick.storage.sqlite_audit import SqliteAudit
from tallystick.storage.sqlite_transfer import SqliteSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tallystick.ledger.audit import Audit
    from tallystick.ledger.verify import Report
    from tallystick.storage.postgres.transfer import PostgresDestination

_AUDITING: Final = {**AUDITING, "application_name": "tallystick-transfer"}


class Standing(NamedTuple):
    """Where an organization stands, in micro-credits, and how far its chain has come."""

    remaining: int
    consumed: int
    overage: int
    held: int
    head: Head


@dataclass(slots=True, kw_only=True)
class End:
    """One end of a transfer, verified: what the recount found, and where everybody stands."""

    report: Report
    standings: Mapping[str, Standing] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Transferred:
    """Both ends. Without a `destination` nothing was copied, since the source disagrees."""

    source: End
    destination: End | None = None
    copied: int = 0
    """Organizations that were copied; the others were there by now."""

    def differing(self) -> Iterator[str]:
        """Organizations that are not the same at both ends."""
        ours = self.source.standings
        theirs = {} if self.destination is None else self.destination.standings
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                yield name

    @property
    def is_equal(self) -> bool:
        ends = [self.source, self.destination]
        agree = all(end is not None and not end.report.disagreeing for end in ends)
        return agree and not any(self.differing())


class Watch(Protocol):
    """Shows how far a part of the transfer has come."""

    def __call__(self, part: str, entries: int) -> AbstractContextManager[Callable[[int], None]]:
        """`entries` are all there are; what the block is given is told how many were walked."""
        ...


def transfer(file: Path, url: str, *, partitions: int | None, watch: Watch) -> Transferred:
    """Copies the ledger in `file` into the database at `url`, or goes on with that.

    Raises StoreNotUsable (AlreadyOwned where a server has the file), before anything is changed or
    between two organizations, and StoreUnavailable.
    """
    database = Database(url=url)
    with OwnerLock(file):
        with SqliteAudit(file) as audit:
            source = _verified(audit, "checking the source", watch)
        if source.report.disagreeing:
            return Transferred(source=source)
        copied = asyncio.run(_copy(file, database, partitions, source, watch))
        with PostgresAudit(partial(database.connect, _AUDITING)) as audit:
            end = _verified(audit, "checking the destination", watch)
    return Transferred(source=source, destination=end, copied=copied)


def _verified(audit: Audit, part: str, watch: Watch) -> End:
    with watch(part, audit.total()) as tick:
        report = verify_all(audit, tick=tick)
    if report.disagreeing:
        return End(report=report)
    return End(report=report, standings=dict(_standings(audit, report)))


def _standings(audit: Audit, report: Report) -> Iterator[tuple[str, Standing]]:
    for name, head in report.heads.items():
        account = audit.account(name)
        if account is not None:
            sums = (account.remaining, account.consumed, account.overage, account.held)
            yield name, Standing(*sums, head)


async def _copy(
    file: Path, database: Database, partitions: int | None, source: End, watch: Watch
) -> int:
    with SqliteSource(file) as rows:
        async with destination(database, partitions) as there:
            known = await there.heads()
            _refuse_another_ledger(source.report.heads, known)
            if known or await there.has_directory():
                await _compared("what belongs to no organization", there.compare_directory(rows))
            else:
                await there.copy_directory(rows)
            with watch("copying", source.report.entries) as tick:
                await _copy_organizations(rows, there, source.report.heads, known, tick)
    return len(source.report.heads) - len(known)


async def _copy_organizations(
    rows: SqliteSource,
    there: PostgresDestination,
    heads: Mapping[str, Head],
    known: Mapping[str, Head],
    tick: Callable[[int], None],
) -> None:
    for name in sorted(heads):
        if name in known:
            await _compared(f"the organization {name}", there.compare(rows, name, tick))
        else:
            await there.copy(rows, name, tick)


def _refuse_another_ledger(ours: Mapping[str, Head], theirs: Mapping[str, Head]) -> None:
    for name, head in theirs.items():
        if name not in ours:
            raise StoreNotUsable(
                f"the destination has a ledger of its own: the organization {name} is not in the "
                "source. Name a new database"
            )
        if head != ours[name]:
            raise StoreNotUsable(
                f"the organization {name} is at entry {head.sequence} in the destination and at "
                f"{ours[name].sequence} in the source, or its chain is another: one of them has "
                "changed since it was copied. Begin again with a new database"
            )


async def _compared(what: str, comparing: Awaitable[None]) -> None:
    try:
        await comparing
    except Different as found:
        raise StoreNotUsable(
            f"{what} is there and is not the same: {found}. One of the two has changed since "
            "it was copied, or the destination has a ledger of its own. Begin again with a new "
            "database"
        ) from found
