"""What makes a repeated id the same event or grant (rule 8), and how far usage may be dated."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.domain.commands import (
    DAY,
    EARLIEST,
    BookUsage,
    CreateGrant,
    grant_content,
    is_repeated,
    is_too_early,
    is_too_late,
    usage_content,
)
from tallystick.domain.dimensions import KeptDimensions, dimensions_digest
from tallystick.domain.entries import Entry, EntryKind
from tallystick.domain.grants import GrantKind
from tests.conformance.samples import full_entry
from tests.unit.life import at

SAID: dict[str, Any] = {
    "credits_used": 1_250_000,
    "meter": "llm.tokens",
    "occurred_at": at("2026-01-10"),
    "dimensions": {"model": "m-large", "region": "eu"},
    "overdraw": False,
    "teamspace_id": "ts_1",
    "salt": b"0123456789abcdef",
}


def test_the_digest_of_usage_never_changes() -> None:
    assert usage_content(**SAID).hex() == (
        "f583b878fcc5a39a8caf342a465e6d98df59ca96916082b71f2b5f361f4ffa73"
    )


def test_the_digest_of_a_grant_never_changes() -> None:
    command = CreateGrant(amount=1, kind=GrantKind.TOP_UP, effective_at=2, expires_at=3)
    assert grant_content(command).hex() == (
        "6a147053b2e5112a5a602767e1be04d95522c902d9d1cb14dce1cfaccc50934d"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"credits_used": 1_250_001},
        {"meter": None},
        {"meter": ""},
        {"occurred_at": None},
        {"occurred_at": at("2026-01-10") + 1},
        {"dimensions": None},
        {"dimensions": {"model": "m-large"}},
        {"dimensions": {"model": "eu", "region": "m-large"}},
        {"dimensions": {"model": "m-largeregion", "": "eu"}},
        {"overdraw": True},
        {"teamspace_id": "ts_2"},
        {"salt": b"fedcba9876543210"},
    ],
)
def test_other_content_has_another_digest(changed: dict[str, Any]) -> None:
    assert usage_content(**(SAID | changed)) != usage_content(**SAID)


def test_a_quantity_is_not_the_same_as_so_many_credits() -> None:
    rated = usage_content(**(SAID | {"quantity": SAID["credits_used"]}))
    assert rated != usage_content(**SAID)
    # Prices change, the event does not.
    assert rated == usage_content(**(SAID | {"quantity": SAID["credits_used"], "credits_used": 7}))


def test_texts_cannot_move_from_one_place_to_the_next() -> None:
    one = usage_content(**(SAID | {"teamspace_id": "ts", "meter": "1m"}))
    other = usage_content(**(SAID | {"teamspace_id": "ts1", "meter": "m"}))
    assert one != other


def test_the_order_of_dimensions_does_not_matter_and_none_are_none() -> None:
    turned = dict(reversed(SAID["dimensions"].items()))
    assert usage_content(**(SAID | {"dimensions": turned})) == usage_content(**SAID)
    none, empty = SAID | {"dimensions": None}, SAID | {"dimensions": {}}
    assert usage_content(**none) == usage_content(**empty)


def test_a_grants_reference_is_not_part_of_its_content() -> None:
    one = CreateGrant(amount=1, kind=GrantKind.TOP_UP, reference="a")
    other = CreateGrant(amount=1, kind=GrantKind.TOP_UP, reference="b")
    assert grant_content(one) == grant_content(other)


def test_no_instant_lies_before_the_year_2000() -> None:
    assert at("2000-01-01") == EARLIEST
    assert is_too_early(EARLIEST - 1)
    assert not is_too_early(EARLIEST)


def test_usage_is_dated_at_most_a_day_ahead() -> None:
    now = at("2026-01-10")
    assert not is_too_late(now + DAY, now)
    assert is_too_late(now + DAY + 1, now)


def command(**changed: object) -> BookUsage:
    facts = SAID | changed
    content = usage_content(**facts)
    return BookUsage(
        event_id="evt-1",
        credits=facts.pop("credits_used"),
        api_key_id=None,
        content=content,
        **facts,
    )


def entry_of(booked: BookUsage) -> Entry:
    return full_entry(1, EntryKind.USAGE_BOOKED)._replace(content=booked.content)


@pytest.mark.parametrize("is_erased", [False, True])
def test_a_repetition_has_a_salt_of_its_own(is_erased: bool) -> None:
    first, again = command(), command(salt=b"another salt")
    digest = dimensions_digest(SAID["dimensions"], SAID["salt"])
    kept = KeptDimensions(SAID["dimensions"], SAID["salt"], digest)
    if is_erased:
        kept = kept._replace(dimensions=None, salt=None)
    entry = entry_of(first)
    assert first.content != again.content
    assert is_repeated(entry, again, kept)
    assert not is_repeated(entry, command(meter=None), kept)
    assert is_repeated(entry, command(dimensions={"model": "x"}), kept) == is_erased


def test_without_dimensions_contents_are_compared_and_nothing_is_digested() -> None:
    plain = command(dimensions=None)
    assert is_repeated(entry_of(plain), command(dimensions=None, salt=b""), None)
    assert not is_repeated(entry_of(plain), command(), None)
