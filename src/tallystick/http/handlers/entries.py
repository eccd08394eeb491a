"""The entries of an organization's ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta

from tallystick.domain.credits import format_credits
from tallystick.domain.directory import Scope
from tallystick.domain.entries import EntryKind
from tallystick.domain.ids import entry_id
from tallystick.http.accept import preferred
from tallystick.http.exports import (
    CSV,
    JSON,
    NDJSON,
    PART,
    file_answer,
    in_csv,
    in_ndjson,
    safe,
)
from tallystick.http.operations import Answer, Call, Operation, Parameter
from tallystick.http.shapes import (
    PAGING,
    Credits,
    Response,
    Time,
    bad_parameter,
    instant_parameter,
    list_answer,
    list_type,
    not_found,
    read_page,
    unknown_cursor,
)
from tallystick.http.views import DrawnView, drawn_view
from tallystick.http.wire import credits_json, encode, time_json
from tallystick.ledger.reading import EntryFilter, UnknownCursor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tallystick.domain.entries import Sealed
    from tallystick.ledger.reading import Page

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
        list[DrawnView],
        Meta(
            description="The grants that credits came from, were held of or went back to, in order"
        ),
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
_COLUMNS: Final = tuple(name for name in EntryView.__struct_fields__ if name != "object")


async def list_entries(call: Call) -> Answer:
    where = _filter(call.query)
    media_type = preferred(call.header(b"accept"), (JSON, CSV, NDJSON))
    if media_type != JSON:
        return await _export(call, where, media_type)

    async def fetch(page: Page) -> Sequence[Sealed] | None:
        return await call.service.reads.entries(call.organization_id, page, where)

    return await list_answer(read_page(call.query), fetch, _entry_view)


async def _export(call: Call, where: EntryFilter, media_type: bytes) -> Answer:
    page = read_page(call.query)
    for name in ("limit", "before"):
        if name in call.query:
            raise bad_parameter(name, "is for pages: an export has all that matches")
    try:
        parts = await call.service.reads.entries_in_parts(
            call.organization_id, page._replace(limit=PART), where
        )
    except UnknownCursor:
        raise unknown_cursor(page) from None
    if parts is None:
        raise not_found("organization")
    made = in_csv(_COLUMNS, parts, _cells) if media_type == CSV else in_ndjson(parts, _line)
    return file_answer(media_type, "entries", made)


def _line(sealed: Sealed) -> bytes:
    return encode(_entry_view(sealed))


def _cells(sealed: Sealed) -> Sequence[object]:
    """The fields of an entry's view as texts, in the order of `_COLUMNS`."""
    entry = sealed.entry
    drawn = ",".join(
        f'{{"grant_id":"{grant_id}","credits":{format_credits(taken)}}}'
        for grant_id, taken in entry.drawn
    )
    return (
        entry_id(entry.organization_id, entry.sequence),
        entry.sequence,
        entry.kind.value,
        format_credits(entry.credits),
        f"[{drawn}]",
        entry.grant_id,
        safe(entry.event_id),
        entry.hold_id,
        entry.teamspace_id,
        entry.api_key_id,
        safe(entry.meter),
        time_json(entry.occurred_at),
        time_json(entry.booked_at),
        format_credits(entry.remaining_after),
        format_credits(entry.consumed_after),
        format_credits(entry.overage_after),
        format_credits(entry.held_after),
        sealed.previous_hash.hex(),
        sealed.hash.hex(),
    )


def _filter(query: Mapping[str, str]) -> EntryFilter:
    start, end = instant_parameter(query, "from"), instant_parameter(query, "to")
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


def _entry_view(sealed: Sealed) -> EntryView:
    entry = sealed.entry
    return EntryView(
        id=entry_id(entry.organization_id, entry.sequence),
        sequence=entry.sequence,
        kind=entry.kind,
        credits=credits_json(entry.credits),
        drawn=drawn_view(entry.drawn),
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
        files=(CSV, NDJSON),
        summary="List entries",
        description=(
            "The ledger itself: one immutable line for each fact, each with the balances after it "
            "and chained to the line before by its hash. Conditions are combined. With `Accept: "
            "text/csv` or `application/x-ndjson` all entries that match are sent as a file, as of "
            "the moment of the request; `after` goes on where one ended."
        ),
    ),
)
