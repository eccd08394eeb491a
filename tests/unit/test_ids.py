"""Ids: typed, sortable by age, and derived alike by whoever looks ahead."""

from __future__ import annotations

import re

import pytest

from tallystick.domain.ids import derive_id, encode_id, entry_id, sequence_of
from tests.unit.life import ORGANIZATION, at

NOW = at("2026-01-10T12:00")


def test_an_id_is_its_type_and_26_characters_that_cannot_be_misread() -> None:
    assert re.fullmatch(r"grant_[0-7][0-9a-hjkmnp-tv-z]{25}", derive_id("grant", "org_1", 1, NOW))


def test_the_characters_are_crockfords() -> None:
    assert encode_id("x", bytes(16)) == "x_" + "0" * 26
    assert encode_id("x", b"\xff" * 16) == "x_7" + "z" * 25
    assert (
        encode_id("x", (0b01010_01011_01100_01101_01110).to_bytes(16)) == "x_" + "0" * 21 + "abcde"
    )


def test_ids_sort_as_their_bytes_do() -> None:
    values = [
        bytes(16),
        bytes(15) + b"\x1f",
        bytes(15) + b"\x20",
        b"\x01" + bytes(15),
        b"\xff" * 16,
    ]
    ids = [encode_id("x", value) for value in values]
    assert ids == sorted(ids)


def test_ids_sort_by_age() -> None:
    ids = [derive_id("grant", f"org_{n}", n, NOW + 1000 * n) for n in range(50)]
    assert ids == sorted(ids)


def test_a_derived_id_is_the_same_for_everyone_and_for_ever() -> None:
    assert derive_id("grant", ORGANIZATION, 3, NOW) == "grant_01kekwe4g0ec9vtx301z07zfsf"


def test_derived_ids_differ_by_type_organization_sequence_and_time() -> None:
    ids = {
        derive_id("grant", "org_1", 1, NOW),
        derive_id("grant", "org_1", 2, NOW),
        derive_id("grant", "org_2", 1, NOW),
        derive_id("grant", "org_1", 1, NOW + 1000),
        derive_id("hold", "org_1", 1, NOW).replace("hold", "grant"),
    }
    assert len(ids) == 5


def test_an_entrys_id_names_its_organization_and_sequence() -> None:
    assert entry_id(ORGANIZATION, 42) == "entry_00000000000000000000000001_000000000042"
    assert sequence_of(ORGANIZATION, entry_id(ORGANIZATION, 42)) == 42


def test_entry_ids_sort_by_sequence() -> None:
    ids = [entry_id(ORGANIZATION, 10**power) for power in range(12)]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "id",
    [
        "",
        "entry_",
        "entry_00000000000000000000000001",
        "entry_00000000000000000000000001_",
        "entry_00000000000000000000000001_42",
        "entry_00000000000000000000000001_0000000000042",
        "entry_00000000000000000000000001_-00000000042",
        "entry_00000000000000000000000001_٠٠٠٠٠٠٠٠٠٠٤٢",
        "entry_00000000000000000000000001_000000000042\n",
        "entry_00000000000000000000000002_000000000042",
        "grant_00000000000000000000000001_000000000042",
        "00000000000000000000000001_000000000042",
    ],
)
def test_what_names_no_entry_of_the_organization_has_no_sequence(id: str) -> None:
    assert sequence_of(ORGANIZATION, id) is None
