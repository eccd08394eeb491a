"""Receipts are written straight to text; their type says what that text must be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tallystick.domain.commands import EARLIEST, Booked
from tallystick.domain.credits import MAX_SUM
from tallystick.domain.entries import Entry, EntryKind, canonical_json
from tallystick.domain.periods import format_instant
from tallystick.domain.quantities import format_quantity
from tallystick.http.handlers.receipts import Receipt, receipt_json
from tallystick.http.views import DrawnView
from tallystick.http.wire import credits_json, encode, quantity_json
from tests.usage_forms import NOW

MICRO = st.integers(0, MAX_SUM)


@given(
    event_id=st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
    drawn=st.lists(MICRO, max_size=3),
    overage=st.just(0) | MICRO,
    remaining=MICRO,
    consumed=MICRO,
    sequence=st.integers(1, 1 << 40),
    booked_at=st.integers(EARLIEST, NOW),
    duplicate=st.booleans(),
    quantity=st.none() | st.integers(0, 10**15),
)
def test_a_receipt_is_written_as_its_type_would_be(
    event_id: str,
    drawn: list[int],
    overage: int,
    remaining: int,
    consumed: int,
    sequence: int,
    booked_at: int,
    duplicate: bool,
    quantity: int | None,
) -> None:
    parts = tuple((f"grant_{number}", taken) for number, taken in enumerate(drawn))
    entry = Entry(
        organization_id="org_1",
        sequence=sequence,
        kind=EntryKind.USAGE_BOOKED,
        credits=sum(drawn) + overage,
        drawn=parts,
        grant_id=None,
        event_id=event_id,
        hold_id=None,
        teamspace_id="ts_1",
        api_key_id=None,
        meter=None,
        occurred_at=booked_at,
        booked_at=booked_at,
        remaining_after=remaining,
        consumed_after=consumed,
        overage_after=overage,
        held_after=0,
        detail=(
            None
            if quantity is None
            else canonical_json({"price_id": "price_1", "quantity": format_quantity(quantity)})
        ),
        content=b"",
    )
    view = Receipt(
        id=event_id,
        status="duplicate" if duplicate else "booked",
        credits=credits_json(sum(drawn) + overage),
        quantity=UNSET if quantity is None else quantity_json(quantity),
        price_id=UNSET if quantity is None else "price_1",
        overage=credits_json(overage),
        drawn=[DrawnView(grant_id=name, credits=credits_json(taken)) for name, taken in parts],
        remaining=credits_json(remaining),
        consumed=credits_json(consumed),
        sequence=sequence,
        booked_at=format_instant(booked_at),
    )
    assert receipt_json(Booked(entry, duplicate)).encode() == encode(view)
