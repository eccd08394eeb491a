"""The entries of an organization's ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta

from tallystick.domain.directory import Scope
from tallystick.domain.entries import EntryKind
from tallystick.domain.ids import entry_id
from tallystick.domain.periods import InvalidInstant, parse_instant
from tallystick.http.operations import Answer, Call, Operation, Parameter
from tallystick.http.shapes import (
    PAGING,
    Credits,
    Response,
    Time,
    bad_parameter,
    list_answer,
    list_type,
    read_page,
)
from tallystick.http.views import DrawnView
from tallystick.http.wire import credits_json, time_json
from tallystick.ledger.ports import EntryFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tallystick.domain.entries import Sealed
    from tallystick.ledger.ports import Page

_KINDS: Final = ", ".join(EntryKind)

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, in hexadecimal")]


class EntryView(Response, kw_only=True):
    """One immutable line of the ledger, with the balances after it."""

    object: Literal["credits.entry"] = "credits.entry"
    id: str
    sequence: Annotated[int, Meta(ge=1, description="Counts the organization's entries, gapless")]
    kind: EntryKind
    credits: Annotated[Credits, Meta(description="How many; the kind gives the direction")]
    drawn: Annotated[
        list[DrawnView], Meta(description="The grants the credits came from, in the order drawn")
    ]
    grant_id: Annotated[str | None, Meta(description="The grant that the entry is about")]
    event_id: str | None
    hold_id: str | None
    teamspace_id: str | None
    api_key_id: str | None
    meter: str | None
    occurred_at: Annotated[Time | None, Meta(description="When the usage happened")]
    booked_at: Time
    remaining_after: Credits
    consumed_after: Credits
    overage_after: Credits
    held_after: Credits
    previous_hash: Annotated[
        Digest, Meta(description="The hash of the entry before, zeros if none")
    ]
    hash: Digest


EntryList = list_type(EntryView, "EntryList")


async def list_entries(call: Call) -> Answer:
    where = _filter(call.query)

    async def fetch(page: Page) -> Sequence[Sealed] | None:
        return await call.service.reads.entries(call.organization_id, page, where)

    return await list_answer(read_page(call.query), fetch, _entry_view)


def _filter(query: Mapping[str, str]) -> EntryFilter:
    start, end = _instant(query, "from"), _instant(query, "to")
    if start is not None and end is not None and start > end:
        raise bad_parameter("to", "must not be earlier than from")
    return EntryFilter(_kind(query), query.get("event_id"), query.get("grant_id"), start, end)


def _kind(query: Mapping[str, str]) -> EntryKind | None:
    if "kind" not in query:
        return None
    try:
        return EntryKind(query["kind"])
    except ValueError:
        raise bad_parameter("kind", f"must be one of {_KINDS}") from None


def _instant(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        # A plus that was not percent-encoded arrives as a space, and no time has one.
        return parse_instant(query[name].replace(" ", "+"))
    except InvalidInstant as error:
        raise bad_parameter(name, str(error)) from None


def _entry_view(sealed: Sealed) -> EntryView:
    entry = sealed.entry
    return EntryView(
        id=entry_id(entry.organization_id, entry.sequence),
        sequence=entry.sequence,
        kind=entry.kind,
        credits=credits_json(entry.credits),
        drawn=[
            DrawnView(grant_id=grant_id, credits=credits_json(taken))
            for grant_id, taken in entry.drawn
        ],
        grant_id=entry.grant_id,
        event_id=entry.event_id,
        hold_id=entry.hold_id,
        teamspace_id=entry.teamspace_id,
        api_key_id=entry.api_key_id,
        meter=entry.meter,
        occurred_at=time_json(entry.occurred_at),
        booked_at=time_json(entry.booked_at) or "",
        remaining_after=credits_json(entry.remaining_after),
        consumed_after=credits_json(entry.consumed_after),
        overage_after=credits_json(entry.overage_after),
        held_after=credits_json(entry.held_after),
        previous_hash=sealed.previous_hash.hex(),
        hash=sealed.hash.hex(),
    )


OPERATIONS = (
    Operation(
        name="list_entries",
        method="GET",
        path="/v1/organization/credits/entries",
        handle=list_entries,
        scope=Scope.CREDITS_READ,
        query=(
            *PAGING,
            Parameter("kind", {"type": "string", "enum": list(EntryKind)}, "Entries of this kind"),
            Parameter("event_id", {"type": "string"}, "The entries of this usage event"),
            Parameter(
                "grant_id",
                {"type": "string"},
                "Entries about this grant, and usage that drew from it",
            ),
            Parameter(
                "from", {"type": "string", "format": "date-time"}, "Booked at this time or later"
            ),
            Parameter("to", {"type": "string", "format": "date-time"}, "Booked before this time"),
        ),
        response=EntryList,
        summary="List entries",
        description=(
            "The ledger itself: one immutable line for each fact, each with the balances after it "
            "and chained to the line before by its hash. Conditions are combined."
        ),
    ),
)
