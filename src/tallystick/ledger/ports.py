"""What the ledger needs of storage, in its own words. Adapters implement it; rules stay out of it.

A *lane* carries one transaction at a time: `load` begins it, locks the accounts that a batch wants
and reads what its commands name; `append` writes what was decided and commits; `abandon` gives it
up. Readers never lock and never write.

Failures, and what they mean for the caller:

    StoreError
    ├── StatementRejected    one statement failed, the transaction was undone: replay one by one
    ├── StoreUnavailable     nothing was written; a later try may succeed
    └── OutcomeUnknown       the commit may or may not have happened: the same ids find out
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Struct

from tallystick.domain.prices import NO_PRICES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Mapping, Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.budgets import Budget
    from tallystick.domain.commands import Earlier
    from tallystick.domain.dimensions import KeptDimensions
    from tallystick.domain.directory import ApiKey, Organization, Secret, Teamspace
    from tallystick.domain.entries import Entry, EntryKind, Sealed
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold, HoldStatus
    from tallystick.domain.prices import Price, PriceBook, PriceEnd
    from tallystick.domain.replay import Standing
    from tallystick.domain.series import Amounts, Group, Grouping
    from tallystick.domain.usage import PeriodUsageKey, RollupKey
    from tallystick.ledger.refused import Kept, RefusedRequest
    from tallystick.ledger.statements import PeriodRecord


class StoreError(Exception):
    """Root of what storage raises; the message is for operators, not for callers."""


class StatementRejected(StoreError):
    """A statement failed and the transaction was undone."""


class StoreUnavailable(StoreError):
    """Storage cannot be reached or written now; nothing was changed."""


class OutcomeUnknown(StoreError):
    """Storage broke off while committing."""


class ReplayKey(NamedTuple):
    """Whose `Idempotency-Key` for which operation (`api_key_id` is empty for the local one)."""

    api_key_id: str
    operation: str
    key: str


class Replay(NamedTuple):
    """The answer to a request with an `Idempotency-Key`, secrets left out."""

    key: ReplayKey
    organization_id: str
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


@dataclass(slots=True)
class Snapshot:
    """What was found, as of now: absent keys mean absent rows.

    `now` is the ledger's clock, read after the locks were taken.
    """

    now: int
    accounts: dict[str, Account] = field(default_factory=dict)
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

    async def abandon(self) -> None: ...


class Page(NamedTuple):
    """Which part of a list: `limit` objects after or before the one with that id."""

    limit: int
    after: str | None = None
    before: str | None = None
    ascending: bool = False


class EntryFilter(NamedTuple):
    """Conditions that entries meet, all of them; `start` and `end` are half-open on `booked_at`.

    `grant_id` is that of entries about the grant, and of those that drew from it.
    """

    kind: EntryKind | None = None
    event_id: str | None = None
    grant_id: str | None = None
    start: int | None = None
    end: int | None = None


class BalanceRow(Struct, frozen=True, gc=False):
    """The balance as of the last entry, valid until `next_due_at` (micro-credits).

    Out of the garbage collector's sight: a store may keep many in memory.
    """

    remaining: int
    consumed: int
    overage: int
    next_due_at: int


class Credential(NamedTuple):
    """What a secret's digest stands for; an operator's has no organization and no teamspace."""

    secret: Secret
    key: ApiKey
    organization: Organization | None
    teamspace: Teamspace | None


class History(NamedTuple):
    """What leads to an earlier instant: a milestone, the entries after it, and the grants that
    these name, as they were last written. Where there is no milestone yet, all entries."""

    milestone: Standing | None
    entries: Sequence[Entry]
    grants: Mapping[str, Grant]


class UnknownCursor(LookupError):
    """`after` or `before` names no object of the list."""


class Reader(Protocol):
    """Committed, durable state. Lists come in the order travelled, one object more than the limit
    where there are more; those of the ledger end with the sequence `up_to`, however much has been
    written since."""

    def balance(self, organization_id: str) -> BalanceRow | Awaitable[BalanceRow | None] | None:
        """The hot read: a value where it is at hand, an awaitable where it is not."""
        ...

    def credential(self, digest: bytes) -> Credential | Awaitable[Credential | None] | None:
        """What an API key's digest stands for, valid or not."""
        ...

    async def account(self, organization_id: str) -> Account | None: ...

    async def organization(self, organization_id: str) -> Organization | None: ...

    async def organization_named(self, external_id: str) -> Organization | None: ...

    async def organizations(self, page: Page) -> Sequence[Organization]: ...

    async def teamspace(self, organization_id: str, teamspace_id: str) -> Teamspace | None: ...

    async def teamspaces(self, organization_id: str, page: Page) -> Sequence[Teamspace]: ...

    async def key(self, organization_id: str | None, key_id: str) -> ApiKey | None: ...

    async def keys(self, organization_id: str | None, page: Page) -> Sequence[ApiKey]: ...

    async def grants(
        self, organization_id: str, page: Page, up_to: int | None = None
    ) -> Sequence[Grant]:
        """Newest issue first, as they were last written (see `ledger.reads` for now)."""
        ...

    async def entries(
        self, organization_id: str, page: Page, where: EntryFilter, up_to: int | None = None
    ) -> Sequence[Sealed]: ...

    async def history(self, organization_id: str, instant: int, up_to: int) -> History:
        """What was booked until `instant`, that microsecond included, and until entry `up_to`."""
        ...

    async def hold(self, organization_id: str, hold_id: str) -> Hold | None: ...

    async def holds(
        self, organization_id: str, page: Page, status: HoldStatus | None
    ) -> Sequence[Hold]:
        """Newest first, as they were last written."""
        ...

    async def event(self, organization_id: str, event_id: str) -> Entry | None:
        """The usage entry of an event."""
        ...

    async def reversals(self, organization_id: str, event_id: str) -> Sequence[Entry]:
        """What has been reversed of an event, in order."""
        ...

    async def periods(self, organization_id: str) -> Sequence[PeriodRow]:
        """All that have started, oldest first."""
        ...

    async def period_record(self, organization_id: str, index: int) -> PeriodRecord | None: ...

    async def consumed_between(self, organization_id: str, start: int, end: int) -> int:
        """Micro-credits in the roll-ups whose bucket starts in [start, end)."""
        ...

    async def first_usage(self, organization_id: str, start: int) -> int | None:
        """When the first roll-up bucket at or after `start` starts; None where there is none."""
        ...

    async def price_book(self, meters: Collection[str]) -> PriceBook:
        """The prices of these meters."""
        ...

    async def price(self, price_id: str) -> Price | None: ...

    async def prices(self, page: Page) -> Sequence[Price]: ...

    async def usage_event(self, organization_id: str, event_id: str) -> UsageRecord | None: ...

    async def usage_between(
        self, organization_id: str, bounds: Sequence[int], grouping: Grouping
    ) -> Mapping[tuple[int, Group], Amounts]:
        """What was used in [bounds[n], bounds[n + 1]), by n and group, as of one moment.

        Bounds are multiples of fifteen minutes. Where a dimension is asked for, usage without it
        has the value None, so that the groups of a bucket always come to all of its usage.
        """
        ...

    async def refused_request(
        self, organization_id: str, request_id: str
    ) -> RefusedRequest | None: ...

    async def due(self, now: int, limit: int) -> Collection[str]:
        """Organizations whose account has something due, longest due first."""
        ...


class Store(Protocol):
    """A ledger's storage: its lanes, one reader, and how to let go of it."""

    reader: Reader

    @property
    def lanes(self) -> Sequence[Lane]: ...

    async def check(self) -> None:
        """Raises StoreUnavailable where the store could not serve right now."""
        ...

    async def close(self) -> None: ...
