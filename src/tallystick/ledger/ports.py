"""What the ledger needs of storage, in its own words. Adapters implement it; rules stay out of it.

A *lane* carries one transaction at a time: `load` begins it, locks the accounts that a batch wants
and reads what its commands name; `append` writes what was decided and commits; `confirm` ends it
where there is nothing to write; `abandon` gives it up. Readers never lock and never write.

Failures, and what they mean for the caller:

    StoreError
    ├── StatementRejected    one statement failed, the transaction was undone: replay one by one
    │   └── Outrun           because another writer was faster: what is there now tells more
    ├── StoreUnavailable     nothing was written; a later try may succeed
    └── OutcomeUnknown       the commit may or may not have happened: the same ids find out
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tallystick.domain.prices import NO_PRICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.budgets import Budget
    from tallystick.domain.commands import Earlier
    from tallystick.domain.dimensions import KeptDimensions
    from tallystick.domain.directory import ApiKey, Organization, Secret, Teamspace
    from tallystick.domain.entries import Entry, Sealed
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold
    from tallystick.domain.prices import Price, PriceBook, PriceEnd
    from tallystick.domain.replay import Standing
    from tallystick.domain.usage import PeriodUsageKey, RollupKey
    from tallystick.ledger.reading import Reader
    from tallystick.ledger.refused import Kept, RefusedRequest


class StoreError(Exception):
    """Root of what storage raises; the message is for operators, not for callers."""


class StatementRejected(StoreError):
    """A statement failed and the transaction was undone."""


class Outrun(StatementRejected):
    """Another writer wrote first what no lock could keep for this one, a name or an id of a
    request; the transaction was undone. Loading again finds what was written."""


class StoreUnavailable(StoreError):
    """Storage cannot be reached or written now; nothing was changed."""


class OutcomeUnknown(StoreError):
    """Storage broke off while committing."""


class ReplayKey(NamedTuple):
    """Whose `Idempotency-Key` for which operation.

    `organization_id` is that of the API key: empty for operators, who have none. `api_key_id` is
    empty for the local one.
    """

    organization_id: str
    api_key_id: str
    operation: str
    key: str


class Replay(NamedTuple):
    """The answer to a request with an `Idempotency-Key`, secrets left out."""

    key: ReplayKey
    request_digest: bytes
    status: int
    body: bytes
    created_at: int


class UsageRow(NamedTuple):
    """What a usage event says beyond its entry and its dimensions."""

    organization_id: str
    event_id: str
    sequence: int
    overdraw: bool


class UsageRecord(NamedTuple):
    """A usage event as it can be read back."""

    entry: Entry
    overdraw: bool
    dimensions: KeptDimensions | None


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """A billing period that has started; `sequence` is that of its first entry."""

    organization_id: str
    index: int
    start: int
    end: int
    timezone: str
    allowance: int
    sequence: int


class PeriodUsage(NamedTuple):
    """Net usage in the period that was the present one when the account was written last."""

    period_index: int
    credits: int


@dataclass(slots=True)
class Wanted:
    """What the commands of a batch name: accounts to lock, rows to read."""

    organizations: set[str] = field(default_factory=set)
    events: set[tuple[str, str]] = field(default_factory=set)
    references: set[tuple[str, str]] = field(default_factory=set)
    grants: set[tuple[str, str]] = field(default_factory=set)
    holds: set[tuple[str, str]] = field(default_factory=set)
    hold_references: set[tuple[str, str]] = field(default_factory=set)
    reversals: set[tuple[str, str]] = field(default_factory=set)
    """Events that are wanted too, whose reversals and grants are wanted."""
    spent_by: set[tuple[str, str]] = field(default_factory=set)
    """Teamspaces and keys whose net usage of the present period is wanted."""
    external_ids: set[str] = field(default_factory=set)
    teamspaces: set[tuple[str, str]] = field(default_factory=set)
    keys: set[tuple[str | None, str]] = field(default_factory=set)
    secrets_of: set[tuple[str | None, str]] = field(default_factory=set)
    """Keys whose secrets are wanted."""
    secrets: set[bytes] = field(default_factory=set)
    """Digests that must not be in use yet."""
    replays: set[ReplayKey] = field(default_factory=set)
    prices: set[str] = field(default_factory=set)
    """Meters whose prices are wanted."""
    book: bool = False
    """Whether the price book is to be changed, and so by nobody else meanwhile."""


@dataclass(slots=True)
class Snapshot:
    """What was found, as of now: absent keys mean absent rows.

    `now` is the ledger's clock, read after the locks were taken.
    """

    now: int
    accounts: dict[str, Account] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    """Organizations whose account another lane has just now, so that nothing of theirs is loaded:
    what concerns them waits for the next batch."""
    given_up: set[str] = field(default_factory=set)
    """Those of `elsewhere` that have been for too long: what concerns them waits no more."""
    organizations: dict[str, Organization] = field(default_factory=dict)
    events: dict[tuple[str, str], Entry] = field(default_factory=dict)
    dimensions: dict[tuple[str, str], KeptDimensions] = field(default_factory=dict)
    """What is kept of the dimensions of those `events` that have any."""
    references: dict[tuple[str, str], Earlier] = field(default_factory=dict)
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    holds: dict[tuple[str, str], Hold] = field(default_factory=dict)
    hold_references: dict[tuple[str, str], Earlier] = field(default_factory=dict)
    reversals: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    """By event, in order. The grants that the event drew from are among `grants`."""
    spent_by: dict[tuple[str, str], PeriodUsage] = field(default_factory=dict)
    by_external_id: dict[str, str] = field(default_factory=dict)
    """Organization ids; the organizations themselves and their accounts are loaded too."""
    teamspaces: dict[tuple[str, str], Teamspace] = field(default_factory=dict)
    keys: dict[tuple[str | None, str], ApiKey] = field(default_factory=dict)
    secrets_of: dict[tuple[str | None, str], tuple[Secret, ...]] = field(default_factory=dict)
    secrets: dict[bytes, Secret] = field(default_factory=dict)
    replays: dict[ReplayKey, Replay] = field(default_factory=dict)
    prices: PriceBook = NO_PRICES


@dataclass(slots=True)
class Changes:
    """What a batch writes, in one transaction. Rows replace rows with the same key."""

    accounts: list[Account] = field(default_factory=list)
    grants: list[tuple[str, Grant]] = field(default_factory=list)
    entries: list[Sealed] = field(default_factory=list)
    usage: list[UsageRow] = field(default_factory=list)
    periods: list[PeriodRow] = field(default_factory=list)
    rollups: dict[RollupKey, tuple[int, int]] = field(default_factory=dict)
    """Micro-credits and events to add; negative where something is taken out again."""
    period_usage: dict[PeriodUsageKey, tuple[int, int]] = field(default_factory=dict)
    """The same, by billing period."""
    holds: list[tuple[str, Hold]] = field(default_factory=list)
    budgets: dict[tuple[str, str], Budget | None] = field(default_factory=dict)
    """By organization and subject; None where a budget was removed."""
    milestones: list[tuple[str, Standing]] = field(default_factory=list)
    dimensions: dict[tuple[str, int], KeptDimensions] = field(default_factory=dict)
    """Of new usage events, by organization and sequence."""
    erasures: dict[tuple[str, int], int] = field(default_factory=dict)
    """Usage events that lose their dimensions, and when."""
    hold_erasures: set[tuple[str, str]] = field(default_factory=set)
    """Holds whose dimensions go with those of a usage event."""
    organizations: dict[str, Organization] = field(default_factory=dict)
    teamspaces: dict[tuple[str, str], Teamspace] = field(default_factory=dict)
    keys: dict[tuple[str | None, str], ApiKey] = field(default_factory=dict)
    secrets: dict[bytes, Secret] = field(default_factory=dict)
    dropped_secrets: set[bytes] = field(default_factory=set)
    replays: dict[ReplayKey, Replay] = field(default_factory=dict)
    keys_used: dict[tuple[str | None, str], int] = field(default_factory=dict)
    """When keys were last used."""
    forget_replays_before: int | None = None
    prices: list[Price] = field(default_factory=list)
    """New ones, without their ends."""
    price_ends: list[PriceEnd] = field(default_factory=list)
    refused: list[RefusedRequest] = field(default_factory=list)
    refused_kept: Kept | None = None
    """What stays of refused requests; there where `refused` are."""

    def concern_keys(self) -> bool:
        """Whether what a key stands for, or may do, can be another than before."""
        return bool(self.keys or self.secrets or self.organizations or self.teamspaces)

    def is_empty(self) -> bool:
        return not any(getattr(self, name) for name in self.__slots__)


class Lane(Protocol):
    """One connection, one transaction at a time."""

    async def load(self, wanted: Wanted) -> Snapshot: ...

    async def append(self, changes: Changes) -> None:
        """Writes and commits; returns when the changes are durable."""
        ...

    async def confirm(self) -> None:
        """Ends without changes; returns when all that was loaded is durable, whoever wrote it."""
        ...

    async def abandon(self) -> None: ...


class Store(Protocol):
    """A ledger's storage: its lanes, one reader, and how to let go of it."""

    reader: Reader

    @property
    def lanes(self) -> Sequence[Lane]: ...

    async def check(self) -> None:
        """Raises StoreUnavailable where the store could not serve right now."""
        ...

    async def close(self) -> None: ...
