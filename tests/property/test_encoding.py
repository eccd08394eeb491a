"""The canonical encoding loses nothing: whoever reads it back gets the very entry (rule 2).

An encoding that can be read back in one way only gives no two entries the same bytes, and so no two
entries the same hash.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.entries import Entry, EntryKind, encode

INTEGERS = st.integers(-(2**62), 2**62)
TEXTS = st.none() | st.text(st.characters(codec="utf-8"), max_size=12)
ENTRIES = st.builds(
    Entry,
    organization_id=st.text("org_01", max_size=8),
    sequence=INTEGERS,
    kind=st.sampled_from(EntryKind),
    credits=INTEGERS,
    drawn=st.lists(st.tuples(st.text("grant_01", max_size=8), INTEGERS), max_size=3).map(tuple),
    grant_id=TEXTS,
    event_id=TEXTS,
    hold_id=TEXTS,
    teamspace_id=TEXTS,
    api_key_id=TEXTS,
    meter=TEXTS,
    occurred_at=st.none() | INTEGERS,
    booked_at=INTEGERS,
    remaining_after=INTEGERS,
    consumed_after=INTEGERS,
    overage_after=INTEGERS,
    held_after=INTEGERS,
    detail=TEXTS,
    content=st.none() | st.binary(max_size=40),
)


class Reader:
    """Reads an encoding from its beginning to its end, knowing nothing but its description."""

    def __init__(self, encoding: bytes) -> None:
        self._left = encoding

    def take(self, length: int) -> bytes:
        assert len(self._left) >= length, "the encoding ends too early"
        taken, self._left = self._left[:length], self._left[length:]
        return taken

    def integer(self) -> int:
        return int.from_bytes(self.take(8), signed=True)

    def optional_integer(self) -> int | None:
        number = self.integer()
        return None if number == -(2**63) else number

    def data(self) -> bytes | None:
        length = int.from_bytes(self.take(4))
        return None if length == 2**32 - 1 else self.take(length)

    def text(self) -> str | None:
        data = self.data()
        return None if data is None else data.decode()

    def drawn(self) -> tuple[tuple[str, int], ...]:
        count = int.from_bytes(self.take(4))
        return tuple((self.text() or "", self.integer()) for _ in range(count))

    def is_at_end(self) -> bool:
        return not self._left


def decode(encoding: bytes) -> Entry:
    reader = Reader(encoding)
    columns: dict[str, Any] = {
        "sequence": reader.integer(),
        "credits": reader.integer(),
        "occurred_at": reader.optional_integer(),
        "booked_at": reader.integer(),
        "remaining_after": reader.integer(),
        "consumed_after": reader.integer(),
        "overage_after": reader.integer(),
        "held_after": reader.integer(),
        "organization_id": reader.text(),
        "kind": reader.text(),
        "grant_id": reader.text(),
        "event_id": reader.text(),
        "hold_id": reader.text(),
        "teamspace_id": reader.text(),
        "api_key_id": reader.text(),
        "meter": reader.text(),
        "detail": reader.text(),
        "content": reader.data(),
        "drawn": reader.drawn(),
    }
    assert reader.is_at_end(), "bytes are left over"
    return Entry(**columns)


@given(entry=ENTRIES)
def test_an_encoding_reads_back_as_the_very_entry(entry: Entry) -> None:
    assert decode(encode(entry)) == entry
