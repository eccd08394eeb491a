"""Entries: one encoding, and a chain in which nothing can be edited, dropped or moved (rule 2)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tallystick.domain.entries import (
    GENESIS,
    Entry,
    EntryKind,
    Sealed,
    canonical_json,
    encode,
    seal,
    uncovered,
)

USAGE = Entry(
    organization_id="org_00000000000000000000000001",
    sequence=7,
    kind=EntryKind.USAGE_BOOKED,
    credits=120_000_000,
    drawn=(("grant_a", 60_000_000), ("grant_b", 40_000_000)),
    grant_id=None,
    event_id="evt-1",
    hold_id=None,
    teamspace_id="ts_1",
    api_key_id="key_1",
    meter="llm.tökens",
    occurred_at=1_768_046_400_000_000,
    booked_at=1_768_046_400_000_001,
    remaining_after=0,
    consumed_after=120_000_000,
    overage_after=20_000_000,
    held_after=0,
    detail=None,
    content=bytes(range(32)),
)


def chain(*entries: Entry) -> list[Sealed]:
    return seal(entries, GENESIS)


def holds(sealed: list[Sealed]) -> bool:
    """Whether a reader who computes the chain again arrives at the same hashes."""
    return chain(*(each.entry for each in sealed)) == sealed


# ── the format is for ever ──


def test_the_hash_of_an_entry_never_changes() -> None:
    (sealed,) = chain(USAGE)
    assert sealed.hash.hex() == "1ffbdf7d810547b46f11747174ef25653cc961b39343dcd32cf01bd9257d8196"


def test_the_encoding_of_an_entry_never_changes() -> None:
    entry = USAGE._replace(
        organization_id="o",
        event_id="e",
        teamspace_id="",
        api_key_id=None,
        meter=None,
        drawn=(("g", 1),),
        occurred_at=None,
        detail="{}",
        content=b"\xff",
    )
    assert encode(entry) == bytes.fromhex(
        "0000000000000007"  # sequence
        "0000 0000 0727 0e00"  # credits
        "8000000000000000"  # occurred_at: absent
        "0006 4807 619e 5001"  # booked_at
        "0000000000000000"  # remaining_after
        "0000 0000 0727 0e00"  # consumed_after
        "0000 0000 0131 2d00"  # overage_after
        "0000000000000000"  # held_after
        "00000001 6f"  # organization_id: o
        "0000000c 75736167652e626f6f6b6564"  # kind: usage.booked
        "ffffffff"  # grant_id: absent
        "00000001 65"  # event_id: e
        "ffffffff"  # hold_id: absent
        "00000000"  # teamspace_id: empty
        "ffffffff"  # api_key_id: absent
        "ffffffff"  # meter: absent
        "00000002 7b7d"  # detail: {}
        "00000001 ff"  # content
        "00000001"  # one part drawn
        "00000001 67"  # from the grant g
        "0000000000000001"  # a micro-credit
    )


def test_a_hash_covers_the_tag_the_hash_before_and_the_entry() -> None:
    before = hashlib.sha256(b"before").digest()
    (sealed,) = seal([USAGE], before)
    assert sealed.previous_hash == before
    assert sealed.hash == hashlib.sha256(b"tallystick/entry/1" + before + encode(USAGE)).digest()


# ── no two entries encode alike ──


@pytest.mark.parametrize("column", Entry._fields)
def test_every_column_is_part_of_the_encoding(column: str) -> None:
    others: dict[str, Any] = {
        "organization_id": "org_2",
        "kind": EntryKind.GRANT_ISSUED,
        "drawn": (("grant_a", 60_000_000), ("grant_b", 40_000_001)),
        "event_id": "evt-2",
        "teamspace_id": None,
        "api_key_id": "",
        "meter": "llm.tokens",
        "occurred_at": None,
        "content": None,
        "grant_id": "grant_a",
        "hold_id": "hold_1",
        "detail": "",
    }
    value = getattr(USAGE, column)
    other: Any = others.get(column, value + 1 if isinstance(value, int) else None)
    assert other != value
    assert encode(USAGE._replace(**{column: other})) != encode(USAGE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"grant_id": "ab", "event_id": "c"}, {"grant_id": "a", "event_id": "bc"}),
        ({"grant_id": "a", "event_id": None}, {"grant_id": None, "event_id": "a"}),
        ({"meter": None}, {"meter": ""}),
        ({"content": None}, {"content": b""}),
        ({"occurred_at": None}, {"occurred_at": 0}),
        ({"drawn": ()}, {"drawn": (("", 0),)}),
        ({"drawn": (("a", 1), ("b", 2))}, {"drawn": (("b", 2), ("a", 1))}),
        ({"detail": "x", "content": None}, {"detail": None, "content": b"x"}),
    ],
)
def test_neighbours_cannot_be_mistaken_for_each_other(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert encode(USAGE._replace(**one)) != encode(USAGE._replace(**other))


# ── the chain ──


def test_each_entry_names_the_hash_before_it() -> None:
    sealed = chain(USAGE, USAGE._replace(sequence=8), USAGE._replace(sequence=9))
    assert sealed[0].previous_hash == GENESIS
    assert sealed[1].previous_hash == sealed[0].hash
    assert sealed[2].previous_hash == sealed[1].hash
    assert holds(sealed)


def test_a_chain_goes_on_where_it_stopped() -> None:
    first, second = USAGE, USAGE._replace(sequence=8)
    (head,) = chain(first)
    assert [head, *seal([second], head.hash)] == chain(first, second)


def test_what_was_edited_deleted_or_moved_breaks_the_chain() -> None:
    sealed = chain(*(USAGE._replace(sequence=sequence) for sequence in range(1, 5)))
    edited = sealed[1]._replace(entry=sealed[1].entry._replace(credits=1))
    assert not holds([sealed[0], edited, *sealed[2:]])
    assert not holds([sealed[0], *sealed[2:]])
    assert not holds([sealed[1], sealed[0], *sealed[2:]])
    assert not holds(sealed[1:])


# ── what entries say ──


def test_what_no_grant_covered_is_the_rest() -> None:
    assert uncovered(USAGE) == 20_000_000
    assert uncovered(USAGE._replace(drawn=())) == 120_000_000


def test_facts_have_one_spelling() -> None:
    facts = {"b": None, "a": "ü\n", "c": {"z": True, "y": [1, 2]}}
    assert canonical_json(facts) == '{"a":"ü\\n","b":null,"c":{"y":[1,2],"z":true}}'
    assert canonical_json(dict(reversed(facts.items()))) == canonical_json(facts)
