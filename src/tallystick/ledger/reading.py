"""What reads ask of storage, in the ledger's own words. Adapters implement it; a reader never locks
and never writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Mapping, Sequence

    from tallystick.domain.account import Account
    from tallystick.domain.directory import ApiKey, Organization, Secret, Teamspace
    from tallystick.domain.entries import Entry, EntryKind, Sealed
    from tallystick.domain.grants import Grant
    from tallystick.domain.holds import Hold, HoldStatus
    from tallystick.domain.prices import Price, PriceBook
    from tallystick.domain.replay import Standing
    from tallystick.domain.series import Amounts, Group, Grouping
    from tallystick.ledger.ports import PeriodRow, UsageRecord
    from tallystick.ledger.refused import RefusedRequest
    from tallystick.ledger.statements import PeriodRecord


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
    ) -> Sequence[Mapping[Group, Amounts]]:
        """What was used in each [bounds[n], bounds[n + 1]), by group, as of one moment.

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
