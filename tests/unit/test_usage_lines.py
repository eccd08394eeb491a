"""A stream is cut into lines, whatever the pieces in which it comes, in bounded memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from tallystick.http.handlers.ndjson import MAX_LINE, Lines

PIECES = st.sampled_from([b"", b"\n", b"a", b'{"id"', b"x" * 40_000, b"\r\n", b"one\ntwo\n"])


def cut(pieces: list[bytes]) -> list[bytes | None]:
    lines = Lines()
    found = [line for piece in pieces for line in lines.cut(piece)] + [*lines.end()]
    assert lines.number == len(found)
    return found


@given(st.lists(PIECES, max_size=12))
def test_lines_are_the_same_however_the_stream_is_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces).split(b"\n")
    if not whole[-1]:
        whole.pop()
    assert cut(pieces) == [line if len(line) <= MAX_LINE else None for line in whole]


def test_a_line_may_have_64_kib_and_no_byte_more() -> None:
    fits, too_long = b"x" * 65_536, b"x" * 65_537
    assert cut([fits + b"\n" + too_long + b"\n" + fits]) == [fits, None, fits]


def test_a_line_that_never_ends_takes_no_memory() -> None:
    lines, piece = Lines(), b"x" * 10_000
    tracemalloc.start()
    try:
        assert [line for _ in range(5_000) for line in lines.cut(piece)] == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_LINE
